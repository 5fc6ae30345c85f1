"""What a person can ask of the stand-in itself: switches, books, log, and what happens on the account without us."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from harness.https_proxy import Head, Reply, as_text
from harness.ig.account import Ticket
from harness.ig.switches import Switches

if TYPE_CHECKING:
    from harness.ig.standin import StandIn

HELP = (
    "GET or PUT /switches, GET /books, GET /log, POST /expire, POST /funding, "
    'POST /dividend {"epic", "amount"}, POST /deposit {"amount"}, POST /price {"epic", "price", "status"}, '
    'POST /manual {"epic", "direction", "size"}; everything else is for CONNECT\n'
)


def control(world: StandIn, head: Head) -> Reply:
    """Answer a person."""
    handler = _HANDLERS.get((head.method, head.target))
    if handler is None:
        return as_text(404, HELP)
    try:
        found = handler(world, json.loads(head.body) if head.body else {})
    except (ValueError, KeyError, ArithmeticError) as error:
        return as_text(400, f"{error}\n")
    return Reply(200, json.dumps(found, default=str, indent=1).encode())


def books(world: StandIn) -> dict[str, Any]:
    """Return the account's books as plain values."""
    account = world.account
    return {
        "net": account.net(),
        "positions": [asdict(one) for one in account.positions.values()],
        "working": [asdict(one) for one in account.working.values()],
        "deals": [asdict(one) for one in account.deals],
        "movements": [asdict(one) for one in account.movements],
        "balance": account.balance,
        "margin": account.margin,
        "available": account.available,
    }


def _read_switches(world: StandIn, body: Any) -> Any:
    return asdict(world.switches)


def _turn_switches(world: StandIn, body: Any) -> Any:
    world.switches = Switches().changed(body)
    return asdict(world.switches)


def _expire(world: StandIn, body: Any) -> Any:
    world.expire()
    return {}


def _funding(world: StandIn, body: Any) -> Any:
    return {"charged": world.account.charge_funding(world.now())}


def _dividend(world: StandIn, body: Any) -> Any:
    return {"paid": world.account.pay_dividend(body["epic"], Decimal(str(body["amount"])), world.now())}


def _deposit(world: StandIn, body: Any) -> Any:
    world.account.deposit(Decimal(str(body["amount"])), world.now())
    return {"balance": world.account.balance}


def _price(world: StandIn, body: Any) -> Any:
    market = world.markets[body["epic"]]
    market.price = Decimal(str(body.get("price", market.price)))
    market.status = body.get("status", market.status)
    world.account.stop_out(world.now())
    return asdict(market)


def _manual(world: StandIn, body: Any) -> Any:
    """Trade as a person with the same account would: with a reference that is not ours."""
    account = world.account
    ticket = Ticket(
        reference=f"person{len(account.deals) + 1}",
        epic=body["epic"],
        direction=body["direction"],
        size=Decimal(str(body["size"])),
        currency=world.markets[body["epic"]].currency,
    )
    return asdict(account.execute(ticket, world.now(), status="TRADEABLE"))


_HANDLERS: dict[tuple[str, str], Callable[[StandIn, Any], Any]] = {
    ("GET", "/switches"): _read_switches,
    ("PUT", "/switches"): _turn_switches,
    ("GET", "/books"): lambda world, body: books(world),
    ("GET", "/log"): lambda world, body: [asdict(one) for one in world.log[-1000:]],
    ("POST", "/expire"): _expire,
    ("POST", "/funding"): _funding,
    ("POST", "/dividend"): _dividend,
    ("POST", "/deposit"): _deposit,
    ("POST", "/price"): _price,
    ("POST", "/manual"): _manual,
}
