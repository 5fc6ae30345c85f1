"""Commands that are given something wrong: one line on stderr says what, and the exit code is for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.cli.main import main

MANAGED = ("start", "stop", "restart", "status", "health", "logs", "dashboard", "undeploy")
NONE = "no system was found"
FILES = {"binary.yaml": b"\xff\xfe\x00", "empty.yaml": b""}


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have neither a run, units, containers nor a cluster."""
    monkeypatch.chdir(tmp_path)
    for name in ("BELLWETHER_STATE", "BELLWETHER_URL", "BELLWETHER_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setattr("bellwether.cli.manage.systemd_place.deployed", lambda **_: False)
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)


def said(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Return the exit code and the only line."""
    try:
        code = main(words.split())
    except SystemExit as ended:
        code = int(ended.code or 0)
    reported = capsys.readouterr()
    assert reported.out == ""
    (line,) = reported.err.splitlines()
    return code, line


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ("nonsense", "no such command 'nonsense' (see bellwether --help)"),
        ("statu", "no such command 'statu'. Did you mean 'status'"),
        *((f"{name} --on moon", "'--on': 'moon' is not one of 'local', 'systemd'") for name in (*MANAGED, "deploy f")),
        *((f"{name} --bogus", f"no such option: --bogus (see bellwether {name} --help)") for name in MANAGED),
        *((f"{name} -o xml", "'xml' is not one of 'text', 'json'") for name in MANAGED if name != "undeploy"),
        ("logs -n many", "'-n' / '--lines' / '-l': Input should be a valid integer"),
        ("logs -n -1", "Input should be greater than or equal to 0"),
        ("decisions -l 0", "Input should be greater than or equal to 1"),
        ("deploy", "missing argument 'file' (see bellwether deploy --help)"),
        ("deploy f --port 99999", "Input should be less than or equal to 65535"),
        ("halt", "missing option '--reason'"),
        ("profile demo", "missing option '--to'. Choose from: compact, standard"),
        ("restore --systemd -f f", "the units that are installed have a file: leave out -f, or --systemd"),
        ("trace abc --last", "give an ID or --last, not both (see bellwether trace --help)"),
        ("run", "the following arguments are required: FILE (see bellwether run --help)"),
        ("run f --port many", "argument --port: invalid int value: 'many'"),
        ("replay f --bogus", "unrecognized arguments: --bogus"),
        ("replay f -o xml", "invalid choice: 'xml' (choose from 'text', 'json')"),
    ],
)
def test_what_is_wrongly_typed_ends_with_2(words: str, reported: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(words, capsys)
    assert code == 2
    assert line.startswith("error: ")
    assert reported in line


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        *((f"{name} --on {on}", NONE) for name in MANAGED[:-2] for on in ("local", "systemd", "compose")),
        *((f"{name} --on cluster", "--on cluster needs the system's name") for name in MANAGED),
        *((f"{name} --on local --system demo", "--system is for a cluster") for name in MANAGED),
        *((f"{name} --on cluster --system --all", "a name has a-z, 0-9 and -") for name in MANAGED),
        ("status", "no gateway answers at http://127.0.0.1:8080"),
        ("undeploy --yes", NONE),
        ("train direction-lr --before 2025-13-01", "--before '2025-13-01': a day is written 2026-11-27"),
        ("train direction-lr --before 1990-01-01", "there are no bars of sessions before 1990-01-01"),
        ('compare --once --old "old', "No closing quotation"),
        ("dashboard --url http://127.0.0.1:1", "dashboard needs a terminal"),
        *((f"{name} missing.yaml", "missing.yaml: No such file") for name in ("deploy", "validate", "run", "replay")),
        *((f"deploy missing.yaml --on {on}", "No such file") for on in ("systemd", "compose", "cluster")),
        *((f"{name} .", ".: Is a directory") for name in ("deploy", "validate", "run", "replay")),
        *((f"{name} binary.yaml", "binary.yaml: not UTF-8 text") for name in ("deploy", "run", "plan --offline")),
        *((f"{name} empty.yaml", "holds no TradingSystem") for name in ("deploy", "validate", "run", "replay")),
        ("render compose missing.yaml", "missing.yaml: No such file"),
        ("backup verify x", "holds no system's state"),
        ("restore x --as again", "no context to take the namespace from"),
    ],
)
def test_what_cannot_be_done_ends_with_1(words: str, reported: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said(words, capsys)
    assert code == 1
    assert reported in line


def test_a_report_of_a_comparison_that_is_not_there_makes_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    code, line = said("compare --report --state typo.db", capsys)
    assert code == 1
    assert "--state typo.db: there is no such file" in line
    assert not Path("typo.db").exists()


def test_a_dashboard_opens_no_screen_where_no_gateway_answers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    code, line = said("dashboard", capsys)
    assert code == 1
    assert "no gateway answers at http://127.0.0.1:8080" in line
    assert "Start one with `bellwether run FILE`" in line
