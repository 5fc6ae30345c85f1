"""Pictures of two walks through the code, for docs/architecture.md: each stop is a function, each step is in the code.

A stop that was renamed or moved, or a step that the code no longer takes, is an error that names both: mend WALKS then.
What a stop does is the first sentence of its docstring.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[3]
OPERATOR, SERVICES = "operator/bellwether_operator", "services/bellwether"
MEND = "mend WALKS in tools/generate/generate/walks.py"
KUBERNETES = f"{SERVICES}/render/kubernetes"


class WalkError(Exception):
    """A walk that the code does not take."""


class Stop(NamedTuple):
    """A function on the way.

    Attributes:
        file: from the top of the project.
        name: with its class before it, as in `Executor.send`.
        after: the stop that leads here, by its name; without it the one before.
        by: how, where it is no call: a text in the code of the stop before, such as the name of a service's method.
        start: what begins here, where no stop leads here.
    """

    file: str
    name: str
    after: str = ""
    by: str = ""
    start: str = ""


@dataclass(frozen=True)
class Walk:
    """One picture, with what comes after its last stop."""

    title: str
    stops: tuple[Stop, ...]
    end: str


DECLARATION = Walk(
    "One declaration, from the file to a pod",
    (
        Stop(
            f"{OPERATOR}/handlers.py",
            "take_event",
            start="kubectl apply: the API server checks the file by crds/, which are made from spec/",
        ),
        Stop(f"{OPERATOR}/workers.py", "Workers.mark"),
        Stop(f"{OPERATOR}/workers.py", "Worker._one_pass", by="Worker"),
        Stop(f"{OPERATOR}/reconcile.py", "Reconciler.run"),
        Stop(f"{SERVICES}/spec/models.py", "TradingSystem"),
        Stop(f"{OPERATOR}/layout.py", "layout", after="Reconciler.run"),
        Stop(f"{OPERATOR}/layout.py", "render_layout", after="Reconciler.run"),
        Stop(f"{SERVICES}/change/layouts.py", "laid_out"),
        Stop(f"{KUBERNETES}/__init__.py", "render"),
        Stop(f"{KUBERNETES}/workloads.py", "workloads"),
        Stop(f"{KUBERNETES}/pods.py", "service_pod"),
        Stop(f"{KUBERNETES}/containers.py", "services_container"),
        Stop(f"{OPERATOR}/releasing.py", "Releasing.release", after="Reconciler.run"),
        Stop(f"{OPERATOR}/apply/applier.py", "Applier.apply", after="Reconciler.run"),
        Stop(f"{OPERATOR}/apply/actions.py", "action_for"),
        Stop(f"{OPERATOR}/apply/client.py", "Client.apply", after="Applier.apply"),
        Stop(f"{OPERATOR}/report/status.py", "status", after="Reconciler.run"),
        Stop(f"{SERVICES}/runtime/process.py", "serve", after="services_container", by="serve"),
        Stop(f"{SERVICES}/runtime/service.py", "Service.start", by="start"),
    ),
    "a pod that is ready: its services have the declaration from NATS and acknowledge its generation",
)

BAR = Walk(
    "One bar, to a fill",
    (
        Stop(f"{SERVICES}/market_data/loading.py", "Loader.load", start="a file of bars has changed"),
        Stop(f"{SERVICES}/market_data/csv_files.py", "CsvFiles.load"),
        Stop(f"{SERVICES}/market_data/intake.py", "take_in", after="Loader.load"),
        Stop(f"{SERVICES}/market_data/store.py", "write", after="Loader.load"),
        Stop(
            f"{SERVICES}/scheduling/effects.py",
            "run_task",
            start="the slot prediction_generation is due; the bars are stored by then",
        ),
        Stop(f"{SERVICES}/prediction/service.py", "PredictionService.generate_predictions", by="generate_predictions"),
        Stop(f"{SERVICES}/prediction/gather.py", "gather_inputs"),
        Stop(f"{SERVICES}/market_data/service.py", "MarketDataService.get_windows", by="get_windows"),
        Stop(f"{SERVICES}/models/service.py", "ModelService.predict_many", after="gather_inputs", by="predict_many"),
        Stop(f"{SERVICES}/prediction/logic.py", "decide", after="PredictionService.generate_predictions"),
        Stop(
            f"{SERVICES}/trading/incoming.py",
            "Incoming.take",
            after="PredictionService.generate_predictions",
            by="prediction_generated",
        ),
        Stop(f"{SERVICES}/trading/placing.py", "place"),
        Stop(f"{SERVICES}/trading/placing.py", "queue"),
        Stop(f"{SERVICES}/trading/guards.py", "judge"),
        Stop(
            f"{SERVICES}/scheduling/clockwork.py",
            "Clockwork._open",
            start="the session opens; the order waits in the ledger",
        ),
        Stop(f"{SERVICES}/trading/opening.py", "Opens.open", by="session_open"),
        Stop(f"{SERVICES}/trading/executor.py", "Executor.send"),
        Stop(f"{SERVICES}/trading/release.py", "release"),
        Stop(f"{SERVICES}/broker/simulated.py", "SimulatedBroker.submit", after="Executor.send"),
        Stop(f"{SERVICES}/trading/recording.py", "recorded", after="Executor.send"),
        Stop(f"{SERVICES}/trading/desk.py", "Desk.record", after="Executor.send"),
        Stop(f"{SERVICES}/trading/ledger.py", "Ledger.append"),
        Stop(f"{SERVICES}/trading/announcing.py", "announce", after="Desk.record"),
    ),
    "order_filled: a fill in the ledger, from which cash and positions follow",
)
WALKS = (DECLARATION, BAR)


def page_part() -> str:
    """Return the pictures, each with its stops as a list below it.

    Raises:
        WalkError: if the code does not take one of the steps.
    """
    return "\n".join(drawn(walk) for walk in WALKS)


def drawn(walk: Walk) -> str:
    """Return one picture, with its stops as a list below it; raises WalkError as above."""
    steps = list(_steps(walk))
    lines = [f"## {walk.title}", "", "```mermaid", "flowchart TD"]
    for number, stop in enumerate(walk.stops, 1):
        lines.append(f'  s{number}["{short(stop.file)}<br/><b>{stop.name}</b>"]')
        if stop.start:
            lines.append(f'  start{number}(["{stop.start}"]) --> s{number}')
    for before, number, words in steps:
        lines.append(f"  s{before} -->{f'|{words}|' if words else ''} s{number}")
    lines += [f'  s{len(walk.stops)} --> finish(["{walk.end}"])', "```", ""]
    for number, stop in enumerate(walk.stops, 1):
        lines.append(f"{number}. [`{short(stop.file)}`](../{stop.file}) `{stop.name}`: {_sentence(stop)}")
    return "\n".join([*lines, ""])


def forget() -> None:
    """Forget what files were read."""
    _module.cache_clear()
    _words.cache_clear()


def short(file: str) -> str:
    """Return a path as readers of the code say it."""
    return file.removeprefix(f"{SERVICES}/").replace(f"{OPERATOR}/", "operator: ")


def _steps(walk: Walk) -> Iterator[tuple[int, int, str]]:
    """Yield the numbers of the stops that each step joins, and what is written on it."""
    numbers = {stop.name: number for number, stop in enumerate(walk.stops, 1)}
    for stop in walk.stops:
        _definition(stop)
    for number, stop in enumerate(walk.stops, 1):
        if stop.start:
            continue
        if stop.after and stop.after not in numbers:
            raise WalkError(f"{walk.title}: {stop.name} comes after {stop.after}, which is no stop")
        before = numbers[stop.after] if stop.after else number - 1
        leader, word = walk.stops[before - 1], stop.by or stop.name.rpartition(".")[2]
        if word not in _words(leader.file, leader.name):
            raise WalkError(
                f"{walk.title}: {leader.name} in {leader.file} no longer has {word!r}, the step to {stop.name}: {MEND}"
            )
        yield before, number, stop.by


@cache
def _module(file: str) -> dict[str, ast.AST]:
    """Return the functions and classes of a file by their names, a method with its class before it."""
    path = ROOT / file
    if not path.is_file():
        raise WalkError(f"{file} is gone: {MEND}")
    found: dict[str, ast.AST] = {}

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found[f"{prefix}{node.name}"] = node
                look(node.body, f"{prefix}{node.name}." if isinstance(node, ast.ClassDef) else prefix)

    look(ast.parse(path.read_text("utf-8")).body, "")
    return found


def _definition(stop: Stop) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef:
    node = _module(stop.file).get(stop.name)
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        raise WalkError(f"{stop.file} has no {stop.name}: {MEND}")
    return node


def _sentence(stop: Stop) -> str:
    text = ast.get_docstring(_definition(stop))
    if text is None:
        raise WalkError(f"{stop.name} in {stop.file} needs a docstring: it is a stop of a walk")
    return " ".join(text.split("\n\n")[0].split())


@cache
def _words(file: str, name: str) -> frozenset[str]:
    """Return the names and texts in a function, and in those of its file that it uses."""
    functions = _module(file)
    found: set[str] = set()
    waiting, seen = [name], set[str]()
    while waiting:
        current = waiting.pop()
        seen.add(current)
        node = functions.get(current)
        for part in ast.walk(node) if node is not None else ():
            if isinstance(part, ast.Name):
                found.add(part.id)
            elif isinstance(part, ast.Attribute):
                found.add(part.attr)
            elif isinstance(part, ast.Constant) and isinstance(part.value, str):
                found.add(part.value)
        waiting += [other for other in functions if other.rpartition(".")[2] in found and other not in seen]
    return frozenset(found)
