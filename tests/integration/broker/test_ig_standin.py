"""The stand-in for IG under a client that is not ours: trading-ig, unmodified."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from requests import Session
from trading_ig.rest import ApiExceededException, IGException, IGService, TokenInvalidException

from harness.ig.account import Ticket
from harness.ig.markets import default_markets
from harness.ig.standin import ACCOUNT, API_KEY, OTHER_ACCOUNT, PASSWORD, USERNAME, StandIn, standing_in

EPIC = "AA.D.CBA.CASH.IP"

# What the parsing code of trading-ig takes out of each answer.
POSITION = "contractSize createdDate createdDateUTC dealId dealReference size direction limitLevel level currency "
POSITION += "controlledRisk stopLevel trailingStep trailingStopDistance limitedRiskPremium"
MARKET = "instrumentName expiry epic instrumentType lotSize high low percentageChange netChange bid offer updateTime "
MARKET += "updateTimeUTC delayTime streamingPricesAvailable marketStatus scalingFactor"
WORKING = (
    "createdDate currencyCode dealId direction dma epic goodTillDate goodTillDateISO guaranteedStop limitDistance "
)
WORKING += "orderLevel orderSize orderType stopDistance timeInForce"
ACCOUNT_COLUMNS = "accountAlias accountId accountName accountType balance canTransferFrom canTransferTo currency "
ACCOUNT_COLUMNS += "preferred status"
TRANSACTION = (
    "cashTransaction closeLevel currency date dateUtc instrumentName openLevel period profitAndLoss reference "
)
TRANSACTION += "size transactionType"
ACTIVITY = "date epic period dealId channel type status description"
DETAILS = "marketName goodTillDate currency size direction level stopLevel stopDistance guaranteedStop "
DETAILS += "trailingStopDistance trailingStep limitLevel limitDistance"


@pytest.fixture
async def ig(tmp_path: Path) -> AsyncIterator[StandIn]:
    markets = default_markets(["CBA.AX", "BHP.AX"])
    async with standing_in(tmp_path, markets.values()) as found:
        yield found


def client(ig: StandIn, password: str = PASSWORD) -> IGService:
    session = Session()
    session.trust_env = False
    session.proxies = {"https": ig.url}
    session.verify = str(ig.authority)
    return IGService(USERNAME, password, API_KEY, "demo", ACCOUNT, session, return_dataframe=False, return_munch=False)


def opening(other: IGService, direction: str, size: int, *, force_open: bool = False, **more: Any) -> Any:
    return other.create_open_position(
        "AUD", direction, EPIC, "-", force_open, False, None, None, None, "MARKET", None, size, None, None, None, None,
        **more,
    )  # fmt: skip


def has(row: dict[str, Any], names: str) -> None:
    assert set(names.split()) <= set(row), set(names.split()) - set(row)


async def test_another_client_trades_reads_and_closes(ig: StandIn) -> None:
    def work() -> None:
        other = client(ig)
        assert other.create_session()["currentAccountId"] == OTHER_ACCOUNT
        other.switch_account(ACCOUNT, False)
        assert other.read_session()["accountId"] == ACCOUNT
        assert other.get_client_apps()[0]["allowanceAccountTrading"] == 100
        market = other.fetch_market_by_epic(EPIC)
        assert (market["instrument"]["expiry"], market["snapshot"]["marketStatus"]) == ("-", "TRADEABLE")
        assert len(other.fetch_markets_by_epics(f"{EPIC},AA.D.BHP.CASH.IP")) == 2

        bought = opening(other, "BUY", 10)
        assert (bought["dealStatus"], bought["status"], bought["size"]) == ("ACCEPTED", "OPEN", 10.0)
        row = other.fetch_open_positions()["positions"][0]
        has(row["position"], POSITION)
        has(row["market"], MARKET)
        assert other.fetch_open_position_by_deal_id(bought["dealId"])["position"]["size"] == 10.0

        sold = opening(other, "SELL", 4)
        assert (sold["status"], sold["affectedDeals"][0]["status"]) == ("PARTIALLY_CLOSED", "PARTIALLY_CLOSED")
        closed = other.close_open_position(bought["dealId"], "SELL", None, None, None, "MARKET", None, 6)
        assert (closed["status"], closed["profitCurrency"]) == ("CLOSED", "AUD")

        placed = other.create_working_order(
            "AUD", "BUY", EPIC, "-", False, 30.0, 5, "GOOD_TILL_CANCELLED", "LIMIT", deal_reference="mine-1"
        )
        has(other.fetch_working_orders()["workingOrders"][0]["workingOrderData"], WORKING)
        assert other.delete_working_order(placed["dealId"])["status"] == "DELETED"
        for one in other.fetch_accounts()["accounts"]:
            has(one, ACCOUNT_COLUMNS)
            has(one["balance"], "available balance deposit profitLoss")
        for one in other.fetch_transaction_history()["transactions"]:
            has(one, TRANSACTION)
        rows = other.fetch_account_activity(detailed=True, page_size=10)["activities"]
        assert len(rows) == 5
        for one in rows:
            has(one, ACTIVITY)
            has(one["details"], DETAILS)
        other.logout()

    await asyncio.to_thread(work)
    assert ig.account.net() == {}
    assert [deal.ticket.direction for deal in ig.account.deals if deal.filled] == ["BUY", "SELL", "SELL"]
    assert ig.accounts[OTHER_ACCOUNT].deals == []
    moved = sum((one.amount for one in ig.account.movements), Decimal(0))
    assert ig.account.balance == Decimal(100000) + moved


async def test_another_client_sees_errors_as_ig_tells_them(ig: StandIn) -> None:
    def work() -> None:
        with pytest.raises(IGException, match=r"error\.security\.invalid-details"):
            client(ig, "wrong").create_session()
        other = client(ig)
        other.create_session()
        ig.set(allowance="account")
        with pytest.raises(ApiExceededException):
            other.fetch_accounts()
        ig.reset()
        ig.expire()
        with pytest.raises(TokenInvalidException):
            other.fetch_accounts()
        other.create_session()
        ig.set(equity_refused=True)
        with pytest.raises(Exception, match=r"unauthorised\.access\.to\.equity\.exception"):
            other.fetch_market_by_epic(EPIC)
        ig.set(equity_refused=False, maintenance=True)
        with pytest.raises(IGException, match="503"):
            other.fetch_accounts()
        ig.reset()

        ig.set(status="CLOSED")
        assert opening(other, "BUY", 1)["reason"] == "MARKET_CLOSED"
        ig.set(status="", available=3)
        assert opening(other, "BUY", 9, time_in_force="FILL_OR_KILL")["reason"] == "ORDER_SIZE_CANNOT_BE_FILLED"
        assert opening(other, "BUY", 9, time_in_force="EXECUTE_AND_ELIMINATE")["size"] == 3.0
        ig.reset()
        assert opening(other, "BUY", 1_000_000)["reason"] == "INSUFFICIENT_FUNDS"
        with pytest.raises(IGException, match="validation"):
            opening(other, "BUY", 0)

    await asyncio.to_thread(work)
    assert ig.accounts[OTHER_ACCOUNT].net() == {EPIC: 3}


async def test_opposite_orders_net_or_stand_beside_each_other(ig: StandIn) -> None:
    def work() -> None:
        other = client(ig)
        other.create_session()
        opening(other, "BUY", 5)
        opening(other, "SELL", 5, force_open=True)
        assert len(other.fetch_open_positions()["positions"]) == 2
        opening(other, "SELL", 8)
        rows = other.fetch_open_positions()["positions"]
        assert sorted((one["position"]["direction"], one["position"]["size"]) for one in rows) == [
            ("SELL", 3.0),
            ("SELL", 5.0),
        ]

    await asyncio.to_thread(work)
    assert ig.accounts[OTHER_ACCOUNT].net() == {EPIC: -8}


async def test_funding_and_dividends_move_the_balance(ig: StandIn) -> None:
    ig.account.execute(Ticket("r", EPIC, "BUY", Decimal(100), "AUD"), ig.now(), status="TRADEABLE")
    before = ig.account.balance
    charged = ig.account.charge_funding(ig.now())
    paid = ig.account.pay_dividend(EPIC, Decimal("1.50"), ig.now())
    assert charged > 0
    assert ig.account.balance == before - charged + paid
    assert [one.kind for one in ig.account.movements] == ["WITH", "WITH", "DEPO"]
