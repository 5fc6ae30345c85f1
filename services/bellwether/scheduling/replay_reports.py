"""The reports of replays that the scheduler keeps: a folder for each, with one for each variant; bounded in size.

A file is written beside its place and moved there when its hash is right, so what can be read is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from bellwether.messages import scheduling as messages
from bellwether.messages.parts import FilePart, FileState
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.trading_replay import NAME_LENGTH
from bellwether.spec.vary import MOST_VARIANTS
from bellwether.storage.folders import append_part, read_part

T = TypeVar("T")

FOLDER = "replay-reports"
LARGEST = 16 * 1024 * 1024
ROOM = 128 * 1024 * 1024
"""How much all reports may take; beyond it the oldest replays go."""
_NAME = re.compile(rf"^(?=.{{1,{NAME_LENGTH}}}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_UID = re.compile(r"^[0-9a-f-]{8,64}$")


class ShelfError(ValueError):
    """Something that cannot be kept or is not there; the message names it."""


class Shelf:
    """The reports in a folder."""

    def __init__(self, root: Path, room: int = ROOM) -> None:
        self._root = root
        self._room = room

    def take(self, part: messages.PutReplayReport) -> FileState:
        """Keep a part of a file.

        Raises:
            ShelfError: for a name, uid or index that no replay has, a file that is too large, a hash that is wrong.
        """
        folder = self._root / f"{_named(part.replay)}.{_uid(part.uid)}" / str(_index(part.index))
        if not 0 < part.total <= LARGEST:
            raise ShelfError(f"{part.file} of {part.total} bytes: from 1 to {LARGEST} are taken")
        folder.mkdir(parents=True, exist_ok=True)
        place, staged = folder / part.file, folder / f".{part.file}"
        there = append_part(staged, part.offset, part.total, part.content)
        if there < part.total:
            return FileState(there, False)
        found = hashlib.sha256(staged.read_bytes()).hexdigest()
        if found != part.sha256:
            staged.unlink()
            raise ShelfError(f"{part.file} has the hash {found[:12]}, {part.sha256[:12]} was said")
        staged.replace(place)
        self._make_room(folder.parent)
        return FileState(there, True)

    def part(self, asked: messages.GetReplayReport) -> FilePart:
        """Return a part of a file of the newest replay of a name.

        Raises:
            ShelfError: when there is none.
        """
        folders = [one for one in self._folders() if one.name.partition(".")[0] == _named(asked.replay)]
        places = [one / str(_index(asked.index)) / asked.file for one in folders]
        place = next((one for one in reversed(places) if one.exists()), None)
        if place is None:
            raise ShelfError(f"there is no report of variant {asked.index} of the replay {asked.replay}")
        return read_part(place, asked.offset)

    def lines(self) -> list[messages.ReplayReportLine]:
        """Return what is there, by name."""
        found = []
        for folder in self._folders():
            name, _, uid = folder.name.partition(".")
            variants = sorted(int(one.parent.name) for one in folder.glob(f"*/{messages.REPORT_FILES[0]}"))
            if variants:
                found.append(messages.ReplayReportLine(name, uid, variants))
        return sorted(found, key=lambda line: line.replay)

    def retain(self, uids: list[str]) -> None:
        """Forget all replays but these."""
        for folder in self._folders():
            if folder.name.partition(".")[2] not in uids:
                shutil.rmtree(folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        """Return the folders of replays, the one that was written to last at the end."""
        if not self._root.is_dir():
            return []
        return sorted((one for one in self._root.iterdir() if one.is_dir()), key=lambda one: one.stat().st_mtime_ns)

    def _make_room(self, newest: Path) -> None:
        newest.touch()
        folders = self._folders()
        sizes = {one: sum(file.stat().st_size for file in one.rglob("*") if file.is_file()) for one in folders}
        for folder in folders:
            if sum(sizes.values()) <= self._room or folder == newest:
                return
            shutil.rmtree(folder, ignore_errors=True)
            del sizes[folder]


def _named(name: str) -> str:
    if not _NAME.match(name):
        raise ShelfError(f"{name!r} is not the name of a replay: a-z, 0-9 and -, at most {NAME_LENGTH} characters")
    return name


def _uid(uid: str) -> str:
    if not _UID.match(uid):
        raise ShelfError(f"{uid!r} is not the uid of a replay")
    return uid


def _index(index: int) -> int:
    if not 0 <= index < MOST_VARIANTS:
        raise ShelfError(f"variant {index}: they are counted from 0 to {MOST_VARIANTS - 1}")
    return index


def add_replay_reports(service: Service) -> None:
    """Let a service answer about reports of replays."""
    shelf, lock = Shelf(service.context.config.data_dir / FOLDER), asyncio.Lock()

    async def ordered(work: Callable[[], T]) -> T:
        try:
            async with lock:
                return await asyncio.to_thread(work)
        except ShelfError as error:
            raise RpcError("REPORT_REFUSED", str(error)) from error

    @service.rpc("put_replay_report")
    async def put_replay_report(request: messages.PutReplayReport, call: Call) -> FileState:
        return await ordered(lambda: shelf.take(request))

    @service.rpc("get_replay_report")
    async def get_replay_report(request: messages.GetReplayReport, call: Call) -> FilePart:
        try:
            async with lock:
                return await asyncio.to_thread(lambda: shelf.part(request))
        except ShelfError as error:
            raise RpcError("REPORT_NOT_FOUND", str(error)) from error

    @service.rpc("list_replay_reports")
    async def list_replay_reports(call: Call) -> messages.ReplayReports:
        return messages.ReplayReports(await ordered(shelf.lines))

    @service.rpc("retain_replay_reports")
    async def retain_replay_reports(request: messages.RetainReplayReports, call: Call) -> messages.ReplayReports:
        await ordered(lambda: shelf.retain(request.uids))
        return messages.ReplayReports(await ordered(shelf.lines))
