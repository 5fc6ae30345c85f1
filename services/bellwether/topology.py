"""The one table of the services: what each needs, serves, publishes, consumes, stores and costs.

Start order (`wiring`), pods, NATS permissions, network policies, unit files and compose files are computed from it and
are never written a second time. A service refuses to start when what it registered differs from its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from bellwether.service_row import Resources, ServiceRow

HOLDING = ("hold", "let_go")
"""By these the gateway has a service write nothing for some seconds."""
COPYING = ("begin_copy", "read_copy", "end_copy")
"""By these `backup` gets a copy of what a service keeps."""
BUILT_IN_METHODS = ("health", "metrics", "shutdown", "settle", "describe", *HOLDING, *COPYING)
"""Methods that every service answers."""


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a text, so that a row of the table is seen at a glance."""
    return tuple(text.split())


_ROWS = (
    ServiceRow(
        name="market-data",
        purpose="Owns the bars: reads them from their source, answers as of an instant, says when new ones arrive.",
        serves=_names("""
            get_market_data get_bars get_windows get_opening_prices get_corporate_actions get_coverage get_freshness
            get_evidence get_news publish_bars
        """),
        publishes={"market_data_updated": "normal"},
        store="bars.db",
        external=("dns", "yahoo"),
        resources=Resources(75, 320),
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
        serves=_names("""
            load_model predict predict_many explain_probability get_drift list_models get_registry put_artifact
            get_artifact set_registry put_snapshot get_snapshot place_order list_orders finish_target close_order
        """),
        requires=("market-data",),
        calls={"market-data": ("get_bars", "get_coverage")},
        volume=True,
        external=("dns",),
        resources=Resources(75, 768),
    ),
    ServiceRow(
        name="ml-training",
        purpose="Makes models again in a child process, judges them by the gate, lets them serve. It keeps nothing.",
        requires=("market-data", "ml-model"),
        calls={
            "market-data": ("get_bars",),
            "ml-model": _names("""
                get_registry put_artifact get_artifact set_registry put_snapshot place_order list_orders close_order
            """),
            "prediction": ("get_live_records",),
        },
        serves=_names("train_model get_training list_registry show_model promote_model rollback_model shadow_model"),
        publishes={"model_trained": "normal", "model_promoted": "high", "model_demoted": "high"},
        external=("dns",),
        resources=Resources(10, 512),
    ),
    ServiceRow(
        name="prediction",
        purpose="Owns the decisions: joins bars and model into a prediction with its reasons, and publishes it.",
        requires=("market-data", "data-quality", "sentiment", "ml-model"),
        calls={
            "market-data": ("get_windows", "get_bars"),
            "data-quality": ("get_quality",),
            "sentiment": ("analyze_sentiment",),
            "ml-model": ("predict", "predict_many"),
        },
        serves=_names("""
            generate_predictions generate_single_prediction get_prediction get_buy_rate clear_cache list_decisions
            get_decision replay_decision record_outcomes get_session_decisions get_live_records get_serving_record
            prune_decisions
        """),
        publishes={"prediction_generated": "high", "buy_rate_alert": "urgent", "sell_rate_alert": "urgent"},
        consumes=("market_data_updated",),
        store="decisions.db",
        external=("dns",),
        resources=Resources(75, 192),
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
        serves=_names("""
            initialize_ig_markets sync_positions execute_trade approve_order cancel_order transfer export get_account
            get_equity get_safety get_positions list_orders list_refusals explain check_ledger get_session_book
            session_open session_close halt resume
        """),
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
        serves=_names("""
            schedule_market_aware_job execute_job execute_slot stop_all_jobs list_jobs list_slots get_replay
            get_report list_reports put_replay_report get_replay_report list_replay_reports retain_replay_reports
        """),
        publishes={"replay_completed": "normal"},
        store="slots.db",
        external=("dns",),
        resources=Resources(50, 128),
    ),
    ServiceRow(
        name="backup",
        purpose="Makes encrypted backups in folders and buckets when asked; those of a local run also when due.",
        calls={"paper-trading": ("halt",)},
        serves=("create_backup", "keep_backup", "restore_backup", "end_restore", "list_backups"),
        external=("dns", "s3"),
        resources=Resources(10, 256),
    ),
    ServiceRow(
        name="monitoring",
        purpose="Asks every service how it is, looks at the machine, and notifies people of what is wrong.",
        watches=True,
        calls={"scheduler": ("list_reports", "get_report")},
        serves=_names("""
            collect_system_metrics check_alerts list_notifications test_notification list_dead_letters get_dead_letter
            replay_dead_letter drop_dead_letter
        """),
        publishes={"system_alert": ("urgent", "high")},
        external=("dns", "notify"),
        resources=Resources(10, 112),
    ),
    ServiceRow(
        name="gateway",
        purpose="The one door for people: REST, dashboard, live declaration, halt, and the trace store.",
        requires=("market-data", "data-quality", "sentiment", "ml-model", "prediction", "paper-trading", "scheduler"),
        watches=True,
        calls={
            "market-data": ("get_market_data", "get_bars", "get_coverage", "get_freshness"),
            "data-quality": ("get_quality",),
            "sentiment": ("analyze_sentiment",),
            "ml-model": ("list_models", "explain_probability", "get_drift", "get_artifact"),
            "ml-training": _names("""
                train_model get_training list_registry show_model promote_model rollback_model shadow_model
            """),
            "prediction": _names("""
                generate_single_prediction get_buy_rate list_decisions get_decision get_serving_record
                replay_decision
            """),
            "paper-trading": _names("""
                get_account get_equity get_safety get_positions list_orders list_refusals explain check_ledger
                execute_trade approve_order cancel_order transfer export sync_positions halt resume
            """),
            "backup": ("create_backup", "keep_backup", "restore_backup", "end_restore", "list_backups"),
            "scheduler": _names("""
                list_jobs list_slots get_replay get_report list_reports get_replay_report list_replay_reports
                retain_replay_reports
            """),
            "monitoring": _names("""
                collect_system_metrics check_alerts list_notifications test_notification list_dead_letters
                get_dead_letter replay_dead_letter drop_dead_letter
            """),
        },
        store="traces.db",
        scratch=True,
        external=("dns", "otlp"),
        http_port=8080,
        resources=Resources(50, 192),
    ),
)


def _complete(row: ServiceRow) -> ServiceRow:
    """Return a row with what follows from the others: who watches may ask each of them for its health."""
    if not row.watches:
        return row
    calls = {one.name: ("health", *row.calls.get(one.name, ())) for one in _ROWS if one is not row}
    return replace(row, calls=calls)


SERVICES: Mapping[str, ServiceRow] = MappingProxyType({row.name: _complete(row) for row in _ROWS})

NATS_PORT = 4222
NATS_MONITOR_PORT = 8222
HEALTH_PORT = 8081
NATS_RESOURCES = Resources(75, 256)
NATS_STORE_BYTES = 768 * 1024 * 1024
"""What JetStream may keep on disk where the volume is large enough."""
