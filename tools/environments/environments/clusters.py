"""The three kinds of cluster behind one face: bring it up, put the images in, reach it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from devcluster.cluster import Cluster
from devcluster.command import run
from devcluster.errors import ClusterError
from environments.choose import Choice
from environments.kind_program import ensure_kind
from environments.machine import CLUSTERS, ROOT

Report = Callable[[str], None]
CONFIRMED = "BELLWETHER_CURRENT_CONTEXT"
"""The variable that names the context of the current cluster, by which somebody says that it is meant."""


@dataclass(frozen=True)
class Images:
    """Names of the two images, as pods refer to them."""

    services: str
    operator: str


class Environment(Protocol):
    """A Kubernetes cluster that the system is installed into."""

    name: str

    def up(self, report: Report) -> None:
        """Bring the cluster up; a second call changes nothing."""

    def images(self, report: Report) -> Images:
        """Build the images where that is ours to do, and make the cluster know them."""

    def down(self, report: Report) -> None:
        """End what `up` started."""

    def kubectl(self) -> list[str]:
        """The command that begins every kubectl call."""

    def helm(self) -> list[str]:
        """The command that begins every helm call."""

    def hints(self) -> list[str]:
        """Shell lines that make kubectl work for a person."""

    def service_url(self, namespace: str, service: str, port: int) -> str | None:
        """Where a Service answers from this machine, where that is possible without a port-forward."""


def of_clone(purpose: str, root: Path = ROOT) -> str:
    """Return the name of a cluster that no other clone has, so that two of them never share one (pure)."""
    return f"{purpose}-{hashlib.sha256(str(root).encode()).hexdigest()[:8]}"


class Embedded:
    """The cluster of tools/devcluster."""

    name = "embedded"

    def __init__(self, cluster: str | None = None) -> None:
        """Touch nothing yet."""
        self._cluster = Cluster(cluster, settings=CLUSTERS)

    def up(self, report: Report) -> None:
        """Install missing packages, build the programs when they are missing, start the node."""
        _devcluster("needs", "--install")
        self._cluster.up(report)
        bin_dir = self._cluster.state_dir / "bin"
        bin_dir.mkdir(exist_ok=True)
        program = self._cluster.config.devcluster
        for tool, command in {"kubectl": f'"{program}" kubectl', "helm": f'"{program.parent / "helm"}"'}.items():
            script = bin_dir / tool
            script.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
            script.chmod(0o755)

    def images(self, report: Report) -> Images:
        """Build with buildah, load into the node."""
        found = json.loads(_devcluster("image", "--json", "--name", self._cluster.name))
        return Images(services=found["services"], operator=found["operator"])

    def down(self, report: Report) -> None:
        """End the node's processes and take its network away."""
        self._cluster.down(report=report)

    def kubectl(self) -> list[str]:
        """Kubectl of the cluster's own programs."""
        return [str(self._cluster.config.devcluster), "kubectl", f"--kubeconfig={self._cluster.kubeconfig}"]

    def helm(self) -> list[str]:
        """Helm of the cluster's own programs."""
        helm = self._cluster.config.devcluster.parent / "helm"
        return [str(helm), f"--kubeconfig={self._cluster.kubeconfig}"]

    def machine(self) -> str:
        """Return the address at which pods reach this machine."""
        return str(self._cluster.config.addresses.host)

    def storage(self) -> Path:
        """Return the folder of the volume driver: <volumes | snapshots>/<handle>/data."""
        return self._cluster.state_dir / "volumes"

    @contextmanager
    def volume_driver(self, *switches: str) -> Iterator[None]:
        """Have the volume driver run with test switches while the block lasts."""
        Cluster(self._cluster.name, settings=CLUSTERS, csi_flags=switches).up()
        try:
            yield
        finally:
            self._cluster.up()

    def hints(self) -> list[str]:
        """Put kubectl, helm and the kubeconfig at hand."""
        return [
            f"export KUBECONFIG={self._cluster.kubeconfig}",
            f"export PATH={self._cluster.state_dir / 'bin'}:$PATH",
        ]

    def service_url(self, namespace: str, service: str, port: int) -> str | None:
        """Cluster addresses are routed on this machine."""
        command = [*self.kubectl(), "-n", namespace, "get", "service", service, "-o", "jsonpath={.spec.clusterIP}"]
        return f"http://{run(command).strip()}:{port}"


