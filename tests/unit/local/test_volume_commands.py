"""Commands of Jobs that change volumes: one at a time, whoever was not killed yet."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from bellwether.backups.errors import BackupError
from bellwether.local import filling, in_place
from bellwether.local.commands import run_command
from bellwether.local.filling import LOCK

RESTORE = ["--request", "1", "--backup", "2", "--location", "far", "--until", "2026-11-27T22:00:00Z"]


@pytest.mark.parametrize(
    ("module", "name", "words"),
    [(filling, "fill", ["fill"]), (in_place, "restore_in_place", ["restore-volumes", *RESTORE])],
)
def test_nobody_else_has_the_volumes_while_they_are_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, words: list[str]
) -> None:
    for component in ("nats", "market-data"):
        (tmp_path / component).mkdir()
    tried = []

    def changed(*_: Any, **__: Any) -> str:
        with (tmp_path / "market-data" / LOCK).open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        tried.append(name)
        return "1"

    monkeypatch.setattr("bellwether.local.backup_places.Place.system", lambda _: None)
    monkeypatch.setattr(module, name, changed)
    assert run_command([*words, "--volumes", str(tmp_path)]) == 0
    assert tried == [name]
    with (tmp_path / "market-data" / LOCK).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("final", [True, False])
def test_the_exit_code_says_whether_trying_again_can_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, final: bool
) -> None:
    (tmp_path / "nats").mkdir()

    def failed(*_: Any, **__: Any) -> str:
        raise type("Failed", (BackupError,), {"final": final})("location far:\nwrong")

    monkeypatch.setattr("bellwether.local.backup_places.Place.system", lambda _: None)
    monkeypatch.setattr(in_place, "restore_in_place", failed)
    assert run_command(["restore-volumes", *RESTORE, "--volumes", str(tmp_path)]) == (3 if final else 1)
    # A Job's pod that failed is asked for its last line.
    assert capsys.readouterr().err.count("\n") == 1
