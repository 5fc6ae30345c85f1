"""The conductor of a replay: step after step of recorded history, its cursor stored, so that a kill costs little.

Each step asks the other services to do their part as of its instant and waits until it is done; only then is the
cursor moved. A step that is repeated after a kill has no second effect, because all ids are functions of the step.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from sqlalchemy import insert, select, update

from bellwether.market.sessions import OutsideCalendar
from bellwether.messages.envelope import LIVE
from bellwether.messages.fields import from_fields
from bellwether.messages.market_data import Coverage, GetCoverage
from bellwether.messages.models import LoadModel, ModelInfo
from bellwether.messages.scheduling import ReplayCompleted, ReplayState
from bellwether.runtime.clock import monotonic
from bellwether.runtime.errors import RpcError
from bellwether.runtime.footprint import use_large_pages
from bellwether.runtime.service import Service
from bellwether.scheduling import claims, tables
from bellwether.scheduling.effects import ALL_FAILED, TRIED_AGAIN, make_durable, perform
from bellwether.scheduling.reports import SessionReports
from bellwether.scheduling.time_settings import Reader, TimeSettings
from bellwether.scheduling.timeline import Key, Step, Timeline, cursor_text, parse_cursor, timeline
from bellwether.storage.store import Store, Transaction

STEP_BUDGET = 60.0
SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 2.0
NEVER = frozenset({"HISTORY_TOO_SHORT", "NO_RECIPE"})
"""Why there will be no model: the replay fails with the words."""
NEVER_HERE = NEVER | {"TRAINING_FAILED"}
"""The same where nobody mends what is wrong meanwhile, as in `bellwether replay`."""
SLOT_TRIES = 2
"""So often a slot is tried in which every prediction fails: the same bars and the same model give the same again."""
COMMIT_SESSIONS = 20
"""In a replay of one process so many sessions become durable together: a kill costs as many, and they are repeated."""
TRIES = 8
"""So often a step is tried when a service answers that it cannot: then the replay has failed until a restart."""

FROM_THE_START = "-"
_MOVE = "UPDATE replay SET cursor = ?, step = ?, state = 'running', durable = CASE WHEN ? THEN durable END"
_DURABLE = "UPDATE replay SET durable = ?"
_ONE_DAY = timedelta(days=1)
_log = logging.getLogger(__name__)


class SlotFailed(Exception):
    """A slot has no effect and will have none; the message says why. The replay goes on and reports it at its end."""


class ReplayFailed(Exception):
    """A service refuses a step for good; the message says which and why."""


@dataclass
class Progress:
    """How far the replay is, as asked for by people."""

    state: Literal["off", "waiting", "running", "complete", "failed"] = "waiting"
    run: str = LIVE
    cursor: Key | None = None
    step: int = 0
    session: date | None = None
    at: datetime | None = None
    error: str | None = None
    failed: claims.Failed = claims.NONE_FAILED
    predictions_failed: int = 0


class Conductor:
    """Conducts the replay of one system."""

    def __init__(self, service: Service, store: Store, reader: Reader, reports: SessionReports) -> None:
        self._service = service
        self._store = store
        self._reader = reader
        self._reports = reports
        self._line = Timeline((), (), ())
        self._line_settings: TimeSettings | None = None
        self._last: date | None = None
        self._complaint = ""
        self._without: set[str] = set()
        self._not_durable = 0
        self._kept_through: Key | None = None
        self.declared = asyncio.Event()
        self.progress = Progress()

    @property
    def run(self) -> str:
        """The replay's run, the same for the life of the system."""
        return self.progress.run

    # What is stored

    async def load(self) -> None:
        """Read the stored run and cursor, or make the run; it is made once and stored before anything happens in it."""
        fresh = f"replay-{secrets.token_hex(4)}"

        def work(tx: Transaction) -> dict[str, Any]:
            row = tx.execute(select(tables.replay)).mappings().first()
            if row is None:
                tx.execute(insert(tables.replay), {"only": 1, "run": fresh, "step": 0, "state": "waiting"})
                row = tx.execute(select(tables.replay)).mappings().one()
            return dict(row)

        row = await self._store.transact(work)
        if self._service.context.config.group_commit and row["durable"] is None:
            row["durable"] = FROM_THE_START if row["cursor"] is None else row["cursor"]
            await self._store.transact(lambda tx: tx.driver.execute(_DURABLE, (row["durable"],)))
        await self._store.flush()
        self.progress.failed = await self._store.transact(lambda tx: claims.failed(tx, row["run"]))
        self.progress.run = row["run"]
        self.progress.step = row["step"]
        stored = None if row["cursor"] is None else parse_cursor(row["cursor"])
        self.progress.cursor, self._kept_through = stored, None
        if row["durable"] is not None:
            self.progress.cursor = None if row["durable"] == FROM_THE_START else parse_cursor(row["durable"])
            self._kept_through = stored if stored != self.progress.cursor else None
        if self.progress.cursor is not None:
            self.progress.at = self.progress.cursor[0]

    def _move(self, tx: Transaction, step: Step) -> None:
        grouped = self._service.context.config.group_commit
        tx.driver.execute(_MOVE, (cursor_text(step.key), self.progress.step + 1, grouped))

    def _is_repeated(self, step: Step) -> bool:
        """Whether what a step came to is stored, and only its effects on others may be missing."""
        return self._kept_through is not None and step.key <= self._kept_through

    # The loop

    async def conduct(self) -> None:
        """Wait for bars and model, then do every step that is left; returns at the end of the replay."""
        while not self._reader.known:
            await self.declared.wait()
            self.declared.clear()
        if not self._reader.settings.replays:
            self.progress.state = "off"
            return
        await self.load()
        try:
            await self._wait_until_ready()
            if self._service.context.config.group_commit:
                # Bars and model are there, and no step has to wait for it.
                use_large_pages()
            self.progress.state = "running"
            self.progress.error = None
            _log.info("replay %s: %d sessions, %s", self.run, len(self._line.sessions), self._where())
            await self._all_steps()
        except ReplayFailed as error:
            self.progress.state = "failed"
            self.progress.error = str(error)
            _log.error("the replay stops: %s; it is tried again at the next start", error)
            return
        await self._finish()

    async def _all_steps(self) -> None:
        began = monotonic()
        line, index = self._line, -1
        while True:
            self._draw()
            index = index + 1 if line is self._line and index >= 0 else self._line.after(self.progress.cursor)
            line = self._line
            if index >= len(line):
                return
            step = line[index]
            await self._do(step)
            if step.kind == "close":
                self._not_durable += 1
                if self._not_durable >= COMMIT_SESSIONS:
                    await self.make_durable()
                left = self._reader.settings.pace.total_seconds() - (monotonic() - began)
                await asyncio.sleep(max(0.0, left))
                began = monotonic()

    async def _do(self, step: Step) -> None:
        """Do one step until it is done, then move the cursor in the same transaction as the slot's end."""
        due = claims.Due(step.name, step.task, step.session, step.at)
        run = self.run
        self.progress.session = step.session
        if self._is_repeated(step):
            await self._repeat(step)
            return
        if step.kind == "slot" and not await self._store.transact(lambda tx: claims.claim(tx, run, due, step.at)):
            await self._store.transact(lambda tx: self._move(tx, step))
            self._moved(step)
            return
        result: dict[str, Any] = {}
        error: str | None = None
        try:
            result = await self._persist(step)
        except SlotFailed as failed:
            error = str(failed)

        def done(tx: Transaction) -> None:
            if error is not None:
                claims.fail(tx, run, step.name, step.at, error)
            elif step.kind == "slot":
                claims.complete(tx, run, step.name, step.at, result)
            self._move(tx, step)

        await self._store.transact(done)
        self.progress.predictions_failed += len(result.get("errors", ()))
        if error is not None:
            self.progress.failed = self.progress.failed.and_one(step.name, error)
        self._moved(step)

    async def _repeat(self, step: Step) -> None:
        """Do a step once more for those services that a kill kept from storing it; its result and report stay."""
        self._reports.repeating = True
        try:
            with contextlib.suppress(SlotFailed):
                await self._persist(step)
        finally:
            self._reports.repeating = False
        self.progress.cursor, self.progress.at = step.key, step.at

    def _moved(self, step: Step) -> None:
        self.progress.cursor = step.key
        self.progress.step += 1
        self.progress.at = step.at

    async def _persist(self, step: Step) -> dict[str, Any]:
        """Try a step for as long as a peer is unreachable; give up when one refuses it again and again."""
        pause, refusals = SHORTEST_PAUSE, 0
        while True:
            call = self._service.call(as_of=step.at, run=self.run, budget=STEP_BUDGET)
            try:
                result = await perform(step, call, self._reports)
            except RpcError as error:
                refusals += error.code not in TRIED_AGAIN
                self._complain(step.name, error)
                if error.code == ALL_FAILED and refusals >= SLOT_TRIES:
                    self._relieved(step.name)
                    raise SlotFailed(str(error)) from error
                if refusals >= TRIES:
                    raise ReplayFailed(f"{step.name} as of {step.at.isoformat()}: {error}") from error
                await asyncio.sleep(pause)
                pause = min(LONGEST_PAUSE, pause * 2)
                continue
            self._relieved(step.name)
            return result

    async def make_durable(self) -> None:
        """With group commit: put on disk what the steps came to, then their effects, then that these are there.

        The services have a database each, so a kill may fall between two of them. What a step came to (its result, the
        report) depends on states that those who are ahead have left, so it is stored first and never made again.
        """
        cursor = self.progress.cursor
        if not self._service.context.config.group_commit or cursor is None:
            return
        await self._store.flush()
        call = self._service.call(as_of=self.progress.at, run=self.run, budget=STEP_BUDGET)
        for peer in ("market-data", "prediction", "paper-trading"):
            await make_durable(peer, call)
        await self._store.transact(lambda tx: tx.driver.execute(_DURABLE, (cursor_text(cursor),)))
        await self._store.flush()
        self._not_durable = 0

    async def _finish(self) -> None:
        await self.make_durable()
        sessions = len(self._line.sessions)
        call = self._service.call(as_of=self.progress.at, run=self.run)

        def work(tx: Transaction) -> bool:
            state = tx.execute(select(tables.replay.c.state)).scalar_one()
            if state == "complete":
                return False
            tx.execute(update(tables.replay).values(state="complete"))
            data = ReplayCompleted(run=self.run, sessions=sessions)
            tx.outbox(call.event("replay_completed", data, event_id="replay_completed"))
            return True

        if await self._store.transact(work):
            _log.info("replay %s is complete: %d sessions", self.run, sessions)
        await self._store.flush()
        self.progress.state = "complete"

    # Before the first step

    async def _wait_until_ready(self) -> None:
        """Wait until there are bars to replay and a model that may speak about the first session.

        Raises:
            ReplayFailed: when waiting would not help. A replay's source is read once, at the start.
        """
        pause = SHORTEST_PAUSE
        never = NEVER_HERE if self._service.context.config.complete_data else NEVER
        while True:
            try:
                await self._look()
                return
            except RpcError as error:
                if error.code in never:
                    raise ReplayFailed(error.message) from error
                self._complain("the replay", error)
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, pause * 2)

    async def _look(self) -> None:
        settings = self._reader.settings
        if settings.first is None:
            raise ReplayFailed("clock.mode replay needs clock.from, the first day")
        try:
            opening = settings.calendar.after(settings.first - _ONE_DAY, 1).open
        except OutsideCalendar as error:
            raise ReplayFailed(f"clock.from {settings.first}: {error}") from error
        at = self.progress.at or opening
        call = self._service.call(as_of=at, run=self.run)
        coverage = await call.request("market-data", "get_coverage", GetCoverage(), Coverage)
        if not coverage.last:
            missing = "; ".join(f"{symbol}: {why}" for symbol, why in sorted(coverage.errors.items()))
            raise ReplayFailed(f"no symbol has bars: {missing}")
        for symbol, why in sorted(coverage.errors.items()):
            if symbol not in self._without:
                self._without.add(symbol)
                _log.warning("the replay begins without %s: %s", symbol, why)
        last = max(coverage.last.values())
        self._last = last if settings.last is None else min(last, settings.last)
        if self._last < settings.first:
            raise ReplayFailed(f"clock.from is {settings.first}, and the newest bars are of {last}")
        await call.request("ml-model", "load_model", LoadModel(settings.model), ModelInfo)
        self._draw()
        self._relieved("the replay")

    def _draw(self) -> None:
        """Draw the timeline again where the declaration is another one."""
        settings = self._reader.settings
        if settings is self._line_settings or settings.first is None or self._last is None:
            return
        self._line = timeline(settings.tasks, settings.calendar, settings.first, self._last)
        self._line_settings = settings

    # What people see

    def state(self) -> ReplayState:
        """Return how far the replay is."""
        progress, line = self.progress, self._line
        known = bool(line.sessions)
        done = line.sessions_closed(line.after(progress.cursor)) if known and progress.cursor is not None else 0
        return from_fields(
            ReplayState,
            progress,
            as_of=progress.at,
            first_session=line.sessions[0] if known else None,
            last_session=line.sessions[-1] if known else None,
            sessions_done=done,
            sessions_total=len(line.sessions),
            slots_failed=progress.failed.slots,
            first_failed=progress.failed.first,
        )

    def _where(self) -> str:
        return "from the beginning" if self.progress.at is None else f"resumed behind {self.progress.at.isoformat()}"

    def _complain(self, what: str, error: RpcError) -> None:
        """Log a difficulty once for as long as it stays the same."""
        self.progress.error = f"{what} waits: {error.message}"
        if self._complaint != error.code:
            self._complaint = error.code
            _log.warning("%s waits: %s", what, error)

    def _relieved(self, what: str) -> None:
        if self._complaint:
            _log.info("%s goes on", what)
        self._complaint = ""
        self.progress.error = None
