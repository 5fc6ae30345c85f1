"""Models made again by an Indexed Job while the system predicts: killed, resumed, judged, in service, taken back.

Closes fall back to their mean of twenty sessions, so a model that sees the distance from it predicts them, and the gate
under `enforce` lets it serve. A second share is declared after the first models serve: its own and, as features look at
all shares, those of the others are made again.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event

import httpx
import pytest

from e2e import waits
from e2e.bars import VOLUME, fill_volume
from e2e.killer import Killer, killer
from e2e.lab import Lab, Object, System, eventually, live_system

pytestmark = pytest.mark.timeout(1800)

RECIPE = "direction-full"
FIRST, SECOND = "MADEUP1", "MADEUP2"
TARGETS = (None, FIRST, SECOND)
"""In the order of the Job's indexes."""
PROGRAM = "train-target"
PACE = 0.05
"""Seconds between two predictions of a caller: a machine of two cores has models to make, too."""
OF_JOB = "app.kubernetes.io/component=training-job"
CONTROLLER = "batch.kubernetes.io/controller-uid"
WRITE_BARS = """
import math, random, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from bellwether.market.sessions import load_calendar
calendar = load_calendar("XNYS")
today = calendar.local_day(datetime.now(UTC))
sessions = calendar.sessions(today - timedelta(days=2000), today - timedelta(days=1))[-1305:]
Path("/csv/bars").mkdir(exist_ok=True)
for symbol in sys.argv[1:]:
    chance, level, lines = random.Random(symbol), 3.5, ["Date,Open,High,Low,Close,Adj Close,Volume"]
    recent = [level] * 20
    for session in sessions:
        opening = level + chance.gauss(0.0, 0.003)
        level = opening + 0.5 * (sum(recent) / 20 - level) + chance.gauss(0.0, 0.012)
        recent = [*recent[1:], level]
        high, low = max(opening, level) + 0.004, min(opening, level) - 0.004
        first, top, bottom, last = (f"{math.exp(each):.4f}" for each in (opening, high, low, level))
        lines.append(f"{session.day},{first},{top},{bottom},{last},{last},{chance.randrange(900000, 1100000)}")
    Path(f"/csv/bars/{symbol}.csv").write_text("\\n".join(lines) + "\\n")
"""


@dataclass
class Load:
    """Predictions asked for one after the other by several callers, and what came of them."""

    system: System
    versions: Counter[str] = field(default_factory=Counter)
    """How often each version of a model answered."""
    failed: list[str] = field(default_factory=list)

    @contextmanager
    def going_on(self, *symbols: str) -> Iterator[None]:
        """Ask all the time while the block lasts, one caller for each symbol."""
        over = Event()
        with ThreadPoolExecutor(len(symbols)) as callers:
            asking = [callers.submit(self._ask, symbol, over) for symbol in symbols]
            try:
                yield
            finally:
                over.set()
        for each in asking:
            each.result()

    def _ask(self, symbol: str, over: Event) -> None:
        with self.system.gateway() as client:
            while not over.wait(PACE):
                # A time-out or a broken connection is a failed prediction, too.
                try:
                    answer = client.post(f"/v1/predict/{symbol}", params={"force_refresh": True}, timeout=60)
                    reported = answer.json()
                except httpx.HTTPError as error:
                    self.failed.append(f"{symbol}: {error!r}")
                    continue
                if answer.status_code != httpx.codes.OK or not reported["model_available"]:
                    self.failed.append(f"{symbol}: {answer.status_code} {answer.text}")
                else:
                    self.versions[reported["model_version"]] += 1


@dataclass(frozen=True)
class Trained:
    """What became of the order and of those who used the models meanwhile."""

    system: System
    first: dict[str | None, str]
    """What served before, by symbol (None: the general model)."""
    second: dict[str | None, str]
    """What the Job's models put into service."""
    retried: Object
    """The Job one of whose pods was killed, as it was when another index was done."""
    skipped: str
    """What the pod of a finished index said when the Job was made again."""
    progress: str
    load: Load


def system_of(namespace: str) -> Object:
    """Return a system that knows the first share alone, and trains in a Job."""
    job = {"parallelism": 2, "cpuMillis": 100, "memoryMebibytes": 512}
    return live_system(
        "trainer",
        namespace,
        symbols=[FIRST],
        data={"provider": "csv", "csv": {"directory": "bars", "volumeClaim": VOLUME}},
        predictions={"model": RECIPE},
        training={"gate": {"mode": "enforce"}, "job": job},
    )


def command(system: System, *words: str) -> str:
    """Return what `bellwether models system` prints of a system."""
    with system.lab.reached(system.namespace, f"{system.name}-gateway", 8080) as url:
        line = [sys.executable, "-m", "bellwether", "models", "system", *words, "--url", url, "--token", system.token()]
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def predicts(system: System, symbol: str) -> bool:
    """Whether a model answers for a share."""
    with system.gateway() as client:
        reported = client.post(f"/v1/predict/{symbol}", params={"force_refresh": True}, timeout=60).raise_for_status()
    return bool(reported.json()["model_available"])


def serving(system: System) -> dict[str | None, str]:
    """Return the versions in service by symbol, and that each passed the gate."""
    with system.gateway() as client:
        models = client.get("/v1/models").raise_for_status().json()["models"]
    found = [each for each in models if each["stage"] == "serving"]
    assert all(each["passed"] for each in found), found
    return {each["symbol"]: each["version"] for each in found}


