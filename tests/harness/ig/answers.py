"""The JSON of IG's REST reference, from the account's books. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from harness.ig.account import Account, Deal, Movement, Position, WorkingOrder
from harness.ig.markets import Market

Json = dict[str, Any]
_SYMBOLS = {"AUD": "A$", "USD": "$", "GBP": "£", "EUR": "€"}
_ACTIONS = {
    "OPENED": "POSITION_OPENED",
    "FULLY_CLOSED": "POSITION_CLOSED",
    "PARTIALLY_CLOSED": "POSITION_PARTIALLY_CLOSED",
    "DELETED": "WORKING_ORDER_DELETED",
}


def number(value: Decimal | None) -> float | None:
    """Return an exact number as JSON has it."""
    return None if value is None else float(value)


def login(account: Account, others: list[str], offset: int) -> Json:
    """Return the answer of POST /session, version 2."""
    return {
        "accountType": "CFD",
        "accountInfo": _balance(account),
        "currencyIsoCode": account.currency,
        "currencySymbol": _SYMBOLS.get(account.currency, account.currency),
        "currentAccountId": account.account_id,
        "lightstreamerEndpoint": "https://demo-apd.marketdatasystems.com",
        "accounts": [
            {"accountId": one, "accountName": "CFD", "preferred": number == 0, "accountType": "CFD"}
            for number, one in enumerate(others)
        ],
        "clientId": "100112233",
        "timezoneOffset": offset,
        "hasActiveDemoAccounts": True,
        "hasActiveLiveAccounts": False,
        "trailingStopsEnabled": False,
        "reroutingEnvironment": None,
        "dealingEnabled": True,
    }


def session(account: Account, offset: int) -> Json:
    """Return the answer of GET /session, version 1."""
    return {
        "clientId": "100112233",
        "accountId": account.account_id,
        "timezoneOffset": offset,
        "locale": "en_AU",
        "currency": account.currency,
        "lightstreamerEndpoint": "https://demo-apd.marketdatasystems.com",
    }


def _balance(account: Account) -> Json:
    return {
        "balance": number(account.balance),
        "deposit": number(account.margin),
        "profitLoss": number(account.profit_loss),
        "available": number(account.available),
    }


def accounts(all_of_them: list[Account]) -> Json:
    """Return the answer of GET /accounts, version 1."""
    return {
        "accounts": [
            {
                "accountId": account.account_id,
                "accountName": "CFD",
                "accountAlias": None,
                "status": "ENABLED",
                "accountType": "CFD",
                "preferred": place == 0,
                "balance": _balance(account),
                "currency": account.currency,
                "canTransferFrom": True,
                "canTransferTo": True,
            }
            for place, account in enumerate(all_of_them)
        ]
    }


def applications(key: str) -> list[Json]:
    """Return the answer of GET /operations/application, version 1."""
    return [
        {
            "name": "stand-in",
            "apiKey": key,
            "status": "ENABLED",
            "allowanceAccountOverall": 30,
            "allowanceAccountTrading": 100,
            "concurrentSubscriptionsLimit": 40,
            "allowanceAccountHistoricalData": 10000,
            "createdDate": 1476369540000,
        }
    ]


def _snapshot(market: Market, status: str, now: datetime) -> Json:
    return {
        "marketStatus": status,
        "netChange": 0.0,
        "percentageChange": 0.0,
        "updateTime": f"{now:%H:%M:%S}",
        "delayTime": 0,
        "bid": number(market.bid),
        "offer": number(market.offer),
        "high": number(market.offer),
        "low": number(market.bid),
        "binaryOdds": None,
        "decimalPlacesFactor": 2,
        "scalingFactor": 1,
        "controlledRiskExtraSpread": 0.0,
    }


def market(of: Market, status: str, now: datetime) -> Json:
    """Return the answer of GET /markets/{epic}, version 3."""
    distance = {"unit": "POINTS", "value": 1.0}
    return {
        "instrument": {
            "epic": of.epic,
            "expiry": of.expiry,
            "name": of.name,
            "forceOpenAllowed": True,
            "stopsLimitsAllowed": True,
            "lotSize": 1.0,
            "unit": "SHARES",
            "type": of.kind,
            "controlledRiskAllowed": True,
            "streamingPricesAvailable": False,
            "marketId": of.epic.split(".")[2],
            "currencies": [
                {
                    "code": of.currency,
                    "symbol": _SYMBOLS.get(of.currency, of.currency),
                    "baseExchangeRate": 1.0,
                    "exchangeRate": 1.0,
                    "isDefault": True,
                }
            ],
            "sprintMarketsMinimumExpiryTime": None,
            "sprintMarketsMaximumExpiryTime": None,
            "marginDepositBands": [
                {"min": 0, "max": None, "margin": number(of.margin_factor), "currency": of.currency}
            ],
            "marginFactor": number(of.margin_factor),
            "marginFactorUnit": "PERCENTAGE",
            "slippageFactor": {"unit": "pct", "value": 100.0},
            "limitedRiskPremium": {"value": 0.3, "unit": "PERCENTAGE"},
            "openingHours": None,
            "expiryDetails": None,
            "rolloverDetails": None,
            "newsCode": None,
            "chartCode": None,
            "country": "AU",
            "valueOfOnePip": "1",
            "onePipMeans": "1",
            "contractSize": "1",
            "specialInfo": ["DEFAULT KNOCK OUT LEVEL DISTANCE"],
        },
        "dealingRules": {
            "minStepDistance": distance,
            "minDealSize": {"unit": of.min_size_unit, "value": number(of.min_size)},
            "minControlledRiskStopDistance": {"unit": "PERCENTAGE", "value": 5.0},
            "minNormalStopOrLimitDistance": {"unit": "PERCENTAGE", "value": 1.0},
            "maxStopOrLimitDistance": {"unit": "PERCENTAGE", "value": 75.0},
            "controlledRiskSpacing": distance,
            "marketOrderPreference": of.order_preference,
            "trailingStopsPreference": "AVAILABLE",
        },
        "snapshot": _snapshot(of, status, now),
    }


def markets(several: list[tuple[Market, str]], now: datetime) -> Json:
    """Return the answer of GET /markets?epics=, version 2."""
    return {"marketDetails": [market(one, status, now) for one, status in several]}


def _quoted(of: Market, status: str, now: datetime) -> Json:
    return {
        "instrumentName": of.name,
        "expiry": of.expiry,
        "epic": of.epic,
        "instrumentType": of.kind,
        "lotSize": 1.0,
        "high": number(of.offer),
        "low": number(of.bid),
        "percentageChange": 0.0,
        "netChange": 0.0,
        "bid": number(of.bid),
        "offer": number(of.offer),
        "updateTime": f"{now:%H:%M:%S}",
        "updateTimeUTC": f"{now:%H:%M:%S}",
        "delayTime": 0,
        "streamingPricesAvailable": False,
        "marketStatus": status,
        "scalingFactor": 1,
    }


def position(one: Position, of: Market, status: str, now: datetime, offset: int) -> Json:
    """Return one row of GET /positions, version 2."""
    local = one.opened + timedelta(hours=offset)
    return {
        "position": {
            "contractSize": 1.0,
            "createdDate": f"{local:%Y/%m/%d %H:%M:%S}:000",
            "createdDateUTC": f"{one.opened:%Y-%m-%dT%H:%M:%S}",
            "dealId": one.deal_id,
            "dealReference": one.reference,
            "size": number(one.size),
            "direction": one.direction,
            "limitLevel": None,
            "level": number(one.level),
            "currency": one.currency,
            "controlledRisk": False,
            "stopLevel": number(one.stop_level),
            "trailingStep": None,
            "trailingStopDistance": None,
            "limitedRiskPremium": None,
        },
        "market": _quoted(of, status, now),
    }


def working(one: WorkingOrder, of: Market, status: str, now: datetime, offset: int) -> Json:
    """Return one row of GET /workingorders, version 2."""
    local = one.created + timedelta(hours=offset)
    return {
        "workingOrderData": {
            "dealId": one.deal_id,
            "direction": one.direction,
            "epic": one.epic,
            "orderSize": number(one.size),
            "orderLevel": number(one.level),
            "timeInForce": "GOOD_TILL_CANCELLED" if one.good_till is None else "GOOD_TILL_DATE",
            "goodTillDate": one.good_till,
            "goodTillDateISO": None,
            "createdDate": f"{local:%Y/%m/%d %H:%M:%S}:000",
            "createdDateUTC": f"{one.created:%Y-%m-%dT%H:%M:%S}",
            "guaranteedStop": False,
            "orderType": one.kind,
            "stopDistance": None,
            "limitDistance": None,
            "currencyCode": one.currency,
            "dma": False,
            "limitedRiskPremium": None,
        },
        "marketData": _quoted(of, status, now) | {"exchangeId": "ASX"},
    }


def confirm(deal: Deal, *, names_opening: bool) -> Json:
    """Return the answer of GET /confirms/{dealReference}, version 1."""
    ticket = deal.ticket
    deal_id = deal.affected[0][0] if names_opening and deal.closes else deal.deal_id
    return {
        "date": f"{deal.at:%Y-%m-%dT%H:%M:%S}.{deal.at.microsecond // 1000:03d}",
        "status": _status(deal),
        "reason": deal.reason,
        "dealStatus": "ACCEPTED" if deal.accepted else "REJECTED",
        "epic": ticket.epic,
        "expiry": "-" if deal.accepted else None,
        "dealReference": ticket.reference,
        "dealId": deal_id,
        "affectedDeals": [{"dealId": one, "status": status} for one, status in deal.affected],
        "level": number(deal.level),
        "size": number(deal.filled if deal.filled else ticket.size) if deal.accepted else None,
        "direction": ticket.direction,
        "stopLevel": None,
        "limitLevel": None,
        "stopDistance": None,
        "limitDistance": None,
        "guaranteedStop": False,
        "trailingStop": False,
        "profit": number(deal.profit),
        "profitCurrency": None if deal.profit is None else ticket.currency,
    }


def _status(deal: Deal) -> str | None:
    if not deal.accepted:
        return None
    statuses = [status for _, status in deal.affected]
    if "OPENED" in statuses:
        return "OPEN"
    if "DELETED" in statuses:
        return "DELETED"
    return "PARTIALLY_CLOSED" if "PARTIALLY_CLOSED" in statuses else "CLOSED"


def activity(deal: Deal, of: Market | None, *, detailed: bool, offset: int) -> Json:
    """Return one row of GET /history/activity, version 3."""
    ticket = deal.ticket
    local = deal.at + timedelta(hours=offset)
    said = {"OPENED": "opened", "FULLY_CLOSED": "closed", "PARTIALLY_CLOSED": "partially closed", "DELETED": "deleted"}
    words = ", ".join(f"{said.get(status, status)}: {one[-8:]}" for one, status in deal.affected)
    row: Json = {
        "date": f"{local:%Y-%m-%dT%H:%M:%S}",
        "epic": ticket.epic,
        "period": "-",
        "dealId": deal.deal_id,
        "channel": "SYSTEM" if ticket.by_stop else "PUBLIC_WEB_API",
        "type": "WORKING_ORDER" if deal.working else "POSITION",
        "status": "ACCEPTED" if deal.accepted else "REJECTED",
        "description": f"Position {words}" if deal.accepted else f"Order rejected: {deal.reason}",
        "details": None,
    }
    if detailed:
        row["details"] = {
            "dealReference": ticket.reference,
            "actions": [
                {
                    "actionType": "WORKING_ORDER_OPENED"
                    if deal.working and status == "OPENED"
                    else _ACTIONS.get(status, "UNKNOWN"),
                    "affectedDealId": one,
                }
                for one, status in deal.affected
            ],
            "marketName": ticket.epic if of is None else of.name,
            "goodTillDate": None,
            "currency": ticket.currency,
            "size": number(deal.filled or ticket.size),
            "direction": ticket.direction,
            "level": number(deal.level),
            "stopLevel": None,
            "stopDistance": None,
            "guaranteedStop": False,
            "trailingStopDistance": None,
            "trailingStep": None,
            "limitLevel": None,
            "limitDistance": None,
        }
    return row


def activities(rows: list[Json], size: int, following: str | None) -> Json:
    """Return the answer of GET /history/activity, version 3."""
    return {"activities": rows, "metadata": {"paging": {"size": size, "next": following}}}


def transaction(one: Movement, currency: str, offset: int) -> Json:
    """Return one row of GET /history/transactions, version 2."""
    local = one.at + timedelta(hours=offset)
    symbol = _SYMBOLS.get(currency, currency)
    return {
        "date": f"{local:%Y-%m-%d}",
        "dateUtc": f"{one.at:%Y-%m-%dT%H:%M:%S}",
        "openDateUtc": f"{one.at:%Y-%m-%dT%H:%M:%S}",
        "instrumentName": one.name,
        "period": "-",
        "profitAndLoss": f"{symbol}{one.amount:,.2f}",
        "transactionType": one.kind,
        "reference": one.reference,
        "openLevel": "-" if one.open_level is None else str(one.open_level),
        "closeLevel": "0" if one.close_level is None else str(one.close_level),
        "size": "-" if one.size is None else f"{one.size:+}",
        "currency": symbol,
        "cashTransaction": one.cash,
    }


def transactions(rows: list[Json], page: int, size: int, total: int) -> Json:
    """Return the answer of GET /history/transactions, version 2."""
    pages = 0 if size == 0 else -(-total // size)
    return {
        "transactions": rows,
        "metadata": {"size": total, "pageData": {"pageSize": size, "pageNumber": page, "totalPages": pages}},
    }
