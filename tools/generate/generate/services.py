"""The reference page of the services: methods, events, errors, and who may call what, from the code."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import tempfile
import textwrap
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from bellwether.local.registry import MODULES, registry
from bellwether.messages import envelope, events
from bellwether.naming import dead_subject, event_subject, rpc_subject
from bellwether.render.nats import BACKUP, GATEWAY, MAX_PAYLOAD
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.process import Process
from bellwether.runtime.rpc import Method
from bellwether.service_row import ServiceRow
from bellwether.spec.models import TradingSystem
from bellwether.topology import BUILT_IN_METHODS, COPYING, HOLDING, SERVICES
from bellwether.wiring import consumed_types, start_order
from generate.examples import example, json_text
from generate.sources import field_words, raised

SOURCES = Path(__file__).resolve().parents[3] / "services/bellwether"

RUNTIME_ERRORS: Mapping[str, str] = {
    "UNKNOWN_METHOD": "the service has no such method; the message lists those it has",
    "INVALID_REQUEST": "the body is no request",
    "INVALID_PARAMS": "`params` do not fit: the message names the field, the value and what would be right",
    "OUTSIDE_CALENDAR": "a day is asked for that the exchange's table does not have",
    "DEADLINE_EXCEEDED": "the budget was over before the work was done; what was not started is not started any more",
    "OVERLOADED": "too many calls wait already: ask again later",
    "STOPPING": "the service is ending: ask again, another one takes its place",
    "UNAVAILABLE": "a service that is needed for the answer does not answer",
    "NOT_SETTLED": "`settle` ended before all events were processed",
    "REPLY_TOO_LARGE": "the answer does not fit into a message: ask for less",
    "INTERNAL": "the handler failed; the service's log has the reason",
}

METHOD_WORDS: Mapping[str, str] = {
    "health": "Say how the service is: state, memory in MiB, CPU in percent, uptime in seconds, last error, and more.",
    "metrics": "Return the figures in Prometheus' text format.",
    "shutdown": "Drain and end the process; whoever runs it starts it again.",
    "settle": "Wait until the service has processed these events, and what followed is durable.",
    "describe": "Return the JSON schemas of all methods, and what the service consumes, publishes and keeps.",
    "get_account": "Return cash, positions' value, equity and what halts.",
    "get_safety": "Return whether an order would be allowed if the session were open, and if not, why.",
    "get_positions": "Return what is held.",
    "check_ledger": "Compute the ledger again from its events and compare.",
    "initialize_ig_markets": "Make the broker ready; the simulated one always is.",
    "sync_positions": "Compare the ledger's positions with the broker's.",
    "collect_system_metrics": "Ask every service for its health, and the machine for its figures.",
    "check_alerts": "Return what is wrong now, critical first.",
}
"""What a method does, where neither its handler nor its parameters say it."""


def page() -> str:
    """Return the page as Markdown."""
    found = methods()
    lines = [*_intro(), *_envelope(), *_errors(), *_events()]
    used: dict[str, Any] = {}
    for name in start_order():
        lines += _service(SERVICES[name], found[name], used)
    lines += ["## Every service", "", "These methods each service answers, under its own name.", ""]
    builtin = found["prediction"]
    for name in BUILT_IN_METHODS:
        lines += _method("SERVICE", builtin[name], _callers_of_built_in(name), used)
    for one in events.EVENTS.values():
        _collect(one, used)
    lines += _types(used)
    return "\n".join(lines).rstrip() + "\n"


@cache
def methods() -> dict[str, dict[str, Method]]:
    """Return every registered method, by service and name: the services are made, and not started."""

    async def make() -> dict[str, dict[str, Method]]:
        system = TradingSystem.model_validate({"metadata": {"name": "reference"}, "spec": {}})
        broker = MemoryBroker()
        with tempfile.TemporaryDirectory() as folder:
            config = replace(ProcessConfig(), system="reference", data_dir=Path(folder))
            process = Process(config, registry(SERVICES), connect=broker.connect, declaration=system, health=False)
            found = {name: dict(one.server.methods) for name, one in process.services.items()}
            for one in process.services.values():
                if one.context.store is not None:
                    await one.context.store.close()
        return found

    return asyncio.run(make())


def _intro() -> list[str]:
    return [
        "# Services",
        "",
        "<!-- Written by `make generate` from the topology, the message types and the services: change those. -->",
        "",
        *_prose(
            "For whoever writes a client: what each service answers and publishes, over NATS. Programs outside of the "
            "system are better off with the gateway's HTTP API (`/openapi.json`), which needs no key of NATS. Each "
            "example was decoded by the type that the service decodes with; its values are made up."
        ),
        "",
        *_prose(
            "Instants are ISO 8601 in UTC, days `2026-11-27` at the exchange, money and quantities decimals as text in "
            "the declared currency, shares and probabilities 0 to 1 unless a field says percent, durations in seconds."
        ),
        "",
    ]


def _envelope() -> list[str]:
    request = {
        "request_id": "7f3a",
        "source": "cli",
        "budget": 30.0,
        "params": {"symbol": "CBA.AX"},
    }
    reply = {"status": "success", "request_id": "7f3a", "execution_time": 0.0031, "result": {}}
    failed = {
        "status": "error",
        "request_id": "7f3a",
        "execution_time": 0.0012,
        "error": {"code": "NO_PREDICTION", "message": "there is no fresh prediction of CBA.AX: ask for a new one"},
    }
    event = {
        "id": "bars-cba-ax-20261127-5f0c9d1e2b3a4c5d",
        "type": "market_data_updated",
        "timestamp": "2026-11-27T05:40:00Z",
        "source_service": "market-data",
        "priority": "normal",
        "run": "live",
        "data": example(events.EVENTS["market_data_updated"]),
    }
    msgspec.json.decode(msgspec.json.encode(request), type=envelope.Request)
    for one in (reply, failed):
        msgspec.json.decode(msgspec.json.encode(one), type=envelope.Reply)
    msgspec.json.decode(msgspec.json.encode(event), type=envelope.EventEnvelope)
    return [
        "## Calls",
        "",
        *_prose(
            "A method is a request on its subject, `bw.rpc.SERVICE.METHOD`, with a JSON body and a reply. `budget` is "
            "how many seconds the caller still waits: nested calls share it. `as_of` (optional) is the domain time to "
            "answer for, `run` the replay's run. The W3C header `traceparent` joins the call to a trace. A message has "
            "at most "
            f"{MAX_PAYLOAD // 1024} KiB."
        ),
        "",
        *_prose(
            "A parameter that a method does not take is refused (`INVALID_PARAMS`), so that a misspelt one is not left "
            "out without a word; a program of a newer release that asks an older service for what that cannot do hears "
            "that. Not refused are parameters of the methods that every service has, and calls between services: "
            "while a release is rolled out, a newer one calls an older one, which ignores what it does not know."
        ),
        "",
        *_json(request),
        *_json(reply),
        *_json(failed),
        *_prose(
            "Who may call what is decided by keys: each service has an nkey of its own and may publish to exactly the "
            "subjects named here. The key `cli` may call every method and hear every event; `job` may call "
            "`scheduler.execute_slot` and nothing else."
        ),
        "",
        "```python",
        "async def call(nc, service, method, params, budget=30.0):",
        '    body = {"request_id": uuid4().hex, "source": "cli", "budget": budget, "params": params}',
        '    reply = await nc.request(f"bw.rpc.{service}.{method}", json.dumps(body).encode(), timeout=budget)',
        "    answer = json.loads(reply.data)",
        '    if answer["status"] == "error":',
        "        raise RuntimeError(f\"{answer['error']['code']}: {answer['error']['message']}\")",
        '    return answer["result"]',
        "",
        "",
        '# nc = await nats.connect(url, nkeys_seed="cli.nk", inbox_prefix=b"_INBOX_cli")',
        "```",
        "",
        "## Events on the wire",
        "",
        *_prose(
            "An event is published on `bw.event.PRIORITY.TYPE` and kept in the stream `EVENTS`. It can come more than "
            "once, with the same `id` within its `run`."
        ),
        "",
        *_json(event),
    ]


def _errors() -> list[str]:
    lines = ["## Errors of every service", "", "| code | means |", "|---|---|"]
    lines += [f"| `{code}` | {words} |" for code, words in RUNTIME_ERRORS.items()]
    return [*lines, "", "An error of a service that was asked on the way is passed on with its code.", ""]


def _events() -> list[str]:
    lines = ["## Events", ""]
    for name in sorted(events.EVENTS):
        kind = events.EVENTS[name]
        publisher = next(row for row in SERVICES.values() if name in row.publishes)
        priorities = publisher.priorities(name)
        hearers = [row.name for row in SERVICES.values() if name in consumed_types(row).get(priorities[0], ())]
        subjects = " or ".join(f"`{event_subject(one, name)}` (priority {one})" for one in priorities)
        lines += [
            f"### {name}",
            "",
            f"{_doc(kind)}",
            "",
            f"- subject {subjects}, published by {publisher.name}",
            f"- consumed by {', '.join(hearers) or 'no service'}; the gateway streams it (`GET /v1/events`)",
            f"- `data`: {_linked(kind)}",
        ]
        if hearers:
            dead = ", ".join(f"`{dead_subject(one, name)}`" for one in hearers)
            lines.append(f"- given up on after its last attempt, it goes to {dead}")
        lines += ["", *_json(example(kind))]
    return lines


def _service(row: ServiceRow, found: Mapping[str, Method], used: dict[str, Any]) -> list[str]:
    lines = [f"## {row.name}", "", row.purpose, ""]
    if row.publishes:
        said = ", ".join(
            f"[`{event}`](#{event}) ({' or '.join(row.priorities(event))})" for event in sorted(row.publishes)
        )
        lines.append(f"- publishes {said}")
    if row.consumes:
        lines.append(f"- consumes {', '.join(f'`{event}`' for event in row.consumes)}")
    if row.calls:
        said = "; ".join(f"{peer}: {', '.join(methods)}" for peer, methods in sorted(row.calls.items()))
        lines.append(f"- may call {said}")
    if row.store:
        lines.append(f"- keeps `{row.store}`")
    lines.append("")
    codes = raised(_folder(row.name))
    if codes:
        lines += ["| error | says |", "|---|---|"]
        lines += [f"| `{code}` | {_cell(words)} |" for code, words in sorted(codes.items())]
        lines.append("")
    for name in row.serves:
        lines += _method(row.name, found[name], _callers(row.name, name), used)
    return lines


def _folder(service: str) -> Path:
    path = importlib.import_module(MODULES[service]).__file__
    return Path(str(path)).parent


def _method(service: str, method: Method, callers: Iterable[str], used: dict[str, Any]) -> list[str]:
    lines = [f"### {service}.{method.name}" if service != "SERVICE" else f"### {method.name}", "", _says(method), ""]
    lines.append(f"- subject `{rpc_subject(service, method.name)}`; called by {', '.join(callers) or 'no service'}")
    lines.append(f"- parameters: {_linked(method.params) if method.params is not None else 'none'}")
    lines += [f"- answer: {_linked(method.result)}", ""]
    for kind in (method.params, method.result):
        _collect(kind, used)
    if _fields(method.params):
        lines += [*_table(method.params), "", "Parameters, then the answer:", "", *_json(example(method.params))]
    if isinstance(method.result, type) and issubclass(method.result, msgspec.Struct):
        lines += _json(example(method.result))
    return lines


def _says(method: Method) -> str:
    """Return what a method does: from its handler, else its parameters."""
    words = inspect.getdoc(method.handler) or METHOD_WORDS.get(method.name, "")
    if method.name in METHOD_WORDS:
        words = METHOD_WORDS[method.name]
    if not words and method.params is not None:
        words = _doc(method.params)
    return words.split("\n\nRaises:")[0].strip()


def _callers(service: str, method: str) -> list[str]:
    found = [row.name for row in SERVICES.values() if method in row.calls.get(service, ())]
    return [*sorted(found), "cli", *(["job"] if (service, method) == ("scheduler", "execute_slot") else [])]


def _callers_of_built_in(method: str) -> list[str]:
    found = {row.name for row in SERVICES.values() for called in row.calls.values() if method in called}
    found |= {GATEWAY} if method in HOLDING else {BACKUP} if method in COPYING else set()
    return [*sorted(found), "cli"]


def _types(used: Mapping[str, Any]) -> list[str]:
    lines = ["## Types", ""]
    for name in sorted(used):
        lines += [f"### {name}", "", _doc(used[name]), "", *(_table(used[name]) or ["No fields."]), ""]
    return lines


def _collect(kind: Any, used: dict[str, Any]) -> None:
    """Add a type and all that it is made of."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        if kind.__name__ not in used:
            used[kind.__name__] = kind
            for hint in typing.get_type_hints(kind).values():
                _collect(hint, used)
        return
    for inner in typing.get_args(kind):
        _collect(inner, used)


