"""A real API server, an operator in this process, and a stand-in for the gateways that no kubelet runs here."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import subprocess
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from bellwether_operator.apply.client import Client
from bellwether_operator.main import Operator
from bellwether_operator.reconcile import utc_now
from bellwether_operator.settings import Settings
from devcluster import build
from devcluster.cluster import Cluster
from devcluster.errors import ClusterError
from environments.machine import CLUSTERS
from harness import shared
from harness.kube import Api
from harness.until import DEADLINE, NOT_YET

IMAGE = "localhost/bellwether/services:dev-1"
CHART = Path(__file__).parents[3] / "charts" / "bellwether"
WRITES = {"create", "update", "patch", "delete"}


async def eventually(what: str, look: Callable[[], Awaitable[Any]], seconds: float = DEADLINE) -> Any:
    """Return the first true answer; fail with what was waited for when there is none in time."""
    last: Any = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    if last := await look():
                        return last
                except NOT_YET as error:
                    last = error
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(f"waited {seconds:g} s for: {what}; last seen: {last!r}")


@dataclass
class Kube:
    """What a person does with kubectl, in a namespace of the test's own; calling it runs kubectl itself."""

    cluster: Cluster
    namespace: str
    audit_log: Path
    api: Api
    began: int
    """So many bytes were in the audit log before."""

    async def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl itself."""

        def run() -> str:
            return self.cluster.kubectl("-n", self.namespace, *arguments, stdin=stdin)

        return await asyncio.to_thread(run)

    async def apply(self, *manifests: dict[str, Any], dry_run: bool = False) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.api.apply, self.namespace, *manifests, dry_run=dry_run)

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return await asyncio.to_thread(self.api.create, self.namespace, manifest)

    async def token(self, account: str) -> str:
        """Return a token by which somebody is a service account."""
        return await asyncio.to_thread(self.api.token, self.namespace, account)

    async def get(self, kind: str, name: str) -> dict[str, Any] | None:
        return await asyncio.to_thread(self.api.find, self.namespace, kind, name)

    async def items(
        self, kinds: str, selector: str = "", *, fields: str = "", managed: bool = False
    ) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self.api.items, self.namespace, kinds, selector, fields=fields, managed=managed)

    async def names(self, kind: str) -> set[str]:
        return {each["metadata"]["name"] for each in await self.items(kind)}

    async def patch(self, kind: str, name: str, change: Any, *flags: str) -> None:
        """Change an object; the flags are kubectl's `--subresource=` and `--field-manager=`."""
        reported = dict(flag.removeprefix("--").split("=", 1) for flag in flags)
        subresource, manager = reported.pop("subresource", ""), reported.pop("field-manager", "")
        assert not reported, f"not known here: {reported}"
        await asyncio.to_thread(
            self.api.patch, self.namespace, kind, name, change, subresource=subresource, manager=manager
        )

    async def label(self, kind: str, name: str, labels: Mapping[str, str | None]) -> None:
        """Set labels; None takes one away."""
        await self.patch(kind, name, {"metadata": {"labels": labels}})

    async def delete(
        self, kind: str, *names: str, wait: bool = True, propagation: str = "Background", seconds: float = 60.0
    ) -> None:
        await asyncio.to_thread(
            self.api.delete, self.namespace, kind, *names, wait=wait, propagation=propagation, seconds=seconds
        )

    async def make_ready(self, name: str) -> None:
        """Say what a kubelet and the controllers would say of a StatefulSet whose pod runs."""
        found = await self.get("statefulset", name)
        assert found is not None
        status = {
            "observedGeneration": found["metadata"]["generation"],
            **dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "currentReplicas"), 1),
        }
        await self.patch("statefulset", name, {"status": status}, "--subresource=status")

    async def condition(self, name: str, kind: str) -> dict[str, Any] | None:
        found = await self.get("tsys", name)
        conditions = (found or {}).get("status", {}).get("conditions", [])
        return next((each for each in conditions if each["type"] == kind), None)

    async def until_condition(
        self, name: str, kind: str, status: str, reason: str | None = None, *, seconds: float = DEADLINE
    ) -> dict[str, Any]:
        async def look() -> dict[str, Any] | None:
            found = await self.condition(name, kind)
            good = found is not None and found["status"] == status and reason in {None, found["reason"]}
            return found if good else None

        found: dict[str, Any] = await eventually(f"{name}: {kind}={status} {reason or ''}", look, seconds)
        return found

    def operator_writes(self, after: int | None = None) -> list[str]:
        """Return what the operator wrote in this namespace, from the API server's audit log behind so many bytes."""
        return [each for each in self.operator_calls(after) if each.partition(" ")[0] in WRITES]

    def operator_wrote(self, *words: str) -> set[str]:
        """Return what the operator did to which kinds whose names have one of these words: `create jobs`."""
        done = {each.partition("/")[0] for each in self.operator_writes()}
        return {each for each in done if any(word in each for word in words)}

    def operator_calls(self, after: int | None = None) -> list[str]:
        """Return what the operator asked for and wrote in this namespace, from the API server's audit log."""
        found = []
        with self.audit_log.open("rb") as log:
            log.seek(self.began if after is None else after)
            lines = log.read().rpartition(b"\n")[0].splitlines()
        for line in lines:
            if self.namespace.encode() not in line:
                continue
            entry = json.loads(line)
            reference = entry.get("objectRef", {})
            ours = entry.get("userAgent") == "bellwether-operator" and reference.get("namespace") == self.namespace
            if ours and entry["stage"] in {"ResponseStarted", "ResponseComplete"}:
                found.append(f"{entry['verb']} {reference['resource']}/{reference.get('name', '')}")
        return found


