"""What a local run says in the terminal while it comes up and works."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import date

import msgspec

from bellwether.gateway.peers import Peers
from bellwether.gateway.problems import Problem
from bellwether.local.summary import action_line, shares_of
from bellwether.messages.envelope import decode_event
from bellwether.messages.market_data import Coverage, GetCoverage
from bellwether.messages.models import ModelInfo, Models
from bellwether.messages.prediction import BuyRate, GetBuyRate, Prediction, PredictionGenerated
from bellwether.messages.scheduling import ReplayState
from bellwether.messages.trading import Account, Positions
from bellwether.naming import event_subject
from bellwether.runtime.bus import Message
from bellwether.runtime.service import Service

FULL_LINES = 8
"""So many sessions are reported each; then one line every few seconds."""
LINE_SECONDS = 5.0
WORRY_SECONDS = 15.0
_LOOK_SECONDS = 0.2
_WIDEST = 5

Say = Callable[[str], None]


def coverage_lines(coverage: Coverage) -> list[str]:
    """Return how far the bars reach, one line per distinct reach, then what is missing, one line per reason."""
    reach: dict[tuple[date, date], list[str]] = {}
    for symbol, first in sorted(coverage.first.items()):
        reach.setdefault((first, coverage.last[symbol]), []).append(symbol)
    lines = [f"{' '.join(symbols)}: {first} to {last}" for (first, last), symbols in reach.items()]
    missing: dict[str, list[str]] = {}
    for symbol, why in sorted(coverage.errors.items()):
        missing.setdefault(why.removeprefix(f"{symbol}: "), []).append(symbol)
    return lines + [f"{' '.join(symbols)}: none, {why}" for why, symbols in missing.items()]


def model_line(model: ModelInfo) -> str:
    """Return a model in one line: what it saw and how it did beside the base rate."""
    of = model.symbol or "all symbols"
    brier, climatology = model.metrics.get("brier"), model.metrics.get("base_rate_brier")
    measured = (
        "" if brier is None or climatology is None else f", Brier {brier:.4f} beside {climatology:.4f} of the base rate"
    )
    return f"{model.model_name} {model.version[:12]} ({of}): trained through {model.trained_through}{measured}"


def session_line(symbols: list[str], made: dict[str, Prediction], account: Account | None) -> str:
    """Return one session's predictions in one line: action, probability, base rate; and the equity."""
    some = next(iter(made.values()))
    if len(symbols) > _WIDEST:
        counts = {
            action: sum(one.action == action for one in made.values()) for action in ("STRONG_BUY", "BUY", "SELL")
        }
        summed = ", ".join(f"{count} {action}" for action, count in counts.items() if count) or "all HOLD"
        cells = f"{len(made)} predictions: {summed}"
    else:
        cells = " ".join(_cell(symbol, made.get(symbol)) for symbol in symbols)
    money = (
        "" if account is None else f"  equity {account.equity:,.0f} {account.currency}, {account.orders_filled} fills"
    )
    return f"{some.target_session}  {cells}{money}"


def _cell(symbol: str, one: Prediction | None) -> str:
    text = f"{symbol} -" if one is None else f"{symbol} {one.action} {one.probability:.2f}/{one.base_rate:.2f}"
    return f"{text:<26}"


