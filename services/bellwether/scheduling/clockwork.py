"""What a live system does by the clock: its sessions' opens and closes, and slots where nothing else fires them.

Where a cluster fires the declared tasks, their slots are only watched: one that nobody came for while it was useful
is recorded as missed, by the owner of the slots, so that it is never silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Literal, NamedTuple

from bellwether.market.sessions import Calendar
from bellwether.market.slots import LONGEST_OFFSET, Slot, TaskRule, slot_named, slots
from bellwether.messages.envelope import LIVE
from bellwether.messages.scheduling import FailingSession, SlotJob
from bellwether.messages.trading import SessionOpen, SessionOpened
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.scheduling import claims
from bellwether.scheduling.closing import LOOK_BACK, Closer, close_name, unsettled
from bellwether.scheduling.failing import failing_after
from bellwether.scheduling.runner import Known, Runner
from bellwether.scheduling.words import Reader, Words
from bellwether.spec.models import Market
from bellwether.storage.store import Store, Transaction

ASK_AGAIN = timedelta(minutes=5)
"""How often an open or close is asked for again, at the least, while it waits for bars."""
ASK_SOON = timedelta(seconds=5)
"""How soon it is asked for again at first; then after a tenth of the time that has passed since."""
LONGEST_WAIT = 300.0
"""Seconds after which the clock is looked at in any case: a machine that slept wakes to another time."""
_SOON = 1.0
_BEHIND = timedelta(milliseconds=1)
"""A slot is of use up to and including its last moment."""

_NOTHING: Mapping[str, datetime] = MappingProxyType({})
_ALWAYS = claims.Since()

_log = logging.getLogger(__name__)


class Action(NamedTuple):
    """Something due now: a session's open or close, a slot to run, or a slot that was missed."""

    kind: Literal["open", "close", "run", "missed"]
    name: str
    session: date
    due: datetime
    task: str = ""


class Snapshot(NamedTuple):
    """What was seen of a declaration: its words, when the live system began (UTC), and since when its slots count."""

    words: Words
    began: datetime
    since: claims.Since


def due_slots(
    rules: Sequence[TaskRule],
    calendar: Calendar,
    done: set[str],
    since: datetime,
    now: datetime,
    *,
    seen: claims.Since = _ALWAYS,
    missed: Mapping[str, datetime] = _NOTHING,
) -> list[Action]:
    """Return the slots due from `since` until now that are not done: to run while useful, else missed.

    `seen` says from when on slots count; of a rule or session that is not named there all do. `missed` says at which
    instant a slot was due that is known to be missed: moved to later since, it is due anew.
    """
    return [
        _action(slot, now)
        for slot in slots(rules, calendar, since, now + timedelta(microseconds=1))
        if slot.name not in done and seen.counts(slot) and not (slot.name in missed and slot.due <= missed[slot.name])
    ]


def _action(slot: Slot, now: datetime) -> Action:
    return Action("run" if now <= slot.useful_until else "missed", slot.name, slot.session, slot.due, slot.task)


def session_actions(calendar: Calendar, over: Collection[str], began: datetime, now: datetime) -> list[Action]:
    """Return what the sessions ask for now, in order: the closes that are not yet done, then the open under way.

    `over` names the closes that were done or missed, `began` says since when the system is there.
    """
    actions = [
        Action("close", close_name(one.day), one.day, one.close) for one in unsettled(calendar, over, began, now)
    ]
    session = calendar.session_at(now)
    if session is not None:
        actions.append(Action("open", f"session_open-{session.day:%Y%m%d}", session.day, session.open))
    return actions


def missed_slots(
    rules: Sequence[TaskRule],
    calendar: Calendar,
    done: set[str],
    since: datetime,
    now: datetime,
    *,
    seen: claims.Since = _ALWAYS,
    missed: Mapping[str, datetime] = _NOTHING,
) -> list[Action]:
    """Return the slots that `due_slots` finds and that can no longer be of use."""
    found = due_slots(rules, calendar, done, since, now, seen=seen, missed=missed)
    return [action for action in found if action.kind == "missed"]


