"""The one table of the services: what each needs, serves, publishes, consumes, stores and costs.

Start order, pods, NATS permissions, network policies, unit files and compose files are computed from it and are
never written a second time. A service refuses to start when what it registered differs from its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Literal

Priority = Literal["normal", "high", "urgent"]
PRIORITIES: tuple[Priority, ...] = ("urgent", "high", "normal")
External = Literal["dns", "yahoo", "feeds", "ig", "otlp", "notify"]


@dataclass(frozen=True)
class Resources:
    """What one service asks of a node in the standard profile: thousandths of a CPU, mebibytes (request = limit)."""

    cpu_millis: int
    memory_mebibytes: int


@dataclass(frozen=True)
class ServiceRow:
    """One service of the system."""

    name: str
    purpose: str
    requires: tuple[str, ...] = ()
    """Services that must be up first; they decide the start order."""
    calls: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Per peer, the methods that this service may call."""
    serves: tuple[str, ...] = ()
    """Methods of its own, besides those that every service has."""
    publishes: Mapping[str, Priority | tuple[Priority, ...]] = field(default_factory=dict)
    """Event types and the priorities each may be published with; the first is used when none is named."""
    consumes: tuple[str, ...] = ()
    """Event types or patterns such as `order_*`."""
    ordered: bool = False
    """True: events are handled one at a time, in the order they were published."""
    store: str | None = None
    """File name of the database that this service alone opens."""
    volume: bool = False
    """Whether it keeps files of its own (a store has a volume in any case)."""
    scratch: bool = False
    """Whether its files may go with its pod: then it has no volume, and is free to run on any node."""
    external: tuple[External, ...] = ()
    """Hosts outside the cluster that it talks to."""
    http_port: int | None = None
    """The port that people and other systems reach it on."""
    resources: Resources = Resources(50, 128)
    trading_path: bool = False
    """Whether orders stop when it is away."""

    @property
    def needs_volume(self) -> bool:
        """Whether its pod has a volume and therefore exactly one replica."""
        return self.volume or (self.store is not None and not self.scratch)

    def priorities(self, event_type: str) -> tuple[Priority, ...]:
        """Return the priorities that it may publish a type with, its usual one first; empty: it publishes none."""
        declared = self.publishes.get(event_type, ())
        return (declared,) if isinstance(declared, str) else declared

    @property
    def publications(self) -> tuple[tuple[str, Priority], ...]:
        """Every pair of event type and priority that it may publish."""
        return tuple((event, priority) for event in self.publishes for priority in self.priorities(event))


BUILT_IN_METHODS = ("health", "metrics", "shutdown", "settle", "describe")
"""Methods that every service answers."""