def _fields(kind: Any) -> tuple[Any, ...]:
    return msgspec.structs.fields(kind) if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else ()


def _table(kind: Any) -> list[str]:
    if not _fields(kind):
        return []
    hints, words = typing.get_type_hints(kind), field_words(kind)
    lines = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for one in _fields(kind):
        cells = [f"`{one.encode_name}`", _type(hints[one.name]), _default(one), words.get(one.name, "")]
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return lines


def _default(field: Any) -> str:
    if field.default is msgspec.UNSET:
        return "left out"
    if field.default is not msgspec.NODEFAULT:
        return f"`{msgspec.json.encode(field.default).decode()}`"
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{msgspec.json.encode(field.default_factory()).decode()}`"
    return ""


_NAMES: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    type(None): "null",
    Any: "any JSON",
}


def _type(kind: Any) -> str:
    """Return a type in words, structs as links."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not msgspec.UnsetType)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"map of {_type(arguments[0])} to {_type(arguments[1])}"
    if kind in _NAMES:
        return _NAMES[kind]
    return _linked(kind)


def _linked(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    named = {"Decimal": "decimal as text", "date": "day", "datetime": "instant"}
    name = getattr(kind, "__name__", str(kind))
    return named.get(name, "object" if typing.get_origin(kind) is dict else name)


def _doc(kind: Any) -> str:
    return inspect.getdoc(kind) or ""


def _prose(text: str) -> list[str]:
    return textwrap.wrap(text, 118, break_long_words=False, break_on_hyphens=False)


def _json(value: Any) -> list[str]:
    return ["```json", json_text(value), "```", ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
