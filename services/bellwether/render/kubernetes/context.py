"""What rendering needs besides the declaration: the installation's image, the system's keys, and the time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

from bellwether.render.keys import derive_seed, gateway_token, public_key
from bellwether.render.kubernetes.moment import CLOSED, Moment
from bellwether.render.nats import BOOTSTRAP, CLI, JOB, REPLAY_JOB, TRAINING_JOB
from bellwether.topology import SERVICES

Manifest: TypeAlias = dict[str, Any]
"""One Kubernetes object, as it goes to the API server."""

IDENTITIES = (*SERVICES, BOOTSTRAP, CLI, JOB, REPLAY_JOB, TRAINING_JOB)
"""Everyone who has a key on the system's NATS server."""


@dataclass(frozen=True)
class Keyring:
    """The keys of one system: NATS seeds and public keys by identity, and the gateway's bearer token."""

    seeds: Mapping[str, str]
    public_keys: Mapping[str, str]
    gateway_token: str


@lru_cache(maxsize=4096)
def derive_keyring(installation_seed: bytes, system_uid: str, generation: int = 1) -> Keyring:
    """Return the keys of a system; the same arguments give the same keys, so nothing has to be read back."""
    seeds = {name: derive_seed(installation_seed, system_uid, name, generation) for name in IDENTITIES}
    return Keyring(
        seeds=seeds,
        public_keys={name: public_key(seed) for name, seed in seeds.items()},
        gateway_token=gateway_token(installation_seed, system_uid, generation),
    )


@dataclass(frozen=True)
class RenderContext:
    """Of the installation and of the system, what the builders need and the declaration does not say."""

    image: str
    """The services' image, `repository:tag`; the declaration's `version` replaces the tag."""
    keyring: Keyring
    image_pull_policy: str = "IfNotPresent"
    log_level: str = "INFO"
    moment: Moment = CLOSED


def image_of(default: str, version: str | None) -> str:
    """Return the image to run: the installation's, or the same repository with the declared version as tag."""
    if version is None:
        return default
    repository = default.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}:{version}"


def release_of(image: str) -> str:
    """Return an image's version: its tag, or its digest where it has no tag."""
    repository, _, digest = image.partition("@")
    tag = repository.rpartition("/")[2].partition(":")[2]
    return tag or digest or "latest"
