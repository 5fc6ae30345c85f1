"""What the end-to-end tests do to a cluster: apply, look, kill, wait for a condition with a deadline."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import yaml

from devcluster.command import run
from devcluster.errors import ClusterError
from e2e import waits
from environments import install
from environments.clusters import Embedded, Environment, Images, reach
from environments.install import Release
from harness.declared import CHILDREN, OURS, Installation, faults
from harness.kube import Api
from harness.kube import RefusedError as RefusedError  # noqa: PLC0414 (tests take it from here)
from harness.until import NOT_YET

T = TypeVar("T")
Object = dict[str, Any]
OPERATOR = "app.kubernetes.io/component=operator"
"""The selector of the operator's own objects."""
OF_EACH_NAMESPACE = frozenset({"default", "kube-root-ca.crt"})
"""Names of what Kubernetes itself puts into every namespace."""


def eventually(what: str, seconds: float, probe: Callable[[], T | None]) -> T:
    """Return the first true answer of `probe`; fail naming `what` when there is none in time.

    Who refuses, is not reached, or has no such object or field (yet) has not answered: it is asked again.
    """
    deadline = time.monotonic() + seconds
    last: object = None
    while True:
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except (httpx.HTTPError, RefusedError, *NOT_YET) as error:
            last = error
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds:.0f} s; last: {last!r}")
        time.sleep(0.25)


def parents_arrived(spans: Iterable[Object]) -> bool:
    """Whether each span's parent is among the spans: each service sends its own at times of its own."""
    spans = list(spans)
    known = {span["span_id"] for span in spans}
    return all(not span["parent_span_id"] or span["parent_span_id"] in known for span in spans)


def names(objects: Iterable[Object]) -> list[str]:
    """Return `Kind/name` of objects, and whether each is on its way out."""
    return sorted(
        f"{each['kind']}/{each['metadata']['name']}"
        + (" (Terminating)" if "deletionTimestamp" in each["metadata"] else "")
        for each in objects
    )


@contextmanager
def api_of(env: Environment) -> Iterator[Api]:
    """Yield a client with the rights that kubectl has; where only kubectl can sign in, it does so for us."""
    config = json.loads(run([*env.kubectl(), "config", "view", "--raw", "--minify", "--flatten", "-o", "json"]))
    try:
        api = Api.of_kubeconfig(config)
    except ClusterError:
        with subprocess.Popen([*env.kubectl(), "proxy", "--port=0"], stdout=subprocess.PIPE, text=True) as proxy:
            assert proxy.stdout is not None
            address = proxy.stdout.readline().split()[-1]
            with httpx.Client(base_url=f"http://{address}", timeout=60, trust_env=False) as client:
                yield Api(client)
            proxy.terminate()
        return
    with closing(api):
        yield api


