import sys
from pathlib import Path

import pytest

from devcluster import cli


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["devcluster", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


def test_an_expected_error_is_one_line_and_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(monkeypatch, "status", "--name", "Not A Name") == 1
    assert capsys.readouterr().err.startswith("error: --name is 'Not A Name'; it must be")


def test_status_of_a_cluster_that_never_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert _run(monkeypatch, "status", "--name", "never") == 3
    assert "no cluster never in" in capsys.readouterr().out


def test_down_of_a_cluster_that_never_was_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert _run(monkeypatch, "down", "--name", "never", "--purge") == 0
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(monkeypatch, "--help") == 0
    out = capsys.readouterr().out
    for command in ("up", "down", "status", "list", "load", "kubeconfig", "logs", "build", "needs", "image"):
        assert f"  {command}" in out
