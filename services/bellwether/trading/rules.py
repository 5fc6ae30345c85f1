"""The declaration's words about trading as exact numbers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from bellwether.broker.costs import Costs
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystemSpec, money
from bellwether.spec.sentiment import Sentiment

ZERO = Decimal(0)
BASIS_POINT = Decimal("0.0001")
PERCENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Veto:
    """From which score and confidence on, and until which age of a negative headline, news refuses a BUY."""

    score: Decimal
    confidence: Decimal
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class IgRules:
    """What holds at IG: until how long after the open orders are sent, how long one is looked up, how often all is."""

    send_until: timedelta = timedelta(minutes=10)
    lookup_window: timedelta = timedelta(minutes=2)
    reconcile_every: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Rules:
    """What trading follows now; money in the declared currency, rates as shares of one.

    Attributes:
        mode: whether predictions become orders at all.
        halted: the declaration's own halt.
        symbols: in which symbols a position may be opened.
        currency: ISO 4217 code.
        initial_cash: what the account begins with.
        sizing_method: whether `sizing_value` is money per order or a share of equity.
        sizing_value: money or share, by the method.
        exit_on_sell: whether a SELL prediction closes a position.
        horizon_sessions: after how many closes a position is closed; 0 never.
        commission_per_order: money per filled order.
        commission_rate: share of the traded value on top.
        slippage_rate: share by which a fill is worse than the opening price.
        max_position_value: the most that a position may be worth after an order.
        max_orders_per_session: the most orders for one session.
        min_quality: the quality score below which no position is opened, 0-100.
        veto: when news refuses a BUY; None: never.
        ig: what holds in mode ig-demo.
        max_gross_exposure: the most that all positions and queued purchases may be worth; None: no limit.
        max_turnover: the most that may be traded for one session; None: no limit.
        max_drawdown: share below the highest close from which trading is halted; None: no limit.
        halt_on_loss: whether a daily loss halts trading.
        max_novelty: distance of inputs from the training rows from which no position is opened; None: any.
        price_band: share by which an opening price may differ from the close that an order was sized by; None: any.
        stop_loss: share below average cost at which a position is closed; None: never.
        take_profit: share above average cost at which a position is closed; None: never.
        trailing_stop: share below the highest close at which a position is closed; None: never.
        approval: whether orders wait for an approval.
        volume_share: the largest share of the last closed session's volume that an order gets; None: no limit.
        max_daily_loss: the loss since the previous close from which no position is opened.
    """

    mode: Literal["off", "simulated", "ig-demo"]
    halted: bool
    symbols: frozenset[str]
    currency: str
    initial_cash: Decimal
    sizing_method: Literal["fixedValue", "equityFraction"]
    sizing_value: Decimal
    exit_on_sell: bool
    horizon_sessions: int
    commission_per_order: Decimal
    commission_rate: Decimal
    slippage_rate: Decimal
    max_position_value: Decimal
    max_orders_per_session: int
    max_daily_loss: Decimal
    min_quality: Decimal = ZERO
    veto: Veto | None = None
    volume_share: Decimal | None = None
    ig: IgRules = IgRules()
    max_gross_exposure: Decimal | None = None
    max_turnover: Decimal | None = None
    max_drawdown: Decimal | None = None
    halt_on_loss: bool = False
    price_band: Decimal | None = None
    max_novelty: Decimal | None = None
    stop_loss: Decimal | None = None
    take_profit: Decimal | None = None
    trailing_stop: Decimal | None = None
    approval: bool = False

    @property
    def costs(self) -> Costs:
        """What an order costs."""
        return Costs(self.commission_per_order, self.commission_rate, self.slippage_rate)


def rules_of(spec: TradingSystemSpec) -> Rules:
    """Return what a declaration says about trading."""
    trading = spec.trading
    return Rules(
        mode=trading.mode,
        halted=trading.halted,
        symbols=frozenset(spec.symbols),
        currency=trading.currency,
        initial_cash=money(trading.initial_cash),
        sizing_method=trading.sizing.method,
        sizing_value=money(trading.sizing.value),
        exit_on_sell=trading.exit.on_sell,
        horizon_sessions=trading.exit.horizon_sessions,
        commission_per_order=money(trading.costs.commission_per_order),
        commission_rate=trading.costs.commission_bps * BASIS_POINT,
        slippage_rate=trading.costs.slippage_bps * BASIS_POINT,
        max_position_value=money(trading.risk.max_position_value),
        max_orders_per_session=trading.risk.max_orders_per_session,
        max_daily_loss=money(trading.risk.max_daily_loss),
        min_quality=Decimal(spec.quality.min_score),
        volume_share=_maybe(trading.costs.volume_share),
        max_gross_exposure=_maybe(trading.risk.max_gross_exposure),
        max_turnover=_maybe(trading.risk.max_turnover_per_session),
        max_drawdown=_maybe(trading.risk.max_drawdown),
        halt_on_loss=trading.risk.on_daily_loss == "halt",
        price_band=_maybe(trading.risk.price_band),
        max_novelty=None if trading.risk.max_novelty is None else trading.risk.max_novelty * PERCENT,
        stop_loss=_maybe(trading.exit.stop_loss),
        take_profit=_maybe(trading.exit.take_profit),
        trailing_stop=_maybe(trading.exit.trailing_stop),
        approval=trading.approval == "required",
        veto=_veto_of(spec.sentiment),
        ig=IgRules(
            send_until=parse_duration(trading.ig.send_until),
            lookup_window=parse_duration(trading.ig.lookup_window),
            reconcile_every=parse_duration(trading.ig.reconcile_every),
        ),
    )


def _maybe(text: str | None) -> Decimal | None:
    return None if text is None else money(text)


def _veto_of(sentiment: Sentiment) -> Veto | None:
    veto = sentiment.veto
    if sentiment.provider == "none" or not veto.enabled:
        return None
    return Veto(money(veto.score), money(veto.confidence), parse_duration(veto.max_age))
