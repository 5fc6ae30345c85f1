"""The book as people ask for it: how each channel does, and what was told. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from bellwether.messages.fields import from_fields
from bellwether.messages.monitoring import ChannelState, NoticeRecord
from bellwether.messages.reporting import SessionReport
from bellwether.monitoring.book import OWED, AlertBook, Notice, failing
from bellwether.reporting.session_text import session_lines
from bellwether.spec.notifications import Notification

LONGEST_DETAILS = 20_000


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
