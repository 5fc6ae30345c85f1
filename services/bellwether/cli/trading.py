"""Commands that trade by hand, approve, move the simulated account's money, and export."""

from __future__ import annotations

import csv
import sys
import uuid
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from bellwether.cli.options import GatewayAccess, talks

_CHANGE = "Change"
_LOOK = "Look"
_PAGE = 2000
_NEGATIVE = {"ignore_unknown_options": True}
"""With it -4 is an amount, which is refused as one, and no option."""
_OVER = frozenset({"filled", "refused", "rejected", "expired"})
"""States of an order that a cancellation does not change."""

OrderId = Annotated[str, typer.Argument(metavar="ORDER", help="The order, from `bellwether orders`.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="Money of the account: 2500, 99.95.")]
TransferId = Annotated[
    str | None, typer.Option("--id", help="Your id of the transfer: the same one counts once. Else a new one.")
]
Note = Annotated[str, typer.Option("--note", help="A few words for whoever reads it later.")]


class Action(StrEnum):
    """What an order does."""

    BUY = "BUY"
    SELL = "SELL"


class Table(StrEnum):
    """What can be exported."""

    trades = "trades"
    lots = "lots"


def add_trading(app: typer.Typer) -> None:
    """Add the commands to the list."""
    _add_orders(app)
    _add_money(app)
    _add_books(app)


def _add_orders(app: typer.Typer) -> None:
    @app.command(rich_help_panel=_CHANGE)
    @talks
    def trade(
        access: GatewayAccess,
        symbol: Annotated[str, typer.Argument(help="The share, as declared: AAPL, CBA.AX.")],
        action: Annotated[Action, typer.Argument(case_sensitive=False, help="BUY or SELL.")],
        quantity: Annotated[int, typer.Argument(min=1, help="Whole shares.")],
        client_id: Annotated[
            str | None, typer.Option("--id", help="Your id of the order: the same one is never a second order.")
        ] = None,
    ) -> None:
        """Queue an order by hand for the next session; it passes the same guards.

        The answer says queued, that it waits for approval, or failed and why.
        It says executed only of an order that was filled. Ends with 1 when it
        failed.
        """
        body = {"symbol": symbol, "action": action.value, "quantity": quantity, "client_id": client_id or _new_id()}
        found = access.client.send("POST", "/v1/trades", body)
        access.show(found, _trade)
        if found["status"] == "failed":
            raise SystemExit(1)

    @app.command(rich_help_panel=_CHANGE)
    @talks
    def approve(access: GatewayAccess, order: OrderId) -> None:
        """Allow an order that waits for approval (trading.approval: required)."""
        found = access.client.send("POST", f"/v1/orders/{order}/approve", {"by": "cli"})
        access.show(found, _order)

    @app.command(rich_help_panel=_CHANGE)
    @talks
    def cancel(access: GatewayAccess, order: OrderId) -> None:
        """End an order that is not filled yet; ends with 1 where it was over already."""
        found = access.client.send("POST", f"/v1/orders/{order}/cancel", {"by": "cli"})
        access.show(found, _order)
        if found["status"] in _OVER:
            raise SystemExit(1)


def _add_money(app: typer.Typer) -> None:
    @app.command(rich_help_panel=_CHANGE, context_settings=_NEGATIVE)
    @talks
    def deposit(access: GatewayAccess, amount: Amount, transfer_id: TransferId = None, note: Note = "") -> None:
        """Put cash into the simulated account."""
        _transfer(access, _money(amount), transfer_id, note)

    @app.command(rich_help_panel=_CHANGE, context_settings=_NEGATIVE)
    @talks
    def withdraw(access: GatewayAccess, amount: Amount, transfer_id: TransferId = None, note: Note = "") -> None:
        """Take cash out of the simulated account."""
        _transfer(access, f"-{_money(amount)}", transfer_id, note)


def _add_books(app: typer.Typer) -> None:
    @app.command(rich_help_panel=_CHANGE)
    @talks
    def reconcile(access: GatewayAccess) -> None:
        """Compare positions with the broker now; ends with 1 when they differ."""
        found = access.client.send("POST", "/v1/reconcile")
        access.show(found, _synced)
        if found["differences"]:
            raise SystemExit(1)

    @app.command(rich_help_panel=_LOOK)
    @talks
    def export(
        access: GatewayAccess,
        what: Annotated[Table, typer.Argument(help="trades: every fill; lots: tax lots, first in, first out.")],
        file: Annotated[Path | None, typer.Option("--file", help="Where to write it; else to the output.")] = None,
    ) -> None:
        """Write trades or tax lots as CSV.

        `held_12_months` of a lot is Australia's mark for the discount on capital
        gains: more than 12 months between the days of purchase and sale.
        """
        columns, rows = _table(access, what.value)
        if file is None:
            _write(sys.stdout, columns, rows)
        else:
            with file.open("w", encoding="utf-8", newline="") as out:
                _write(out, columns, rows)


def _new_id() -> str:
    return f"cli-{uuid.uuid4().hex[:20]}"


def _money(amount: str) -> str:
    if not amount.replace(".", "", 1).isdigit():
        raise typer.BadParameter(f"{amount!r} is no amount of money; write 2500 or 99.95", param_hint="AMOUNT")
    return amount


def _transfer(session: Any, amount: str, transfer_id: str | None, note: str) -> None:
    body = {"amount": amount, "transfer_id": transfer_id or _new_id(), "note": note}
    session.show(session.client.send("POST", "/v1/transfers", body), _account)


def _table(session: Any, what: str) -> tuple[list[str], list[list[str]]]:
    rows: list[list[str]] = []
    while True:
        page = session.client.get(f"/v1/export/{what}", skip=len(rows), limit=_PAGE)
        rows += page["rows"]
        if len(rows) >= page["total"] or not page["rows"]:
            return page["columns"], rows


def _write(out: Any, columns: list[str], rows: list[list[str]]) -> None:
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def _trade(found: dict[str, Any]) -> str:
    order = found["order"]
    waits = order["status"] == "awaiting_approval"
    state = "waits for approval" if waits else found["status"]
    said = [f"{state}: {found['action']} {found['quantity']} {found['symbol']} for {order['session']}"]
    said[0] += f", order {found['trade_id']}"
    if waits:
        said.append(f"`bellwether approve {found['trade_id']}` allows it; else it expires at that open")
    if found["error"]:
        said.append(_in_words(found["error"]))
    return "\n".join(said)


def _order(order: dict[str, Any]) -> str:
    said = f"{order['order_id']}: {order['side']} {order['quantity']} {order['symbol']} is {order['status']}"
    return said + (f"\n{_in_words(order['refusal'])}" if order["refusal"] else "")


def _in_words(refusal: str) -> str:
    """Return a refusal with what its code means: `CODE: value=... limit=...` has only the code."""
    from bellwether.trading.codes import Code

    name, _, seen = refusal.partition(": ")
    return f"{name}: {Code[name].value} ({seen})" if name in Code.__members__ else refusal


def _account(account: dict[str, Any]) -> str:
    return f"cash {account['cash']} {account['currency']}, equity {account['equity']}"


def _synced(found: dict[str, Any]) -> str:
    if not found["differences"]:
        return f"{found['synced_positions']} positions agree with the broker"
    return "\n".join(["these differ from the broker and are blocked:", *found["differences"]])
