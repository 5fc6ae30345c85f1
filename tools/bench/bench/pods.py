"""The decision matrix's row of a cluster: what the pods of the same system take, compact and as one a service."""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from bellwether.render.kubernetes.context import LABEL_COMPONENT
from bench.long_run import SYMBOLS
from bench.memory import in_one_process, sizes
from bench.places import OLD_MONOLITH, OLD_OVERHEAD, REST_SECONDS
from bench.report import Figure, Section
from devcluster.cluster import Cluster
from e2e.bars import VOLUME, fill_volume
from e2e.lab import Lab, Object, System, api_of, eventually, live_system
from environments.choose import choose
from environments.clusters import Embedded
from environments.machine import CLUSTERS, facts

TITLE = "The same system in a cluster"
CLUSTER = "bellwether-bench-pods"
PROFILES = ("compact", "standard")
READY_SECONDS = 900.0
SETTLED_SECONDS = 60.0
"""Longer than a process takes from its start until it has given back what only its start needed."""
SESSIONS, REPLAYED = 1300, 250
NATS, OPERATOR, NODE = (
    "nats",
    "operator",
    "etcd, API server, controllers, scheduler, kubelet, containerd, volume driver",
)
APART = (OPERATOR, NODE)
_POD = re.compile(r"/pod(?P<uid>[0-9a-f-]{36})(?:/|$)", re.MULTILINE)

_HOW = (
    f"Seven symbols, {SESSIONS:,} sessions of made-up daily bars in files on a volume, live clock, on a node of the "
    "embedded cluster that is used for nothing else. Profile compact, then profile standard, each looked at "
    f"{SETTLED_SECONDS:g} s after its model was trained and the Job had ended: Pss and Rss of all processes in the "
    f"pods' cgroups, and the CPU time that they take in {REST_SECONDS:g} s while no session's work is due, answers to "
    "the kubelet's probes included. Pods of one image share the pages of its files, and Pss divides these. Beside it "
    f"the same logic in one process: `bellwether replay` of the same symbols and bars, the last {REPLAYED} sessions, "
    "with a bus in memory, no NATS, no gateway, no traces, median of the looks once its model is trained. Overhead is "
    f"what the pods take beyond that; the design before allowed {OLD_OVERHEAD} MB for it, and its monolith is said to "
    f"have taken {OLD_MONOLITH:,} MB. Not counted, as one of them serves all systems of a cluster: the operator's pod "
    "and what a node is made of, which here is all on one machine; both are stated."
)
_BARS = """
import math, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from bellwether.market.sessions import load_calendar
folder, count, *symbols = sys.argv[1:]
today = datetime.now(UTC).date()
sessions = load_calendar("XASX").sessions(today - timedelta(days=2 * int(count)), today - timedelta(days=2))
Path(folder).mkdir(exist_ok=True)
for number, symbol in enumerate(symbols, 1):
    lines = ["Date,Open,High,Low,Close,Adj Close,Volume"]
    for at, session in enumerate(sessions[-int(count):]):
        price = 20 * number + 3 * math.sin(at / 7 + number) + math.sin(at * number)
        low, close, high = (f"{price + move:.2f}" for move in (-1, 0.3, 1))
        lines.append(f"{session.day},{price:.2f},{high},{low},{close},{close},{100000 + at}")
    Path(folder, f"{symbol}.csv").write_text("\\n".join(lines) + "\\n")
"""


@dataclass
class Cost:
    """What some processes take at rest; sizes in MB of 10^6 bytes, CPU in seconds of one processor."""

    pss: float = 0.0
    rss: float = 0.0
    cpu: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        """Return both together."""
        return Cost(self.pss + other.pss, self.rss + other.rss, self.cpu + other.cpu)


def measure() -> Section:
    """Have the system in both profiles, one after the other, and look at the processes of its pods."""
    choice = choose(facts(), {})
    if choice.kind != "embedded":
        return Section(TITLE, "", [], failure=f"it needs the embedded cluster, and this machine offers {choice.kind}")
    with tempfile.TemporaryDirectory() as folder:
        alone = _one_process(Path(folder))
    env, cluster = Embedded(CLUSTER), Cluster(CLUSTER, settings=CLUSTERS)
    figures: list[Figure] = []
    try:
        env.up(_say)
        images = env.images(_say)
        with api_of(env) as api:
            lab = Lab(env, images, api)
            lab.install()
            for profile in PROFILES:
                costs = _of_profile(lab, cluster, profile)
                figures += figures_of(profile, costs, alone)
    finally:
        cluster.down(purge=True)
    return Section(TITLE, _HOW, [Figure("the same logic in one process, Pss", alone, "MB"), *figures])


