"""Figures of a service: plain counters on the hot path, Prometheus families when someone asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class ServiceMetrics(Collector):
    """What the runtime counts for one service. `registry` is for figures of the service's own."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.registry = CollectorRegistry()
        self.last_error: str | None = None
        self._calls: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._durations: dict[str, list[float]] = {}
        self._events: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self._totals: dict[str, tuple[str, Callable[[], float]]] = {}

    def called(self, method: str, code: str, seconds: float) -> None:
        """Count an answered call."""
        self._calls[method, code] += 1
        row = self._durations.get(method)
        if row is None:
            row = self._durations[method] = [0.0] * (len(BUCKETS) + 2)
        row[bisect_left(BUCKETS, seconds)] += 1
        row[-1] += seconds

    def event(self, event_type: str, outcome: str) -> None:
        """Count an event: processed, failed or dead."""
        self._events[event_type, outcome] += 1

    def failed(self, what: str) -> None:
        """Remember the last error for health."""
        self.last_error = what

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a figure that goes up and down, read when someone asks."""
        self._gauges[name] = (text, read)

    def total(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Add a figure that only grows, read when someone asks."""
        self._totals[name] = (text, read)

    @property
    def calls(self) -> int:
        """How many calls were answered."""
        return sum(self._calls.values())

    @property
    def failures(self) -> int:
        """How many calls were answered with an error."""
        return sum(count for (_, code), count in self._calls.items() if code != "OK")

    def collect(self) -> Iterator[Metric]:
        """Return the families, each sample labelled with the service."""
        calls = CounterMetricFamily(
            "bellwether_rpc_calls", "Calls answered, by outcome.", labels=["service", "method", "code"]
        )
        for (method, code), count in sorted(self._calls.items()):
            calls.add_metric([self.service, method, code], count)
        yield calls
        yield self._histogram()
        events = CounterMetricFamily(
            "bellwether_events", "Events handled, by outcome.", labels=["service", "type", "outcome"]
        )
        for (event_type, outcome), count in sorted(self._events.items()):
            events.add_metric([self.service, event_type, outcome], count)
        yield events
        for kind, figures in ((GaugeMetricFamily, self._gauges), (CounterMetricFamily, self._totals)):
            for name, (text, read) in figures.items():
                figure = kind(name, text, labels=["service"])
                figure.add_metric([self.service], read())
                yield figure
        yield from _labelled(self.registry.collect(), self.service)

    def _histogram(self) -> HistogramMetricFamily:
        family = HistogramMetricFamily(
            "bellwether_rpc_seconds", "Time from a call's arrival to its reply.", labels=["service", "method"]
        )
        bounds = [*(f"{bound:g}" for bound in BUCKETS), "+Inf"]
        for method, row in sorted(self._durations.items()):
            cumulated: list[tuple[str, float]] = []
            running = 0.0
            for bound, count in zip(bounds, row[:-1], strict=True):
                running += count
                cumulated.append((bound, running))
            family.add_metric([self.service, method], cumulated, row[-1])
        return family


def _labelled(families: Iterable[Metric], service: str) -> Iterator[Metric]:
    for family in families:
        copy = Metric(family.name, family.documentation, family.type)
        for sample in family.samples:
            copy.samples.append(sample._replace(labels={"service": service, **sample.labels}))
        yield copy


class _Merged(Collector):
    """Families of several services, each name once: the text format allows no second block of the same name."""

    def __init__(self, sources: Iterable[ServiceMetrics]) -> None:
        self._sources = list(sources)

    def collect(self) -> Iterator[Metric]:
        merged: dict[str, Metric] = {}
        for source in self._sources:
            for family in source.collect():
                known = merged.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                known.samples.extend(family.samples)
        return iter(merged.values())


def metrics_text(sources: Iterable[ServiceMetrics]) -> str:
    """Return the figures of services in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Merged(sources))
    return generate_latest(registry).decode()


@cache
def _process_registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def process_text() -> str:
    """Return the usual `process_*` figures of this process: CPU, memory, open files, start."""
    return generate_latest(_process_registry()).decode()