def training(system: System) -> Object:
    """Return how training is."""
    with system.gateway() as client:
        found: Object = client.get("/v1/training").raise_for_status().json()
    assert not found["error"], found
    return found


def at_work(system: System) -> Object | None:
    """Return a pod of the Job whose program runs."""
    for pod in system.lab.items(system.namespace, "pods", OF_JOB):
        states = [each["state"] for each in pod["status"].get("containerStatuses", ())]
        if any("running" in state for state in states) and "deletionTimestamp" not in pod["metadata"]:
            return pod
    return None


def the_job(system: System) -> Object:
    """Return the Job of the order.

    Raises:
        LookupError: where there is none (yet).
    """
    jobs = system.lab.items(system.namespace, "jobs", OF_JOB)
    if not jobs:
        raise LookupError("there is no Job")
    (job,) = jobs
    return job


def interrupted(system: System, by: Killer) -> tuple[Object, str]:
    """Kill a pod at its work, then the Job with an index at its work; return the killed one's Job, and who skipped."""

    def killed() -> Object | None:
        pod = at_work(system)
        return pod if pod is not None and by.kill(pod["metadata"]["uid"], PROGRAM) == 1 else None

    def goes_on() -> Object | None:
        job = the_job(system)
        done = int((training(system).get("order") or {}).get("done", 0))
        return job if job["status"].get("failed") and done >= 1 else None

    def held() -> Object | None:
        pod = at_work(system)
        return pod if pod is not None and by.stop(pod["metadata"]["uid"], PROGRAM) == 1 else None

    eventually("a pod of the Job is killed at its work", waits.MODEL_MADE, killed)
    before = eventually("another index is done", waits.MODEL_MADE, goes_on)
    # With a program that does nothing the order stays open, however long the rest takes.
    stopped = eventually("an index is at its work", waits.MODEL_MADE, held)
    done = training(system)["order"]["done"]
    assert 1 <= done < len(TARGETS)
    name, uid = before["metadata"]["name"], before["metadata"]["uid"]
    system.lab.kubectl("-n", system.namespace, "delete", "job", name, "--wait=false")
    by.kill(stopped["metadata"]["uid"], PROGRAM)
    eventually("the Job is made again", waits.POD_BACK, lambda: the_job(system)["metadata"]["uid"] != uid)

    def skipped() -> str:
        of_new = f"{OF_JOB},{CONTROLLER}={the_job(system)['metadata']['uid']}"
        for pod in system.lab.items(system.namespace, "pods", of_new):
            said = system.lab.kubectl("-n", system.namespace, "logs", pod["metadata"]["name"])
            if "is done: " in said:
                return said
        return ""

    return before, eventually("an index that has a result is skipped", waits.MODEL_MADE, skipped)


@pytest.fixture(scope="module")
def trained(lab: Lab) -> Iterator[Trained]:
    """Have models made, interrupt that, and let them come into service, all under load."""
    with lab.namespace("e2e-training") as namespace, killer(lab) as by:
        fill_volume(lab, namespace, WRITE_BARS, FIRST, SECOND)
        lab.apply(system_of(namespace))
        system = System(lab, namespace, "trainer")
        system.wait_ready(waits.SYSTEM_READY)
        eventually("models serve", waits.MODEL_MADE, lambda: serving(system).keys() == {None, FIRST})
        first = serving(system)
        system.patch({"symbols": [FIRST, SECOND]})
        system.wait_ready(waits.SYSTEM_READY)
        eventually("the second share has bars", waits.SYSTEM_READY, lambda: predicts(system, SECOND))
        load = Load(system)
        with load.going_on(FIRST, SECOND):
            command(system, "train")
            job, said = interrupted(system, by)
            eventually("the gate has judged", waits.MODEL_MADE, lambda: training(system)["status"] == "idle")
            progress = training(system)["progress"]
            second = serving(system)
            wanted = {second[FIRST], second[SECOND]}
            eventually("the new models answer", waits.MODEL_MADE, lambda: wanted <= load.versions.keys())
        yield Trained(system, first, second, job, said, progress, load)


def test_a_pod_killed_at_its_work_is_replaced_by_another_of_its_index(trained: Trained) -> None:
    assert trained.retried["spec"]["completionMode"] == "Indexed"
    assert trained.retried["status"]["failed"] == 1
    assert not trained.retried["status"].get("failedIndexes")


def test_a_job_made_again_skips_the_index_that_has_a_result(trained: Trained) -> None:
    assert "is done: " in trained.skipped
    assert trained.progress == "done"


def test_what_passed_the_gate_serves_for_each_symbol(trained: Trained) -> None:
    assert trained.second.keys() == set(TARGETS)
    assert trained.second[FIRST] != trained.first[FIRST]


def test_no_prediction_fails_while_models_are_made_and_change(trained: Trained) -> None:
    assert trained.load.failed == []
    assert trained.load.versions[trained.first[FIRST]] > 0
    assert trained.load.versions[trained.second[FIRST]] > 0


def test_one_command_takes_a_symbol_back_to_what_served_before(trained: Trained) -> None:
    system, load = trained.system, Load(trained.system)
    with load.going_on(FIRST):
        said = command(system, "rollback", RECIPE, "--symbol", FIRST, "--reason", "a test's own")
        assert trained.first[FIRST][:12] in said
        eventually("the version before answers", waits.MODEL_MADE, lambda: load.versions[trained.first[FIRST]] > 0)
    assert load.failed == []
    assert serving(system) == {**trained.second, FIRST: trained.first[FIRST]}
