"""What of IG's answers is read how: markets, outcomes of orders, money, credentials, the allowance."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bellwether.broker.ig.client import Pace
from bellwether.broker.ig.credentials import CredentialsError, read_credentials
from bellwether.broker.ig.facts import NotUnderstood, facts_of, problems, remarks
from bellwether.broker.ig.lookup import adjustments_of, from_activity, from_confirm, from_positions
from bellwether.broker.values import Accepted, Ended, Fill, Rejected
from harness.ig import answers
from harness.ig.account import Account, Ticket
from harness.ig.markets import Market

NOW = datetime(2026, 11, 30, 23, 5, tzinfo=UTC)
EPIC = "AA.D.CBA.CASH.IP"


def ticket(reference: str, direction: Any = "BUY", size: int = 10) -> Ticket:
    return Ticket(reference, EPIC, direction, Decimal(size), "AUD", time_in_force="EXECUTE_AND_ELIMINATE")


def account() -> Account:
    return Account("ABC12", {EPIC: Market(EPIC, "CBA Ltd", price=Decimal(100))})


def facts(**changed: Any) -> Any:
    return facts_of(answers.market(Market(EPIC, "CBA Ltd", **changed), "TRADEABLE", NOW))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"currency": "USD"}, "it is traded in USD, trading.currency is AUD"),
        ({"expiry": "DEC-26"}, "it expires (DEC-26)"),
        ({"order_preference": "NOT_AVAILABLE"}, "it takes no market orders"),
        ({"kind": "INDICES"}, "it is of type INDICES, no share"),
        ({"min_size_unit": "PERCENTAGE"}, "its minimum size is in PERCENTAGE"),
    ],
)
def test_what_speaks_against_a_market_is_said(changed: dict[str, Any], words: str) -> None:
    (line,) = problems(facts(**changed), "AUD")
    assert line.startswith(words)


def test_a_share_in_the_declared_currency_can_be_traded_and_its_margin_is_said() -> None:
    assert problems(facts(), "AUD") == []
    assert any("contract for difference on margin (20 %)" in line for line in remarks(facts(), 1))


def test_an_answer_without_a_part_names_it() -> None:
    with pytest.raises(NotUnderstood, match="snapshot"):
        facts_of({"instrument": {}, "dealingRules": {}})


def test_confirm_activity_and_position_say_the_same_of_a_purchase() -> None:
    books = account()
    deal = books.execute(ticket("bw-1"), NOW, status="TRADEABLE")
    row = answers.activity(deal, None, detailed=True, offset=10)
    held = answers.position(next(iter(books.positions.values())), books.markets[EPIC], "TRADEABLE", NOW, 10)
    ten = Decimal(10)
    expected = (Accepted("bw-1", NOW, deal.deal_id), Fill("bw-1", NOW, "ig:bw-1", ten, deal.level or Decimal(0)))
    assert from_confirm(answers.confirm(deal, names_opening=False), "bw-1", 1, ten, NOW) == expected
    assert from_activity([row], "bw-1", 1, ten, NOW) == expected
    assert from_positions([held], "bw-1", 1, ten, NOW) == expected
    assert from_activity([row], "bw-2", 1, ten, NOW) == ()


def test_a_close_has_the_same_fill_id_whichever_deal_its_confirm_names() -> None:
    books = account()
    books.execute(ticket("bw-0"), NOW, status="TRADEABLE")
    deal = books.execute(ticket("bw-1", "SELL"), NOW, status="TRADEABLE")
    ids = set()
    for names_opening in (True, False):
        confirm = answers.confirm(deal, names_opening=names_opening)
        ids |= {event.fill_id for event in from_confirm(confirm, "bw-1", 1, None, NOW) if isinstance(event, Fill)}
    assert ids == {"ig:bw-1"}


def test_a_part_ends_and_a_rejection_has_its_reason() -> None:
    books = account()
    part = books.execute(ticket("bw-1"), NOW, status="TRADEABLE", available=3)
    events = from_confirm(answers.confirm(part, names_opening=False), "bw-1", 1, Decimal(10), NOW)
    assert [type(event) for event in events] == [Accepted, Fill, Ended]
    none = books.execute(ticket("bw-2"), NOW, status="CLOSED")
    (rejected,) = from_confirm(answers.confirm(none, names_opening=False), "bw-2", 1, Decimal(10), NOW)
    assert rejected == Rejected("bw-2", NOW, "MARKET_CLOSED", "the market is closed")
    row = answers.activity(none, None, detailed=True, offset=10)
    assert from_activity([row], "bw-2", 1, Decimal(10), NOW) == (rejected,)


def test_lots_turn_contracts_into_shares_and_prices_per_share() -> None:
    deal = account().execute(ticket("bw-1", size=3), NOW, status="TRADEABLE")
    events = from_confirm(answers.confirm(deal, names_opening=False), "bw-1", 100, Decimal(300), NOW)
    (fill,) = [event for event in events if isinstance(event, Fill)]
    assert (fill.quantity, fill.price * 100) == (Decimal(300), deal.level)


def test_a_confirm_that_is_not_understood_is_no_outcome() -> None:
    with pytest.raises(NotUnderstood, match="dealStatus"):
        from_confirm({"dealReference": "bw-1"}, "bw-1", 1, None, NOW)


@pytest.mark.parametrize(
    ("amount", "value"),
    [("A$1,234.50", "1234.50"), ("A$-3.20", "-3.20"), ("-$0.07", "-0.07"), ("12", "12"), ("E-1.00", "-1.00")],
)
def test_amounts_are_read_with_sign_and_thousands(amount: str, value: str) -> None:
    row = {"profitAndLoss": amount, "transactionType": "WITH", "instrumentName": "x", "cashTransaction": True}
    (one,) = adjustments_of([row], {}, NOW)
    assert (one.amount, one.kind) == (Decimal(value), "other")


def test_an_amount_that_cannot_be_read_is_not_overlooked() -> None:
    with pytest.raises(NotUnderstood, match="no amount"):
        adjustments_of([{"profitAndLoss": "much"}], {}, NOW)


def test_two_equal_transactions_are_two_and_keep_their_ids() -> None:
    row = {"profitAndLoss": "A$-1.00", "transactionType": "WITH", "instrumentName": "CBA Ltd Interest"}
    first, second = adjustments_of([row, dict(row)], {"CBA Ltd": "CBA.AX"}, NOW)
    assert first.adjustment_id != second.adjustment_id
    assert (first.kind, first.symbol) == ("funding", "CBA.AX")
    assert adjustments_of([row], {}, NOW)[0].adjustment_id == first.adjustment_id


WORDS = {"apiKey": "k-secret", "identifier": "u-secret", "password": "p-secret", "accountId": "ABC12"}


def test_credentials_are_read_from_a_file_or_a_mounted_secret(tmp_path: Path) -> None:
    file = tmp_path / "ig.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(WORDS))
    folder = tmp_path / "secret"
    folder.mkdir()
    for name, value in WORDS.items():
        (folder / name).write_text(value + "\n")
    assert read_credentials(file) == read_credentials(folder)
    assert repr(read_credentials(file)) == "Credentials(account ...12)"


def test_credentials_that_cannot_be_used_are_reported_without_their_values(tmp_path: Path) -> None:
    file = tmp_path / "ig.json"
    file.touch(mode=0o600)
    reported = []
    for text in ('{"apiKey": "k-secret", ', json.dumps(WORDS | {"password": ""}), "[1]"):
        file.write_text(text)
        with pytest.raises(CredentialsError) as raised:
            read_credentials(file)
        reported.append(str(raised.value))
    file.chmod(0o644)
    with pytest.raises(CredentialsError, match="chmod 600"):
        read_credentials(file)
    with pytest.raises(CredentialsError, match="BELLWETHER_IG_CREDENTIALS names no file"):
        read_credentials(None)
    assert "the entry password is missing" in reported[1]
    assert "secret" not in " ".join(reported)


def test_the_allowance_has_room_again_after_a_minute_and_a_pause_holds() -> None:
    pace = Pace(2)
    for second in (0.0, 10.0):
        assert pace.wait(second) == 0
        pace.sent(second)
    assert pace.wait(20.0) == 40.0
    assert pace.wait(60.0) == 0
    pace.pause(60.0)
    assert pace.wait(70.0) == 50.0


def test_an_account_that_is_flat_has_its_movements_as_its_balance() -> None:
    books = account()
    books.execute(ticket("a"), NOW, status="TRADEABLE")
    books.charge_funding(NOW + timedelta(days=1))
    books.execute(ticket("b", "SELL", 10), NOW + timedelta(days=1), status="TRADEABLE")
    assert books.net() == {}
    rows = [answers.transaction(one, "AUD", 10) for one in books.movements]
    reported = adjustments_of(rows, {"CBA Ltd": "CBA.AX"}, NOW)
    assert sum(one.amount for one in reported) == books.balance - Decimal(100000)
