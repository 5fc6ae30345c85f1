"""The guards: one list of pure functions that every decision and order passes, first without an order, then with it.

A guard sees the situation and, in the second round, the order that would follow. It returns nothing when it has no
objection, else its value beside its limit. The same list runs when an order is made and again, with prices and cash
of that instant, when the session opens.

Some guards judge no order but the state of the whole system, some that of one symbol: asked alone, those tell whether
an order would be allowed if the session were open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from bellwether.messages.alarms import FULL_PERCENT
from bellwether.trading.codes import Code
from bellwether.trading.pricing import PRICE_STEP, text
from bellwether.trading.situation import Candidate, Situation


class Objection(NamedTuple):
    """The value that a guard saw and the limit it holds to, as text."""

    value: str
    limit: str


NO_OBJECTION = Objection("", "")


class Verdict(NamedTuple):
    """What the list said: code and objection of the first guard that refused (no code: none did), and who passed it."""

    code: Code | None
    objection: Objection
    passed: tuple[str, ...]
    """The codes of the guards before it, as they are written."""

    @property
    def refusal(self) -> tuple[str, str, str]:
        """Code, value and limit as they are written; all empty where nothing was refused."""
        return "" if self.code is None else self.code.name, *self.objection


Guard = Callable[[Situation, Candidate | None], Objection | None]


def no_real_price(situation: Situation, order: Candidate | None) -> Objection | None:
    """A price of zero stands for no price."""
    return Objection(text(situation.price), "more than 0") if situation.price <= 0 else None


def not_for_trading(situation: Situation, order: Candidate | None) -> Objection | None:
    """A prediction that only informs."""
    return None if situation.may_trade else Objection("may_trade=false", "may_trade=true")


def trading_off(situation: Situation, order: Candidate | None) -> Objection | None:
    """The declaration wants predictions only."""
    return Objection("off", "trading.mode simulated") if situation.rules.mode == "off" else None


def halted(situation: Situation, order: Candidate | None) -> Objection | None:
    """Somebody or something stopped every order."""
    return Objection("; ".join(situation.halts), "no halt") if situation.halts else None


def unknown_symbol(situation: Situation, order: Candidate | None) -> Objection | None:
    """A position is only opened in declared symbols; one that was removed can still be sold."""
    if situation.side == "SELL" or situation.symbol in situation.rules.symbols:
        return None
    return Objection(situation.symbol, "one of " + ", ".join(sorted(situation.rules.symbols)))


def broker_unreconciled(situation: Situation, order: Candidate | None) -> Objection | None:
    """What is held is not certain: an order could buy it twice, or sell more than there is."""
    words = situation.circumstances.unreconciled.get(situation.symbol)
    return None if words is None else Objection(words, "the broker confirms the ledger's position")


def data_stale(situation: Situation, order: Candidate | None) -> Objection | None:
    """A position is only opened on bars as new as can be expected; closing stays possible."""
    newest, expected = situation.bar_session, situation.circumstances.expected
    if situation.side == "SELL" or newest is None or expected is None or newest >= expected:
        return None
    return Objection(f"bar of {newest}", f"bar of {expected}")


def quality_unknown(situation: Situation, order: Candidate | None) -> Objection | None:
    """What was not measured is unknown, and nothing is opened on it; closing stays possible.

    Without a price there is nothing to measure, and that is reported by its own code.
    """
    quality = situation.quality
    if situation.side == "SELL" or situation.price <= 0 or quality is None or quality.score is not None:
        return None
    return Objection("; ".join(quality.rules) or "unknown", f"a score of at least {situation.rules.min_quality}")


def quality_too_low(situation: Situation, order: Candidate | None) -> Objection | None:
    """A position is only opened on data that is good enough; the value names the rules that are broken."""
    quality, least = situation.quality, situation.rules.min_quality
    if situation.side == "SELL" or quality is None or quality.score is None or quality.score >= least:
        return None
    return Objection(f"{text(quality.score)} ({', '.join(quality.rules)})", text(least))


def news_veto(situation: Situation, order: Candidate | None) -> Objection | None:
    """No position is opened on news that is negative, confident and fresh; the value is the worst fresh headline."""
    news, veto = situation.news, situation.rules.veto
    if situation.side == "SELL" or news is None or veto is None:
        return None
    if news.score > -veto.score or news.confidence < veto.confidence:
        return None
    fresh = [one for one in news.bad if situation.now - one.published <= veto.max_age]
    if not fresh:
        return None
    worst = min(fresh, key=lambda one: (one.score, one.id))
    said_by = (
        f" ({worst.source}, {worst.published:%Y-%m-%d %H:%M}Z)"
        if worst.source
        else f" ({worst.published:%Y-%m-%d %H:%M}Z)"
    )
    return Objection(
        f'"{worst.title}"{said_by}; news {text(news.score)}, confidence {text(news.confidence)}',
        f"news above -{text(veto.score)}, or confidence below {text(veto.confidence)}",
    )


def prediction_expired(situation: Situation, order: Candidate | None) -> Objection | None:
    """A prediction holds up to and including its `valid_until`."""
    if situation.valid_until is None or situation.now <= situation.valid_until:
        return None
    return Objection(situation.now.isoformat(), situation.valid_until.isoformat())


def model_expired(situation: Situation, order: Candidate | None) -> Objection | None:
    """No position is opened in a session that the model no longer speaks of; closing stays possible."""
    ends, session = situation.model_expires_on, situation.session
    if situation.side == "SELL" or ends is None or session is None or session < ends:
        return None
    return Objection(f"session {session}", f"a session before {ends}")


def inputs_unlike_training(situation: Situation, order: Candidate | None) -> Objection | None:
    """No position is opened on inputs that the model has seen nothing like; not known is not like."""
    limit, novelty = situation.rules.max_novelty, situation.novelty
    if situation.side == "SELL" or limit is None or novelty is None:
        return None
    if novelty.value is None:
        return Objection("unknown", f"at most {limit:f}")
    return Objection(f"{novelty.value:.2f}", f"at most {limit:f}") if novelty.value > limit else None


def exit_rule_off(situation: Situation, order: Candidate | None) -> Objection | None:
    """The exit rule may leave positions alone on a SELL prediction."""
    if situation.reason != "sell_signal" or situation.rules.exit_on_sell:
        return None
    return Objection("SELL", "trading.exit.onSell true")


def nothing_to_sell(situation: Situation, order: Candidate | None) -> Objection | None:
    """No short positions."""
    return Objection("0", "at least 1 share held") if situation.side == "SELL" and situation.held <= 0 else None


def more_than_held(situation: Situation, order: Candidate | None) -> Objection | None:
    """No short positions, not even in part."""
    if order is None or order.side == "BUY" or order.quantity <= situation.held:
        return None
    return Objection(text(order.quantity), text(situation.held))


def already_held(situation: Situation, order: Candidate | None) -> Objection | None:
    """One position per symbol from predictions: its horizon counts from one opening. By hand it may be added to."""
    if situation.reason != "signal" or situation.held <= 0:
        return None
    return Objection(text(situation.held), "0 shares held")


def already_queued(situation: Situation, order: Candidate | None) -> Objection | None:
    """Two reasons to sell, or two BUY predictions before one open, are one order."""
    if situation.reason == "manual" or situation.side not in situation.queued_sides:
        return None
    return Objection(f"{situation.side} queued", "no queued order of this side")


def quantity_too_small(situation: Situation, order: Candidate | None) -> Objection | None:
    """An order has at least one whole share."""
    return Objection(text(order.quantity), "1") if order is not None and order.quantity < 1 else None


def orders_per_session_exceeded(situation: Situation, order: Candidate | None) -> Objection | None:
    """All orders of a session count, exits too; what closes a position is never refused for it."""
    limit = situation.rules.max_orders_per_session
    if order is None or order.side == "SELL" or situation.session_orders + 1 <= limit:
        return None
    return Objection(str(situation.session_orders + 1), str(limit))


def daily_loss_exceeded(situation: Situation, order: Candidate | None) -> Objection | None:
    """After a loss nothing is opened; closing stays possible."""
    limit = situation.rules.max_daily_loss
    if situation.side == "SELL" or situation.loss <= 0 or situation.loss < limit:
        return None
    return Objection(text(situation.loss), text(limit))


def volume_full(situation: Situation, order: Candidate | None) -> Objection | None:
    """A ledger that cannot be written is worse than an order that is not made; closing stays possible."""
    percent = situation.circumstances.volume_percent
    if situation.side == "SELL" or percent is None or percent < FULL_PERCENT:
        return None
    return Objection(f"{percent:g} % full", f"below {FULL_PERCENT:g} %")


def drawdown_exceeded(situation: Situation, order: Candidate | None) -> Objection | None:
    """After a fall from the highest close nothing is opened; closing stays possible."""
    limit = situation.rules.max_drawdown
    if situation.side == "SELL" or limit is None or situation.drawdown < limit or situation.drawdown <= 0:
        return None
    return Objection(text(situation.drawdown), text(limit))


def price_out_of_band(situation: Situation, order: Candidate | None) -> Objection | None:
    """A price far from the last close is bad data, or news; what closes a position is sold at any price."""
    band, before = situation.rules.price_band, situation.sized_by
    if situation.side == "SELL" or band is None or before <= 0:
        return None
    away = abs(situation.price / before - 1).quantize(PRICE_STEP)
    return Objection(f"{text(situation.price)}, {text(away)} from {text(before)}", text(band)) if away > band else None


def turnover_exceeded(situation: Situation, order: Candidate | None) -> Objection | None:
    """Sales count, too; what closes a position is never refused for it."""
    limit = situation.rules.max_turnover
    if order is None or order.side == "SELL" or limit is None:
        return None
    value = situation.turnover + order.cost.value
    return Objection(text(value), text(limit)) if value > limit else None


def gross_exposure_exceeded(situation: Situation, order: Candidate | None) -> Objection | None:
    """All that is held, and all that waits to be bought."""
    limit = situation.rules.max_gross_exposure
    if order is None or order.side == "SELL" or limit is None:
        return None
    value = situation.exposure + order.cost.value
    return Objection(text(value), text(limit)) if value > limit else None


def position_value_exceeded(situation: Situation, order: Candidate | None) -> Objection | None:
    """What is held already counts."""
    if order is None or order.side == "SELL":
        return None
    value, limit = situation.held_value + order.cost.value, situation.rules.max_position_value
    return Objection(text(value), text(limit)) if value > limit else None


def insufficient_cash(situation: Situation, order: Candidate | None) -> Objection | None:
    """Shares and commission are paid from cash; a sale's commission from its proceeds."""
    if order is None or order.side == "SELL":
        return None
    needed = order.cost.value + order.cost.commission
    return Objection(text(needed), text(situation.cash)) if needed > situation.cash else None


