"""A restored state takes the place of the former one: killed before any of its renames, it is brought to its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.local.state import SWAPPED, begin_swap, finish_swap
from harness.renames import killed_before_rename


def state(folder: Path, words: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("data", "nats"):
        (folder / name).mkdir()
        (folder / name / "file").write_text(words)
    (folder / "system.json").write_text(words)


def words_in(folder: Path) -> set[str]:
    return {(folder / name / "file" if name != "system.json" else folder / name).read_text() for name in SWAPPED}


def test_what_is_named_is_exchanged_and_all_else_stays(tmp_path: Path) -> None:
    for folder, words in ((tmp_path, "former"), (tmp_path / "backup" / "next", "restored")):
        for name in ("paper-trading", "gateway"):
            (folder / name).mkdir(parents=True)
            (folder / name / "file").write_text(words)
    begin_swap(tmp_path, "before-restore-1", ["paper-trading", "nats"])
    assert finish_swap(tmp_path) == tmp_path / "before-restore-1"
    assert {name: (tmp_path / name / "file").read_text() for name in ("paper-trading", "gateway")} == {
        "paper-trading": "restored",
        "gateway": "former",
    }


def test_nothing_happens_that_was_not_decided(tmp_path: Path) -> None:
    state(tmp_path, "former")
    state(tmp_path / "backup" / "next", "restored")
    assert finish_swap(tmp_path) is None
    assert words_in(tmp_path) == {"former"}


@pytest.mark.parametrize("killed_before", range(1, 7))
def test_killed_at_any_rename_the_next_start_ends_it(tmp_path: Path, killed_before: int) -> None:
    state(tmp_path, "former")
    state(tmp_path / "backup" / "next", "restored")
    begin_swap(tmp_path, "before-restore-1")
    with killed_before_rename(killed_before):
        finish_swap(tmp_path)
    assert finish_swap(tmp_path) == tmp_path / "before-restore-1"
    assert words_in(tmp_path) == {"restored"}
    assert words_in(tmp_path / "before-restore-1") == {"former"}
    assert finish_swap(tmp_path) is None
