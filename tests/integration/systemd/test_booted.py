"""A system under a systemd that runs: deployed, killed, stopped, changed, and one that cannot come up."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from bellwether.market.sessions import load_calendar
from bellwether.render.systemd.units import HOST
from bellwether.topology import NATS_PORT, SERVICES
from bellwether.wiring import start_order
from harness import csv_bars
from harness.booted import HOME, Machine, booted, obstacle
from harness.outage import drop_in, restarts_over, without_nats
from harness.terminal import CTRL_C

WHY = obstacle()
pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    pytest.mark.skipif(WHY is not None, reason=f"no machine can be booted here: {WHY}"),
]

SYMBOLS = ["ANZ.AX", "CBA.AX"]
DOCUMENT: dict[str, Any] = {
    "apiVersion": "bellwether.dev/v1alpha1",
    "kind": "TradingSystem",
    "metadata": {"name": "demo"},
    "spec": {
        "profile": "standard",
        "market": {"calendar": "XASX"},
        "symbols": SYMBOLS,
        "data": {"provider": "csv", "csv": {"directory": "/srv/bars"}},
        "compatibility": {"socketDirectory": "/run/trading-old"},
    },
}
OLD_CLIENT = """
import json, socket, sys
with socket.socket(socket.AF_UNIX) as old:
    old.settimeout(60)
    old.connect("/run/trading-old/trading_prediction.sock")
    old.sendall(json.dumps({"method": "health", "params": {}, "timestamp": 0, "request_id": 7}).encode())
    reported = b""
    while part := old.recv(65536):
        reported += part
print(reported.decode())
"""
BACKUP = {"locations": [{"name": "disk", "kind": "folder", "path": "/srv/repo", "secretRef": {"name": "repo"}}]}
RESTART = 5.0
"""R13's RestartSec."""
ENDS = 150.0
"""Five times the 30 s in which a unit has to end, and more than its start takes."""


def eventually(what: str, probe: Callable[[], bool], seconds: float = ENDS) -> None:
    end = time.monotonic() + seconds
    while not probe():
        assert time.monotonic() < end, f"{what}: not within {seconds:g} s"
        time.sleep(0.2)


def write(machine: Machine, **spec: Any) -> str:
    """Write the declaration, changed; return where the machine sees it."""
    (machine.files / "system.yaml").write_text(yaml.safe_dump(DOCUMENT | {"spec": DOCUMENT["spec"] | spec}))
    return "/srv/system.yaml"


def parts(machine: Machine) -> dict[str, Any]:
    done = machine.bellwether("status", "--on", "systemd", "-o", "json")
    return {one["name"]: one for one in json.loads(done.stdout)["parts"]}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with booted(tmp_path_factory.mktemp("machine")) as found:
        calendar = load_calendar("XASX")
        yesterday = datetime.now(UTC).date() - timedelta(days=2)
        for symbol in SYMBOLS:
            csv_bars.write(found.files / "bars", symbol, calendar, yesterday, count=120)
        yield found


def test_a_unit_that_does_not_come_up_is_named_with_its_last_words(machine: Machine) -> None:
    server = ["python3", "-m", "http.server", "--bind", HOST, str(NATS_PORT)]
    machine.run("systemd-run", "--unit=other", *server)
    taken = ["python3", "-c", f"import socket; socket.create_connection(('{HOST}', {NATS_PORT})).close()"]
    eventually("the port is taken", lambda: machine.run(*taken).returncode == 0)
    done = machine.bellwether("deploy", write(machine), "--on", "systemd")
    machine.run("systemctl", "stop", "other")
    assert done.returncode == 1
    assert "trading-nats.service does not come up (" in done.stderr
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_all_units_come_up_in_the_order_of_the_topology(machine: Machine) -> None:
    done = machine.bellwether("deploy", write(machine), "--on", "systemd")
    assert done.returncode == 0, done.stderr
    assert "all units are ready" in done.stdout
    found = parts(machine)
    assert list(found) == ["nats", "bootstrap", *start_order()]
    assert {one["state"] for one in found.values()} == {"running"}, found
    since = {name: int(machine.show(f"trading-{name}.service", "ActiveEnterTimestampMonotonic")) for name in found}
    for name, service in SERVICES.items():
        late = [one for one in ("nats", "bootstrap", *service.requires) if since[one] > since[name]]
        assert not late, f"{name} was ready before {late}"


