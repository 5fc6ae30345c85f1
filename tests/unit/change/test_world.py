from __future__ import annotations

from typing import Any

import pytest

from bellwether.change.world import (
    Installation,
    Owner,
    digest_of,
    installation_of,
    installation_of_operator,
    owner_in,
    public_keys_in,
    supposed,
)
from bellwether.render.kubernetes import derive_keyring
from bellwether_operator.apply.actions import desired_from

from .conftest import INSTALLED, UID, live, rendered, stored

SEED = b"not secret: a seed for tests only"


def test_the_digest_is_the_one_that_the_operator_writes() -> None:
    for manifest in rendered(live()):
        assert digest_of(manifest) == desired_from(manifest).digest
        assert (
            supposed(manifest).raw["metadata"]["annotations"]
            == desired_from(manifest).manifest["metadata"]["annotations"]
        )


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_what_is_installed_is_read_off_the_pods(profile: str) -> None:
    keys = derive_keyring(SEED, UID).public_keys
    installed = Installation("localhost:5000/bellwether/services:9", "Always", "debug", keys)
    assert installation_of(stored(rendered(live(profile=profile), installation=installed)), None) == installed


def test_with_a_declared_version_the_operators_own_is_not_known() -> None:
    found = installation_of(stored(rendered(live(version="2"))), "2")
    assert found is not None
    assert found.image == "registry.example/bellwether/services:(the operator's)"
    assert installation_of([], None) is None


def test_public_keys_are_read_from_the_servers_configuration() -> None:
    keys = derive_keyring(SEED, UID).public_keys
    known = Installation(INSTALLED.image, public_keys=keys)
    assert public_keys_in(rendered(live(), installation=known)) == dict(keys)


def operator(image: str, watched: str) -> dict[str, Any]:
    environment = [
        {"name": "SERVICES_IMAGE", "value": image},
        {"name": "WATCH_NAMESPACES", "value": watched},
        {"name": "IMAGE_PULL_POLICY", "value": "Never"},
    ]
    return {"kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "x", "env": environment}]}}}}


def test_the_operator_that_looks_after_the_namespace_says_what_is_installed() -> None:
    other, ours = operator("other:1", "elsewhere"), operator("ours:1", "trading, more")
    assert installation_of_operator([other, ours], "trading") == Installation("ours:1", "Never")
    assert installation_of_operator([operator("all:1", "")], "trading") == Installation("all:1", "Never")
    assert installation_of_operator([other], "trading") is None
    assert installation_of_operator([ours, operator("all:1", "")], "trading") is None


@pytest.mark.parametrize(
    ("metadata", "kind", "owner"),
    [
        ({"labels": {"bellwether.dev/system-uid": UID}}, "Service", Owner.OURS),
        ({"ownerReferences": [("TradingSystem", "demo", UID)]}, "Service", Owner.OURS),
        ({"ownerReferences": [("TradingSystem", "demo", "earlier")]}, "Service", Owner.REMNANT),
        ({"ownerReferences": [("TradingSystem", "other", "x")]}, "Service", Owner.STRANGER),
        ({"ownerReferences": [("Deployment", "web", "x")]}, "Service", Owner.STRANGER),
        ({}, "Service", Owner.STRANGER),
        (
            {"labels": {"app.kubernetes.io/managed-by": "bellwether", "app.kubernetes.io/instance": "demo"}},
            "PersistentVolumeClaim",
            Owner.RETAINED,
        ),
        ({"labels": {"app.kubernetes.io/managed-by": "bellwether"}}, "PersistentVolumeClaim", Owner.STRANGER),
    ],
)
def test_whose_an_object_is(metadata: dict[str, Any], kind: str, owner: Owner) -> None:
    references = [
        {
            "apiVersion": "bellwether.dev/v1alpha1" if of == "TradingSystem" else "apps/v1",
            "kind": of,
            "name": name,
            "uid": uid,
            "controller": True,
        }
        for of, name, uid in metadata.get("ownerReferences", [])
    ]
    raw = {"kind": kind, "metadata": {"name": "x", **metadata, "ownerReferences": references}}
    assert owner_in(raw, live())[0] is owner
