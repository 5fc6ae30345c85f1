"""The alerts for Prometheus: each can be parsed, and asks for figures and labels that there are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import MetaData

from bellwether.messages.monitoring import AlarmReading
from bellwether.monitoring.service import create as monitoring
from bellwether.runtime.clock import LiveClock
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.metrics import metrics_text, process_text
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from bellwether_operator import telemetry
from generate.rules import RULES
from harness.system import running
from harness.until import until
from integration.trading.peers import declaration

OF_PROMETHEUS = {"namespace", "pod", "exported_namespace", "le"}
"""Labels that it sets itself, by where it found the target."""
ROWS = {
    "monitoring": SERVICES["monitoring"],
    "prediction": ServiceRow("prediction", "is ill", store="decisions.db"),
}


def selectors(node: Any) -> Iterator[Any]:
    """Return the vectors that an expression asks for, whatever they stand in."""
    if type(node).__name__ == "VectorSelector":
        yield node
    for name in ("lhs", "rhs", "expr", "args", "vector_selector", "param"):
        child = getattr(node, name, None)
        for one in child if isinstance(child, list) else [child]:
            if one is not None and not isinstance(one, str | float):
                yield from selectors(one)


@pytest.fixture
async def figures(tmp_path: Path) -> dict[str, set[str]]:
    """The names of all figures with their labels, of running services and of the operator."""

    def ill(context: ServiceContext) -> Service:
        service = Service("prediction", context)
        service.context.open_store(MetaData())
        service.on_alarms(lambda: [AlarmReading("slot_missed", "warning", "made up")])
        return service

    builds: dict[str, Any] = {"monitoring": lambda context: monitoring(context, every=0.02), "prediction": ill}
    options: dict[str, Any] = {"data_dir": tmp_path, "declaration": declaration(), "clock": LiveClock(), "rows": ROWS}
    async with running(builds, **options) as system:
        text: list[str] = []
        for name, service in system.services.items():
            service.figures.event("market_data_updated", "dead")
            if name == "monitoring":
                await until(lambda: 'type="slot_missed"' in metrics_text([system.services["monitoring"].figures]))
            text.append(metrics_text([service.figures]))
    telemetry.NAMESPACE_FAILING.labels("default").set(0)
    telemetry.note_backups("default", "demo", [{"type": "BackupHealthy", "status": "True"}])
    text += [process_text(), generate_latest(REGISTRY).decode()]
    found: dict[str, set[str]] = {}
    for one in text:
        for family in text_string_to_metric_families(one):
            for sample in family.samples:
                found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_each_alert_asks_for_figures_and_labels_that_there_are(figures: dict[str, set[str]]) -> None:
    assert {"process_resident_memory_bytes", "process_cpu_seconds_total"} <= set(figures)
    for rule in RULES:
        asked = list(selectors(promql_parser.parse(rule.expr)))
        assert asked, rule.name
        for one in asked:
            assert one.name in figures, f"{rule.name}: there is no figure {one.name}"
            labels = {matcher.name for matcher in one.matchers.matchers}
            assert labels <= figures[one.name], rule.name
        grouped = {name.strip() for found in re.findall(r"by \(([^)]*)\)", rule.expr) for name in found.split(",")}
        known = set().union(*(figures[one.name] for one in asked)) | OF_PROMETHEUS
        assert grouped <= known, rule.name
        # What a text names is left over after the grouping.
        assert set(re.findall(r"\$labels\.(\w+)", rule.summary)) <= grouped, rule.name


def test_names_are_unique_and_each_has_its_section_in_the_page() -> None:
    root = Path(__file__).parents[3]
    page = (root / "docs" / "alerts.md").read_text()
    groups = yaml.safe_load((root / "charts" / "bellwether" / "files" / "alerts.yaml").read_text())["groups"]
    names = [one["alert"] for group in groups for one in group["rules"]]
    assert names == [one.name for one in RULES]
    assert len(set(names)) == len(names)
    assert all(f"## {name}\n" in page for name in names)