def test_limits_and_user_are_what_systemd_knows_of_the_unit(machine: Machine) -> None:
    unit = "trading-prediction.service"
    reported = {name: machine.show(unit, name) for name in ("User", "TasksMax", "MemoryMax", "NoNewPrivileges")}
    assert reported == {"User": "trading", "TasksMax": "50", "MemoryMax": str(512 * 2**20), "NoNewPrivileges": "yes"}
    pid = machine.show(unit, "MainPID")
    owner = machine.run("stat", "-c", "%U", f"/proc/{pid}").stdout.strip()
    keys = machine.run("runuser", "-u", "trading", "--", "ls", "/etc/bellwether/keys")
    assert (owner, keys.returncode != 0) == ("trading", True), "the keys are for root alone"


def test_a_person_sees_the_units_in_a_terminal(machine: Machine) -> None:
    terminal, on = machine.terminal, ("--on", "systemd")
    terminal.run("status", *on).ended(0, "the systemd units of demo", *SERVICES)
    terminal.run("health", *on).ended(0, "healthy", *SERVICES)
    reported = json.loads(terminal.run("health", *on, "-o", "json").ended(0).text)
    assert {name for name, one in reported["services"].items() if one["healthy"]} == {*SERVICES}
    seen = terminal.run("logs", *on, "-s", "prediction", "-n", "2").ended(0)
    assert len(seen.lines) == 2, seen.text
    # nsenter, which leads into the machine, is ended by the same Ctrl-C.
    terminal.run("logs", *on, "-s", "gateway", "-f", keys=CTRL_C, when=" gateway ").ended(-signal.SIGINT)
    terminal.run("dashboard", *on, keys="q", when=" · trading ").ended(0)
    terminal.run("restart", *on, "-s", "sentiment").ended(0, "restarted sentiment")
    terminal.run("start", *on, "-s", "nobody").ended(1, "error: --service 'nobody': no such service")
    terminal.run("undeploy", *on, keys="n\n", when="[y/N]").ended(1, "not confirmed: nothing was done")


def test_a_caller_of_the_old_system_is_answered_at_its_socket(machine: Machine) -> None:
    done = machine.run(f"{HOME}/venv/bin/python", "-c", OLD_CLIENT)
    reported = json.loads(done.stdout)
    assert reported["status"] == "success", reported


def test_a_killed_service_comes_back_and_its_lines_are_in_the_log(machine: Machine) -> None:
    unit = "trading-prediction.service"
    before = machine.show(unit, "MainPID")
    machine.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=main", unit)
    eventually("it is back", lambda: machine.show(unit, "MainPID") not in ("0", before))
    eventually("it is ready", lambda: machine.show(unit, "ActiveState") == "active")
    ended, again = (
        int(machine.show(unit, f"{name}TimestampMonotonic")) / 1e6 for name in ("ActiveExit", "ExecMainStart")
    )
    assert again - ended >= RESTART, "it is started again once RestartSec has passed"
    assert machine.show(unit, "RestartUSec") == f"{RESTART:g}s"
    assert parts(machine)["prediction"]["detail"] == "restarted 1 times"
    lines = machine.bellwether("logs", "--on", "systemd", "-s", "prediction", "-n", "200").stdout
    assert "status=9/KILL" in lines
    assert " prediction " in lines


def test_nats_killed_costs_no_service_a_start(machine: Machine) -> None:
    before = {name: machine.show(f"trading-{name}.service", "MainPID") for name in start_order()}
    nats = machine.show("trading-nats.service", "MainPID")
    machine.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=main", "trading-nats.service")
    eventually("NATS is back", lambda: machine.show("trading-nats.service", "MainPID") not in ("0", nats))
    eventually("its streams are made", lambda: parts(machine)["bootstrap"]["state"] == "running")
    assert {name: machine.show(f"trading-{name}.service", "MainPID") for name in start_order()} == before


def test_an_outage_of_nats_uses_up_no_start_limit(machine: Machine) -> None:
    # Two minutes ten times as fast: the pause before a restart and the span of the start limit are a tenth, too.
    tenth = "[Unit]\\nStartLimitIntervalSec=30\\n[Service]\\nRestartSec=500ms\\n"
    services, killed = start_order(), ("prediction", "gateway")
    before = {name: machine.show(f"trading-{name}.service", "MainPID") for name in services}
    with drop_in(machine, "trading-", tenth):
        with without_nats(machine):
            for name in killed:
                machine.run("systemctl", "kill", "--signal=SIGKILL", "--kill-who=main", f"trading-{name}.service")
            used = restarts_over(machine, services, 12.0)
        assert {name for name, count in used.items() if count} <= set(killed), used
        assert max(used.values()) <= 1, used
        done = machine.bellwether("start", "--on", "systemd")
        assert done.returncode == 0, done.stderr
    assert {one["state"] for one in parts(machine).values()} == {"running"}
    after = {name: machine.show(f"trading-{name}.service", "MainPID") for name in services}
    assert {name for name in services if after[name] != before[name]} == set(killed)


