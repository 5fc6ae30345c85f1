"""A real Kubernetes control plane (etcd and API server, nothing else) for the tests that need one.

An import of the fixture in a conftest makes `control_plane` available: started once in a test run, in a folder of its
own, and taken away with everything in it at the end.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import yaml

from devcluster import Cluster
from harness import shared
from harness.until import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SYSTEMS = "/apis/bellwether.dev/v1alpha1/namespaces/{namespace}/tradingsystems"


@dataclass(frozen=True)
class ControlPlane:
    """A control plane that answers, and a client with the administrator's rights."""

    cluster: Cluster
    client: httpx.Client

    @property
    def kubeconfig(self) -> Path:
        return self.cluster.kubeconfig

    def install(self, definition: Path) -> None:
        """Make the custom resource definition of this file known, and return when it is served."""
        body = yaml.safe_load(definition.read_text("utf-8"))
        name = body["metadata"]["name"]
        parameters = {"fieldManager": "tests", "force": "true"}
        answer = self.client.patch(
            f"{DEFINITIONS}/{name}",
            params=parameters,
            content=definition.read_bytes(),
            headers={"content-type": "application/apply-patch+yaml"},
        )
        assert answer.is_success, answer.text
        spec = body["spec"]
        self._await_served(f"/apis/{spec['group']}/{spec['versions'][0]['name']}/{spec['names']['plural']}")

    def _await_served(self, path: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.client.get(path).is_success:
                return
            time.sleep(0.05)
        raise AssertionError(f"{path} was not served within {seconds:.0f} s")


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """An API server without controllers, shared by all workers of the run; these tests use its namespace `default`."""
    cluster, _ = shared.control_plane("plain")
    with _client(cluster) as client:
        yield ControlPlane(cluster, client)


def _client(cluster: Cluster) -> httpx.Client:
    config = cluster.config
    context = ssl.create_default_context(cafile=str(config.pki / "ca.crt"))
    context.load_cert_chain(config.pki / "admin.crt", config.pki / "admin.key")
    return httpx.Client(base_url=config.api_url, verify=context, timeout=DEADLINE, trust_env=False)
