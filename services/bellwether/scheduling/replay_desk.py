"""The methods by which the scheduler keeps the reports of replays."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from bellwether.messages.parts import FilePart, FileState
from bellwether.messages.replay_reports import (
    GetReplayReport,
    ListReplayReports,
    PutReplayReport,
    ReplayReports,
    RetainReplayReports,
)
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling.replay_shelf import Shelf, ShelfError

T = TypeVar("T")
FOLDER = "replay-reports"


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
    async def put_replay_report(request: PutReplayReport, call: Call) -> FileState:
        return await ordered(lambda: shelf.take(request))

    @service.rpc("get_replay_report")
    async def get_replay_report(request: GetReplayReport, call: Call) -> FilePart:
        try:
            async with lock:
                return await asyncio.to_thread(lambda: shelf.part(request))
        except ShelfError as error:
            raise RpcError("REPORT_NOT_FOUND", str(error)) from error

    @service.rpc("list_replay_reports")
    async def list_replay_reports(request: ListReplayReports, call: Call) -> ReplayReports:
        return ReplayReports(await ordered(shelf.lines))

    @service.rpc("retain_replay_reports")
    async def retain_replay_reports(request: RetainReplayReports, call: Call) -> ReplayReports:
        await ordered(lambda: shelf.retain(request.uids))
        return ReplayReports(await ordered(shelf.lines))