def is_due_anew(job: SlotJob, rules: Sequence[TaskRule], calendar: Calendar, *, seen: claims.Since = _ALWAYS) -> bool:
    """Whether a slot that is known to be missed was moved to later in time, so that it is still to be done."""
    if job.status != "missed":
        return False
    slot = slot_named(job.name, rules, calendar)
    return slot is not None and slot.due > job.due and seen.counts(slot)


def moment_words(rule: TaskRule, calendar: Calendar) -> str:
    """Return what decides when a rule is due; how long its work is of use does not."""
    at = "" if rule.at is None else f" {rule.at.isoformat()}"
    return f"{calendar.name} {rule.anchor} {rule.offset.total_seconds():g}{at}"


def override_words(market: Market) -> dict[date, str]:
    """Return what each override makes of its day."""
    return {date.fromisoformat(one.date): f"{one.closed} {one.open} {one.close}" for one in market.overrides}


def asked_again(since: datetime, now: datetime) -> datetime:
    """Return when an open or close that waits is asked for again; `since` is when it was due."""
    return now + min(ASK_AGAIN, max(ASK_SOON, (now - since) / 10))


def next_moment(
    rules: Sequence[TaskRule], calendar: Calendar, now: datetime, watched: Sequence[TaskRule] = ()
) -> datetime:
    """Return when there is something to do again, at most a few days ahead; what is `watched` counts at its end."""
    under_way = calendar.session_at(now)
    moments = [calendar.next_session(now).open]
    if under_way is not None:
        moments += [under_way.close, asked_again(under_way.open, now)]
    moments += [slot.due for slot in slots(rules, calendar, now, now + timedelta(days=3)) if slot.due > now]
    moments += [
        slot.useful_until + _BEHIND
        for slot in slots(watched, calendar, now - longest_use(watched), now + timedelta(days=3))
        if slot.useful_until >= now
    ]
    return min(moments)


def longest_use(rules: Sequence[TaskRule]) -> timedelta:
    """Return for how long a slot of these may be of use, at most."""
    return max((rule.useful_for for rule in rules), default=timedelta(0))


