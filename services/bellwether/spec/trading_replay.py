"""A backtest in a cluster, as one declared resource: a system's declaration over a span of history, and variations."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from bellwether.spec.fields import SYSTEM_NAME_LENGTH, SYSTEM_NAME_PATTERN, Block, Day, Duration, cel, rules
from bellwether.spec.schema import AGE, MAP_KEYS, Schema, action_schema, column, condition, definition_of
from bellwether.spec.status import Condition
from bellwether.spec.vary import MOST_VARIANTS

KIND = "TradingReplay"
PLURAL = "tradingreplays"
SHORT_NAME = "treplay"
NAME_LENGTH = 40
_NUMBER = r"^-?[0-9]{1,30}(\.[0-9]{1,12})?$"


class Variation(Block):
    """One field of the system's declaration, and the values that it takes beside its own."""

    path: str = Field(
        min_length=1,
        max_length=200,
        description="The field, from spec on: trading.sizing.value, tasks[prediction_generation].offset.",
    )
    values: list[Annotated[str, Field(min_length=1, max_length=400)]] = Field(
        min_length=1,
        max_length=MOST_VARIANTS - 1,
        description="Its values, as text: numbers in quotes, lists as [AAPL, IBM]; null takes the field out.",
    )


class ReplayJob(Block):
    """What the Job may take. Index 0 replays the declaration as it is, each further one a variant."""

    parallelism: int = Field(1, ge=1, le=MOST_VARIANTS, description="How many are replayed at the same time.")
    cpu_millis: int = Field(
        1000, ge=100, le=64_000, description="The most CPU of each pod, in thousandths; it asks for a tenth of it."
    )
    memory_mebibytes: int = Field(1024, ge=512, le=65_536, description="Memory of each pod; more ends it.")
    retries_per_index: int = Field(
        0,
        ge=0,
        le=20,
        description="How often one is tried again; it stops no other. The pod itself waits for services that are "
        "unreachable. Above 0, a namespace that is deleted meanwhile waits for the deadline.",
    )
    deadline: Duration = Field("1h", description="After so long pods that still work are ended, and it has failed.")


class TradingReplaySpec(Block):
    """What is replayed. It cannot be changed: a replay is an action."""

    model_config = rules(
        cel("self == oldSelf", "a replay cannot be changed: make another one"),
        cel("!has(self.to) || self.from <= self.to", "from must not be after to", ".to"),
    )
    system: str = Field(
        max_length=SYSTEM_NAME_LENGTH,
        pattern=SYSTEM_NAME_PATTERN,
        description="The TradingSystem, in the same namespace. Its declaration of when this was made is replayed.",
    )
    from_: Day = Field(alias="from", description="The first day.")
    to: Day | None = Field(None, description="The last day; without it, as far as there are bars.")
    vary: Annotated[list[Variation], Field(max_length=5, json_schema_extra={MAP_KEYS: ["path"]})] = Field(
        default_factory=list,
        description=f"Every combination of these values is replayed too, at most {MOST_VARIANTS} replays in all.",
    )
    job: ReplayJob = Field(default_factory=ReplayJob, description="What the Job may take.")
    ttl: Duration = Field("24h", description="How long the Job and its pods can still be looked at when it has ended.")


def _number(description: str) -> Any:
    return Field(None, max_length=44, pattern=_NUMBER, description=description)


class VariantStatus(Block):
    """What one replay came to. A figure that is not defined is not there."""

    index: int = Field(ge=0, le=MOST_VARIANTS - 1, description="Its index in the Job; 0: as declared.")
    name: str = Field("", max_length=1000, description="What is changed.")
    complete: bool = Field(False, description="Whether its figures are here.")
    message: str = Field("", max_length=500, description="How far it is, why it failed, or what is amiss with it.")
    sessions: int | None = Field(None, ge=0, le=2**31, description="Sessions that were replayed.")
    final_equity: str | None = _number("Equity at the last close, in the account's currency.")
    total_return: str | None = _number("Of the initial cash, as a fraction.")
    buy_and_hold_return: str | None = _number("Of equal parts of the symbols bought at the first open, as a fraction.")
    max_drawdown: str | None = _number("The largest loss from a peak at a close, as a fraction, at most 0.")
    sharpe: str | None = _number("Mean over deviation of the sessions' returns, a year; the riskless rate is 0.")
    trades: int | None = Field(None, ge=0, le=2**31, description="Filled orders.")
    signals: int | None = Field(None, ge=0, le=2**31, description="Decisions with an outcome that were not HOLD.")
    hit_rate: str | None = _number("The share of signals that came true.")
    base_hit_rate: str | None = _number("What as many signals would have hit at the share of rises alone.")
    bars: str = Field("", max_length=64, description="The hash of the bars that it was replayed on.")
    report: str = Field("", max_length=200, description="Where the gateway of the system shows its report.")


class TradingReplayStatus(Block):
    """How far it is, and what came of it."""

    observed_generation: int = Field(0, ge=0, le=2**53, description="The generation that this status speaks of.")
    conditions: Annotated[list[Condition], Field(max_length=10, json_schema_extra={MAP_KEYS: ["type"]})] = Field(
        default_factory=list, description="Accepted, Progressing, Complete, Failed. One of the last two ends it."
    )
    variants: Annotated[
        list[VariantStatus], Field(max_length=MOST_VARIANTS, json_schema_extra={MAP_KEYS: ["index"]})
    ] = Field(default_factory=list, description="What each came to; the first is the declaration as it was.")
    frozen_at: str = Field("", max_length=40, description="Of which instant declaration and bars are, UTC.")
    declaration_hash: str = Field("", max_length=64, description="The sha256 of the declaration that is replayed.")
    job: str = Field("", max_length=63, description="The Job; empty before it is made.")
    ended_at: str = Field("", max_length=40, description="When it was complete or failed, UTC.")


_COLUMNS = (
    column("System", ".spec.system"),
    column("From", ".spec.from"),
    column("Complete", condition("Complete"), "Whether every variant has its figures."),
    column("Reason", condition("Complete", "reason"), "How far it is, or why it failed."),
    column("Return", ".status.variants[0].totalReturn", "Of the declaration as it is, as a fraction."),
    column("Hold", ".status.variants[0].buyAndHoldReturn"),
    column("Drawdown", ".status.variants[0].maxDrawdown"),
    column("Trades", ".status.variants[0].trades", kind="integer"),
    column("Sharpe", ".status.variants[0].sharpe", wide=True),
    column("Hit rate", ".status.variants[0].hitRate", wide=True),
    column("Base", ".status.variants[0].baseHitRate", wide=True),
    column("Message", condition("Complete", "message"), wide=True),
    AGE,
)


def replay_definition() -> Schema:
    """Return the CustomResourceDefinition of TradingReplay as plain data."""
    names = {"kind": KIND, "plural": PLURAL, "shortNames": [SHORT_NAME]}
    return definition_of(names, _COLUMNS, replay_schema())


def replay_schema() -> Schema:
    """Return the structural schema of a whole TradingReplay."""
    words = f"metadata.name has at most {NAME_LENGTH} characters and no dot: its Job and the report are named by it"
    rule = rf"self.metadata.name.size() <= {NAME_LENGTH} && !self.metadata.name.contains('.')"
    description = "A backtest: a system's declaration over history."
    return action_schema(TradingReplaySpec, TradingReplayStatus, description, {"rule": rule, "message": words})
