"""What monitoring remembers: alarms that are raised, notices, and how far each is with whom. Pure: no clock, no I/O.

All of it is one value, stored under one key, so that an alarm and the notices that it owes are stored together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from bellwether.messages.fields import from_fields
from bellwether.messages.monitoring import ChannelState, NoticeRecord, Severity
from bellwether.messages.reporting import SessionReport
from bellwether.reporting.session_text import session_lines
from bellwether.spec.notifications import Notification, QuietHours

RANK: Mapping[str, int] = {"info": 0, "warning": 1, "critical": 2}
PAUSES = (5.0, 15.0, 60.0, 180.0, 600.0)
"""Seconds between the tries of one delivery; the last one repeats."""
GIVE_UP_AFTER = timedelta(hours=72)
FAILING_TRIES = 3
"""Tries of one delivery that fail before its channel counts as failing."""
MOST_NOTICES = 200
MOST_BYTES = 512 * 1024
"""Of the whole book; the oldest notices that are done with go first, then the oldest that are owed."""
LONGEST_DETAILS = 20_000
"""Characters of a session's report that a notification carries."""
FAILING = "notification_failing"

State = Literal["raised", "resolved", "report", "test"]
Status = Literal["pending", "held", "delivered", "cancelled", "given_up"]
OWED: frozenset[Status] = frozenset({"pending", "held"})


class Entry(msgspec.Struct, frozen=True):
    """An alarm that is raised."""

    type: str
    service: str
    severity: Severity
    message: str
    since: datetime


class Delivery(msgspec.Struct, frozen=True):
    """How far one notice is with one channel; instants in UTC."""

    status: Status = "pending"
    attempts: int = 0
    next_at: datetime | None = None
    done_at: datetime | None = None
    error: str | None = None


class Notice(msgspec.Struct, frozen=True):
    """Something that people are notified of once."""

    id: str
    at: datetime
    state: State
    type: str
    service: str
    severity: Severity
    message: str
    since: datetime
    details: str = ""
    """What a mail says below the message."""
    published: bool = False
    """Whether it went out as the event `system_alert`; what is no alarm needs none."""
    deliveries: dict[str, Delivery] = {}

    @property
    def alarm(self) -> tuple[str, str, datetime]:
        """What its raised and its resolved notice have in common."""
        return self.type, self.service, self.since


class AlertBook(msgspec.Struct, frozen=True):
    """Everything that outlives a restart."""

    alarms: list[Entry] = []
    notices: list[Notice] = []
    reported: str = ""
    """The newest session whose report people were sent, as ISO 8601."""


def wants(channel: Notification, notice: Notice) -> bool:
    """Whether a channel gets a notice. That it fails itself is for the others."""
    if notice.type == FAILING and notice.service == channel.name:
        return False
    return RANK[notice.severity] >= RANK[channel.min_severity]


def with_notice(book: AlertBook, notice: Notice, channels: Iterable[Notification]) -> AlertBook:
    """Return the book with one more notice, owed to each channel that wants it. One that is there stays as it is.

    A resolved notice whose raised one is still held back by quiet hours cancels both: it was over before anybody was
    to be notified.
    """
    if any(known.id == notice.id for known in book.notices):
        return book
    owed = {one.name: Delivery(next_at=notice.at) for one in channels if wants(one, notice)}
    notices = list(book.notices)
    if notice.state == "resolved":
        for place, known in enumerate(notices):
            if known.alarm != notice.alarm or known.state != "raised":
                continue
            never_sent = {name for name, one in known.deliveries.items() if one.status == "held" and not one.attempts}
            cancelled = Delivery("cancelled", done_at=notice.at, error="it was over within the quiet hours")
            both = dict.fromkeys(never_sent, cancelled)
            notices[place] = msgspec.structs.replace(known, deliveries={**known.deliveries, **both})
            owed.update({name: one for name, one in both.items() if name in owed})
    notices.append(msgspec.structs.replace(notice, deliveries=owed))
    return trimmed(msgspec.structs.replace(book, notices=notices))


def trimmed(book: AlertBook) -> AlertBook:
    """Return the book within its bounds."""
    notices = list(book.notices)
    size = sum(len(msgspec.json.encode(one)) for one in notices)
    while notices and (len(notices) > MOST_NOTICES or size > MOST_BYTES):
        place = next((number for number, one in enumerate(notices) if not _is_owed(one)), 0)
        size -= len(msgspec.json.encode(notices.pop(place)))
    return msgspec.structs.replace(book, notices=notices)


def _is_owed(notice: Notice) -> bool:
    return any(one.status in OWED for one in notice.deliveries.values())


class Due(msgspec.Struct, frozen=True):
    """A notice that is to be sent to a channel now."""

    notice: Notice
    channel: Notification