class Clockwork:
    """Does what is due, then waits for the next moment or until it is woken."""

    def __init__(self, service: Service, store: Store, reader: Reader, runner: Runner, closer: Closer) -> None:
        self._service = service
        self._store = store
        self._reader = reader
        self._runner = runner
        self._closer = closer
        self._complaints: dict[str, str] = {}
        self._began: datetime | None = None
        self._looking = asyncio.Lock()
        self._snapshot: Snapshot | None = None
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
        words, began, _ = await self.see()
        now = self._service.context.clock.now()
        done, missed = await self._store.transact(lambda tx: claims.over(tx, LIVE, now - LOOK_BACK - LONGEST_OFFSET))
        self._looks = ()
        actions = session_actions(words.calendar, done | missed.keys(), began, now)
        if not actions:
            self.failing = None
        for action in actions:
            error = await self._do(action)
            self.failing = None if error is None else self._failed(action, error)
            # What comes later would pass over a session: the ledger goes back to none.
            if error is not None:
                break
        return self._until_next(self.failing is not None, (), words.calendar, looks=self._looks)

    def _failed(self, action: Action, error: RpcError) -> FailingSession:
        step: Literal["open", "close"] = "open" if action.kind == "open" else "close"
        return failing_after(self.failing, step, action.session, error, self._service.context.clock.now())

    async def _slots(self) -> float:
        """Run and judge the slots that are due; return the seconds until there may be something to do again."""
        words, began, seen = await self.see()
        known = await self._runner.known(words)
        now = self._service.context.clock.now()
        fired, watched = self._rules(words, known)
        calendar = words.calendar
        # A system does not catch up on what was due before its first start.
        since = max(began, now - LOOK_BACK)
        # Nor does a task or a job on what would have been due before it was there.
        seen = seen._replace(by_task={**seen.by_task, **known.created})
        done, missed = await self._store.transact(lambda tx: claims.over(tx, LIVE, since - LONGEST_OFFSET))
        actions = [
            *due_slots(fired, calendar, done, since, now, seen=seen, missed=missed),
            *missed_slots(watched, calendar, done, since, now, seen=seen, missed=missed),
        ]
        return self._until_next(await self._do_all(actions), fired, calendar, watched)

    async def _do_all(self, actions: Sequence[Action]) -> bool:
        """Do one action after the other; return whether one has to be tried again soon."""
        return any([await self._do(action) is not None for action in actions])

    def _until_next(
        self,
        failed: bool,
        fired: Sequence[TaskRule],
        calendar: Calendar,
        watched: Sequence[TaskRule] = (),
        looks: Sequence[datetime] = (),
    ) -> float:
        if failed:
            return _SOON
        now = self._service.context.clock.now()
        next_one = min([next_moment(fired, calendar, now, watched), *looks])
        return min(LONGEST_WAIT, max(_SOON, (next_one - now).total_seconds()))

    def _rules(self, words: Words, known: Known) -> tuple[tuple[TaskRule, ...], tuple[TaskRule, ...]]:
        """Return the rules that are fired from here, and those that a cluster fires and that are watched.

        Scheduled jobs are fired from here always, declared tasks where no cluster does.
        """
        if self._service.context.config.own_schedule:
            return known.rules, ()
        watched = tuple(words.tasks)
        declared = {task.name for task in watched}
        return tuple(rule for rule in known.rules if rule.name not in declared), watched

    async def see(self) -> Snapshot:
        """Take note of the declaration in force: from this moment on its tasks are judged.

        The acknowledgement of a declaration waits for it. Looks come one after the other, or an older one that was
        still under way would undo what a newer one has seen.
        """
        async with self._looking:
            words, now = self._reader.words, self._service.context.clock.now()
            self._began = began = self._began or await self._first_start(now)
            moments = {rule.name: moment_words(rule, words.calendar) for rule in words.tasks}
            days = override_words(words.system.spec.market)
            before = self._snapshot

            def look(tx: Transaction) -> claims.Since:
                if before is not None and before.words is not words:
                    self._end_of(tx, before, now)
                return claims.see(tx, moments, days, began, now)

            self._snapshot = Snapshot(words, began, await self._store.transact(look))
            return self._snapshot

    def _end_of(self, tx: Transaction, snapshot: Snapshot, now: datetime) -> None:
        """Record what was missed under a declaration before another one takes its place: by that, it never was due."""
        words, since = snapshot.words, max(snapshot.began, now - LOOK_BACK)
        done, missed = claims.over(tx, LIVE, since - LONGEST_OFFSET)
        for action in missed_slots(words.tasks, words.calendar, done, since, now, seen=snapshot.since, missed=missed):
            if not self._runner.runs(action.name):
                claims.miss(tx, LIVE, claims.Due(action.name, action.task, action.session, action.due), now)
                _log.warning("%s was due at %s and is missed", action.name, action.due.isoformat())

    async def _first_start(self, now: datetime) -> datetime:
        due = claims.Due(claims.FIRST_START, claims.FIRST_START, now.date(), now)

        def work(tx: Transaction) -> datetime:
            if claims.claim(tx, LIVE, due, now):
                claims.complete(tx, LIVE, due.name, now, {})
            return claims.first_start(tx) or now

        return await self._store.transact(work)

    async def _do(self, action: Action) -> RpcError | None:
        """Do one action; return the error for which it has to be tried again soon, None when it is done."""
        try:
            if action.kind == "missed":
                # What began in time may end later.
                if not self._runner.runs(action.name) and await self._runner.miss(
                    claims.Due(action.name, action.task, action.session, action.due)
                ):
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
            # A fault of our own, a full disk say, is told of as those of others are, and ends no other work.
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
        call = self._service.call()
        await call.request("paper-trading", "session_open", SessionOpen(session), SessionOpened)

    async def _close(self, action: Action) -> None:
        session = self._reader.words.calendar.session_on(action.session)
        if session is not None:
            until = await self._closer.close(session)
            now = self._service.context.clock.now()
            self._looks = () if until is None else (asked_again(session.close, now), until)
