"""The reference of the services names everything that is registered, and its examples are what services take."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
import pytest

import bellwether
from bellwether.messages import events
from bellwether.topology import BUILT_IN_METHODS, SERVICES
from generate import services
from generate.examples import example
from generate.sources import field_words, raised

PACKAGE = Path(str(bellwether.__file__)).parent


@pytest.fixture(scope="module")
def page() -> str:
    return services.page()


def test_every_registered_method_and_event_has_its_section_with_its_subject(page: str) -> None:
    headings = set(re.findall(r"^### (\S+)$", page, re.MULTILINE))
    registered = services.methods()
    for name, methods in registered.items():
        own = {f"{name}.{method}" for method in methods if method not in BUILT_IN_METHODS}
        assert own == {f"{name}.{method}" for method in SERVICES[name].serves}
        assert own <= headings
        assert all(f"`bw.rpc.{method}`" in page for method in own)
    assert set(BUILT_IN_METHODS) <= headings
    published = {event for row in SERVICES.values() for event in row.publishes}
    assert published == events.EVENTS.keys(), "messages/events.py names every event that the topology does"
    assert published <= headings
    pairs = [pair for row in SERVICES.values() for pair in row.publications]
    assert all(f"`bw.event.{priority}.{event}`" in page for event, priority in pairs)


def test_who_may_call_is_who_has_the_permission(page: str) -> None:
    for row in SERVICES.values():
        for peer, methods in row.calls.items():
            for method in set(methods) - set(BUILT_IN_METHODS):
                line = next(line for line in page.splitlines() if f"`bw.rpc.{peer}.{method}`; called by" in line)
                assert row.name in line


def test_every_link_leads_to_a_heading_of_the_page(page: str) -> None:
    headings = {line.lstrip("# ").lower() for line in page.splitlines() if line.startswith("#")}
    assert set(re.findall(r"\(#([^)]+)\)", page)) <= headings


def test_examples_are_decoded_by_the_types_of_the_handlers() -> None:
    for methods in services.methods().values():
        for method in methods.values():
            for kind in (method.params, method.result):
                if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                    msgspec.convert(example(kind), type=kind)


def test_events_are_published_with_the_data_that_is_named_for_them() -> None:
    """Every call in the source that names an event and makes its data at once is looked at."""
    seen = set()
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text("utf-8")
        for node in ast.walk(ast.parse(text)) if "event(" in text else ():
            match node:
                case ast.Call(
                    func=ast.Attribute(attr="event" | "publish_event"),
                    args=[ast.Constant(value=str(name)), ast.Call(func=ast.Name(id=made)), *_],
                ) if name in events.EVENTS:
                    assert made == events.EVENTS[name].__name__, path
                    seen.add(name)
    assert "prediction_generated" in seen


def test_errors_and_the_words_of_fields_come_from_the_source(tmp_path: Path) -> None:
    (tmp_path / "made.py").write_text(
        'CODE = "OWN_CODE"\nraise RpcError(CODE, f"no {what} here")\nraise RpcError(error.code, "passed on")\n'
    )
    assert raised(tmp_path) == {"OWN_CODE": "no {…} here"}
    assert field_words(events.EVENTS["prediction_generated"]) == {}
    from bellwether.messages.prediction import Prediction

    assert field_words(Prediction)["target_session"] == "The session in which an order from it would be filled."
