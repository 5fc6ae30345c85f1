"""A system's volumes that a Job restores in place: all of them or none, whatever is wrong and whoever is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bellwether.backups.errors import BackupError
from bellwether.backups.making import VERIFIED
from bellwether.backups.restic import Repository
from bellwether.local import exchange, in_place
from bellwether.local.filling import copy_parts, parts_of
from bellwether.local.in_place import restorable, restore_in_place
from bellwether.local.state import RunDirectory
from bellwether.local.volumes import Adoption, adopt
from bellwether.render.kubernetes.filling import RestoreOrder
from bellwether.spec.models import TradingSystem
from integration.backups.conftest import EVENTS, Lab
from integration.backups.test_backup import counts, last_event, models

pytestmark = pytest.mark.integration

COMPACT = ("system",)
STANDARD = ("market-data", "ml-model", "nats", "paper-trading", "prediction", "scheduler")
NOW = datetime(2026, 11, 27, 22, tzinfo=UTC)


class Killed(BaseException):
    """Stands for a kill: nobody catches it on the way."""


def of_cluster(lab: Lab, **trading: Any) -> TradingSystem:
    """Return the lab's system as the API server gives it."""
    document = lab.system.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    document["metadata"] = {"name": "kept", "namespace": "trade", "uid": "u-1"}
    document["spec"]["trading"] |= trading
    return TradingSystem.model_validate(document)


class Volumes(NamedTuple):
    """The volumes of a system, each in the folder of its component."""

    root: Path
    former: dict[str, dict[str, bytes]]

    @property
    def folders(self) -> list[Path]:
        return sorted(self.root.iterdir())

    def state(self) -> dict[str, dict[str, bytes]]:
        return {folder.name: files(folder) for folder in self.folders}


def files(folder: Path) -> dict[str, bytes]:
    """Return what is on a volume but for what belongs to no state."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {str(name): path.read_bytes() for name, path in found.items() if not exchange.stays(name.parts[0])}


def in_use(lab: Lab, root: Path, components: Sequence[str]) -> Volumes:
    """Return volumes with the state of the lab's run, which has gone on since."""
    state = RunDirectory(lab.place.root)
    for component in components:
        (root / component / "lost+found").mkdir(parents=True)
        copy_parts(parts_of(state, component), root / component)
        (root / component / "since").write_text("the backup")
    found = Volumes(root, {})
    found.former.update(found.state())
    return found


def order(backup: str, request: str = "20261127T220000Z", until: datetime = NOW + timedelta(hours=1)) -> RestoreOrder:
    return RestoreOrder(request, backup, "disk", f"{until:%Y-%m-%dT%H:%M:%SZ}")


def restored(lab: Lab, volumes: Volumes, wanted: RestoreOrder, system: TradingSystem | None = None) -> None:
    machine = lab.place.machine(os.environ)
    restore_in_place(system or of_cluster(lab), volumes.root, machine, wanted, lab.said.append, now=lambda: NOW)


async def test_one_volume_holds_the_backup_halted_and_what_was_there_lies_aside(lab: Lab, tmp_path: Path) -> None:
    before, hashes = counts(lab.place.root / "data"), models(lab.place.root / "data")
    made = await lab.make("full")
    volumes = in_use(lab, tmp_path / "volumes", COMPACT)
    await asyncio.to_thread(restored, lab, volumes, order(made.id))
    (volume,) = volumes.folders
    before["ledger.db"]["halts"] += 1
    for tables in before.values():
        tables["begun"] += 1  # that it is this system's
    assert counts(volume) == before
    assert models(volume) == hashes
    (aside,) = volume.glob("before-restore-*")
    assert aside.name == f"before-restore-{made.id}-20261127T220000Z"
    assert files(aside) == volumes.former["system"]
    assert not (volume / exchange.READY).exists()
    # Its pods do not take it for another system's, and halt it once more.
    assert adopt(volume, Adoption("u-1", "kept", "backup of old"), NOW) == []
    root = tmp_path / "run"
    root.mkdir()
    (volume / "nats").rename(RunDirectory(root).nats)
    assert await last_event(root) == (EVENTS, EVENTS)
    # The Job's pod is made again, after the pods of the system went on.
    with closing(sqlite3.connect(volume / "ledger.db")) as ledger, ledger:
        ledger.execute("DELETE FROM ledger_events")
    await asyncio.to_thread(restored, lab, volumes, order(made.id))
    assert counts(volume)["ledger.db"]["ledger_events"] == 0, "what is in use was restored again"


