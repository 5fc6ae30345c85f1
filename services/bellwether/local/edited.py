"""`bellwether plan FILE --replay N`: which orders of the newest sessions an edit would have changed, and why."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from bellwether.lineage.past import PastError, read_past
from bellwether.local.files import RunError
from bellwether.local.spans import Left, Span, last_sessions, newest, over, replay
from bellwether.messages.trading import Order
from bellwether.spec.models import TradingSystem

Kind = Literal["new", "gone", "changed"]
EXIT_WORDS = {
    "horizon": "it was held for exit.horizonSessions",
    "stop_loss": "it fell to exit.stopLoss",
    "take_profit": "it rose to exit.takeProfit",
    "trailing_stop": "it fell to exit.trailingStop",
}


@dataclass(frozen=True)
class ChangedOrder:
    """An order that one of the two declarations makes otherwise."""

    session: date
    symbol: str
    side: str
    kind: Kind
    before: str
    """What becomes of it under the declaration in force; empty where there is none."""
    after: str
    why: str


@dataclass(frozen=True)
class Edited:
    """What an edit would have changed over some sessions."""

    span: Span
    orders_before: int
    orders_after: int
    equity_before: str
    equity_after: str
    changes: list[ChangedOrder]
    notes: list[str]


@dataclass(frozen=True)
class Bars:
    """Where bars come from: a database of stored ones; without it the declared source, looked for from `base` on."""

    stored: Path | None
    base: Path


async def what_would_change(
    before: TradingSystem,
    after: TradingSystem,
    count: int,
    bars: Bars,
    say: Callable[[str], None],
    *,
    until: date | None = None,
) -> Edited:
    """Replay the newest `count` sessions under both declarations over the same versions of bars, and compare orders.

    `until` is the last day that is looked at; without it all that there is.

    Raises:
        RunError: if there are no bars, or a replay failed; in words.
    """
    stored, base = bars.stored, bars.base
    known = last_sessions(stored) if stored is not None else _of_source(before, base) | _of_source(after, base)
    notes, sides = [], []
    for name, system in (("in force", before), ("edited", after)):
        without = [one for one in system.spec.symbols if one not in known]
        kept = [one for one in system.spec.symbols if one in known]
        if not kept:
            raise RunError(f"the declaration {name}: none of its symbols has bars")
        if without:
            notes.append(f"{name}: without bars, so left out: {', '.join(without)}")
        if system.spec.sentiment.provider not in ("none", "csv"):
            notes.append(f"{name}: news of {system.spec.sentiment.provider} has no history, so none is seen")
        sides.append(system.model_copy(update={"spec": system.spec.model_copy(update={"symbols": kept})}))
    last = min(max(known[symbol] for system in sides for symbol in system.spec.symbols), until or date.max)
    span = newest(before, last, count)
    both = [over(system, span, stored=stored is not None) for system in sides]
    notes.append(
        f"both begin flat before {span.first}, each with its own initialCash, and with a model made of the bars "
        "before that day"
    )
    with tempfile.TemporaryDirectory(prefix="bellwether-plan-") as name:
        folder = Path(name)
        say(f"replaying {span.first} to {span.last} as declared now")
        old = await replay(both[0], folder / "before", stored)
        say("and as edited")
        models = folder / "before" / "ml-model" if _same_model(*both) else None
        new = await replay(both[1], folder / "after", stored, models)
    if not old.orders and not new.orders:
        notes.append(no_orders(old, new))
    return Edited(
        span=span,
        orders_before=len(old.orders),
        orders_after=len(new.orders),
        equity_before=str(old.equity[-1].equity) if old.equity else "-",
        equity_after=str(new.equity[-1].equity) if new.equity else "-",
        changes=changed_orders(old, new, set(after.spec.symbols)),
        notes=notes,
    )


def no_orders(old: Left, new: Left) -> str:
    """Return why two replays without any order say nothing about the edit (pure)."""
    said = []
    for name, left in (("now", old), ("as edited", new)):
        made = left.decisions.values()
        held = sum(one.action == "HOLD" for one in made)
        flat = sum(one.model_available and one.probability == one.base_rate for one in made)
        why = f" ({flat} at the base rate: the model's scores do not order outcomes)" if flat else ""
        said.append(f"{held} of {len(made)} predictions are HOLD {name}{why}")
    return f"there was no order to change: {', '.join(said)}; other sessions may tell more (--at, a greater --replay)"


def _of_source(system: TradingSystem, base: Path) -> dict[str, date]:
    if system.spec.data.provider == "yahoo":
        raise RunError(
            "--replay needs bars: Yahoo is asked by a running system only; name the folder of a run with --data"
        )
    try:
        past = read_past(system, base)
    except PastError as error:
        raise RunError(str(error)) from error
    return {symbol: one.bars[-1].session for symbol, one in past.recorded.items() if one.bars}


def _same_model(before: TradingSystem, after: TradingSystem) -> bool:
    """Return whether both would learn the same model: of the same recipe, from the same shares."""
    one, other = before.spec, after.spec
    same = one.predictions.model == other.predictions.model and sorted(one.symbols) == sorted(other.symbols)
    return same and one.market == other.market


_Key = tuple[date, str, str]


def changed_orders(old: Left, new: Left, declared: set[str]) -> list[ChangedOrder]:
    """Return the orders that are not the same in both, by session, symbol and side, each with its reason (pure)."""
    mine, theirs = _by_key(old), _by_key(new)
    found = []
    for key in sorted(mine.keys() | theirs.keys()):
        before, after = mine.get(key), theirs.get(key)
        if before is not None and after is not None and _as_text(before) == _as_text(after):
            continue
        kind: Kind = "new" if before is None else "gone" if after is None else "changed"
        found.append(
            ChangedOrder(
                *key,
                kind,
                "" if before is None else _as_text(before),
                "" if after is None else _as_text(after),
                _why(before, after, old, new, declared),
            )
        )
    return found


def _by_key(left: Left) -> Mapping[_Key, Order]:
    return {(one.session, one.symbol, one.side): one for one in left.orders}


def _as_text(order: Order) -> str:
    at = "" if order.fill_price is None else f" at {order.fill_price}"
    refusal = f" ({order.refusal})" if order.refusal else ""
    return f"{order.filled_quantity or order.quantity} {order.status}{at}{refusal}"


def _why(before: Order | None, after: Order | None, old: Left, new: Left, declared: set[str]) -> str:
    if before is not None and after is not None:
        return _difference(before, after)
    made, lacks, where = (after, old, "now") if before is None else (before, new, "as edited")
    assert made is not None  # noqa: S101 (one of the two is there)
    if before is not None and made.symbol not in declared:
        return f"{made.symbol} is not declared any more"
    if made.reason in EXIT_WORDS:
        return f"{EXIT_WORDS[made.reason]} in one of the two only: what was held, or the rule, differs"
    decision = lacks.decisions.get(made.prediction_id or "")
    if decision is None:
        return f"{where} nothing is decided about {made.symbol} for that session"
    refused = lacks.refusals.get(decision.prediction_id)
    said = f"{decision.action}, probability {decision.probability:.4f}, BUY from {decision.buy_threshold:.4f}"
    if refused is not None:
        return f"{where} {said}; refused by {refused}"
    return f"{where} {said}"


def _difference(before: Order, after: Order) -> str:
    if before.status != after.status:
        return f"{before.status} now, {after.status} as edited" + (f": {after.refusal}" if after.refusal else "")
    if before.quantity != after.quantity:
        reduced = after.reduction or before.reduction
        sized = f"made smaller by {reduced}" if reduced else "the sizing rule, or the equity that it sizes by, differs"
        return f"{before.quantity} shares now, {after.quantity} as edited: {sized}"
    return "its price or costs differ: slippage, commission or the filled quantity"