_ROWS = (
    ServiceRow(
        name="market-data",
        purpose="Owns the bars: reads them from their source, answers as of a moment, tells when new ones arrive.",
        serves=(
            "get_market_data",
            "get_bars",
            "get_opening_prices",
            "get_corporate_actions",
            "get_coverage",
            "get_freshness",
            "get_evidence",
            "get_news",
            "publish_bars",
        ),
        publishes={"market_data_updated": "normal"},
        store="bars.db",
        external=("dns", "yahoo"),
        resources=Resources(75, 320),
        trading_path=True,
    ),
    ServiceRow(
        name="data-quality",
        purpose="Judges the bars and the data of predictions by one table of rules, and warns when they are poor.",
        serves=("validate_prediction_data", "monitor_data_quality", "get_quality"),
        requires=("market-data",),
        calls={"market-data": ("get_evidence",)},
        publishes={"data_quality_alert": "high"},
        external=("dns",),
        resources=Resources(50, 128),
        trading_path=True,
    ),
    ServiceRow(
        name="sentiment",
        purpose="Reads headlines of Yahoo, of feeds or of a file, and says how good or bad the news about a symbol is.",
        calls={"market-data": ("get_news",)},
        serves=("analyze_sentiment",),
        external=("dns", "feeds"),
        resources=Resources(50, 128),
    ),
    ServiceRow(
        name="ml-model",
        purpose="Serves models from the registry; makes the recipe's model in a child process when there is none.",
        serves=(
            "load_model",
            "predict",
            "explain_probability",
            "get_drift",
            "list_models",
            "get_registry",
            "put_artifact",
            "get_artifact",
            "set_registry",
            "put_snapshot",
            "get_snapshot",
            "place_order",
            "list_orders",
            "finish_target",
            "close_order",
        ),
        requires=("market-data",),
        calls={"market-data": ("get_bars", "get_coverage")},
        volume=True,
        external=("dns",),
        resources=Resources(75, 768),
        trading_path=True,
    ),
    ServiceRow(
        name="ml-training",
        purpose="Makes models again in a child process, judges them by the gate, lets them serve. It keeps nothing.",
        requires=("market-data", "ml-model"),
        calls={
            "market-data": ("get_bars",),
            "ml-model": (
                "get_registry",
                "put_artifact",
                "get_artifact",
                "set_registry",
                "put_snapshot",
                "place_order",
                "list_orders",
                "close_order",
            ),
            "prediction": ("get_live_records",),
        },
        serves=(
            "train_model",
            "get_training",
            "list_registry",
            "show_model",
            "promote_model",
            "rollback_model",
            "shadow_model",
        ),
        publishes={"model_trained": "normal", "model_promoted": "high", "model_demoted": "high"},
        external=("dns",),
        resources=Resources(10, 512),
    ),
    ServiceRow(
        name="prediction",
        purpose="Owns the decisions: joins bars and model into a prediction with its reasons, and publishes it.",
        requires=("market-data", "data-quality", "sentiment", "ml-model"),
        calls={
            "market-data": ("get_market_data", "get_bars"),
            "data-quality": ("get_quality",),
            "sentiment": ("analyze_sentiment",),
            "ml-model": ("load_model", "predict"),
        },
        serves=(
            "generate_predictions",
            "generate_single_prediction",
            "get_prediction",
            "get_buy_rate",
            "clear_cache",
            "list_decisions",
            "get_decision",
            "replay_decision",
            "record_outcomes",
            "get_session_decisions",
            "get_live_records",
            "get_serving_record",
            "prune_decisions",
        ),
        publishes={"prediction_generated": "high", "buy_rate_alert": "urgent", "sell_rate_alert": "urgent"},
        consumes=("market_data_updated",),
        store="decisions.db",
        external=("dns",),
        resources=Resources(75, 192),
        trading_path=True,
    ),
    ServiceRow(
        name="paper-trading",
        purpose="Owns the ledger: turns predictions into orders that passed every guard, and keeps fills and cash.",
        requires=("prediction",),
        calls={
            "market-data": ("get_bars", "get_opening_prices", "get_corporate_actions", "get_freshness"),
            "data-quality": ("get_quality",),
            "prediction": ("prune_decisions",),
        },
        serves=(
            "initialize_ig_markets",
            "sync_positions",
            "execute_trade",
            "approve_order",
            "cancel_order",
            "transfer",
            "export",
            "get_account",
            "get_equity",
            "get_safety",
            "get_positions",
            "list_orders",
            "list_refusals",
            "explain",
            "check_ledger",
            "get_session_book",
            "session_open",
            "session_close",
            "halt",
            "resume",
        ),
        publishes={
            "order_filled": "high",
            "order_queued": "normal",
            "order_refused": "normal",
            "halt_changed": "urgent",
        },
        consumes=("prediction_generated",),
        ordered=True,
        store="ledger.db",
        external=("dns", "ig"),
        resources=Resources(100, 160),
        trading_path=True,
    ),
    ServiceRow(
        name="scheduler",
        purpose="Owns the slots: claims due work once, and conducts a replay step by step.",
        requires=("prediction", "paper-trading"),
        calls={
            "market-data": ("publish_bars", "get_coverage", "settle"),
            "data-quality": ("monitor_data_quality",),
            "ml-model": ("load_model",),
            "prediction": ("generate_predictions", "record_outcomes", "get_session_decisions", "settle"),
            "paper-trading": ("session_open", "session_close", "get_session_book", "settle"),
            "backup": ("create_backup",),
        },
        serves=(
            "schedule_market_aware_job",
            "execute_job",
            "execute_slot",
            "stop_all_jobs",
            "list_jobs",
            "list_slots",
            "get_replay",
            "get_report",
            "list_reports",
            "put_replay_report",
            "get_replay_report",
            "list_replay_reports",
            "retain_replay_reports",
        ),
        publishes={"replay_completed": "normal"},
        store="slots.db",
        external=("dns",),
        resources=Resources(50, 128),
        trading_path=True,
    ),
    ServiceRow(
        name="backup",
        purpose="Makes backups of a local run when asked and when due; in a cluster the operator does.",
        serves=("create_backup", "restore_backup", "list_backups"),
        external=("dns",),
        resources=Resources(10, 96),
    ),
    ServiceRow(
        name="monitoring",
        purpose="Asks every service how it is, looks at the machine, and tells people what is wrong.",
        calls={
            "market-data": ("health",),
            "data-quality": ("health",),
            "sentiment": ("health",),
            "ml-model": ("health",),
            "ml-training": ("health",),
            "prediction": ("health",),
            "paper-trading": ("health",),
            "scheduler": ("health", "list_reports", "get_report"),
            "backup": ("health",),
            "gateway": ("health",),
        },
        serves=(
            "collect_system_metrics",
            "check_alerts",
            "list_notifications",
            "test_notification",
            "list_dead_letters",
            "get_dead_letter",
            "replay_dead_letter",
            "drop_dead_letter",
        ),
        publishes={"system_alert": ("urgent", "high")},
        external=("dns", "notify"),
        resources=Resources(10, 112),
    ),
    ServiceRow(
        name="gateway",
        purpose="The one door for people: REST, dashboard, live declaration, halt, and the trace store.",
        requires=("market-data", "data-quality", "sentiment", "ml-model", "prediction", "paper-trading", "scheduler"),
        calls={
            "market-data": ("health", "get_market_data", "get_bars", "get_coverage", "get_freshness"),
            "data-quality": ("health", "get_quality", "validate_prediction_data"),
            "sentiment": ("health", "analyze_sentiment"),
            "ml-model": ("health", "list_models", "explain_probability", "get_drift", "get_artifact"),
            "ml-training": (
                "health",
                "train_model",
                "get_training",
                "list_registry",
                "show_model",
                "promote_model",
                "rollback_model",
                "shadow_model",
            ),
            "prediction": (
                "health",
                "generate_single_prediction",
                "get_prediction",
                "get_buy_rate",
                "list_decisions",
                "get_decision",
                "get_serving_record",
                "replay_decision",
            ),
            "paper-trading": (
                "health",
                "get_account",
                "get_equity",
                "get_safety",
                "get_positions",
                "list_orders",
                "list_refusals",
                "explain",
                "check_ledger",
                "execute_trade",
                "approve_order",
                "cancel_order",
                "transfer",
                "export",
                "sync_positions",
                "halt",
                "resume",
            ),
            "backup": ("health", "create_backup", "list_backups"),
            "scheduler": (
                "health",
                "execute_job",
                "list_jobs",
                "list_slots",
                "get_replay",
                "get_report",
                "list_reports",
                "get_replay_report",
                "list_replay_reports",
                "retain_replay_reports",
            ),
            "monitoring": (
                "health",
                "collect_system_metrics",
                "check_alerts",
                "list_notifications",
                "test_notification",
                "list_dead_letters",
                "get_dead_letter",
                "replay_dead_letter",
                "drop_dead_letter",
            ),
        },
        store="traces.db",
        scratch=True,
        external=("dns", "otlp"),
        http_port=8080,
        resources=Resources(50, 192),
    ),
)

