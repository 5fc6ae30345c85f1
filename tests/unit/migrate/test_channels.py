"""Events of this system as the old one published them."""

from __future__ import annotations

import json

from bellwether.gateway.feed import KEEPALIVE, sse
from bellwether.migrate.channels import old_message, stream_messages

EVENT = {
    "timestamp": "2026-11-30T00:00:00Z",
    "buy_rate": 71.4,
    "event": {"id": "a-1", "source_service": "prediction", "priority": "urgent"},
}


def test_an_event_goes_to_the_channel_of_its_priority_and_type() -> None:
    found = old_message("buy_rate_alert", EVENT)
    assert found is not None
    assert found.channel == "trading:urgent:buy_rate_alert"
    assert json.loads(found.body) == {
        "type": "buy_rate_alert",
        "data": {"buy_rate": 71.4},
        "timestamp": "2026-11-30T00:00:00Z",
        "source_service": "prediction",
        "priority": "urgent",
        "id": "a-1",
    }


def test_what_the_stream_says_besides_is_no_event() -> None:
    assert old_message("account", {"cash": "1"}) is None
    assert old_message("missed", {"messages": 3}) is None


def test_the_gateways_stream_is_read_message_by_message() -> None:
    text = (b"retry: 2000\n\n" + sse("buy_rate_alert", EVENT) + KEEPALIVE + sse("missed", {"messages": 2})).decode()
    assert list(stream_messages(text.split("\n"))) == [("buy_rate_alert", EVENT), ("missed", {"messages": 2})]
