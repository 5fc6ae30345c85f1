"""The service manager at systemd, compose and a cluster: which programs it calls, in which order, and what it says.

The programs are stand-ins that write down how they were called; the local run is tested with a real one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli.client import CommandError, Target
from bellwether.cli.main import main
from bellwether.cli.manage import cluster_place, finding, places, systemd_place
from bellwether.cli.manage.cluster_place import ClusterPlace
from bellwether.cli.manage.compose_place import ComposePlace
from bellwether.cli.manage.log_lines import of_services, shown
from bellwether.cli.manage.places import On, Part, chosen
from bellwether.cli.manage.systemd_place import SystemdPlace
from bellwether.local.rendering import render_compose, render_systemd
from bellwether.local.state import lock_held
from bellwether.wiring import start_order

pytestmark = pytest.mark.integration

FILE = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: demo}
spec:
  market: {calendar: XASX}
  symbols: [CBA.AX, ANZ.AX]
  profile: standard
"""
PROGRAM = """#!/bin/sh
echo "$(basename "$0") $*" >> "$CALLS"
case "$(basename "$0") $*" in
%s
esac
"""


class Programs:
    """Programs on PATH that answer as they are set up to, and the calls that they got."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "bin"
        self.folder.mkdir()
        self._calls = folder / "calls"
        monkeypatch.setenv("PATH", f"{self.folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setenv("CALLS", str(self._calls))

    def add(self, name: str, answers: dict[str, str]) -> None:
        cases = []
        for number, (pattern, answer) in enumerate(answers.items()):
            file = self.folder / f".{name}-{number}"
            file.write_text(answer)
            cases.append(f"  {pattern}) cat {file};;")
        path = self.folder / name
        path.write_text(PROGRAM % "\n".join(cases))
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text().splitlines() if self._calls.exists() else []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "system.yaml").write_text(FILE)
    return Programs(tmp_path, monkeypatch)


def units(programs: Programs, tmp_path: Path) -> SystemdPlace:
    render_systemd(tmp_path / "system.yaml", tmp_path / "root", "/opt/bellwether")
    failed = (
        "ActiveState=failed\nResult=oom-kill\nMainPID=0\nNRestarts=5\n"
        "MemoryCurrent=[not set]\nStateChangeTimestamp=Fri 2026-11-27 10:00:00 UTC\n"
    )
    runs = "ActiveState=active\nResult=success\nMainPID=42\nMemoryCurrent=52428800\n"
    names = ["nats", "bootstrap", *start_order()]
    shown = "\n".join(failed if name == "prediction" else runs for name in names)
    programs.add("systemctl", {'"systemctl show trading-nats"*': shown})
    return SystemdPlace(tmp_path / "root")


def test_units_are_reported_with_their_state_and_started_in_the_order_of_the_topology(
    programs: Programs, tmp_path: Path
) -> None:
    place = units(programs, tmp_path)
    parts = place.parts()
    assert [one.name for one in parts] == ["nats", "bootstrap", *start_order()]
    reported = {one.name: one for one in parts}
    assert reported["gateway"] == Part("gateway", ("gateway",), "running", 42, 50.0)
    assert reported["prediction"].state == "failed"
    assert reported["prediction"].detail == "oom-kill, restarted 5 times"
    assert [one.name for one in chosen(place, ["paper-trading", "market-data"])] == ["market-data", "paper-trading"]
    with pytest.raises(CommandError, match="no such service; there are nats, "):
        chosen(place, ["predictions"])


def test_a_unit_that_does_not_come_up_is_named_with_its_own_words_not_with_what_systemd_ignores(
    programs: Programs, tmp_path: Path
) -> None:
    place = units(programs, tmp_path)
    taken = "[FTL] Error listening on port: 127.0.0.1:4222, listen tcp 127.0.0.1:4222: bind: address already in use"
    slice_ = "Failed to set 'io.weight' on /system.slice/trading-nats.service, ignoring: Input/output error"
    programs.add("journalctl", {"*": f"{taken}\ntrading-nats.service: Failed with result 'exit-code'.\n{slice_}"})
    words = place.failure_of(place.parts()[0])
    assert words.startswith(f"trading-nats.service does not come up: {taken}\n")


def test_stopping_goes_in_reverse_and_starting_forward(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = units(programs, tmp_path)
    monkeypatch.setattr("bellwether.cli.manage.commands.find", lambda *_: place)
    assert main(["stop", "-o", "json"]) == 0
    stopped = [call.split()[-1] for call in programs.calls if call.startswith("systemctl stop")]
    order = [f"trading-{name}.service" for name in ["nats", "bootstrap", *start_order()]]
    assert stopped == order[::-1]
    assert [one["result"] for one in json.loads(capsys.readouterr().out)["parts"]] == ["stopped"] * len(order)
    assert main(["start", "-s", "paper-trading", "-s", "prediction"]) == 0
    started = [call.split()[-1] for call in programs.calls if call.startswith("systemctl start")]
    assert started == ["trading-prediction.service", "trading-paper-trading.service"]


def test_the_timer_of_backups_is_stopped_and_started_with_the_units(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = (
        "\n  backup: {schedule: {offset: 30m}, locations: [{name: a, kind: folder, path: /b, secretRef: {name: s}}]}\n"
    )
    (tmp_path / "system.yaml").write_text(FILE.rstrip() + backup)
    render_systemd(tmp_path / "system.yaml", tmp_path / "root", "/opt/bellwether")
    count = 3 + len(start_order())
    programs.add("systemctl", {'"systemctl show"*': "\n".join(["ActiveState=active\nMainPID=42\n"] * count)})
    programs.add("journalctl", {"*": "backup 20261127T053000Z complete"})
    place = SystemdPlace(tmp_path / "root")
    monkeypatch.setattr("bellwether.cli.manage.commands.find", lambda *_: place)
    assert main(["stop"]) == 0
    assert main(["start"]) == 0
    timer = "trading-scheduled-backup.timer"
    done = [call for call in programs.calls if call.split()[1] in ("stop", "reset-failed", "start")]
    assert done[0] == f"systemctl stop {timer}", "first, so that no backup begins while the others stop"
    assert done[-2:] == [f"systemctl reset-failed {timer}", f"systemctl start {timer}"]
    assert main(["logs"]) == 0
    assert "-u trading-scheduled-backup.service" in programs.calls[-1]


def test_deploy_copies_what_changed_and_restarts_for_it_alone(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("systemctl", "systemd-sysusers", "systemd-tmpfiles"):
        programs.add(name, {})
    runs = "ActiveState=active\nMainPID=42\n"
    answers = {
        profile: "\n".join([runs] * (2 + parts))
        for profile, parts in (("compact", 1), ("standard", len(start_order())))
    }
    programs.add(
        "systemctl", {'*"trading-system.service"*': answers["compact"], '"systemctl show"*': answers["standard"]}
    )
    home = tmp_path / "opt"
    (home / "venv/bin").mkdir(parents=True)
    (home / "venv/bin/python").touch()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    root = tmp_path / "machine"
    file = tmp_path / "system.yaml"
    systemd_place.deploy(file, str(home), print, root)
    assert systemd_place.deployed(root)
    assert oct((root / "etc/bellwether/keys").stat().st_mode & 0o777) == "0o700"
    assert "systemctl restart trading.target" in programs.calls
    before = len(programs.calls)
    assert "0 files changed" in systemd_place.deploy(file, str(home), print, root)[0]
    assert "systemctl start trading.target" in programs.calls[before:]
    file.write_text(FILE.replace("standard", "compact"))
    reported = systemd_place.deploy(file, str(home), print, root)
    assert "removed trading-prediction.service" in reported
    assert not (root / "etc/systemd/system/trading-prediction.service").exists()
    assert "keys in /etc/bellwether/keys" in SystemdPlace(root).undeploy()
    assert not systemd_place.deployed(root)
    assert (root / "etc/bellwether/keys/gateway.token").exists()


def test_what_starts_a_removed_service_is_removed_before_it(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = "\n".join(["ActiveState=active\nMainPID=42\n"] * (2 + len(start_order())))
    programs.add("systemctl", {'"systemctl show"*': runs})
    for name in ("systemd-sysusers", "systemd-tmpfiles"):
        programs.add(name, {})
    home, root = tmp_path / "opt", tmp_path / "machine"
    (home / "venv/bin").mkdir(parents=True)
    (home / "venv/bin/python").touch()
    monkeypatch.setattr("os.geteuid", lambda: 0)
    folder = root / "etc/systemd/system"
    folder.mkdir(parents=True)
    services, starters = ("scheduled-backup.service", "old.service"), ("scheduled-backup.timer", "old-old.socket")
    kept = [folder / f"trading-{name}" for name in (*services, *starters)]
    for path in kept:
        path.touch()
    # A folder names its files in any order: here the worst one.
    found = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, *given: iter(sorted(found(self, *given), key=listed)))
    systemd_place.deploy(tmp_path / "system.yaml", str(home), print, root)
    done = [call.rpartition("trading-")[2] for call in programs.calls if call.startswith("systemctl disable --now")]
    assert set(done) == {*services, *starters}
    assert set(done[:2]) == set(starters), done
    assert not any(path.exists() for path in kept)


def listed(path: Path) -> bool:
    return path.suffix != ".service"


def test_deploy_to_systemd_says_what_a_machine_lacks(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert main(["deploy", "system.yaml", "--on", "systemd"]) == 1
    assert "as root" in capsys.readouterr().err
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert main(["deploy", "system.yaml", "--on", "systemd", "--home", str(tmp_path / "none")]) == 1
    assert "venv/bin/python is not there" in capsys.readouterr().err
    assert programs.calls == []


def test_containers_are_reported_by_health_and_the_engine_is_called_with_the_file(
    programs: Programs, tmp_path: Path
) -> None:
    states = [
        {"Service": "gateway", "State": "running", "Health": "healthy"},
        {"Service": "prediction", "State": "running", "Health": "starting"},
        {"Service": "bootstrap", "State": "exited", "ExitCode": 0},
        {"Service": "ml-model", "State": "exited", "ExitCode": 137},
    ]
    programs.add("docker", {"*' ps '*": "\n".join(json.dumps(one) for one in states) + "\n"})
    file = tmp_path / "demo-compose" / "compose.yaml"
    file.parent.mkdir()
    file.write_text(render_compose(tmp_path / "system.yaml", tmp_path / "keys", "image:1", None))
    place = ComposePlace(file)
    reported = {one.name: one for one in place.parts()}
    assert list(reported) == ["nats", "bootstrap", *start_order()]
    assert {name: reported[name].state for name in ("gateway", "prediction", "bootstrap", "ml-model", "nats")} == {
        "gateway": "running",
        "prediction": "starting",
        "bootstrap": "stopped",
        "ml-model": "failed",
        "nats": "stopped",
    }
    place.restart("gateway")
    assert programs.calls[-1] == f"docker compose -f {file} restart gateway"


POD: dict[str, Any] = {
    "metadata": {
        "uid": "1",
        "creationTimestamp": "2026-11-27T00:00:00Z",
        "labels": {"app.kubernetes.io/component": "prediction"},
    },
    "status": {
        "phase": "Running",
        "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
        "conditions": [{"type": "Ready", "status": "False"}],
    },
}


def cluster(programs: Programs, profile: str) -> Callable[[], ClusterPlace]:
    system = {"spec": {"profile": profile}}
    programs.add(
        "kubectl",
        {"*'get tradingsystems demo'*": json.dumps(system), "*'get pods'*": json.dumps({"items": [POD]})},
    )
    return lambda: ClusterPlace("demo", "trading", None)


def test_stopping_a_service_in_a_cluster_edits_the_declaration(programs: Programs) -> None:
    place = cluster(programs, "standard")()
    reported = {one.name: one for one in place.parts()}
    assert (reported["prediction"].state, reported["prediction"].detail) == ("failed", "CrashLoopBackOff")
    assert reported["sentiment"].state == "stopped"
    place.stop("sentiment")
    (patch,) = (call for call in programs.calls if " patch " in call)
    assert patch.startswith("kubectl --namespace=trading patch tradingsystems demo --type=merge")
    assert json.loads(patch.split(" -p ")[1]) == {"spec": {"services": {"sentiment": {"enabled": False}}}}


def test_one_service_of_a_compact_system_cannot_be_stopped_alone(programs: Programs) -> None:
    place = cluster(programs, "compact")()
    assert [one.name for one in place.parts()] == ["system"], "NATS is in its pod"
    with pytest.raises(CommandError, match=r"one process \(system\) runs all services"):
        chosen(place, ["prediction"])
    with pytest.raises(CommandError, match="bellwether halt"):
        place.stop("system")
    assert not [call for call in programs.calls if " patch " in call]


def test_a_system_that_is_no_name_is_refused_before_kubectl_is_called(
    programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster(programs, "standard")
    assert main(["stop", "--system", "--all"]) == 1
    assert "a name has a-z, 0-9 and -" in capsys.readouterr().err
    assert programs.calls == []


def test_several_systems_of_one_machine_have_to_be_named() -> None:
    class Found:
        def __init__(self, on: On) -> None:
            self.on = on
            self.title = f"a system on {on}"

    with pytest.raises(CommandError, match=r"a system on local \(--on local\); a system on systemd \(--on systemd\)"):
        places.only([Found(On.local), Found(On.systemd)])  # type: ignore[list-item]
    with pytest.raises(CommandError, match="no system was found"):
        places.only([])


def test_of_two_local_runs_that_go_on_none_is_guessed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BELLWETHER_STATE", str(tmp_path))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with lock_held(tmp_path / "one" / "lock"), lock_held(tmp_path / "two" / "lock"):
        with pytest.raises(CommandError, match=r"the local run in .* or a local run with BELLWETHER_STATE=FOLDER"):
            finding.find(On.local, Target(), print)
        monkeypatch.setenv("BELLWETHER_STATE", str(tmp_path / "one"))
        assert finding.find(On.local, Target(), print).title == f"the local run in {tmp_path / 'one'}"


def test_log_lines_are_words_for_people_and_chosen_by_service() -> None:
    lines = [
        json.dumps(
            {"time": "2026-11-27T01:02:03.456+00:00", "level": "info", "service": name, "msg": f"{name} \x1b[31m"}
        )
        for name in ("prediction", "gateway", "prediction")
    ]
    found = list(of_services([*lines, "no JSON"], ["prediction"], 1, follow=False))
    assert found == lines[2:]
    assert shown(found[0]) == "2026-11-27 01:02:03.456  info    prediction     prediction \\x1b[31m"
    assert shown("no JSON") == "no JSON"


def test_deploy_says_that_no_operator_runs(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = json.dumps({"kind": "TradingSystem", "metadata": {"name": "demo", "namespace": "shares", "generation": 1}})
    programs.add("kubectl", {"*' get deployments '*": '{"items": []}', "*": stored})
    monkeypatch.setattr(cluster_place, "UNSEEN_SECONDS", -1.0)
    (tmp_path / "system.yaml").write_text(FILE)
    assert main(["deploy", str(tmp_path / "system.yaml"), "--on", "cluster"]) == 1
    reported = capsys.readouterr().err
    assert "shares/demo is stored, and no operator runs in this cluster: install its chart" in reported