def due(
    book: AlertBook, channels: Sequence[Notification], zone: ZoneInfo, now: datetime
) -> tuple[AlertBook, list[Due], datetime | None]:
    """Return the book with what waits for the end of quiet hours held, what is to be sent now, and when more is due."""
    by_name = {one.name: one for one in channels}
    notices: list[Notice] = []
    ready: list[Due] = []
    later: list[datetime] = []
    waiting: set[tuple[str, tuple[str, str, datetime]]] = set()
    for notice in book.notices:
        deliveries = dict(notice.deliveries)
        for name, before in notice.deliveries.items():
            one = before
            if one.status not in OWED:
                continue
            channel = by_name.get(name)
            if channel is None:
                deliveries[name] = Delivery("cancelled", one.attempts, done_at=now, error="it is declared no more")
                continue
            if now - notice.at > GIVE_UP_AFTER:
                deliveries[name] = msgspec.structs.replace(one, status="given_up", next_at=None, done_at=now)
                continue
            until = None if notice.severity == "critical" else quiet_until(channel.quiet_hours, zone, now)
            if until is not None:
                one = deliveries[name] = msgspec.structs.replace(one, status="held", next_at=until)
            elif one.status == "held":
                one = deliveries[name] = msgspec.structs.replace(one, status="pending", next_at=now)
            # Nobody hears that something is over before hearing that it is wrong.
            first = (name, notice.alarm) not in waiting
            waiting.add((name, notice.alarm))
            if one.next_at is not None and one.next_at > now:
                later.append(one.next_at)
            elif first:
                ready.append(Due(notice, channel))
        notices.append(notice if deliveries == notice.deliveries else _with(notice, deliveries))
    return msgspec.structs.replace(book, notices=notices), ready, min(later, default=None)


def _with(notice: Notice, deliveries: dict[str, Delivery]) -> Notice:
    return msgspec.structs.replace(notice, deliveries=deliveries)


def tried(book: AlertBook, notice_id: str, channel: str, error: str | None, now: datetime) -> AlertBook:
    """Return the book after a try; `error` says in words why it failed, None that it is delivered."""
    notices = list(book.notices)
    for place, notice in enumerate(notices):
        one = notice.deliveries.get(channel)
        if notice.id != notice_id or one is None:
            continue
        attempts = one.attempts + 1
        if error is None:
            after = Delivery("delivered", attempts, done_at=now)
        else:
            pause = PAUSES[min(attempts, len(PAUSES)) - 1]
            after = Delivery("pending", attempts, next_at=now + timedelta(seconds=pause), error=error)
        notices[place] = _with(notice, {**notice.deliveries, channel: after})
    book = msgspec.structs.replace(book, notices=notices)
    return reached(book, channel, now) if error is None else book


def reached(book: AlertBook, channel: str, now: datetime) -> AlertBook:
    """Return the book once a channel has taken a message: whatever waits for its next try is due at once."""
    notices = [
        _with(notice, {**notice.deliveries, channel: msgspec.structs.replace(one, next_at=now)})
        if (one := notice.deliveries.get(channel)) is not None and one.status == "pending"
        else notice
        for notice in book.notices
    ]
    return msgspec.structs.replace(book, notices=notices)


def failing(book: AlertBook) -> dict[str, str]:
    """Return the channels that are failing, with the newest reason."""
    found: dict[str, str] = {}
    for notice in book.notices:
        for name, one in notice.deliveries.items():
            if one.status in OWED and one.attempts >= FAILING_TRIES and one.error:
                found[name] = one.error
    return found


def quiet_until(hours: QuietHours | None, zone: ZoneInfo, now: datetime) -> datetime | None:
    """Return when the quiet hours around an instant end (UTC), or None when it is not quiet.

    Begin and end are times of the wall clock in `zone`; a night on which the clock is turned is shorter or longer.
    """
    if hours is None:
        return None
    local = now.astimezone(zone)
    begin, end = time.fromisoformat(hours.from_), time.fromisoformat(hours.to)
    at = local.time().replace(tzinfo=None)
    if begin < end:
        inside, day = begin <= at < end, local.date()
    else:
        inside = at >= begin or at < end
        day = local.date() + timedelta(days=1) if at >= begin else local.date()
    return datetime.combine(day, end, zone).astimezone(UTC) if inside else None


def channel_states(book: AlertBook, channels: Sequence[Notification]) -> list[ChannelState]:
    """Return each declared channel with what it owes."""
    reasons = failing(book)
    found: list[ChannelState] = []
    for channel in channels:
        mine = [notice.deliveries[channel.name] for notice in book.notices if channel.name in notice.deliveries]
        delivered = [one for one in mine if one.status == "delivered"]
        found.append(
            ChannelState(
                name=channel.name,
                kind=channel.kind,
                min_severity=channel.min_severity,
                owed=sum(one.status in OWED for one in mine),
                held=sum(one.status == "held" for one in mine),
                delivered=len(delivered),
                failing=reasons.get(channel.name),
                last_delivered=max((one.done_at for one in delivered if one.done_at is not None), default=None),
            )
        )
    return found


def notice_records(book: AlertBook, limit: int) -> list[NoticeRecord]:
    """Return the newest notices."""
    newest = book.notices[: -max(1, limit) - 1 : -1]
    return [
        from_fields(
            NoticeRecord,
            one,
            timestamp=one.at,
            deliveries={name: delivery.status for name, delivery in one.deliveries.items()},
        )
        for one in newest
    ]


def report_notice(report: SessionReport) -> Notice:
    """Return the notice of a session report: its summary in one line, all of it as details."""
    return Notice(
        id=f"session_report-{report.session}",
        at=report.as_of,
        state="report",
        type="session_report",
        service="scheduler",
        severity="info",
        message=f"session {report.session}: {report.summary}"[:1000],
        since=report.as_of,
        details="\n".join(session_lines(report))[:LONGEST_DETAILS],
        published=True,
    )
