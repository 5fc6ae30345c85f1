"""The declaration: what a person writes in a `TradingSystem`, with every default and bound.

The custom resource definition, the command line, the local run and the operator all read these models; nothing
about the resource is written a second time. Rules that relate fields to each other are CEL expressions in
`x-kubernetes-validations`, so that the API server and `bellwether validate` refuse the same things with the same
words.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field

from bellwether.spec.backup import Backup, RestoreFrom
from bellwether.spec.data import Data
from bellwether.spec.fields import (
    SYSTEM_NAME_LENGTH,
    SYSTEM_NAME_PATTERN,
    Block,
    Duration,
    Instant,
    Ratio,
    Symbol,
    cel,
    rules,
)
from bellwether.spec.market import Clock, Market
from bellwether.spec.notifications import Notification
from bellwether.spec.pods import Network, PodTemplate, ServiceName, ServiceOverride, Storage
from bellwether.spec.retention import Retention
from bellwether.spec.sentiment import Sentiment
from bellwether.spec.status import TradingSystemStatus
from bellwether.spec.tasks import Task, default_tasks
from bellwether.spec.trading import Trading
from bellwether.spec.training import Training

GROUP = "bellwether.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "TradingSystem"
PLURAL = "tradingsystems"
SHORT_NAME = "tsys"

PROFILE_STAYS = (
    "profile cannot be changed: `bellwether profile` makes a new system with another profile from a backup of this one"
)


class Predictions(Block):
    """How predictions are made and kept."""

    model: str = Field(
        "direction-lr", max_length=40, pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", description="The model's recipe name."
    )
    cache_ttl: Duration = Field(
        "30m", alias="cacheTTL", description="How long a prediction answers for its symbol before it is made again."
    )
    margin: Ratio = Field(
        "0.01",
        description="How far the calibrated probability must stand above the symbol's base rate for BUY, twice for "
        "STRONG_BUY, mirrored for SELL; scaled up in a RISK_OFF market.",
    )
    buy_rate_alert: int = Field(
        70,
        ge=1,
        le=100,
        description="The share of BUY among a batch that may trade, in percent, above which an alert is raised.",
    )
    sell_rate_alert: int = Field(
        70,
        ge=1,
        le=100,
        description="The share of SELL among a batch that may trade, in percent, above which an alert is raised.",
    )


class Quality(Block):
    """How good the data has to be."""

    min_score: int = Field(
        70,
        ge=0,
        le=100,
        description="The quality score (0-100) below which a symbol's prediction opens no position, and below which "
        "the overall score raises an alert. A score that is unknown opens none either.",
    )


class Rollout(Block):
    """When changes that need new pods are made."""

    policy: Literal["WhenClosed", "Immediate"] = Field(
        "WhenClosed",
        description="WhenClosed: a change that needs new pods waits for the session's close; Immediate: it is made at "
        "once. Live fields never wait, and a replay has no session to wait for.",
    )
    protect_session: bool = Field(
        True, description="Whether nodes may not be drained of the system's pods while a session is open."
    )


class Gateway(Block):
    """The door for people and programs: dashboard and API."""

    open_reads: bool = Field(
        False,
        description="Whether whoever reaches the gateway may look without a token: account, positions, orders. What "
        "changes something needs one in any case.",
    )


class Compatibility(Block):
    """Doors for callers of the system that this one replaces, outside of a cluster."""

    socket_directory: str | None = Field(
        None,
        max_length=80,
        pattern=r"^/[^\s:]*$",
        description="Where each service has a Unix socket `trading_<service>.sock` that takes the old JSON requests: "
        "an absolute path, such as /tmp. Without it there are none; in a cluster it does nothing.",
    )
    socket_group: str | None = Field(
        None,
        max_length=32,
        pattern=r"^[a-z_][a-z0-9_-]*$",
        description="The group whose members may use these sockets (mode 0660); without it, that of the processes.",
    )


class Pause(Block):
    """A time in which the operator keeps its hands off."""

    until: Instant = Field(
        description="Until when, UTC, such as 2026-11-23T04:30:00Z. Before, no object is made, changed or deleted but "
        "CronJobs, the Jobs of slots and disruption budgets; halts and other live fields are still delivered."
    )
    reason: str | None = Field(None, max_length=200, description="Why, for whoever reads the status later.")


class TradingSystemSpec(Block):
    """What the system is to be."""

    model_config = rules(
        cel(
            "self.data.provider != 'replay' || self.clock.mode == 'replay'",
            "provider replay has no bars of today: it needs clock.mode replay",
            ".clock",
        ),
        cel(
            "self.data.provider != 'yahoo' || self.clock.mode == 'live'",
            "provider yahoo is live: a replay needs provider replay or csv",
            ".clock",
        ),
        cel(
            "self.profile != 'compact' || !has(self.services) || self.services.all(name, self.services[name].enabled)",
            "in profile compact all services run in one pod, so none can be switched off: leave `enabled` out, or take "
            "profile standard; trading stops with trading.mode off or trading.halted true",
            ".services",
        ),
        cel(
            "self.trading.mode != 'ig-demo' || self.clock.mode == 'live'",
            "trading.mode ig-demo is live: a replay needs trading.mode simulated or off",
            ".trading",
        ),
        cel(
            "self.trading.mode != 'ig-demo' || (has(self.trading.instruments) && "
            "self.symbols.all(symbol, symbol in self.trading.instruments))",
            "with trading.mode ig-demo, trading.instruments names the epic of every one of symbols",
            ".trading",
        ),
        cel(
            "self.trading.mode != 'ig-demo' || self.training.gate.mode == 'enforce'",
            "trading.mode ig-demo needs training.gate.mode enforce: only a model that passed its gate trades at IG",
            ".training",
        ),
        cel(
            "self.trading.mode != 'ig-demo' || oldSelf.trading.mode != 'simulated'",
            "trading.mode cannot go from simulated to ig-demo: make a new system, a ledger is of one account",
            ".trading",
        ),
        cel(
            "oldSelf.trading.mode != 'ig-demo' || self.trading.mode != 'simulated'",
            "trading.mode cannot go from ig-demo to simulated: make a new system, a ledger is of one account",
            ".trading",
        ),
        cel("self.profile == oldSelf.profile", PROFILE_STAYS, ".profile"),
        cel("self.clock == oldSelf.clock", "clock cannot be changed: make a new system", ".clock"),
        cel(
            "self.data.provider == oldSelf.data.provider",
            "data.provider cannot be changed: make a new system",
            ".data",
        ),
        cel(
            "self.market.calendar == oldSelf.market.calendar",
            "market.calendar cannot be changed: make a new system",
            ".market",
        ),
        cel(
            "self.trading.initialCash == oldSelf.trading.initialCash && "
            "self.trading.currency == oldSelf.trading.currency",
            "trading.initialCash and trading.currency cannot be changed: the ledger began with them",
            ".trading",
        ),
        cel(
            "(has(self.storage.className) ? self.storage.className : '') == "
            "(has(oldSelf.storage.className) ? oldSelf.storage.className : '')",
            "storage.className cannot be changed: volumes stay where they are",
            ".storage",
        ),
    )
    version: str | None = Field(
        None,
        max_length=128,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        description="The version (image tag) of the services; without it, the operator's own.",
    )
    profile: Literal["compact", "standard"] = Field(
        "compact", description="compact: all services in one pod beside NATS; standard: a pod per service."
    )
    market: Market = Field(default_factory=Market, description="The exchange and corrections to its calendar.")
    symbols: Annotated[
        list[Symbol], Field(min_length=1, max_length=50, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = Field(
        default_factory=lambda: ["CBA.AX", "ANZ.AX", "NAB.AX", "WBC.AX", "MQG.AX", "COL.AX", "BHP.AX"],
        description="The shares, as the data provider names them.",
    )
    data: Data = Field(default_factory=Data, description="Where bars come from.")
    clock: Clock = Field(default_factory=Clock, description="Live, or replayed history.")
    predictions: Predictions = Field(default_factory=Predictions, description="How predictions are made and kept.")
    training: Training = Field(default_factory=Training, description="When models are made again, and the gate.")
    trading: Trading = Field(default_factory=Trading, description="Whether and how signals become orders.")
    quality: Quality = Field(default_factory=Quality, description="How good the data has to be.")
    sentiment: Sentiment = Field(default_factory=Sentiment, description="News, and whether it can refuse an order.")
    tasks: Annotated[list[Task], Field(max_length=16, json_schema_extra={"x-kubernetes-list-map-keys": ["name"]})] = (
        Field(default_factory=default_tasks, description="Work that is due at an instant of each session.")
    )
    backup: Backup | None = Field(None, description="Backups of what the system keeps; without it, none are made.")
    restore_from: RestoreFrom | None = Field(
        None,
        description="What the volumes of a new system are made from, in a cluster; it starts halted. It can be "
        "taken away later, and not be changed.",
    )
    storage: Storage = Field(default_factory=Storage, description="Volumes.")
    network: Network = Field(default_factory=Network, description="Ways to hosts outside the cluster.")
    rollout: Rollout = Field(default_factory=Rollout, description="When pods are replaced.")
    compatibility: Compatibility = Field(
        default_factory=Compatibility, description="Unix sockets for callers of the old system."
    )
    gateway: Gateway = Field(default_factory=Gateway, description="Who may look at dashboard and API.")
    notifications: Annotated[
        list[Notification], Field(max_length=10, json_schema_extra={"x-kubernetes-list-map-keys": ["name"]})
    ] = Field(default_factory=list, description="Who is notified when something is wrong, and when it is over.")
    retention: Retention = Field(default_factory=Retention, description="What is kept, and how long.")
    paused: Pause | None = Field(
        None, description="The operator leaves pods and what they use as they are for a while."
    )
    deletion_policy: Literal["Retain", "Delete"] = Field(
        "Retain",
        description="What becomes of volumes when the resource is deleted. Retained ones are adopted when the same "
        "name is applied again.",
    )
    pod_template: PodTemplate = Field(default_factory=PodTemplate, description="What every pod gets besides.")
    services: dict[ServiceName, ServiceOverride] = Field(
        default_factory=dict, max_length=20, description="Per service, what it gets instead of its defaults."
    )

    @property
    def asks_yahoo(self) -> bool:
        """Whether market-data, which alone talks to Yahoo, has to: for bars, or for the news of sentiment."""
        return "yahoo" in (self.data.provider, self.sentiment.provider)


class Metadata(Block):
    """Of the object's metadata, what the product reads; the rest is the API server's affair."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(pattern=SYSTEM_NAME_PATTERN, max_length=SYSTEM_NAME_LENGTH, description="The system's name.")
    namespace: str = Field("default", max_length=63, description="The namespace.")
    uid: str = Field("", max_length=64, description="Set by the API server.")
    generation: int = Field(0, ge=0, description="Set by the API server: counts edits of the spec.")
    labels: dict[str, str] = Field(default_factory=dict, description="Labels.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Annotations.")


