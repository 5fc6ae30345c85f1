from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bellwether.render.keys import derive_seed, public_key
from bellwether.render.systemd import MACHINE, Installation, of_person, render
from bellwether.render.systemd.units import assignments, command
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from unit.render.conftest import AT_IG, SCHEDULED, SEED, UID, build

PROFILES = ("compact", "standard")
ANALYZE = shutil.which("systemd-analyze")
needs_analyze = pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here: the package systemd brings it")
THRESHOLD = 20
"""systemd counts in tenths: an exposure of 2.0."""

Unit = dict[str, list[str]]


def installation(home: str = "/opt/bellwether") -> Installation:
    keys = {name: public_key(derive_seed(SEED, UID, name)) for name in (*SERVICES, "bootstrap", "cli")}
    return Installation(keys, "1.2.3", home)


def unit(text: str) -> Unit:
    found: Unit = {}
    for line in text.splitlines():
        key, given, value = line.partition("=")
        if given:
            found.setdefault(key, []).append(value)
    return found


def units(system: TradingSystem) -> dict[str, Unit]:
    return {
        Path(path).name: unit(text)
        for path, text in render(system, installation()).items()
        if MACHINE.units in f"/{path}"
    }


def test_compact_is_one_unit_beside_nats_with_one_limit() -> None:
    found = units(build(profile="compact"))
    parts = ["bootstrap", "nats", "system"]
    assert sorted(found) == [*(f"trading-{name}.service" for name in parts), "trading.target"]
    # What all ask for in one process is a little more than the limit of a large service.
    [limit] = found["trading-system.service"]["MemoryMax"]
    assert 1024 < int(limit.removesuffix("M")) < 1536
    assert found["trading.target"]["Wants"] == [f"trading-{name}.service" for name in ("nats", "bootstrap", "system")]


def test_standard_is_a_unit_per_service_that_starts_after_what_it_requires() -> None:
    found = units(build(profile="standard"))
    names = (*SERVICES, "bootstrap", "nats")
    assert sorted(found) == sorted([*(f"trading-{name}.service" for name in names), "trading.target"])
    for name, row in SERVICES.items():
        expected = {f"trading-{one}.service" for one in ("nats", "bootstrap", *row.requires)}
        assert set(found[f"trading-{name}.service"]["After"]) == expected
        assert set(found[f"trading-{name}.service"]["Wants"]) == expected


def test_a_timer_asks_whether_a_backup_is_due_where_a_schedule_is_declared() -> None:
    found = units(build(**SCHEDULED))
    assert "trading-scheduled-backup.timer" in found["trading.target"]["Wants"]
    assert found["trading-scheduled-backup.timer"]["PartOf"] == ["trading.target"]
    (line,) = found["trading-scheduled-backup.service"]["ExecStart"]
    assert line.endswith("/venv/bin/python -m bellwether backup create --systemd --due")
    made = found["trading-scheduled-backup.service"]
    for hardened in ("NoNewPrivileges", "PrivateDevices", "ProtectKernelModules", "RestrictNamespaces"):
        assert made[hardened] == ["yes"]
    replayed = units(build(backup=SCHEDULED["backup"]))
    assert not [name for name in replayed if "scheduled" in name]
    own = Installation(installation().public_keys, "1.2.3", "/opt/bellwether", of_person("/home/ann"))
    with pytest.raises(ValueError, match=r"spec.backup.schedule: units of your own make no backups"):
        render(build(**SCHEDULED), own)


def test_units_of_a_persons_own_lie_in_the_home_and_ask_for_nothing_that_needs_root() -> None:
    keys = installation().public_keys
    own = of_person("/home/ann")
    texts = render(build(profile="standard"), Installation(keys, "1.2.3", "/opt/bellwether", own))
    assert {path.split("/")[0] for path in texts} == {"home"}
    found = {
        Path(path).name: unit(text) for path, text in texts.items() if path.startswith("home/ann/.config/systemd/user/")
    }
    assert sorted(found) == sorted(units(build(profile="standard")))
    one = found["trading-prediction.service"]
    of_root = {
        "User",
        "Group",
        "StateDirectory",
        "ProtectSystem",
        "PrivateUsers",
        "CapabilityBoundingSet",
        "IPAddressDeny",
    }
    assert not of_root & set(one)
    assert one["NoNewPrivileges"] == ["yes"]
    assert one["WorkingDirectory"] == ["/home/ann/.local/share/trading/prediction"]
    assert all(line.split(":")[1].startswith("/home/ann/.config/bellwether/keys/") for line in one["LoadCredential"])
    assert found["trading.target"]["WantedBy"] == ["default.target"]


def test_a_service_that_is_switched_off_has_no_unit_and_nobody_waits_for_it() -> None:
    found = units(build(profile="standard", services={"data-quality": {"enabled": False}}))
    assert "trading-data-quality.service" not in found
    assert not [name for name, one in found.items() if "trading-data-quality.service" in one.get("After", [])]


