"""What is owed to whom, and when: the book of monitoring, by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from bellwether.monitoring import book as books
from bellwether.monitoring.book import (
    AlertBook,
    Notice,
    due,
    failing,
    quiet_until,
    reached,
    tried,
    trimmed,
    with_notice,
)
from bellwether.spec.notifications import Notification, QuietHours

ZONE = ZoneInfo("Australia/Sydney")
NOON = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
"""Noon in Sydney."""
NIGHT = {"from": "22:00", "to": "07:00"}


def channel(name: str = "ops", **changed: Any) -> Notification:
    return Notification.model_validate({"name": name, "kind": "webhook", "url": "https://hook.example", **changed})


def notice(state: str = "raised", severity: str = "warning", *, at: datetime = NOON, service: str = "disk") -> Notice:
    fields = {"id": f"{service}-{state}", "at": at, "state": state, "type": "volume_filling", "service": service}
    return msgspec.convert({**fields, "severity": severity, "message": "m", "since": NOON}, Notice)


def sent_to(book: AlertBook, channels: list[Notification], at: datetime) -> tuple[AlertBook, list[tuple[str, str]]]:
    """Deliver everything that is due; return the book and what went where."""
    reported: list[tuple[str, str]] = []
    while True:
        book, ready, _ = due(book, channels, ZONE, at)
        if not ready:
            return book, reported
        for one in ready:
            reported.append((one.channel.name, one.notice.id))
            book = tried(book, one.notice.id, one.channel.name, None, at)


def test_each_change_goes_once_to_each_channel_that_wants_it() -> None:
    channels = [channel("all", minSeverity="info"), channel("some"), channel("few", minSeverity="critical")]
    book = with_notice(AlertBook(), notice(), channels)
    book, reported = sent_to(book, channels, NOON)
    assert reported == [("all", "disk-raised"), ("some", "disk-raised")]
    book = with_notice(book, notice(), channels)
    book = with_notice(book, notice("resolved", at=NOON + timedelta(minutes=1)), channels)
    assert sent_to(book, channels, NOON + timedelta(minutes=1))[1] == [
        ("all", "disk-resolved"),
        ("some", "disk-resolved"),
    ]


def test_a_receiver_that_is_unreachable_is_tried_again_with_growing_pauses_and_raised_comes_before_resolved() -> None:
    channels = [channel()]
    book = with_notice(AlertBook(), notice(), channels)
    at, pauses = NOON, []
    for _ in range(7):
        book, ready, _ = due(book, channels, ZONE, at)
        assert [one.notice.id for one in ready] == ["disk-raised"]
        book = tried(book, "disk-raised", "ops", "away", at)
        book, ready, later = due(book, channels, ZONE, at)
        assert not ready
        assert later is not None
        pauses.append((later - at).total_seconds())
        at = later
    assert pauses == [5, 15, 60, 180, 600, 600, 600]
    assert failing(book) == {"ops": "away"}
    book = with_notice(book, notice("resolved", at=at), channels)
    _, ready, _ = due(book, channels, ZONE, at)
    assert [one.notice.id for one in ready] == ["disk-raised"]
    book, reported = sent_to(book, channels, at)
    assert [name for _, name in reported] == ["disk-raised", "disk-resolved"]
    assert failing(book) == {}


def test_what_waits_for_its_next_try_follows_at_once_when_its_channel_took_something() -> None:
    channels = [channel("back"), channel("away"), channel("quiet", quietHours=NIGHT)]
    night = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # 23:00 there
    book = AlertBook()
    for service in ("disk", "ledger"):
        book = with_notice(book, notice(at=night, service=service), channels)
        for name in ("back", "away"):
            book = tried(book, f"{service}-raised", name, "away", night)
    book, reported = sent_to(book, channels, night)
    assert reported == []
    book, reported = sent_to(reached(reached(book, "quiet", night), "back", night), channels, night)
    assert reported == [("back", "disk-raised"), ("back", "ledger-raised")]
    # A message that was owed says the same as a test message.
    book, reported = sent_to(tried(book, "disk-raised", "away", None, night), channels, night)
    assert reported == [("away", "ledger-raised")]


def test_quiet_hours_hold_what_is_not_critical_until_they_end() -> None:
    channels = [channel(quietHours=NIGHT)]
    night = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)  # 23:00 there
    morning = datetime(2026, 11, 23, 20, 0, tzinfo=UTC)  # 07:00 there
    book = with_notice(AlertBook(), notice(at=night), channels)
    book = with_notice(book, notice(severity="critical", at=night, service="ledger"), channels)
    book, reported = sent_to(book, channels, night)
    assert reported == [("ops", "ledger-raised")]
    assert due(book, channels, ZONE, night)[2] == morning
    assert sent_to(book, channels, morning - timedelta(seconds=1))[1] == []
    assert sent_to(book, channels, morning)[1] == [("ops", "disk-raised")]
    # Quiet hours that are taken back hold nothing any more.
    assert sent_to(book, [channel()], night)[1] == [("ops", "disk-raised")]


def test_what_is_raised_and_over_within_quiet_hours_is_not_reported_at_all() -> None:
    channels = [channel(quietHours=NIGHT), channel("awake")]
    night = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    book, reported = sent_to(with_notice(AlertBook(), notice(at=night), channels), channels, night)
    later = night + timedelta(hours=1)
    book = with_notice(book, notice("resolved", at=later), channels)
    book, more = sent_to(book, channels, later)
    assert reported + more == [("awake", "disk-raised"), ("awake", "disk-resolved")]
    assert sent_to(book, channels, night + timedelta(hours=12))[1] == []
    assert {one.deliveries["ops"].status for one in book.notices} == {"cancelled"}


def test_that_a_channel_fails_is_reported_to_the_others_only() -> None:
    channels = [channel("mail"), channel("push")]
    one = msgspec.structs.replace(notice(), type=books.FAILING, service="mail")
    assert sent_to(with_notice(AlertBook(), one, channels), channels, NOON)[1] == [("push", "disk-raised")]


def test_a_channel_that_is_declared_no_more_is_owed_nothing_and_after_days_nobody_is() -> None:
    book = with_notice(AlertBook(), notice(), [channel()])
    gone, ready, _ = due(book, [], ZONE, NOON)
    assert (ready, gone.notices[0].deliveries["ops"].status) == ([], "cancelled")
    late, ready, _ = due(book, [channel()], ZONE, NOON + books.GIVE_UP_AFTER + timedelta(seconds=1))
    assert (ready, late.notices[0].deliveries["ops"].status) == ([], "given_up")


def test_the_book_stays_small_and_forgets_what_is_done_first() -> None:
    book = AlertBook()
    for number in range(books.MOST_NOTICES + 50):
        owed = [channel()] if number % 2 else []
        book = with_notice(book, notice(service=f"s{number}"), owed)
    assert len(book.notices) == books.MOST_NOTICES
    assert sum(bool(one.deliveries) for one in book.notices) == (books.MOST_NOTICES + 50) // 2
    large = [msgspec.structs.replace(notice(service=f"s{number}"), details="x" * 100_000) for number in range(20)]
    assert len(msgspec.json.encode(trimmed(AlertBook([], large)))) <= books.MOST_BYTES + 100


@pytest.mark.parametrize(
    ("hours", "local", "ends"),
    [
        (NIGHT, "2026-11-23T21:59", None),
        (NIGHT, "2026-11-23T22:00", "2026-11-24T07:00"),
        (NIGHT, "2026-11-24T06:59", "2026-11-24T07:00"),
        (NIGHT, "2026-11-24T07:00", None),
        ({"from": "12:00", "to": "13:00"}, "2026-11-24T12:30", "2026-11-24T13:00"),
        ({"from": "12:00", "to": "13:00"}, "2026-11-24T13:00", None),
        # The night on which the clock is put forward in Sydney.
        (NIGHT, "2026-10-03T23:00", "2026-10-04T07:00"),
    ],
)
def test_quiet_hours_are_times_of_the_exchange(hours: dict[str, str], local: str, ends: str | None) -> None:
    at = datetime.fromisoformat(local).replace(tzinfo=ZONE).astimezone(UTC)
    found = quiet_until(QuietHours.model_validate(hours), ZONE, at)
    assert found == (None if ends is None else datetime.fromisoformat(ends).replace(tzinfo=ZONE).astimezone(UTC))
