"""What the operator tells about itself: Prometheus metrics and JSON logs."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from prometheus_client import Counter, Gauge, Histogram

API_REQUESTS = Counter("bellwether_operator_api_requests", "Requests to the API server.", ["method", "code"])
PASSES = Counter("bellwether_operator_passes", "Reconcile passes by outcome.", ["outcome"])
PASS_SECONDS = Histogram(
    "bellwether_operator_pass_seconds",
    "Duration of a reconcile pass.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
)
DRIFT = Counter("bellwether_operator_drift", "Children put right after somebody else changed them.", ["kind"])
EVENTS_SEEN = Counter("bellwether_operator_watch_events", "Events that the watches brought.", ["kind"])
EVENTS_MISSED = Counter("bellwether_operator_missed_events", "Systems whose change a watch missed and a list found.")
SYSTEMS = Gauge("bellwether_operator_systems", "Trading systems that are looked after.")
NAMESPACE_FAILING = Gauge(
    "bellwether_operator_namespace_failing",
    "1 while something in a namespace cannot be listed or watched.",
    ["namespace"],
)
BACKUPS = Gauge(
    "bellwether_operator_backups",
    "1 while a system's condition BackupHealthy or RestoreVerified is True, 0 while it is False.",
    ["namespace", "system", "type"],
)
GATEWAY_POLLS = Counter("bellwether_operator_gateway_polls", "Looks at systems' gateways.", ["outcome"])


def note_backups(namespace: str, system: str, conditions: Iterable[Mapping[str, str]] = ()) -> None:
    """Have a system's figures of backups say what its conditions do; what is Unknown, or not there, has none."""
    statuses = {each["type"]: each["status"] for each in conditions}
    for kind in ("BackupHealthy", "RestoreVerified"):
        if statuses.get(kind) in ("True", "False"):
            BACKUPS.labels(namespace, system, kind).set(statuses[kind] == "True")
        else:
            BACKUPS.remove(namespace, system, kind)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, and what the record carries of a system."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        system = getattr(record, "system", None)
        if system is not None:
            line["system"] = str(system)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure_logs(level: str) -> None:
    """Send everything to standard error as JSON lines; kopf's own chatter from WARNING on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("kopf", "aiohttp", "asyncio", "kubernetes"):
        logging.getLogger(name).setLevel(logging.WARNING)