def figures_of(profile: str, costs: Mapping[str, Cost], alone: float) -> list[Figure]:
    """Return a profile's figures: its pods in all and one by one, and what is counted apart."""
    parts = {name: cost for name, cost in costs.items() if name not in APART}
    whole = sum(parts.values(), Cost())
    standard = profile == "standard"
    return [
        Figure(f"{profile}, {len(parts)} pods, Pss" if standard else f"{profile}, Pss", whole.pss, "MB"),
        Figure(f"{profile}, Rss", whole.rss, "MB"),
        Figure(f"{profile}, CPU at rest", _percent(whole), "% of one"),
        *(
            Figure(f"{profile}: {name}, Pss", cost.pss, "MB", note=f"Rss {cost.rss:.1f} MB, CPU {_percent(cost):.2f} %")
            for name, cost in sorted(parts.items())
        ),
        Figure(
            f"{profile}: overhead over the same logic in one process",
            whole.pss - alone,
            "MB",
            target=OLD_OVERHEAD,
        ),
        *([Figure(f"{profile} beside the monolith before", whole.pss, "MB", target=OLD_MONOLITH)] if standard else []),
        *(
            Figure(
                f"beside {profile}, not counted: {name}, Pss",
                costs[name].pss,
                "MB",
                note=f"Rss {costs[name].rss:.1f} MB, CPU {_percent(costs[name]):.2f} %",
            )
            for name in APART
        ),
    ]


def _percent(cost: Cost) -> float:
    return 100 * cost.cpu / REST_SECONDS


def _say(text: str) -> None:
    print(f"  {text}", file=sys.stderr, flush=True)


def _one_process(folder: Path) -> float:
    """Return the Pss of the replay in one process."""
    bars = folder / "bars"
    subprocess.run([sys.executable, "-c", _BARS, str(bars), str(SESSIONS), *SYMBOLS], check=True)
    days = [line.split(",")[0] for line in (bars / f"{SYMBOLS[0]}.csv").read_text().splitlines()[1:]]
    document = _declared("", "compact", {"provider": "csv", "csv": {"directory": str(bars)}})
    document["spec"]["clock"] = {"mode": "replay", "from": days[-REPLAYED]}
    file = folder / "system.yaml"
    file.write_text(yaml.safe_dump(document))
    return statistics.median(in_one_process(file, folder / "data"))


def _declared(namespace: str, profile: str, data: Object) -> Object:
    return live_system(
        "pods",
        namespace,
        profile=profile,
        market={"calendar": "XASX"},
        symbols=list(SYMBOLS),
        data=data,
        training={"gate": {"mode": "report"}},
        trading={"mode": "simulated", "currency": "AUD"},
    )


def _of_profile(lab: Lab, cluster: Cluster, profile: str) -> dict[str, Cost]:
    """Return what a profile's pods take at rest by component, and what is counted apart."""
    with lab.namespace(f"bench-{profile}") as namespace:
        fill_volume(lab, namespace, _BARS, "/csv/bars", str(SESSIONS), *SYMBOLS)
        lab.apply(
            _declared(namespace, profile, {"provider": "csv", "csv": {"directory": "bars", "volumeClaim": VOLUME}})
        )
        system = System(lab, namespace, "pods")
        system.wait_ready(READY_SECONDS)
        _say(f"{profile} is Ready")
        eventually("a model serves, and none is being made", READY_SECONDS, lambda: _trained(system))
        _say("its model is trained")
        time.sleep(SETTLED_SECONDS)
        processes = _processes(system, cluster)
        before = {pid: _seconds(pid) for pid in processes}
        time.sleep(REST_SECONDS)
        found: dict[str, Cost] = {}
        for pid, group in processes.items():
            with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                pss, rss = sizes(pid)
                found[group] = found.get(group, Cost()) + Cost(pss, rss, _seconds(pid) - before[pid])
        return found


def _trained(system: System) -> bool:
    with system.gateway() as client:
        models = client.get("/v1/models").raise_for_status().json()["models"]
        training = client.get("/v1/training").raise_for_status().json()
    jobs = system.lab.items(system.namespace, "jobs")
    serves = any(each["stage"] == "serving" for each in models)
    return serves and training["status"] == "idle" and not any(job["status"].get("active") for job in jobs)


def _processes(system: System, cluster: Cluster) -> dict[int, str]:
    """Return the processes of the system's pods by component, and those that are counted apart."""
    owners = {
        pod["metadata"]["uid"]: pod["metadata"]["labels"][LABEL_COMPONENT]
        for pod in system.lab.items(system.namespace, "pods", f"app.kubernetes.io/instance={system.name}")
    } | dict.fromkeys(system.lab.operator_pods().values(), OPERATOR)
    found = {pid: NODE for pid in cluster.status().processes.values() if pid is not None}
    shims = str(cluster.config.containerd_socket)
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            owner = owner_of(Path(f"/proc/{process.pid}/cgroup").read_text(), owners)
            if shims in process.cmdline() or (owner and process.name() == "pause"):
                found[process.pid] = NODE
            elif owner:
                # In profile compact it is a container of the one pod.
                found[process.pid] = NATS if process.name() == "nats-server" else owner
    return found


def owner_of(groups: str, owners: Mapping[str, str]) -> str | None:
    """Return whose a process is, by the text of its cgroups and the owners of pods by their uid; None: no pod's."""
    match = _POD.search(groups)
    return owners.get(match["uid"]) if match else None


def _seconds(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system