@pytest.mark.parametrize("name", [*SERVICES, "nats"])
def test_every_unit_has_the_required_limits_and_restarts(name: str) -> None:
    found = units(build(profile="standard"))[f"trading-{name}.service"]
    expected = {
        "Restart": "always",
        "RestartSec": "5",
        "StartLimitBurst": "5",
        "StartLimitIntervalSec": "300",
        "TimeoutStopSec": "30",
        "MemoryMax": "1G" if name == "ml-model" else "512M",
        "CPUQuota": "100%",
        "TasksMax": "50",
        "NoNewPrivileges": "yes",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "ReadWritePaths": f"/var/lib/trading/{name}",
        "SyslogIdentifier": f"trading-{name}",
        "User": "trading",
        "Group": "trading",
    }
    assert {key: found.get(key) for key in expected} == {key: [value] for key, value in expected.items()}


def test_a_declared_memory_beyond_the_limit_raises_it() -> None:
    found = units(build(profile="standard", services={"prediction": {"memory": "1500Mi"}}))
    assert found["trading-prediction.service"]["MemoryMax"] == ["1500M"]


def test_nats_that_stays_away_ends_no_service_and_restarts_none() -> None:
    found = units(build(profile="standard"))
    for name in SERVICES:
        one = found[f"trading-{name}.service"]
        assert (one["Type"], one["TimeoutStartSec"]) == (["notify"], ["infinity"])
        assert not {"Requires", "BindsTo", "Requisite"} & set(one)


def test_the_streams_are_made_again_after_each_start_of_nats_by_a_unit_of_their_own() -> None:
    found = units(build(profile="standard"))
    one = found["trading-bootstrap.service"]
    assert (one["Type"], one["After"]) == (["oneshot"], ["trading-nats.service"])
    assert "trading-nats.service" in one["PartOf"]
    # systemd 252 shows an ExecStartPost no credentials, so it could not reach NATS.
    assert not [name for name, each in found.items() if "ExecStartPost" in each]


def test_a_unit_gets_its_own_keys_and_no_secret_stands_in_any_file() -> None:
    texts = render(build(profile="standard"), installation())
    found = {Path(path).name: unit(text) for path, text in texts.items() if MACHINE.units in f"/{path}"}
    keys = "/etc/bellwether/keys"
    assert found["trading-prediction.service"]["LoadCredential"] == [f"prediction.nk:{keys}/prediction.nk"]
    assert found["trading-bootstrap.service"]["LoadCredential"] == [f"bootstrap.nk:{keys}/bootstrap.nk"]
    gateway = found["trading-gateway.service"]
    assert gateway["LoadCredential"] == [f"{name}:{keys}/{name}" for name in ("gateway.nk", "gateway.token")]
    assert "BELLWETHER_GATEWAY_TOKEN_FILE=%d/gateway.token" in gateway["Environment"]
    seeds = [derive_seed(SEED, UID, name) for name in SERVICES]
    assert not [path for path, text in texts.items() for seed in seeds if seed in text]


def test_services_of_one_machine_have_ports_of_their_own_on_loopback() -> None:
    ports = []
    for name, one in units(build(profile="standard")).items():
        values = dict(line.split("=", 1) for line in one.get("Environment", []))
        if name not in ("trading.target", "trading-nats.service", "trading-bootstrap.service"):
            ports.append(values["BELLWETHER_HEALTH_PORT"])
            assert values["BELLWETHER_HEALTH_HOST"] == "127.0.0.1"
    assert len(set(ports)) == len(SERVICES)


OWN_BARS = {"provider": "csv", "csv": {"directory": "/srv/bars"}}


def test_only_the_unit_that_asks_yahoo_reaches_other_machines() -> None:
    found = units(build(profile="standard", data={"provider": "yahoo"}, clock={"mode": "live"}))
    outside = [name for name, one in found.items() if name != "trading.target" and "IPAddressDeny" not in one]
    assert outside == ["trading-market-data.service"]


def test_the_unit_that_asks_feeds_reaches_other_machines_too() -> None:
    news = {"provider": "feeds", "feeds": [{"url": "https://news.example/rss"}]}
    found = units(build(profile="standard", clock={"mode": "live"}, data=OWN_BARS, sentiment=news))
    outside = [name for name, one in found.items() if name != "trading.target" and "IPAddressDeny" not in one]
    assert outside == ["trading-sentiment.service"]


def test_the_unit_that_trades_at_ig_reaches_it_and_has_the_accounts_file_alone() -> None:
    found = units(build(profile="standard", clock={"mode": "live"}, data=OWN_BARS, **AT_IG))
    outside = [name for name, one in found.items() if name != "trading.target" and "IPAddressDeny" not in one]
    assert outside == ["trading-paper-trading.service"]
    holders = [name for name, one in found.items() if any("ig.json" in line for line in one.get("LoadCredential", []))]
    assert holders == outside
    assert "BELLWETHER_IG_CREDENTIALS=%d/ig.json" in found["trading-paper-trading.service"]["Environment"]


