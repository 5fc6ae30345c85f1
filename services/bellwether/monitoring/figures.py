"""monitoring's own figures for Prometheus: the alarms that are raised, when it last looked, and what it owes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bellwether.monitoring.book import OWED, AlertBook
from bellwether.monitoring.judging import Key
from bellwether.runtime.alarm import AlarmState


class AlarmFigures(Collector):
    """Reads the state of monitoring when somebody asks; before its first look there is nothing to tell."""

    def __init__(
        self,
        states: Callable[[], Mapping[Key, AlarmState]],
        book: Callable[[], AlertBook],
        looked: Callable[[], datetime | None],
    ) -> None:
        self._states, self._book, self._looked = states, book, looked

    def collect(self) -> Iterator[Metric]:
        """Return the families."""
        book = self._book()
        severities = {(one.type, one.service): one.severity for one in book.alarms}
        alarms = GaugeMetricFamily(
            "bellwether_alarms", "1 for each alarm that is raised.", labels=["type", "subject", "severity"]
        )
        for (kind, subject), state in sorted(self._states().items()):
            if state.raised:
                alarms.add_metric([kind, subject, severities.get((kind, subject), "warning")], 1.0)
        yield alarms
        looked = self._looked()
        last = GaugeMetricFamily("bellwether_monitoring_last_look_timestamp_seconds", "When monitoring last looked.")
        if looked is not None:
            last.add_metric([], looked.timestamp())
        yield last
        owed: dict[str, int] = {}
        for notice in book.notices:
            for name, one in notice.deliveries.items():
                owed[name] = owed.get(name, 0) + (one.status in OWED)
        family = GaugeMetricFamily(
            "bellwether_notifications_owed", "Notices that are to be sent.", labels=["notification"]
        )
        for name, count in sorted(owed.items()):
            family.add_metric([name], count)
        yield family