class Narrator:
    """Follows one run through its gateway's connection."""

    def __init__(self, gateway: Service, say: Say) -> None:
        self._gateway = gateway
        self._say = say
        self._peers = Peers(lambda budget: gateway.call(budget=budget), gateway.context.clock)
        self._sessions: dict[date, dict[str, Prediction]] = {}
        self._arrived = asyncio.Event()
        self._newest = date.min
        self._reported = 0
        self._reported_at = 0.0
        self._waits = ""
        self.failed = False
        """Whether the replay failed, or slots of it had no effect."""

    async def listen(self) -> None:
        """Begin to hear of predictions."""
        await self._gateway.context.bus.subscribe(event_subject("high", "prediction_generated"), self._event)

    def _event(self, message: Message) -> None:
        made = msgspec.json.decode(decode_event(message.body).data, type=PredictionGenerated).prediction
        if not made.may_trade or made.target_session <= self._newest:
            return
        self._sessions.setdefault(made.target_session, {})[made.symbol] = made
        self._arrived.set()

    async def narrate(self) -> None:
        """Tell of bars and model as they come to be there, then of predictions, until the replay is complete."""
        if await self._bars():
            await self._models()
        else:
            self._say(
                "  model       none: there are no bars to train it on; nothing is predicted or traded without bars"
            )
        self._say("")
        while True:
            await self._sessions_once()
            if not self._gateway.context.clock.live and await self._complete():
                return

    async def _bars(self) -> bool:
        """Tell of the bars; return whether there are any."""
        worried = time.monotonic() + WORRY_SECONDS
        while True:
            found = await self._peers.try_ask("market-data", "get_coverage", GetCoverage(), Coverage)
            if isinstance(found, Coverage) and found.loading:
                worried = self._worry(worried, "bars", Problem(503, "BARS_LOADING", next(iter(found.loading.values()))))
            elif isinstance(found, Coverage) and (found.first or found.errors):
                for line in coverage_lines(found):
                    self._say(f"  bars        {line}")
                return bool(found.first)
            else:
                worried = self._worry(worried, "bars", found)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _models(self) -> None:
        worried = time.monotonic() + WORRY_SECONDS
        while True:
            found = await self._peers.try_ask("ml-model", "list_models", None, Models)
            if isinstance(found, Models) and found.models:
                for model in found.models:
                    self._say(f"  model       {model_line(model)}")
                return
            worried = self._worry(worried, "a model, which is trained now", found)
            await asyncio.sleep(_LOOK_SECONDS)

    def _worry(self, at: float, what: str, found: object) -> float:
        if time.monotonic() < at:
            return at
        why = f": {found.message}" if isinstance(found, Problem) else ""
        self._say(f"  waiting for {what}{why}")
        return time.monotonic() + WORRY_SECONDS

    async def _sessions_once(self) -> None:
        """Wait for predictions for a while; tell of the newest session whose predictions are all there."""
        try:
            await asyncio.wait_for(self._arrived.wait(), 1.0)
        except TimeoutError:
            return
        self._arrived.clear()
        symbols = list(self._gateway.context.declaration.current.spec.symbols)
        whole = [day for day, made in self._sessions.items() if len(made) >= len(symbols)]
        if not whole:
            return
        due = self._reported < FULL_LINES or time.monotonic() - self._reported_at >= LINE_SECONDS
        newest = self._newest = max(whole)
        made = self._sessions[newest]
        self._sessions = {day: kept for day, kept in self._sessions.items() if day > newest}
        if due:
            account = await self._peers.try_ask("paper-trading", "get_account", None, Account)
            self._say("  " + session_line(symbols, made, None if isinstance(account, Problem) else account))
            self._reported += 1
            self._reported_at = time.monotonic()

    async def _complete(self) -> bool:
        try:
            replay = await self._peers.replay()
        except Problem:
            return False
        if replay.slots_failed and not self.failed:
            self.failed = True
            self._say(f"  a slot had no effect: {replay.first_failed}")
        if replay.state == "failed":
            self.failed = True
            self._say(f"  the replay stopped: {replay.error}")
            return True
        if replay.state == "waiting" and replay.error and replay.error != self._waits:
            self._waits = replay.error
            self._say(f"  {replay.error}")
        if replay.state != "complete":
            return False
        self._say("")
        for line in await final_lines(self._peers, replay):
            self._say(f"  {line}")
        self._say("  the system goes on answering until Ctrl-C")
        return True


async def final_lines(peers: Peers, replay: ReplayState) -> list[str]:
    """Return what a finished replay came to."""
    account = await peers.try_ask("paper-trading", "get_account", None, Account)
    lines = [f"the replay is complete: {replay.sessions_done} sessions through {replay.last_session}"]
    if not isinstance(account, Problem):
        lines.append(
            f"equity {account.equity:,.2f} {account.currency} (began with {account.initial_cash:,.2f}), "
            f"{account.orders_filled} orders filled, commission {account.commission:,.2f}"
        )
    rate = await peers.try_ask("prediction", "get_buy_rate", GetBuyRate("all"), BuyRate)
    if not isinstance(rate, Problem):
        lines.append(f"actions: {action_line(shares_of(rate.actions))}")
    held = await peers.try_ask("paper-trading", "get_positions", None, Positions)
    if not isinstance(held, Problem) and held.positions:
        lines.append("still open: " + ", ".join(f"{one.symbol} {one.quantity:f}" for one in held.positions))
    if replay.slots_failed:
        lines.append(f"{replay.slots_failed} slots had no effect; the first: {replay.first_failed}")
    return lines