NOTHING_TO_DO = frozenset({Code.NOTHING_TO_SELL, Code.ALREADY_HELD, Code.ALREADY_QUEUED, Code.EXIT_RULE_OFF})
"""Objections that say of a prediction that it asks for nothing that is not so already: no fact of the ledger."""
REDUCING = frozenset(
    {Code.POSITION_VALUE_EXCEEDED, Code.INSUFFICIENT_CASH, Code.GROSS_EXPOSURE_EXCEEDED, Code.TURNOVER_EXCEEDED}
)
"""Limits that make a purchase smaller whose size is the rules' own; an order by hand is filled as asked, or not."""

About = Literal["system", "symbol", "order"]


class Listed(NamedTuple):
    """A guard in the list: its code, and whether it judges the whole system, a symbol, or one order."""

    code: Code
    guard: Guard
    about: About = "order"


GUARDS: Sequence[Listed] = (
    Listed(Code.NO_REAL_PRICE, no_real_price, "symbol"),
    Listed(Code.NOT_FOR_TRADING, not_for_trading),
    Listed(Code.TRADING_OFF, trading_off, "system"),
    Listed(Code.HALTED, halted, "system"),
    Listed(Code.UNKNOWN_SYMBOL, unknown_symbol),
    Listed(Code.BROKER_UNRECONCILED, broker_unreconciled, "symbol"),
    Listed(Code.DATA_STALE, data_stale, "symbol"),
    Listed(Code.QUALITY_UNKNOWN, quality_unknown, "symbol"),
    Listed(Code.QUALITY_TOO_LOW, quality_too_low, "symbol"),
    Listed(Code.NEWS_VETO, news_veto),
    Listed(Code.PREDICTION_EXPIRED, prediction_expired),
    Listed(Code.MODEL_EXPIRED, model_expired),
    Listed(Code.INPUTS_UNLIKE_TRAINING, inputs_unlike_training),
    Listed(Code.EXIT_RULE_OFF, exit_rule_off),
    Listed(Code.NOTHING_TO_SELL, nothing_to_sell),
    Listed(Code.MORE_THAN_HELD, more_than_held),
    Listed(Code.ALREADY_HELD, already_held),
    Listed(Code.ALREADY_QUEUED, already_queued),
    Listed(Code.QUANTITY_TOO_SMALL, quantity_too_small),
    Listed(Code.ORDERS_PER_SESSION_EXCEEDED, orders_per_session_exceeded),
    Listed(Code.DAILY_LOSS_EXCEEDED, daily_loss_exceeded, "system"),
    Listed(Code.VOLUME_FULL, volume_full, "system"),
    Listed(Code.DRAWDOWN_EXCEEDED, drawdown_exceeded, "system"),
    Listed(Code.PRICE_OUT_OF_BAND, price_out_of_band),
    Listed(Code.TURNOVER_EXCEEDED, turnover_exceeded),
    Listed(Code.GROSS_EXPOSURE_EXCEEDED, gross_exposure_exceeded),
    Listed(Code.POSITION_VALUE_EXCEEDED, position_value_exceeded),
    Listed(Code.INSUFFICIENT_CASH, insufficient_cash),
)
"""Every guard, in the order in which they are asked."""
_NAMES = tuple(listed.code.name for listed in GUARDS)


def judge(situation: Situation, order: Candidate | None) -> Verdict:
    """Ask the guards in their order up to the first that refuses."""
    for place, (code, guard, _) in enumerate(GUARDS):
        objection = guard(situation, order)
        if objection is not None:
            return Verdict(code, objection, _NAMES[:place])
    return Verdict(None, NO_OBJECTION, _NAMES)


def objections(about: About, situation: Situation) -> list[tuple[Code, Objection]]:
    """Return everything that the guards of one kind object to without an order, in the order of the list."""
    asked = [(listed.code, listed.guard(situation, None)) for listed in GUARDS if listed.about == about]
    return [(code, objection) for code, objection in asked if objection is not None]
