"""What a live system does by the clock: its sessions' opens and closes, and slots where nothing else fires them.

Where a cluster fires the declared tasks, their slots are only watched: one that nobody came for while it was useful
is recorded as missed, by the owner of the slots, so that it is never silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import date, datetime, timedelta
from typing import Literal

from bellwether.market.sessions import Calendar
from bellwether.market.slots import LONGEST_OFFSET, LONGEST_USE, TaskRule, slots
from bellwether.messages.envelope import LIVE
from bellwether.messages.scheduling import FailingSession
from bellwether.messages.trading import SessionOpen, SessionOpened
from bellwether.runtime.declaration import generation_of
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims, declarations
from bellwether.scheduling.closing import LOOK_BACK, Closer, close_name, unclosed
from bellwether.scheduling.declarations import Action, History, due_slots
from bellwether.scheduling.runner import Known, Runner
from bellwether.scheduling.time_settings import Reader, TimeSettings
from bellwether.storage.store import Store

ASK_AGAIN = timedelta(minutes=5)
"""How often an open or close is asked for again, at the least, while it waits for bars."""
ASK_SOON = timedelta(seconds=5)
"""How soon it is asked for again at first; then after a tenth of the time that has passed since."""
LONGEST_WAIT = 300.0
"""Seconds after which the clock is looked at in any case: a machine that slept wakes to another time."""
LASTING = timedelta(minutes=1)
"""So long it may be a restart: a service is back after half of it, and then the next try succeeds."""
LEAST_TRIES = 3
"""Fewer say nothing, however long it took: a machine that slept, or a call that used up all of its time."""
SOON = 1.0
"""Seconds after which the clock is looked at again at the earliest, and after what failed."""
_BEHIND = timedelta(milliseconds=1)
"""A slot is of use up to and including its last instant."""

_log = logging.getLogger(__name__)


def session_actions(calendar: Calendar, over: Collection[str], began: datetime, now: datetime) -> list[Action]:
    """Return what the sessions ask for now, in order: the closes that are not yet done, then the open under way.

    `over` names the closes that were done or missed, `began` says since when the system is there.
    """
    actions = [Action("close", close_name(one.day), one.day, one.close) for one in unclosed(calendar, over, began, now)]
    session = calendar.session_at(now)
    if session is not None:
        actions.append(Action("open", f"session_open-{session.day:%Y%m%d}", session.day, session.open))
    return actions


def asked_again(since: datetime, now: datetime) -> datetime:
    """Return when an open or close that waits is asked for again; `since` is when it was due."""
    return now + min(ASK_AGAIN, max(ASK_SOON, (now - since) / 10))


def next_due(
    rules: Sequence[TaskRule], calendar: Calendar, now: datetime, watched: Sequence[TaskRule] = ()
) -> datetime:
    """Return when there is something to do again, at most a few days ahead; what is `watched` counts at its end."""
    under_way = calendar.session_at(now)
    instants = [calendar.next_session(now).open]
    if under_way is not None:
        instants += [under_way.close, asked_again(under_way.open, now)]
    instants += [slot.due for slot in slots(rules, calendar, now, now + timedelta(days=3)) if slot.due > now]
    instants += [
        slot.useful_until + _BEHIND
        for slot in slots(watched, calendar, now - LONGEST_USE, now + timedelta(days=3))
        if slot.useful_until >= now
    ]
    return min(instants)


def failing_after(
    before: FailingSession | None, step: Literal["open", "close"], session: date, error: RpcError, now: datetime
) -> FailingSession:
    """Return what is to be reported of a session's step that failed at `now` (aware); `before` is the last report.

    Counted from its first failure on, whatever the error. The words of an error may be others at each try, if only by
    the id of a request. They are renewed with another code and with each doubling of the tries, so that whoever passes
    them on has something new to say now and then, and not at every look.
    """
    if before is None or (before.step, before.session) != (step, session):
        return FailingSession(step, session, error.code, error.message, since=now, tries=1, lasting=False)
    tries = before.tries + 1
    renewed = before.code != error.code or tries.bit_count() == 1
    return FailingSession(
        step=step,
        session=session,
        code=error.code,
        message=error.message if renewed else before.message,
        since=before.since,
        tries=tries,
        lasting=tries >= LEAST_TRIES and now - before.since >= LASTING,
    )


class Clockwork:
    """Does what is due, then waits for the next instant or until it is woken."""

    def __init__(self, service: Service, store: Store, reader: Reader, runner: Runner, closer: Closer) -> None:
        self._service = service
        self._store = store
        self._reader = reader
        self._runner = runner
        self._closer = closer
        self._complaints: dict[str, str] = {}
        self._wakes = (asyncio.Event(), asyncio.Event())
        self._looks: tuple[datetime, ...] = ()
        """When the newest session's close is tried again; empty while it waits for no bars."""
        self.failing: FailingSession | None = None
        """The open or close that holds back the sessions, None while nothing does. A start tries it at once."""

    async def turn(self) -> None:
        """Go on for the life of the service: with sessions and with slots side by side.

        The work of a slot may take minutes, and orders wait for the session's open.
        """
        async with asyncio.TaskGroup() as group:
            for part, wake in ((self._sessions, self._wakes[0]), (self._slots, self._wakes[1])):
                group.create_task(self._go_on(part, wake))

    def wake(self) -> None:
        """Have the clock looked at now: what is to be done may be something else."""
        for each in self._wakes:
            each.set()

    async def tick(self) -> float:
        """Do everything that is due now, once; return the seconds until there may be something to do again."""
        return min([await part() for part in (self._sessions, self._slots)])

    async def _go_on(self, part: Callable[[], Awaitable[float]], wake: asyncio.Event) -> None:
        while True:
            wake.clear()
            wait = LONGEST_WAIT
            if self._reader.known:
                wait = await part()
            # Not `wait_for`: a cancellation that meets its end gets lost there.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await wake.wait()

    async def _sessions(self) -> float:
        """Close and open the sessions that ask for it; return the seconds until there may be something to do again."""
        calendar, began = self._reader.settings.calendar, (await self._see()).began
        now = self._service.context.clock.now()
        over = await self._store.transact(lambda tx: claims.over(tx, LIVE, now - LOOK_BACK - LONGEST_OFFSET))
        self._looks = ()
        actions = session_actions(calendar, over, began, now)
        if not actions:
            self.failing = None
        for action in actions:
            error = await self._do(action)
            self.failing = None if error is None else self._failed(action, error)
            # What comes later would pass over a session: the ledger goes back to none.
            if error is not None:
                break
        return self._until_next(now, (), calendar, looks=self._looks, failed=self.failing is not None)

    def _failed(self, action: Action, error: RpcError) -> FailingSession:
        step: Literal["open", "close"] = "open" if action.kind == "open" else "close"
        return failing_after(self.failing, step, action.session, error, self._service.context.clock.now())

    async def _slots(self) -> float:
        """Run and judge the slots that are due; return the seconds until there may be something to do again."""
        settings, now = self._reader.settings, self._service.context.clock.now()
        waits = [await self._do(action) is not None for action in await self.judge()]
        fired, watched = self._rules(settings, await self._runner.known(settings))
        return self._until_next(now, fired, settings.calendar, watched, failed=any(waits))

    def _until_next(
        self,
        looked: datetime,
        fired: Sequence[TaskRule],
        calendar: Calendar,
        watched: Sequence[TaskRule] = (),
        looks: Sequence[datetime] = (),
        *,
        failed: bool,
    ) -> float:
        """Return the seconds until the clock is to be looked at again, after it was at `looked`.

        What came due since, while something else was done, is due now.
        """
        if failed:
            return SOON
        next_one = min([next_due(fired, calendar, looked, watched), *looks])
        return min(LONGEST_WAIT, max(SOON, (next_one - self._service.context.clock.now()).total_seconds()))

    def _rules(self, settings: TimeSettings, known: Known) -> tuple[tuple[TaskRule, ...], tuple[TaskRule, ...]]:
        """Return the rules that are fired from here, and those that a cluster fires and that are watched.

        Scheduled jobs are fired from here always, declared tasks where no cluster does.
        """
        if self._service.context.config.own_schedule:
            return known.rules, ()
        return tuple(job.rule for job in known.scheduled.values()), settings.tasks

    async def _see(self) -> History:
        """Take note of the declaration in force: from now on its tasks count."""
        settings, now = self._reader.settings, self._service.context.clock.now()
        generation = generation_of(settings.system)
        return await self._store.transact(lambda tx: declarations.see(tx, generation, settings.timing, now))

    async def judge(self) -> list[Action]:
        """Record the slots that were missed until now; return those to run, and missed ones that could not be recorded.

        Takes note of the declaration in force, whose acknowledgement waits for it.
        """
        settings = self._reader.settings
        began, versions = await self._see()
        known = await self._runner.known(settings)
        now = self._service.context.clock.now()
        # A system does not catch up on what was due before its first start.
        since = max(began, now - LOOK_BACK)
        over = await self._store.transact(lambda tx: claims.over(tx, LIVE, since - LONGEST_OFFSET))
        due = due_slots([one.with_jobs(known.scheduled.values()) for one in versions], over, since, now)
        fired = {rule.name for rule in self._rules(settings, known)[0]}
        return [
            action
            for action in due
            if (await self._do(action) is not None if action.kind == "missed" else action.task in fired)
        ]

    async def _do(self, action: Action) -> RpcError | None:
        """Do one action; return the error for which it has to be tried again soon, None when it is done."""
        try:
            if action.kind == "missed":
                if await self._runner.miss(claims.Due(action.name, action.task, action.session, action.due)):
                    _log.warning("%s was due at %s and is missed", action.name, action.due.isoformat())
            elif action.kind == "run":
                await self._runner.execute(action.name, self._service.call())
            elif action.kind == "open":
                await self._open(action.session)
            else:
                await self._close(action)
        except RpcError as error:
            if self._is_new(action, error.code):
                _log.warning("%s waits: %s", action.name, error)
            return error
        except Exception as error:
            # A fault of our own, a full disk say, is reported as those of others are, and ends no other work.
            words = f"the scheduler failed with {type(error).__name__}; its log has the reason"
            if self._is_new(action, type(error).__name__):
                _log.exception("%s failed", action.name)
                self._service.figures.failed(f"{action.name}: {type(error).__name__}")
            return RpcError("INTERNAL", words)
        self._complaints.pop(action.name, None)
        return None

    def _is_new(self, action: Action, complaint: str) -> bool:
        """Note why a action is not done; return whether that was not known yet."""
        before, self._complaints[action.name] = self._complaints.get(action.name), complaint
        return before != complaint

    async def _open(self, session: date) -> None:
        """Have the trader open a session: its orders are filled, or refused."""
        call = self._service.call()
        await call.request("paper-trading", "session_open", SessionOpen(session), SessionOpened)

    async def _close(self, action: Action) -> None:
        session = self._reader.settings.calendar.session_on(action.session)
        if session is not None:
            until = await self._closer.close(session)
            now = self._service.context.clock.now()
            self._looks = () if until is None else (asked_again(session.close, now), until)