SERVICES: Mapping[str, ServiceRow] = MappingProxyType({row.name: row for row in _ROWS})

NATS_PORT = 4222
NATS_MONITOR_PORT = 8222
HEALTH_PORT = 8081
NATS_RESOURCES = Resources(75, 256)
NATS_STORE_BYTES = 768 * 1024 * 1024
"""What JetStream may keep on disk where the volume is large enough."""


class TopologyError(ValueError):
    """The table contradicts itself; the message names the service and the fault."""


def start_order(rows: Mapping[str, ServiceRow] = SERVICES) -> list[str]:
    """Return the services so that each comes after all that it requires; among equals, by name.

    Raises:
        TopologyError: if a service requires one that is not in the table, or if there is a cycle.

    """
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for name in sorted(rows):
        for needed in rows[name].requires:
            if needed not in rows:
                raise TopologyError(f"{name} requires {needed}, which is not in the table")
        sorter.add(name, *sorted(rows[name].requires))
    try:
        sorter.prepare()
    except CycleError as error:
        raise TopologyError("services require each other in a circle: " + " -> ".join(error.args[1])) from error
    order: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order.extend(ready)
        sorter.done(*ready)
    return order


def check(rows: Mapping[str, ServiceRow] = SERVICES) -> None:
    """Refuse a table in which a call has no server, an event no publisher, or a store two owners.

    Raises:
        TopologyError: naming the first fault.

    """
    start_order(rows)
    owners: dict[str, str] = {}
    published = {event for row in rows.values() for event in row.publishes}
    for row in rows.values():
        for peer, methods in row.calls.items():
            if peer not in rows:
                raise TopologyError(f"{row.name} calls {peer}, which is not in the table")
            unknown = [method for method in methods if method not in rows[peer].serves + BUILT_IN_METHODS]
            if unknown:
                raise TopologyError(f"{row.name} calls {peer}.{unknown[0]}, which {peer} does not serve")
        for pattern in row.consumes:
            if not any(matches(pattern, event) for event in published):
                raise TopologyError(f"{row.name} consumes {pattern}, which nobody publishes")
        if row.store is not None and owners.setdefault(row.store, row.name) != row.name:
            raise TopologyError(f"{row.store} has two owners: {owners[row.store]} and {row.name}")
        for event in row.publishes:
            allowed = row.priorities(event)
            if not allowed or len(set(allowed)) < len(allowed):
                said = ", ".join(allowed) or "none"
                raise TopologyError(f"{row.name} publishes {event} with the priorities {said}: name each once")


def matches(pattern: str, event_type: str) -> bool:
    """Whether an event type fits a pattern, in which a `*` at the end stands for any rest."""
    if pattern.endswith("*"):
        return event_type.startswith(pattern[:-1])
    return event_type == pattern


def consumed_types(row: ServiceRow, rows: Mapping[str, ServiceRow] = SERVICES) -> dict[Priority, tuple[str, ...]]:
    """Return, per priority, the event types that a service consumes, sorted."""
    found: dict[Priority, set[str]] = {priority: set() for priority in PRIORITIES}
    for publisher in rows.values():
        for event, priority in publisher.publications:
            if any(matches(pattern, event) for pattern in row.consumes):
                found[priority].add(event)
    return {priority: tuple(sorted(types)) for priority, types in found.items() if types}
