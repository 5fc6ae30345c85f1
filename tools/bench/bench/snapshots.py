"""How long a system writes nothing while its volume is cut; what a snapshot, its drill and a restore take."""

from __future__ import annotations

import statistics
import sys
import time
from datetime import datetime
from typing import Any

from bench.ready import CLUSTER
from bench.report import Figure, Section
from devcluster.cluster import Cluster
from e2e.lab import Lab, Object, System, api_of, eventually, namespace, replay_system
from e2e.replayed import sessions_done
from environments import install
from environments.choose import choose
from environments.clusters import Embedded
from environments.machine import CLUSTERS, facts

TITLE = "Backups by volume snapshots"
NAMESPACE = "bench-snapshots"
SESSIONS = (20, 200)
BACKUPS = 5
"""So many at each of these."""
PACE = "50ms"
LONGEST = 600.0

_HOW = (
    "A node of the embedded cluster with its CSI driver, which copies a volume file by file; one system of profile "
    f"compact that replays recorded bars, a session each {PACE} and what it takes. From the {SESSIONS[0]}th session on "
    f"{BACKUPS} TradingBackups, one after the other, and from the {SESSIONS[1]}th on as many. Held: "
    "`status.heldMilliseconds`, from before the services are asked to hold until they have let go. Complete: from the "
    "TradingBackup's creation on, to the second; by then every snapshot was read. "
    "Then the newest is drilled (scratch volume and pod, everything read "
    "and compared, the last decisions computed again; `drillStartedAt` to `drillEndedAt`), and restored under another "
    "name: from `kubectl apply` until the new system is Ready."
)


def measure() -> Section:
    """Back a growing system up, test the newest backup, and restore it."""
    choice = choose(facts(), {})
    if choice.kind != "embedded":
        return Section(TITLE, "", [], failure=f"it needs the embedded cluster, and this machine offers {choice.kind}")
    env, cluster = Embedded(CLUSTER), Cluster(CLUSTER, settings=CLUSTERS)
    try:
        env.up(_say)
        images = env.images(_say)
        install.install_chart(env, images, _say)
        with api_of(env) as api:
            return Section(TITLE, _HOW, _figures(Lab(env, images, api)))
    except AssertionError as error:
        return Section(TITLE, "", [], failure=str(error))
    finally:
        cluster.down(purge=True)


def _figures(lab: Lab) -> list[Figure]:
    lab.apply(namespace(NAMESPACE))
    clock = {"mode": "replay", "from": "2009-01-02", "pace": PACE}
    lab.apply(replay_system("bench", NAMESPACE, clock=clock))
    system = System(lab, NAMESPACE, "bench")
    system.wait_ready(LONGEST)
    figures: list[Figure] = []
    for sessions in SESSIONS:
        eventually(f"{sessions} sessions are over", LONGEST, lambda: sessions_done(system) >= sessions)  # noqa: B023
        made = [_made(system, f"at-{sessions}-{number}", drill=False)["status"] for number in range(BACKUPS)]
        held = [each["heldMilliseconds"] / 1000 for each in made if each["notHeld"] == ""]
        said = f"{len(held)} of {BACKUPS} while they were held"
        if held:
            figures.append(Figure(f"{sessions} sessions: held, median", statistics.median(held), "s", 2.0, note=said))
            figures.append(Figure(f"{sessions} sessions: held, longest", max(held), "s"))
        without = max(each["secondsWithoutPods"] for each in made)
        figures.append(Figure(f"{sessions} sessions: without pods, longest", without, "s", target=0))
        took = [_seconds(each["startedAt"], each["endedAt"]) for each in made]
        figures.append(Figure(f"{sessions} sessions: until it is complete, median", statistics.median(took), "s"))
    drilled = _made(system, "drilled", drill=True)["status"]
    (verified,) = (each for each in drilled["conditions"] if each["type"] == "RestoreVerified")
    if verified["status"] != "True":
        raise RuntimeError(f"the drill failed: {verified['message']}")
    took = [_seconds(drilled["drillStartedAt"], drilled["drillEndedAt"])]
    figures.append(Figure("drill", took[0], "s", note=f"volume of {drilled['size']}"))
    began = time.monotonic()
    lab.apply(replay_system("again", NAMESPACE, clock=clock, restoreFrom={"backup": "drilled"}))
    System(lab, NAMESPACE, "again").wait_ready(LONGEST)
    figures.append(Figure("restore under another name, apply to Ready", time.monotonic() - began, "s"))
    return figures


def _made(system: System, name: str, *, drill: bool) -> Object:
    """Make a backup; return it when it is complete, and its drill over."""
    made = {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingBackup",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"system": system.name, "drill": drill},
    }
    system.lab.apply(made)

    def over() -> Any:
        found = system.lab.get(NAMESPACE, "tradingbackup", name)
        failed = [
            each for each in found["status"]["conditions"] if each["type"] == "Failed" and each["status"] == "True"
        ]
        if failed:
            raise RuntimeError(f"backup {name} failed: {failed[0]['message']}")
        return found if found["status"]["drillEndedAt" if drill else "endedAt"] else None

    found: Object = eventually(f"backup {name} is over", LONGEST, over)
    _say(f"backup {name}: held {found['status']['heldMilliseconds']} ms {found['status']['notHeld']}")
    return found


def _seconds(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)