class Kind:
    """A kind cluster in Docker: of this clone alone, with a kubeconfig of its own.

    A cluster of the developer's own is never touched, nor is what their kubectl points at.
    """

    name = "kind"

    def __init__(self, cluster: str | None = None) -> None:
        """Touch nothing yet."""
        self._cluster = cluster or of_clone("bellwether")
        self._kubeconfig = CLUSTERS.state_home.parent / "kind" / f"{self._cluster}.kubeconfig"

    def up(self, report: Report) -> None:
        """Create the cluster unless it is there; have its kubeconfig in any case."""
        kind = ensure_kind(report)
        self._kubeconfig.parent.mkdir(parents=True, exist_ok=True)
        own = ["--name", self._cluster, "--kubeconfig", str(self._kubeconfig)]
        if self._cluster in run([kind, "get", "clusters"]).split():
            run([kind, "export", "kubeconfig", *own])
            return
        report(f"creating the kind cluster {self._cluster}")
        config = ROOT / "tests" / "e2e" / "kind.yaml"
        run([kind, "create", "cluster", *own, "--config", str(config), "--wait", "120s"], seconds=600)

    def images(self, report: Report) -> Images:
        """Build with Docker, load into the node."""
        images = Images("bellwether/services:dev", "bellwether/operator:dev")
        for target, image in {"services": images.services, "operator": images.operator}.items():
            report(f"building {image}")
            run(["docker", "build", "--target", target, "--tag", image, str(ROOT)], seconds=1800)
            run([ensure_kind(report), "load", "docker-image", image, "--name", self._cluster], seconds=600)
        return images

    def down(self, report: Report) -> None:
        """Delete the cluster, and its kubeconfig."""
        report(f"deleting the kind cluster {self._cluster}")
        own = ["--name", self._cluster, "--kubeconfig", str(self._kubeconfig)]
        run([ensure_kind(report), "delete", "cluster", *own], seconds=300)
        self._kubeconfig.unlink(missing_ok=True)

    def kubectl(self) -> list[str]:
        """Kubectl from PATH with the cluster's own kubeconfig."""
        return ["kubectl", f"--kubeconfig={self._kubeconfig}"]

    def helm(self) -> list[str]:
        """Helm from PATH with the cluster's own kubeconfig."""
        return ["helm", f"--kubeconfig={self._kubeconfig}"]

    def hints(self) -> list[str]:
        """Choose the cluster's kubeconfig."""
        return [f"export KUBECONFIG={self._kubeconfig}"]

    def service_url(self, namespace: str, service: str, port: int) -> str | None:
        """Not reachable without a port-forward."""
        return None


class Current:
    """The cluster that kubectl talks to, once a person said that it is meant.

    Images come from BELLWETHER_SERVICES_IMAGE and BELLWETHER_OPERATOR_IMAGE.
    """

    name = "current"

    def __init__(self) -> None:
        """Hold on to the context of now: a switch in another terminal leads nothing of ours elsewhere."""
        self._context = run(["kubectl", "config", "current-context"], seconds=30).strip()

    def confirm(self) -> None:
        """Return when somebody said that this very cluster is meant: by the variable, or by an answer typed.

        Raises:
            ClusterError: if nobody did; it says how.
        """
        if os.environ.get(CONFIRMED) == self._context:
            return
        words = (
            f"kubectl points at {self._context!r}. Operator and definition are installed into that cluster, and the "
            "end-to-end tests take them away again, with their systems"
        )
        if sys.stdin is not None and sys.stdin.isatty():
            print(f"{words}.\nType the context's name to go on: ", end="", flush=True)
            if sys.stdin.readline().strip() == self._context:
                os.environ[CONFIRMED] = self._context  # for the processes that we start
                return
        raise ClusterError(f"{words}: if that is meant, set {CONFIRMED}={self._context}")

    def up(self, report: Report) -> None:
        """Only look whether it is meant and answers."""
        self.confirm()
        run([*self.kubectl(), "version"], seconds=30)

    def images(self, report: Report) -> Images:
        """Return the names that the environment gives."""
        names = {key: os.environ.get(f"BELLWETHER_{key}_IMAGE", "") for key in ("SERVICES", "OPERATOR")}
        for key, value in names.items():
            if not value:
                raise ClusterError(f"BELLWETHER_{key}_IMAGE is not set: name an image that this cluster can pull")
        return Images(names["SERVICES"], names["OPERATOR"])

    def down(self, report: Report) -> None:
        """The cluster is not ours to end."""

    def kubectl(self) -> list[str]:
        """Kubectl from PATH."""
        return ["kubectl", f"--context={self._context}"]

    def helm(self) -> list[str]:
        """Helm from PATH."""
        return ["helm", f"--kube-context={self._context}"]

    def hints(self) -> list[str]:
        """Nothing to set."""
        return []

    def service_url(self, namespace: str, service: str, port: int) -> str | None:
        """Not reachable without a port-forward."""
        return None


def environment(choice: Choice, purpose: str | None = None) -> Environment:
    """Return the cluster of a choice other than `local`; for a purpose of its own, another one than `make up` has.

    Raises:
        ClusterError: if a program it needs is not on PATH.
    """
    own = None if purpose is None else of_clone(purpose)
    if choice.kind == "embedded":
        return Embedded() if own is None else Embedded(own)
    for program in ("kubectl", "helm", *(("docker",) if choice.kind == "kind" else ())):
        if shutil.which(program) is None:
            raise ClusterError(f"environment {choice.kind} ({choice.why}) needs {program} on PATH")
    return Kind(own) if choice.kind == "kind" else Current()


@contextmanager
def reach(env: Environment, namespace: str, service: str, port: int) -> Iterator[str]:
    """Yield a URL at which a Service answers, by a port-forward where there is no other way."""
    direct = env.service_url(namespace, service, port)
    if direct is not None:
        yield direct
        return
    command = [*env.kubectl(), "-n", namespace, "port-forward", f"service/{service}", f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as forward:
        try:
            line = forward.stdout.readline() if forward.stdout else ""
            if "Forwarding from" not in line:
                raise ClusterError(f"port-forward to {service} did not start: {line.strip() or 'no output'}")
            yield "http://" + line.split("from ")[1].split(" ")[0]
        finally:
            forward.terminate()


def _devcluster(*arguments: str) -> str:
    """Run the cluster's own command line; its progress goes to our standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "devcluster", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "tools" / "devcluster")},
    )
    if done.returncode != 0:
        raise ClusterError(f"`devcluster {' '.join(arguments)}` ended with {done.returncode}")
    return done.stdout