def test_units_stop_in_reverse_order_and_start_again(machine: Machine) -> None:
    done = machine.bellwether("stop", "--on", "systemd", "-o", "json")
    assert done.returncode == 0, done.stderr
    stopped = [one["name"] for one in json.loads(done.stdout)["parts"]]
    assert stopped == ["nats", "bootstrap", *start_order()][::-1]
    assert machine.bellwether("status", "--on", "systemd").returncode == 3
    results = {name: machine.show(f"trading-{name}.service", "Result") for name in stopped}
    assert set(results.values()) == {"success"}, results
    started = machine.bellwether("start", "--on", "systemd", "-s", "nats")
    assert started.returncode == 0, started.stderr + machine.run("journalctl", "-u", "trading-nats.service").stdout
    assert parts(machine)["nats"]["state"] == "running"


def asked(machine: Machine, *words: str) -> str:
    """Return what the program answers, with the secret of the backups and the gateway's token."""
    token = machine.run("cat", "/etc/bellwether/keys/gateway.token").stdout.strip()
    variables = ["BELLWETHER_RESTIC=/srv/restic", "BELLWETHER_SECRETS=/srv/secrets", f"BELLWETHER_TOKEN={token}"]
    program = [f"PYTHONPATH={HOME}/services", f"{HOME}/venv/bin/python", "-m", "bellwether"]
    done = machine.run("env", *variables, *program, *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def give_restic(machine: Machine) -> None:
    """Give the machine restic and the secret of its repository."""
    restic = shutil.which("restic")
    if restic is None:
        pytest.skip("restic is not installed: python -m devcluster needs --install")
    shutil.copy2(restic, machine.files / "restic")
    (machine.files / "secrets").mkdir(exist_ok=True)
    (machine.files / "secrets" / "repo").touch(0o600)
    (machine.files / "secrets" / "repo").write_text("password=correct-horse-battery\n")


def offset_of_no_slot_soon(now: datetime) -> str:
    """Return an offset from the close by which no backup becomes due in the next half hour: one more would be made."""
    session = load_calendar("XASX").session_at(now - timedelta(minutes=1))
    return "45m" if session is not None and session.close <= now + timedelta(minutes=30) else "1m"


def test_the_backup_of_a_session_is_made_by_itself_and_once(machine: Machine) -> None:
    give_restic(machine)
    # Of use until long after the newest session, whatever day it is.
    schedule = {"offset": offset_of_no_slot_soon(datetime.now(UTC)), "usefulUntil": "160h"}
    weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri"]
    file = write(machine, backup=BACKUP | {"schedule": schedule, "drill": {"weekdays": weekdays}})
    where = "[Service]\\nEnvironment=BELLWETHER_RESTIC=/srv/restic BELLWETHER_SECRETS=/srv/secrets\\n"
    unit = "trading-scheduled-backup"
    # The timer's own minute may fall into the deploy, or between the two starts: it has none here.
    yearly = "[Timer]\\nOnCalendar=\\nOnCalendar=yearly\\n"
    with drop_in(machine, unit, where), drop_in(machine, unit, yearly, "timer"):
        done = machine.bellwether("deploy", file, "--on", "systemd")
        assert done.returncode == 0, done.stderr
        assert parts(machine)["scheduled-backup"]["state"] == "running"
        for _ in range(2):
            done = machine.run("systemctl", "start", f"{unit}.service")
            assert done.returncode == 0, machine.run("journalctl", "-u", unit, "-o", "cat").stdout
    said = machine.run("journalctl", "-u", unit, "-o", "cat").stdout
    (made,) = json.loads(asked(machine, "backup", "list", "--systemd", "-o", "json"))
    assert (made["state"], made["kind"]) == ("complete", "full")
    assert "no backup is due" in said
    drills = machine.run("sh", "-c", "cat /var/lib/trading/backup/records/*drill*").stdout
    assert json.loads(drills)["state"] == "complete", said


def test_a_backup_is_restored_in_place_of_what_units_have_and_they_start_halted(machine: Machine) -> None:
    give_restic(machine)
    done = machine.bellwether("deploy", write(machine, backup=BACKUP), "--on", "systemd")
    assert done.returncode == 0, done.stderr
    made = json.loads(asked(machine, "backup", "create", "--systemd", "-o", "json"))["id"]
    models = machine.run("find", "/var/lib/trading/ml-model", "-type", "f").stdout
    machine.run("systemctl", "stop", "trading*")
    machine.run("rm", "-r", "/var/lib/trading/paper-trading", "/var/lib/trading/nats")
    machine.run("sh", "-c", "echo lost > /var/lib/trading/prediction/decisions.db")
    reported = asked(machine, "restore", made, "--systemd")
    assert "go on with: systemctl start trading.target; then: bellwether resume" in reported
    assert machine.run("systemctl", "start", "trading.target").returncode == 0
    eventually("all units run", lambda: {one["state"] for one in parts(machine).values()} == {"running"})
    assert f"restored from backup {made}" in asked(machine, "status")
    assert "orders are allowed" in asked(machine, "resume", "--reason", "compared")
    assert machine.run("find", "/var/lib/trading/ml-model", "-type", "f").stdout == models
    owners = machine.run("find", "/var/lib/trading", "-name", "*.db", "-not", "-path", "*/before-*", "-printf", "%u\n")
    assert set(owners.stdout.split()) == {"trading"}
    kept = machine.run("sh", "-c", "cat /var/lib/trading/before-restore-*/prediction/decisions.db").stdout
    assert kept == "lost\n"


def test_another_profile_goes_on_from_a_backup_and_undeploy_keeps_the_data(machine: Machine) -> None:
    done = machine.bellwether("deploy", write(machine, profile="compact", backup=BACKUP), "--on", "systemd")
    assert done.returncode == 0, done.stderr
    assert "removed trading-prediction.service" in done.stdout
    assert list(parts(machine)) == ["nats", "bootstrap", "system"]
    if (machine.files / "repo").exists():
        asked(machine, "restore", "--yes", "--systemd")
        assert machine.run("systemctl", "start", "trading.target").returncode == 0
        eventually("all units run", lambda: {one["state"] for one in parts(machine).values()} == {"running"})
        assert "restored from backup" in asked(machine, "status")
    machine.terminal.run("undeploy", "--on", "systemd", keys="y\n", when="[y/N]").ended(0, "data is kept in")
    machine.terminal.run("status", "--on", "systemd").ended(1, "no system was found")
    left = ("systemctl", "list-units", "trading*", "--no-legend", "--all")
    # systemd forgets in its own time units that are gone.
    eventually("no unit is left", lambda: machine.run(*left).stdout.strip() == "")
    kept = machine.run("ls", "/var/lib/trading").stdout.split()
    assert {"nats", "system", "paper-trading"} <= set(kept)


def test_a_person_without_rights_has_units_of_their_own(machine: Machine) -> None:
    machine.run("useradd", "--create-home", "ann")
    machine.run("loginctl", "enable-linger", "ann")
    identity = machine.run("id", "-u", "ann").stdout.strip()
    bus = f"/run/user/{identity}/bus"
    eventually("their manager runs", lambda: machine.run("test", "-S", bus).returncode == 0)
    file = write(machine, profile="compact", compatibility={})
    as_ann = ["runuser", "-u", "ann", "--", "env", "HOME=/home/ann", f"XDG_RUNTIME_DIR=/run/user/{identity}"]

    def bellwether(*arguments: str) -> tuple[int, str, str]:
        program = [*as_ann, f"PYTHONPATH={HOME}/services", f"{HOME}/venv/bin/python", "-m", "bellwether"]
        done = machine.run(*program, *arguments)
        return done.returncode, done.stdout, done.stderr

    code, said, error = bellwether("deploy", file, "--on", "systemd", "--user")
    assert code == 0, error
    assert "all units are ready" in said
    code, said, error = bellwether("status", "--on", "systemd", "-o", "json")
    assert code == 0, error
    assert {one["name"]: one["state"] for one in json.loads(said)["parts"]} == dict.fromkeys(
        ("nats", "bootstrap", "system"), "running"
    )
    assert bellwether("logs", "--on", "systemd", "-s", "prediction", "-n", "500")[1].count("prediction is ready") == 1
    code, said, error = bellwether("undeploy", "--on", "systemd", "--yes")
    assert code == 0, error
    assert "/home/ann/.local/share/trading" in said
    assert machine.run("ls", "/home/ann/.config/systemd/user").stdout.split() in ([], ["default.target.wants"])
