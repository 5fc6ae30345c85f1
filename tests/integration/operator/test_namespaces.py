"""An operator that looks after several namespaces, with rights in each of its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from bellwether_operator.settings import Settings

from .conftest import Kube, eventually, running, system
from .test_reconcile import all_there

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


async def test_a_namespace_that_is_lost_takes_no_other_one_down_and_is_looked_after_again_when_it_is_back(
    kube: Kube, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(kube, namespace=f"{kube.namespace}-b")
    await kube("create", "serviceaccount", "operator")
    token = (await kube("create", "token", "operator")).strip()
    config = yaml.safe_load(kube.cluster.kubeconfig.read_text())
    config["users"] = [{"name": each["name"], "user": {"token": token}} for each in config["users"]]
    restricted = tmp_path / "kubeconfig"
    restricted.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(restricted))

    async def allow(where: Kube) -> None:
        account = f"--serviceaccount={kube.namespace}:operator"
        await where("create", "rolebinding", "operator", "--clusterrole=cluster-admin", account)

    await kube("create", "namespace", other.namespace)
    for each in (kube, other):
        await each.apply(system(each))
    await allow(kube)
    namespaces = (other.namespace, kube.namespace)
    async with running(
        dataclasses.replace(settings, kubeconfig=str(restricted), watch_namespaces=namespaces)
    ) as operator:
        await eventually("the children where there are rights", lambda: all_there(kube))

        async def reported() -> bool:
            return f"namespace {other.namespace}: cannot list: " in operator.watching.troubles.words()

        await eventually("a word on the namespace without rights", reported)
        await allow(other)
        await eventually("the children where rights came later", lambda: all_there(other))
        await other("delete", "rolebinding", "operator")
        await kube("delete", "configmap", "demo-declaration")
        await eventually("a deleted child made again", lambda: all_there(kube))
        await allow(other)
        await other("delete", "configmap", "demo-declaration")
        await eventually("a deleted child made again in the other one", lambda: all_there(other))
    await kube("delete", "namespace", other.namespace, "--wait=false")