@pytest.fixture(scope="session")
def control_plane() -> tuple[Cluster, Path]:
    """An API server with an audit log and the definition of TradingSystem, shared by all workers of the run."""
    return shared.control_plane("plain")


@pytest.fixture(scope="session")
def control_plane_with_controllers() -> tuple[Cluster, Path]:
    """The same with the controller manager, so with the real garbage collector; no kubelet."""
    return shared.control_plane("controlled", controllers=True)


@pytest.fixture
def kube(control_plane: tuple[Cluster, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[Kube]:
    cluster, audit_log = control_plane
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    with contextlib.closing(Api.of_kubeconfig(cluster.kubeconfig)) as api:
        api.apply("", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
        yield Kube(cluster, namespace, audit_log, api, audit_log.stat().st_size)
        for left in api.items(namespace, "tsys"):
            with contextlib.suppress(ClusterError):
                api.delete(namespace, "tsys", left["metadata"]["name"])


@dataclass
class FakeGateway:
    """Answers for the gateways of all systems: takes declarations, and says that every service has them."""

    url: str = ""
    generation: int = 1
    acknowledge: bool = True
    tokens: list[str] = field(default_factory=list)
    declarations: list[dict[str, Any]] = field(default_factory=list)
    halts: list[str] = field(default_factory=list)
    more: dict[str, Any] = field(default_factory=dict)
    """What else the status says: safety, data, models and so on."""
    replays: list[list[str]] = field(default_factory=list)
    """The uids of the replays that are left, each time they were sent."""
    holds: bool = False
    backup: dict[str, Any] = field(default_factory=dict)
    """What is said of a backup in a repository."""
    ordered: list[dict[str, Any]] = field(default_factory=list)
    """The backups in repositories that were asked for, with the uid of each."""
    """Whether the services of the systems can be held."""
    asked: int = 0
    """How often the status was asked for."""
    ended: list[str] = field(default_factory=list)
    """The restores in place that were said to be over."""

    def status(self) -> dict[str, Any]:
        generation = self.generation if self.acknowledge else self.generation - 1
        services = [{"name": name, "ready": True, "generation": generation} for name in ("prediction", "paper-trading")]
        return {"generation": self.generation, "services": services, "halts": self.halts, **self.more}

    async def answer_status(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response(self.status())

    async def heard(self) -> None:
        """Return when the operator has the status as it is now: it has asked for it, and then once more."""
        before = self.asked

        async def again() -> bool:
            return self.asked >= before + 2

        await eventually("the status asked for again", again)

    async def take(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization", ""))
        body = await request.json()
        self.declarations.append(body)
        self.generation = body["generation"]
        return web.json_response({"generation": self.generation, "acknowledged": {"prediction": self.generation}})

    async def hold(self, _: web.Request) -> web.Response:
        if not self.holds:
            return web.json_response({"error": {"message": "the services hold nothing here"}}, status=503)
        return web.json_response({"held": True})

    async def let_go(self, _: web.Request) -> web.Response:
        return web.json_response({"held": True, "broken": [], "seconds": 1.25})

    async def keep_backup(self, request: web.Request) -> web.Response:
        self.ordered.append({**await request.json(), "id": request.match_info["backup"]})
        nothing = {"step": "", "said": "", "final": False, "backup_id": "", "type": "", "cut": None, "session": ""}
        return web.json_response({"state": "running", **nothing, "size": 0, "added": 0, "kept": [], **self.backup})

    async def end_restore(self, request: web.Request) -> web.Response:
        self.ended.append(request.match_info["restore"])
        if self.more.get("restore", {}).get("id") == self.ended[-1]:
            del self.more["restore"]
        return web.json_response({"id": self.ended[-1]})

    async def take_replays(self, request: web.Request) -> web.Response:
        self.replays.append((await request.json())["uids"])
        return web.json_response({"replays": []})


@pytest.fixture
async def gateway() -> AsyncIterator[FakeGateway]:
    fake = FakeGateway()
    application = web.Application()
    application.add_routes(
        [
            web.get("/{namespace}/{name}/v1/status", fake.answer_status),
            web.put("/{namespace}/{name}/v1/declaration", fake.take),
            web.put("/{namespace}/{name}/v1/replays", fake.take_replays),
            web.put("/{namespace}/{name}/v1/backups/{backup}", fake.keep_backup),
            web.delete("/{namespace}/{name}/v1/restores/{restore}", fake.end_restore),
            web.put("/{namespace}/{name}/v1/hold", fake.hold),
            web.delete("/{namespace}/{name}/v1/hold/{hold}", fake.let_go),
        ]
    )
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{{namespace}}/{{name}}"
    yield fake
    await runner.cleanup()


VIEW_LIFE = "bellwether_operator.finishing.VIEW_LIFE_PERIODS"


@pytest.fixture
def settings(kube: Kube, gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> Settings:
    # The gateway is looked at often, and a machine that does much else does not make it seem silent.
    monkeypatch.setattr(VIEW_LIFE, 400)
    return Settings(
        services_image=IMAGE,
        installation_seed=b"not secret: a seed for tests only",
        watch_namespaces=(kube.namespace,),
        kubeconfig=str(kube.cluster.kubeconfig),
        http_host="127.0.0.1",
        http_port=0,
        gateway_url=gateway.url,
        gateway_period=0.3,
    )


@contextlib.asynccontextmanager
async def running(settings: Settings, now: Callable[[], datetime] = utc_now) -> AsyncIterator[Operator]:
    """Run an operator in this process while the block lasts; its time may be the test's own."""
    client = await Client.connect(settings.kubeconfig)
    stop = asyncio.Event()
    operator = Operator(settings, client, now)
    task = asyncio.create_task(operator.run(stop))
    try:
        yield operator
    finally:
        stop.set()
        await task
        await client.close()


def system(kube: Kube, name: str = "demo", **spec: Any) -> dict[str, Any]:
    """Return a small replay system."""
    return {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingSystem",
        "metadata": {"name": name, "namespace": kube.namespace},
        "spec": {
            "market": {"calendar": "XNYS"},
            "symbols": ["AAPL", "MSFT"],
            "data": {"provider": "replay"},
            "clock": {"mode": "replay", "from": "2009-01-02"},
            "trading": {"mode": "simulated", "currency": "USD"},
            **spec,
        },
    }


def helm(kube: Kube, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [str(build.programs_folder(CLUSTERS) / "helm"), "--kubeconfig", str(kube.cluster.kubeconfig), *arguments]
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=120)


@pytest.fixture
def installed(kube: Kube) -> Iterator[str]:
    """Install the chart for the test's namespace alone, without the definition that is there already."""
    flags = ["--set", f"watchNamespaces={{{kube.namespace}}}", "--set", "crds.create=false"]
    helm(kube, "install", kube.namespace, str(CHART), "-n", kube.namespace, *flags)
    yield f"{kube.namespace}-bellwether-operator"
    helm(kube, "uninstall", kube.namespace, "-n", kube.namespace, check=False)


@pytest.fixture
async def granted(
    kube: Kube, settings: Settings, installed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """The operator's settings with the rights that the chart grants, and no others."""
    token = await kube.token(installed)
    config = yaml.safe_load(kube.cluster.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    restricted = tmp_path / "kubeconfig"
    restricted.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(restricted))
    return dataclasses.replace(settings, kubeconfig=str(restricted))