@dataclass(frozen=True)
class Lab:
    """A cluster with the operator installed; in a lane it is an operator of some namespaces alone."""

    env: Environment
    images: Images
    api: Api
    release: Release = install.EVERYWHERE
    lane: tuple[str, ...] = ()
    """The namespaces that the operator looks after; empty: all that there are."""

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Return kubectl's output."""
        done = subprocess.run(
            [*self.env.kubectl(), *arguments], input=stdin, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode != 0:
            raise RefusedError(done.stderr.strip())
        return done.stdout

    def get(self, namespace: str, kind: str, name: str) -> Object:
        """Return one object."""
        return self.api.get(namespace, kind, name, managed=False)

    def items(self, namespace: str, kinds: str, selector: str = "") -> list[Object]:
        """Return objects of some kinds."""
        return self.api.items(namespace, kinds, selector)

    def apply(self, *documents: Object) -> None:
        """Apply objects."""
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def children(self, namespace: str) -> list[Object]:
        """Return everything that the operator made in a namespace, with who applied it."""
        return self.api.items(namespace, CHILDREN, OURS, managed=True)

    def installation(self) -> Installation:
        """Return what the operator was installed with."""
        (deployment,) = self.items(self.release.namespace, "deployments", OPERATOR)
        (container,) = deployment["spec"]["template"]["spec"]["containers"]
        reported = {each["name"]: each.get("value", "") for each in container["env"]}
        secret = self.get(self.release.namespace, "secret", f"{deployment['metadata']['name']}-seed")
        return Installation(
            image=reported["SERVICES_IMAGE"],
            seed=base64.b64decode(secret["data"]["seed"]),
            pull_policy=reported["IMAGE_PULL_POLICY"],
            log_level=reported["SERVICES_LOG_LEVEL"],
        )

    def wrong(self, namespace: str) -> list[str]:
        """Return in which way a namespace does not hold exactly what its systems declare."""
        return faults(self.items(namespace, "tradingsystems"), self.children(namespace), self.installation())

    def await_declared(self, namespace: str, seconds: float = waits.AS_DECLARED) -> None:
        """Return when a namespace holds exactly what its systems declare."""
        found: list[str] = []

        def right() -> bool:
            found[:] = self.wrong(namespace)
            return not found

        try:
            eventually("as declared", seconds, right)
        except AssertionError as error:
            raise AssertionError(f"{error}; wrong: {found}") from error

    def everything(self, namespace: str) -> list[Object]:
        """Return all objects of a namespace, of every kind that there is, but for what each namespace has."""
        kinds = [kind for kind, _ in self.api.kinds() if kind.namespaced and "list" in kind.verbs]
        asked = ",".join(f"{kind.plural}.{kind.group}".rstrip(".") for kind in kinds if kind.plural != "events")
        found = [each for each in self.items(namespace, asked) if each["metadata"]["name"] not in OF_EACH_NAMESPACE]
        return [each for each in found if not (namespace in self.lane and _is_helms(each))]

    def await_left(self, namespace: str, wanted: list[str]) -> None:
        """Return when nothing but these objects, as `Kind/name`, is in a namespace."""
        found: list[str] = []

        def so() -> bool:
            found[:] = names(self.everything(namespace))
            return found == sorted(wanted)

        try:
            eventually(f"{wanted or 'nothing'} is left of {namespace}", waits.ALL_GONE, so)
        except AssertionError as error:
            raise AssertionError(f"{error}; still there: {found}") from error

    def volumes(self, namespace: str) -> list[str]:
        """Return the names of the claims of a namespace for which there is a volume."""
        volumes = self.items("", "persistentvolumes")
        claims = [each["spec"].get("claimRef", {}) for each in volumes]
        return sorted(claim["name"] for claim in claims if claim.get("namespace") == namespace)

    def delete_namespace(self, namespace: str) -> None:
        """Return when a namespace is gone with all that was in it; say what keeps it when it does not go."""
        try:
            self.kubectl("delete", "namespace", namespace, "--ignore-not-found", f"--timeout={waits.ALL_GONE:.0f}s")
        except RefusedError as error:
            raise AssertionError(f"{error}; still there: {names(self.everything(namespace))}") from error

    @contextmanager
    def reached(self, namespace: str, service: str, port: int) -> Iterator[str]:
        """Yield a URL at which a Service answers."""
        if isinstance(self.env, Embedded):  # its addresses are routed here
            yield f"http://{self.get(namespace, 'service', service)['spec']['clusterIP']}:{port}"
            return
        with reach(self.env, namespace, service, port) as url:
            yield url

    def install(self, chart: Path = install.CHART) -> None:
        """Install the chart, or bring what is installed to it, or leave it as it is."""
        settings = ["crds.create=false", f"watchNamespaces={{{','.join(self.lane)}}}"] if self.lane else []
        install.install_chart(self.env, self.images, print, *settings, release=self.release, chart=chart)

    def uninstall(self) -> None:
        """Take the chart away; return when the operator has ended.

        Raises:
            RefusedError: when helm knows of no such release, or could not.
        """
        command = [*self.env.helm(), "uninstall", self.release.name, "-n", self.release.namespace, "--wait"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        if done.returncode != 0:
            raise RefusedError(done.stderr.strip())
        eventually("the operator has ended", waits.OPERATOR_STOPPED, lambda: not self.operator_pods())

    def operator_pods(self) -> dict[str, str]:
        """Return the uid of each of the operator's pods by its name."""
        pods = self.items(self.release.namespace, "pods", OPERATOR)
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}

    def scale_operator(self, replicas: int) -> None:
        """Return when the operator has so many pods, and all of them work."""
        self.kubectl(*("-n", self.release.namespace, "scale", "deployment", "-l", OPERATOR, f"--replicas={replicas}"))

        def settled() -> bool:
            deployments = self.items(self.release.namespace, "deployments", OPERATOR)
            ready = [each["status"].get("readyReplicas", 0) for each in deployments]
            return ready == [replicas] and len(self.operator_pods()) == replicas

        seconds = waits.OPERATOR_BACK if replicas else waits.OPERATOR_STOPPED
        eventually(f"the operator has {replicas} pods", seconds, settled)

    @contextmanager
    def without_operator(self) -> Iterator[None]:
        """Have no operator while the block lasts."""
        self.scale_operator(0)
        try:
            yield
        finally:
            self.scale_operator(1)

    @contextmanager
    def without_node(self) -> Iterator[None]:
        """Have no node, nor anything that runs on it, while the block lasts; only where the cluster is ours to stop."""
        self.env.down(print)
        try:
            yield
        finally:
            self.env.up(print)

    @contextmanager
    def namespace(self, name: str) -> Iterator[str]:
        """Yield a namespace that enforces restricted pods, gone or empty afterwards; in a lane, one of the lane's."""
        if self.lane:
            yield from self._borrowed()
            return
        self.apply(namespace(name))
        try:
            yield name
        finally:
            self.delete_namespace(name)

    def _borrowed(self) -> Iterator[str]:
        """Yield a namespace of the lane that nothing is in, and take away what was put there."""
        free = next((each for each in self.lane if not self.everything(each)), None)
        assert free is not None, f"all namespaces of the lane are in use: {', '.join(self.lane)}"
        try:
            yield free
        finally:
            self.clear(free)

    def clear(self, namespace: str) -> None:
        """Return when a namespace is empty: first the systems go, then whatever they left."""
        for system in self.items(namespace, "tradingsystems"):
            self.api.delete(namespace, "tradingsystem", system["metadata"]["name"], missing_ok=True)

        def cleared() -> bool:
            left = self.everything(namespace)
            for each in left:
                if "ownerReferences" not in each["metadata"] and "deletionTimestamp" not in each["metadata"]:
                    word = f"{each['kind']}.{each['apiVersion'].rpartition('/')[0]}".rstrip(".")
                    self.api.delete(namespace, word, each["metadata"]["name"], wait=False, missing_ok=True)
            return not left and not self.volumes(namespace)

        try:
            eventually(f"{namespace} is empty", waits.ALL_GONE, cleared)
        except AssertionError as error:
            raise AssertionError(f"{error}; still there: {names(self.everything(namespace))}") from error


def namespace(name: str) -> Object:
    """Return a namespace that enforces restricted pods."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def _is_helms(found: Object) -> bool:
    return bool(found["metadata"].get("labels", {}).get("app.kubernetes.io/managed-by") == "Helm")


@dataclass(frozen=True)
class System:
    """One TradingSystem in the cluster."""

    lab: Lab
    namespace: str
    name: str

    def resource(self) -> Object:
        """Return the resource as the API server has it."""
        return self.lab.get(self.namespace, "tradingsystem", self.name)

    def condition(self, kind: str) -> Object:
        """Return one condition; empty where there is none yet."""
        conditions = self.resource().get("status", {}).get("conditions", [])
        return next((found for found in conditions if found["type"] == kind), {})

    def patch(self, spec: Object) -> int:
        """Change the spec; return the new generation."""
        found = self.lab.api.patch(self.namespace, "tradingsystem", self.name, {"spec": spec})
        generation: int = found["metadata"]["generation"]
        return generation

    def wait_ready(self, seconds: float) -> None:
        """Return when Ready is True for the present generation."""

        def ready() -> bool:
            resource = self.resource()
            found = next((c for c in resource.get("status", {}).get("conditions", []) if c["type"] == "Ready"), None)
            return bool(
                found
                and found["status"] == "True"
                and found["observedGeneration"] == resource["metadata"]["generation"]
            )

        eventually(f"{self.name} is Ready", seconds, ready)

    def token(self, scope: str = "token") -> str:
        """Return a token of the system's gateway: the one that opens everything, or a lesser one's (`read`, `halt`)."""
        secret = self.lab.get(self.namespace, "secret", f"{self.name}-gateway-token")
        return base64.b64decode(secret["data"][scope]).decode()

    @contextmanager
    def gateway(self, entry: str = "read") -> Iterator[httpx.Client]:
        """Yield a client of the system's gateway that may look, or do what the token of another entry opens."""
        headers = {"Authorization": f"Bearer {self.token(entry)}"}
        with (
            self.lab.reached(self.namespace, f"{self.name}-gateway", 8080) as url,
            httpx.Client(base_url=url, headers=headers, timeout=10) as client,
        ):
            yield client

    def pods(self) -> dict[str, str]:
        """Return the uid of each pod by its name."""
        pods = self.lab.items(self.namespace, "pods", f"app.kubernetes.io/instance={self.name}")
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}

    def pods_of(self, component: str) -> dict[str, str]:
        """Return the uid of each pod of one component by its name."""
        wanted = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        pods = self.lab.items(self.namespace, "pods", wanted)
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in pods}

    def kill(self, pod: str) -> None:
        """Kill a pod without any grace."""
        self.lab.kubectl("-n", self.namespace, "delete", "pod", pod, "--grace-period=0", "--force", "--wait=false")


def replay_system(name: str, namespace: str, **spec: Any) -> Object:
    """Return a system that replays recorded bars and trades on paper.

    There are 1,047 sessions of bars: at this pace they last for a quarter of an hour. The gateway lists at most 500
    orders in one answer; with four symbols it takes ten minutes to fill more.
    """
    return {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingSystem",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "market": {"calendar": "XNYS"},
            "symbols": ["AAPL", "IBM", "MSFT"],
            "data": {"provider": "replay"},
            "clock": {"mode": "replay", "from": "2009-01-02", "pace": "1s"},
            "trading": {"mode": "simulated", "currency": "USD"},
            "storage": {"size": "256Mi"},
            "deletionPolicy": "Delete",
            **spec,
        },
    }


def live_system(name: str, namespace: str, **spec: Any) -> Object:
    """Return a system that lives in the present, without a task, and trades on paper."""
    return replay_system(name, namespace, **{"clock": {"mode": "live"}, "tasks": [], **spec})
