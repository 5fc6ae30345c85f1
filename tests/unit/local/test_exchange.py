"""What was restored takes the place of what is on several volumes: killed anywhere, it is brought to its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bellwether.local.exchange import READY, Exchanged, clear, decide, done, finish, stays
from bellwether.local.filling import LOCK
from bellwether.storage.folders import remove
from harness.renames import killed_before_rename

ONE = Exchanged("20261127T213000Z", "20261120T213000Z")
ASIDE = "before-restore-20261120T213000Z-20261127T213000Z"
FORMER = {
    "nats": {"nats/stream": "former"},
    "paper-trading": {"ledger.db": "former", "ledger.db-wal": "former", ".held-paper-trading.json": "former"},
}
RESTORED = {
    "nats": {"nats/stream": "restored"},
    "paper-trading": {"ledger.db": "restored", "paper-trading/report": "restored"},
}
KEPT = {"lost+found/x": "kept", ".filled": "kept", LOCK: ""}


def write(folder: Path, files: dict[str, str]) -> None:
    for name, words in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(words)


def files_in(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def volumes(tmp_path: Path) -> list[Path]:
    """Two volumes in use, with a restored state that lies ready."""
    found = []
    for component, files in FORMER.items():
        volume = tmp_path / component
        write(volume, files | KEPT)
        write(volume / "before-restore-of-last-year", {"old": "older"})
        write(volume / READY, RESTORED[component])
        found.append(volume)
    return found


def state(volume: Path) -> dict[str, str]:
    return {name: words for name, words in files_in(volume).items() if not stays(name.split("/")[0])}


def assert_restored(volumes: list[Path]) -> None:
    for volume in volumes:
        assert state(volume) == RESTORED[volume.name]
        assert files_in(volume / ASIDE) == FORMER[volume.name]
        assert {name: words for name, words in files_in(volume).items() if name in KEPT} == KEPT
        assert {path.name for path in volume.glob("before-restore-*")} == {ASIDE}
        assert not (volume / READY).exists()
    assert done(volumes) == ONE
    assert finish(volumes) is None


def test_all_that_was_there_goes_aside_also_what_has_no_place_in_what_is_restored(volumes: list[Path]) -> None:
    decide(volumes, ONE)
    assert finish(volumes) == ONE
    assert_restored(volumes)


def test_nothing_happens_that_was_not_decided_and_it_leaves_nothing(volumes: list[Path]) -> None:
    assert finish(volumes) is None
    clear(volumes)
    for volume in volumes:
        assert state(volume) == FORMER[volume.name]
        assert not (volume / READY).exists()
    assert done(volumes) is None


# Per volume the former names aside, then the restored ones in their place: 1 + 1 and 3 + 2.
@pytest.mark.parametrize("killed_before", range(1, 8))
def test_killed_before_any_rename_the_next_one_ends_it(volumes: list[Path], killed_before: int) -> None:
    decide(volumes, ONE)
    with killed_before_rename(killed_before):
        finish(volumes)
    assert finish(volumes) == ONE
    assert_restored(volumes)


@pytest.mark.parametrize("killed_before", range(1, 4))
def test_killed_while_it_clears_up_the_next_one_ends_it(
    volumes: list[Path], monkeypatch: pytest.MonkeyPatch, killed_before: int
) -> None:
    decide(volumes, ONE)
    calls = 0

    def counted(path: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == killed_before:
            raise KeyboardInterrupt
        remove(path)

    with monkeypatch.context() as patched:
        patched.setattr("bellwether.local.exchange.remove", counted)
        with pytest.raises(KeyboardInterrupt):
            finish(volumes)
    assert finish(volumes) == ONE
    assert_restored(volumes)


def test_a_second_one_takes_the_place_of_the_first_and_of_what_that_kept_aside(volumes: list[Path]) -> None:
    decide(volumes, ONE)
    finish(volumes)
    again = Exchanged("20261128T090000Z", "20261120T213000Z")
    for volume in volumes:
        write(volume / READY, RESTORED[volume.name])
    decide(volumes, again)
    assert finish(volumes) == again
    for volume in volumes:
        aside = "before-restore-20261120T213000Z-20261128T090000Z"
        assert [path.name for path in volume.glob("before-restore-*")] == [aside]
        assert files_in(volume / aside) == RESTORED[volume.name]
    assert done(volumes) == again
    assert not any(name.startswith(".restore-decided") for name in os.listdir(min(volumes)))
