from __future__ import annotations

import base64

from bellwether.render.kubernetes import RenderContext, derive_keyring
from bellwether.render.kubernetes.secrets import gateway_token, keys
from bellwether.topology import SERVICES

from .conftest import SEED, UID, build


def test_every_identity_that_has_a_pod_has_a_seed(context: RenderContext) -> None:
    found = keys(build(), context)["data"]
    assert set(found) == {f"{name}.nk" for name in (*SERVICES, "bootstrap", "job", "replay-job", "training-job")}
    assert all(base64.b64decode(seed).startswith(b"SU") for seed in found.values())


def test_the_same_system_has_the_same_keys_and_another_has_others() -> None:
    again, other = derive_keyring(bytes(SEED), UID), derive_keyring(SEED, "another")
    assert derive_keyring(SEED, UID) == again
    assert not set(again.seeds.values()) & set(other.seeds.values())
    assert again.gateway_token != other.gateway_token


def test_the_token_has_a_secret_of_its_own(context: RenderContext) -> None:
    found = gateway_token(build(), context)
    assert found["metadata"]["name"] == "demo-gateway-token"
    assert base64.b64decode(found["data"]["token"]).decode() == context.keyring.gateway_token
