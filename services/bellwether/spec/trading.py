"""Whether and how signals become orders: size, exits, costs, limits, and the account at IG Markets."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bellwether.spec.fields import (
    OBJECT_NAME_PATTERN,
    Block,
    Duration,
    Money,
    PositiveMoney,
    Ratio,
    SymbolKey,
    cel,
    rules,
)


class Sizing(Block):
    """How many shares a signal is worth."""

    model_config = rules(
        cel(
            "self.method != 'equityFraction' || (self.value.matches('[1-9]') && "
            "self.value.matches(r'^0*(1(\\.0*)?$|0?(\\.|$))'))",
            "with method equityFraction, sizing.value is a share of equity: above 0, at most 1",
            ".value",
        ),
        cel(
            "self.method != 'fixedValue' || self.value.matches('^0*[1-9]')",
            "with method fixedValue, sizing.value is money per order: at least 1",
            ".value",
        ),
    )
    method: Literal["fixedValue", "equityFraction"] = Field(
        "equityFraction", description="fixedValue: `value` is money per order; equityFraction: a share of equity, 0-1."
    )
    value: Money = Field("0.1", description="Money or fraction, by `method`.")


class Exit(Block):
    """When a position is closed."""

    on_sell: bool = Field(True, description="Close the position when a SELL or STRONG_SELL is predicted.")
    horizon_sessions: int = Field(
        5, ge=0, le=500, description="Close a position held for this many sessions; 0 keeps it until a SELL."
    )
    stop_loss: Ratio | None = Field(
        None,
        description="Close a position whose closing price is this share below its average cost. Judged at each close, "
        "sold at the next open. With mode ig-demo each purchase also carries a stop at IG this share below its price.",
    )
    take_profit: Ratio | None = Field(
        None, description="Close a position whose closing price is this share above its average cost; as stopLoss."
    )
    trailing_stop: Ratio | None = Field(
        None,
        description="Close a position whose closing price is this share below its highest close since it was opened; "
        "as stopLoss.",
    )


class Costs(Block):
    """What the simulated broker charges."""

    commission_per_order: Money = Field("5", description="Money per filled order.")
    commission_bps: int = Field(8, ge=0, le=1000, description="Basis points (1/10000) of the traded value on top.")
    slippage_bps: int = Field(5, ge=0, le=1000, description="Basis points that a fill is worse than the opening price.")
    volume_share: Ratio | None = Field(
        None,
        description="The largest share of the last closed session's volume that an order gets; the rest of it is "
        "cancelled. Unset: no limit.",
    )


class Risk(Block):
    """Limits that every order passes before it is sent; a refused order is recorded with the limit and the value."""

    max_position_value: Money = Field("25000", description="The most that one position may be worth after an order.")
    max_orders_per_session: int = Field(10, ge=0, le=10000, description="The most orders of one session.")
    max_daily_loss: Money = Field(
        "5000",
        description="When equity has fallen by this much over a session, or since its close, no position is opened "
        "until the next close.",
    )
    max_gross_exposure: Money | None = Field(
        None, description="The most that all positions, and what waits to be bought, may be worth; unset: no limit."
    )
    max_turnover_per_session: Money | None = Field(
        None, description="The most that may be bought and sold for one session; closing is never refused for it."
    )
    max_drawdown: Ratio | None = Field(
        None,
        description="When equity at a close is this share below its highest close, trading is halted until somebody "
        "resumes; unset: no limit.",
    )
    on_daily_loss: Literal["block", "halt"] = Field(
        "block",
        description="What a loss of maxDailyLoss at a close does. block: no position is opened until the next close; "
        "halt: trading is halted until somebody resumes.",
    )
    price_band: Ratio | None = Field(
        None,
        description="A position is not opened at a price further than this share from the close that its order was "
        "sized by; unset: no limit.",
    )
    max_novelty: int | None = Field(
        None,
        ge=1,
        le=100_000,
        description="How unlike the model's training rows a prediction's inputs may be, in percent of the distance "
        "that 99 % of those rows keep within: from one further away no position is opened; unset: no limit.",
    )


class SecretRef(Block):
    """A Secret of the same namespace."""

    name: str = Field(max_length=253, pattern=OBJECT_NAME_PATTERN, description="The Secret's name.")


class Instrument(Block):
    """What a symbol is called at IG."""

    epic: str = Field(
        min_length=6,
        max_length=30,
        pattern=r"^[A-Za-z0-9._]+$",
        examples=["AA.D.CBA.CASH.IP"],
        description="IG's name of the market. Of a share it is a contract for difference on margin, no share.",
    )
    lot_size: int = Field(1, ge=1, le=1_000_000, description="Shares in one contract; orders are for whole contracts.")


class Ig(Block):
    """How the demo account at IG Markets is used."""

    exclusive_account: bool = Field(
        False,
        description="True says that nothing and nobody else trades on the account: it is reconciled as a whole, and an "
        "opposite order reduces whatever it holds.",
    )
    time_in_force: Literal["FILL_OR_KILL", "EXECUTE_AND_ELIMINATE"] = Field(
        "FILL_OR_KILL",
        description="FILL_OR_KILL: a whole order or nothing; EXECUTE_AND_ELIMINATE: a part of it may be filled, and "
        "the rest ends.",
    )
    send_until: Duration = Field(
        "10m",
        description="How long after the open an order may still be sent, where the market is not tradeable earlier; "
        "then it expires.",
    )
    lookup_window: Duration = Field(
        "2m",
        description="How long an order whose outcome is not known is looked up before it is unknown, and its symbol is "
        "blocked.",
    )
    reconcile_every: Duration = Field("15m", description="How often positions are compared with the ledger.")
    requests_per_minute: int = Field(
        20, ge=5, le=60, description="The most requests of any minute; a demo account's allowance may be 10 to 30."
    )


class Trading(Block):
    """Whether and how signals become orders."""

    model_config = rules(
        cel(
            "self.mode != 'ig-demo' || has(self.brokerSecretRef)",
            "mode ig-demo needs trading.brokerSecretRef, the Secret with the account's credentials (on one machine the "
            "file that BELLWETHER_IG_CREDENTIALS names stands in for it)",
            ".brokerSecretRef",
        ),
        cel(
            "self.mode != 'ig-demo' || self.ig.exclusiveAccount",
            "mode ig-demo needs trading.ig.exclusiveAccount true: the account at IG must be this system's alone",
            ".ig",
        ),
    )
    mode: Literal["off", "simulated", "ig-demo"] = Field(
        "off", description="off: predictions only; simulated: a paper account; ig-demo: a demo account at IG Markets."
    )
    broker_secret_ref: SecretRef | None = Field(
        None,
        description="The Secret with the entries apiKey, identifier, password and accountId of the account at IG; only "
        "paper-trading's pod mounts it.",
    )
    instruments: dict[SymbolKey, Instrument] = Field(
        default_factory=dict, max_length=50, description="Per symbol, what it is called at IG."
    )
    ig: Ig = Field(default_factory=Ig, description="Settings of mode ig-demo.")
    halted: bool = Field(False, description="True stops every order within a second, whatever else is declared.")
    currency: str = Field("AUD", pattern=r"^[A-Z]{3}$", max_length=3, min_length=3, description="ISO 4217 code.")
    initial_cash: PositiveMoney = Field(
        "100000",
        description="Cash of the simulated account at its beginning.",
        json_schema_extra={"x-bellwether-immutable": True},
    )
    allow_short: Literal[False] = Field(False, description="Short positions are refused.")
    entry: Literal["nextOpen"] = Field(
        "nextOpen", description="Orders are queued and filled at the next opening price."
    )
    approval: Literal["none", "required"] = Field(
        "none",
        description="required: each order waits until somebody approves it; one that nobody approved before its "
        "session opens expires. Exits by a rule (stopLoss, takeProfit, trailingStop, horizonSessions) do not wait.",
    )
    sizing: Sizing = Field(default_factory=Sizing, description="From signal to quantity.")
    exit: Exit = Field(default_factory=Exit, description="From position to closing order.")
    costs: Costs = Field(default_factory=Costs, description="Commission and slippage.")
    risk: Risk = Field(default_factory=Risk, description="Limits.")
