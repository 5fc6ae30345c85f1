"""What IG's records of an account say: positions, resting orders, activity, transactions; as IG's own rows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bellwether.broker.ig.client import IgClient, IgError
from bellwether.broker.ig.facts import exact
from bellwether.broker.ig.words import EQUITY
from bellwether.broker.port import NoBroker
from bellwether.broker.values import ZERO

MARGIN_OF_TIME = timedelta(hours=36)
"""How much earlier than an order its activity is asked for: dates there are in the account's own time zone."""
LOOK_BACK = timedelta(days=7)
ALL_ROWS = 500
MOST_PAGES = 20

Row = dict[str, Any]


class Records:
    """Questions to one account. Each raises NoBroker while IG does not answer it."""

    def __init__(self, client: IgClient) -> None:
        self._client = client

    async def ask(self, path: str, version: int, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return an answer.

        Raises:
            NoBroker: IG does not answer, or with an error.
        """
        try:
            return await self._client.get(path, version, params)
        except IgError as error:
            code = "NO_SHARE_DATA" if error.code == EQUITY else "IG_ERROR"
            raise NoBroker(code, error.words) from None

    async def positions(self) -> list[Row]:
        """Return the open positions."""
        return list((await self.ask("/positions", 2)).get("positions") or ())

    async def net(self, epic: str) -> Decimal:
        """Return the net size in an epic, in contracts."""
        return sum((signed(row) for row in await self.positions() if epic_of(row) == epic), ZERO)

    async def resting(self) -> list[str]:
        """Return the deal ids of the orders that rest on the account."""
        rows = (await self.ask("/workingorders", 2)).get("workingOrders") or ()
        return [str((row.get("workingOrderData") or {}).get("dealId") or "") for row in rows]

    async def activity(self, since: datetime, deal_id: str = "") -> list[Row]:
        """Return the activity since an instant, all pages of it; of one deal, if one is named."""
        params = {"from": f"{since - MARGIN_OF_TIME:%Y-%m-%dT%H:%M:%S}", "detailed": "true", "pageSize": str(ALL_ROWS)}
        if deal_id:
            params["dealId"] = deal_id
        rows: list[Row] = []
        for _ in range(MOST_PAGES):
            answer = await self.ask("/history/activity", 3, params)
            rows += answer.get("activities") or ()
            following = ((answer.get("metadata") or {}).get("paging") or {}).get("next")
            if not following:
                break
            params = _query_of(str(following), params)
        return rows

    async def opened_by(self, deal_id: str, now: datetime) -> str:
        """Return the reference of the order that made a deal of the last days; empty where nothing tells it."""
        rows = await self.activity(now - LOOK_BACK, deal_id)
        return next((str((row.get("details") or {}).get("dealReference") or "") for row in rows), "")

    async def transactions(self, since: datetime) -> list[Row]:
        """Return what moved money since an instant."""
        params = {"type": "ALL", "from": f"{since - MARGIN_OF_TIME:%Y-%m-%dT%H:%M:%S}", "pageSize": "0"}
        return list((await self.ask("/history/transactions", 2, params)).get("transactions") or ())


def epic_of(row: Mapping[str, Any]) -> str:
    """Return the epic of a position."""
    return str((row.get("market") or {}).get("epic") or "")


def signed(row: Mapping[str, Any]) -> Decimal:
    """Return the size of a position in contracts, below zero of a short one."""
    position = row.get("position") or {}
    size = exact(position.get("size"), "size")
    return size if position.get("direction") == "BUY" else -size


def _query_of(following: str, before: Mapping[str, str]) -> dict[str, str]:
    """Return the query of the next page, as the answer names it."""
    return {**before, **{name: value for name, value in parse_qsl(urlsplit(following).query) if name != "version"}}
