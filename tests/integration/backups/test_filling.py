"""Volumes of a new system that are filled from a repository: all of it or nothing, whatever is wrong."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bellwether.backups.errors import BackupError
from bellwether.local.filling import MARK, fill
from bellwether.local.state import RunDirectory
from bellwether.spec.models import TradingSystem
from integration.backups.conftest import EVENTS, Lab
from integration.backups.test_backup import counts, last_event, models

pytestmark = pytest.mark.integration

COMPACT = ("system",)
STANDARD = ("market-data", "ml-model", "nats", "paper-trading", "prediction", "scheduler")


def again(lab: Lab, **source: Any) -> TradingSystem:
    """Return a new system that is restored from the repository of the lab's."""
    (location,) = lab.order().locations
    spec = lab.system.spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    repository = location.model_dump(by_alias=True, exclude_none=True)
    spec["trading"] |= source.pop("trading", {})
    spec["restoreFrom"] = {"repository": {**repository, **source.pop("repository", {})}, "system": "kept", **source}
    metadata = {"name": "again", "namespace": "trade", "uid": "u-2"}
    return TradingSystem.model_validate({"metadata": metadata, "spec": spec})


def volumes(folder: Path, components: Sequence[str]) -> Path:
    for each in components:
        (folder / each / "lost+found").mkdir(parents=True)
    return folder


def filled(lab: Lab, system: TradingSystem, folder: Path) -> str:
    return fill(system, folder, lab.place.machine(os.environ), lab.said.append)


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name != "lost+found" and path.parent != folder]


async def test_one_volume_gets_all_of_it_halted_and_a_second_time_nothing_happens(lab: Lab, tmp_path: Path) -> None:
    before, hashes = counts(lab.place.root / "data"), models(lab.place.root / "data")
    made = await lab.make("full")
    folder = volumes(tmp_path / "volumes", COMPACT)
    # What a try that was killed left.
    (folder / "system" / "ledger.db").write_bytes(b"half of it")
    system = again(lab, session="2009-01-16")
    assert await asyncio.to_thread(filled, lab, system, folder) == made.id
    volume = folder / "system"
    before["ledger.db"]["halts"] += 1
    assert counts(volume) == before
    assert models(volume) == hashes
    root = tmp_path / "run"
    root.mkdir()
    (volume / "nats").rename(RunDirectory(root).nats)
    assert await last_event(root) == (EVENTS, EVENTS)
    with closing(sqlite3.connect(volume / "ledger.db")) as ledger, ledger:
        ledger.execute("DELETE FROM ledger_events")
    assert await asyncio.to_thread(filled, lab, system, folder) == made.id
    assert counts(volume)["ledger.db"]["ledger_events"] == 0, "what is in use was filled again"


async def test_each_volume_gets_what_is_its_component_s_own(lab: Lab, tmp_path: Path) -> None:
    made = await lab.make("full")
    folder = volumes(tmp_path / "volumes", STANDARD)
    assert await asyncio.to_thread(filled, lab, again(lab, id=made.id), folder) == made.id
    found = {each: sorted(path.name for path in (folder / each).iterdir()) for each in STANDARD}
    assert {each: [name for name in names if name not in {MARK, "lost+found"}] for each, names in found.items()} == {
        "market-data": ["bars.db"],
        "ml-model": ["ml-model"],
        "nats": ["nats"],
        "paper-trading": ["ledger.db"],
        "prediction": ["decisions.db"],
        "scheduler": ["slots.db"],
    }


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"id": "20010101T000000Z"}, "has not backup 20010101T000000Z of kept"),
        ({"session": "2001-01-01"}, "has not the backup of session 2001-01-01 of kept"),
        ({"session": "2009-01-16", "repository": {"path": "/nowhere"}}, "there is no repository"),
        ({"session": "2009-01-16", "trading": {"initialCash": "5"}}, "declare spec.trading.initialCash: 100000"),
    ],
)
async def test_what_cannot_be_restored_is_said_for_good_and_nothing_is_left(
    lab: Lab, tmp_path: Path, source: dict[str, Any], words: str
) -> None:
    await lab.make("full")
    folder = volumes(tmp_path / "volumes", STANDARD)
    with pytest.raises(BackupError, match=words) as reported:
        await asyncio.to_thread(filled, lab, again(lab, **source), folder)
    assert reported.value.final
    assert left(folder) == []


async def test_a_wrong_key_is_reported_for_good_and_a_missing_one_may_still_come(lab: Lab, tmp_path: Path) -> None:
    made = await lab.make("full")
    folder, secret = volumes(tmp_path / "volumes", COMPACT), Path(os.environ["BELLWETHER_SECRETS"]) / "repo"
    secret.write_text("password=another-password\n")
    with pytest.raises(BackupError, match="the password is not the one") as reported:
        await asyncio.to_thread(filled, lab, again(lab, id=made.id), folder)
    assert reported.value.final
    secret.unlink()
    with pytest.raises(BackupError, match="there is no secret") as reported:
        await asyncio.to_thread(filled, lab, again(lab, id=made.id), folder)
    assert not reported.value.final
    assert left(folder) == []