def test_a_file_of_news_that_units_cannot_see_is_refused() -> None:
    news = {"provider": "csv", "csv": {"file": "/home/ann/news.csv"}}
    with pytest.raises(ValueError, match=r"spec.sentiment.csv.file: /home/ann: units see nothing below /home"):
        render(build(sentiment=news), installation())


def test_bars_in_a_folder_that_units_cannot_see_are_refused() -> None:
    system = build(data={"provider": "csv", "csv": {"directory": "/home/ann/bars"}}, clock={"mode": "live"})
    with pytest.raises(ValueError, match=r"spec.data.csv.directory: /home/ann/bars: units see nothing below /home"):
        render(system, installation())


def test_old_sockets_are_made_by_systemd_which_sees_tmp_for_the_service_that_does_not() -> None:
    system = build(profile="standard", compatibility={"socketDirectory": "/tmp", "socketGroup": "traders"})
    found = units(system)
    one = found["trading-old-prediction.socket"]
    assert one["ListenStream"] == ["/tmp/trading_prediction.sock"]
    assert (one["SocketMode"], one["SocketUser"], one["SocketGroup"]) == (["0660"], ["trading"], ["traders"])
    assert (one["Service"], one["FileDescriptorName"]) == (["trading-prediction.service"], ["prediction"])
    service = found["trading-prediction.service"]
    assert service["Sockets"] == ["trading-old-prediction.socket"]
    assert "trading-old-prediction.socket" in service["After"]
    assert "trading-old-prediction.socket" in found["trading.target"]["Wants"]
    compact = units(build(profile="compact", compatibility={"socketDirectory": "/run/old/"}))
    assert len(compact["trading-system.service"]["Sockets"]) == len(SERVICES)
    assert compact["trading-old-gateway.socket"]["ListenStream"] == ["/run/old/trading_gateway.sock"]


def test_words_that_systemd_would_read_otherwise_are_written_as_it_reads_them() -> None:
    assert command(["/a b/python", "100%", "$HOME"]) == '"/a b/python" 100%% $$HOME'
    assert assignments({"A": 'x "y"', "B": "50%", "C": "%d/k"}) == [
        ("Environment", '"A=x \\"y\\""'),
        ("Environment", "B=50%%"),
        ("Environment", "C=%d/k"),
    ]


@pytest.fixture(params=PROFILES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder of rendered units whose program is there: verify looks for it."""
    program = tmp_path / "home/venv/bin/python"
    program.parent.mkdir(parents=True)
    program.symlink_to(sys.executable)
    system = build(profile=request.param, compatibility={"socketDirectory": "/tmp"})
    for path, text in render(system, installation(str(tmp_path / "home"))).items():
        if MACHINE.units in f"/{path}":
            (tmp_path / Path(path).name).write_text(text)
    # With these the folder is a whole system: what is wrong with this machine's own units is no affair of the test.
    for name in ("sysinit", "basic", "shutdown", "network-online"):
        (tmp_path / f"{name}.target").write_text(f"[Unit]\nDescription={name}\n")
    return tmp_path


def analyze(folder: Path, *arguments: str, pattern: str = "trading*") -> tuple[int, str]:
    assert ANALYZE is not None
    files = sorted(str(path) for path in folder.glob(pattern))
    alone = {**os.environ, "SYSTEMD_UNIT_PATH": str(folder)}
    ended = subprocess.run([ANALYZE, *arguments, *files], capture_output=True, text=True, check=False, env=alone)
    return ended.returncode, ended.stdout + ended.stderr


@needs_analyze
def test_systemd_accepts_every_unit(folder: Path) -> None:
    code, reported = analyze(folder, "verify", "--recursive-errors=yes")
    assert code == 0, reported


@needs_analyze
def test_systemd_refuses_a_unit_with_a_key_that_it_does_not_know(folder: Path) -> None:
    path = folder / "trading-nats.service"
    path.write_text(path.read_text() + "MemoryMaximum=1G\n")
    code, reported = analyze(folder, "verify", "--recursive-errors=yes")
    assert code != 0
    assert "MemoryMaximum" in reported


@needs_analyze
def test_every_unit_is_exposed_by_less_than_two(folder: Path) -> None:
    code, reported = analyze(
        folder, "security", "--offline=true", f"--threshold={THRESHOLD}", "--no-pager", pattern="*.service"
    )
    assert code == 0, reported
    path = folder / "trading-nats.service"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "CapabilityBounding" not in line))
    assert analyze(folder, "security", "--offline=true", f"--threshold={THRESHOLD}", pattern=path.name)[0] != 0