class TradingSystem(Block):
    """A stock-trading system as one declared resource."""

    model_config = rules(
        cel(
            f"self.metadata.name.matches('{SYSTEM_NAME_PATTERN}') && self.metadata.name.size() <= {SYSTEM_NAME_LENGTH}",
            f"metadata.name must begin with a lower-case letter and have at most {SYSTEM_NAME_LENGTH} characters of "
            "a-z, 0-9 and -",
        ),
        cel(
            "quantity(self.spec.storage.size).compareTo(quantity(oldSelf.spec.storage.size)) >= 0 || "
            "(has(self.status) && has(self.status.volumeSize) && "
            "quantity(self.spec.storage.size).compareTo(quantity(self.status.volumeSize)) >= 0)",
            "storage.size can only grow: a volume cannot shrink",
            ".spec.storage",
        ),
    )
    api_version: Literal["bellwether.dev/v1alpha1"] = "bellwether.dev/v1alpha1"
    kind: Literal["TradingSystem"] = "TradingSystem"
    metadata: Metadata
    spec: TradingSystemSpec = Field(default_factory=TradingSystemSpec, description="What the system is to be.")
    status: TradingSystemStatus | None = Field(None, description="What the operator last saw.")

    def with_metadata(self, **changes: str | int) -> Self:
        """Return this system with other metadata."""
        return self.model_copy(update={"metadata": self.metadata.model_copy(update=changes)})


def money(text: str) -> Decimal:
    """Return an amount or ratio of the declaration as an exact number."""
    return Decimal(text)


LIVE_FIELDS = (
    "symbols",
    "market",
    "predictions",
    "training",
    "trading",
    "quality",
    "sentiment",
    "tasks",
    "gateway",
    "notifications",
    "retention",
)
"""Fields of the spec that reach running services through the gateway, never by a new pod."""