async def test_each_volume_gets_what_is_its_component_s_own_and_a_kill_is_made_good(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await lab.make("full")
    volumes = in_use(lab, tmp_path / "volumes", STANDARD)

    def killed(*_: object) -> None:
        raise Killed

    for name in ("_check", "fetched", "make_own", "copy_parts"):
        with monkeypatch.context() as patched:
            patched.setattr(in_place, name, killed)
            with pytest.raises(Killed):
                await asyncio.to_thread(restored, lab, volumes, order(made.id))
        assert volumes.state() == volumes.former, name
    renames, rename = 0, Path.rename

    def third(self: Path, target: Path) -> Path:
        nonlocal renames
        renames += str(self).startswith(str(volumes.root))
        if renames == 3:
            raise Killed
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", third)
        with pytest.raises(Killed):
            await asyncio.to_thread(restored, lab, volumes, order(made.id))
    assert volumes.state() != volumes.former
    await asyncio.to_thread(restored, lab, volumes, order(made.id))
    names = {each: {name.split("/")[0] for name in held} for each, held in volumes.state().items()}
    assert names == {
        "market-data": {"bars.db"},
        "ml-model": {"ml-model"},
        "nats": {"nats"},
        "paper-trading": {"ledger.db"},
        "prediction": {"decisions.db"},
        "scheduler": {"slots.db"},
    }
    aside = f"before-restore-{made.id}-20261127T220000Z"
    assert {folder.name: files(folder / aside) for folder in volumes.folders} == volumes.former


async def test_a_second_restore_keeps_aside_what_the_first_brought(lab: Lab, tmp_path: Path) -> None:
    made = await lab.make("full")
    volumes = in_use(lab, tmp_path / "volumes", COMPACT)
    await asyncio.to_thread(restored, lab, volumes, order(made.id))
    between = volumes.state()["system"]
    await asyncio.to_thread(restored, lab, volumes, order(made.id, "20261127T230000Z"))
    (volume,) = volumes.folders
    (aside,) = volume.glob("before-restore-*")
    assert files(aside) == between


@pytest.mark.parametrize(
    ("changes", "trading", "words"),
    [
        ({"backup": "20010101T000000Z"}, {}, "location disk has no backup 20010101T000000Z of kept"),
        ({}, {"initialCash": "5"}, "declare spec.trading.initialCash: 100000"),
        ({"location": "gone"}, {}, "location 'gone' is not declared"),
    ],
)
async def test_what_cannot_be_restored_is_said_and_all_is_as_it_was(
    lab: Lab, tmp_path: Path, changes: dict[str, str], trading: dict[str, str], words: str
) -> None:
    made = await lab.make("full")
    volumes = in_use(lab, tmp_path / "volumes", COMPACT)
    wanted = order(made.id)._replace(**changes)
    with pytest.raises(BackupError, match=words) as reported:
        await asyncio.to_thread(restored, lab, volumes, wanted, of_cluster(lab, **trading))
    assert reported.value.final
    assert volumes.state() == volumes.former
    assert not list(volumes.folders[0].glob("before-restore-*"))


async def test_a_wrong_or_missing_key_is_said_at_once_and_a_server_is_waited_for_until_the_time_is_over(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await lab.make("full")
    volumes, secret = in_use(lab, tmp_path / "volumes", COMPACT), Path(os.environ["BELLWETHER_SECRETS"]) / "repo"
    for password, words in (
        ("another-password", "the password is not the one"),
        ("short", "password has fewer than"),
        (None, "there is no secret"),
    ):
        if password is None:
            secret.unlink()
        else:
            secret.write_text(f"password={password}\n")
        with pytest.raises(BackupError, match=words) as reported:
            await asyncio.to_thread(restored, lab, volumes, order(made.id))
        assert reported.value.final, words

    def unreachable(*_: Any, **__: Any) -> Repository:
        raise BackupError("it does not answer")

    monkeypatch.setattr(in_place, "opened", unreachable)
    for until, final in ((NOW + timedelta(seconds=1), False), (NOW, True)):
        with pytest.raises(BackupError, match="it does not answer") as reported:
            await asyncio.to_thread(restored, lab, volumes, order(made.id, until=until))
        assert reported.value.final is final
    assert volumes.state() == volumes.former


async def test_a_volume_without_room_is_named_with_what_it_needs(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await lab.make("full")
    volumes = in_use(lab, tmp_path / "volumes", COMPACT)
    usage = type("Usage", (), {"free": 2**20})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BackupError, match="no room on the volume of system: it needs") as reported:
        await asyncio.to_thread(restored, lab, volumes, order(made.id))
    assert reported.value.final
    assert volumes.state() == volumes.former


async def test_only_a_backup_that_was_found_whole_can_be_asked_for(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await lab.make("full")
    system, repository = of_cluster(lab), lab.repository()
    assert restorable([(repository, "disk")], system, made.id) == "disk"
    with pytest.raises(BackupError, match=r"declare spec\.trading\.initialCash"):
        restorable([(repository, "disk")], of_cluster(lab, initialCash="5"), made.id)
    snapshots = Repository.snapshots

    def unmarked(self: Repository, *tags: str) -> list[Any]:
        found = snapshots(self, *tags)
        return [type(one)(one.id, one.time, one.host, tuple(t for t in one.tags if t != VERIFIED)) for one in found]

    monkeypatch.setattr(Repository, "snapshots", unmarked)
    with pytest.raises(BackupError, match="it was never found whole in location disk"):
        restorable([(repository, "disk")], system, made.id)
