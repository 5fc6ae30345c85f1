"""Secrets: the NATS keys and the gateway's token.

All keys are in one Secret in every profile, and each pod mounts the entries that it needs and no other; so a change
of profile leaves no Secret behind, which the operator, having no right to read or list Secrets, could not find.
"""

from __future__ import annotations

import base64

from bellwether.render.keys import scoped_token
from bellwether.render.kubernetes.context import (
    SYSTEM,
    Manifest,
    RenderContext,
    gateway_token_name,
    keys_name,
    metadata,
)
from bellwether.render.nats import BOOTSTRAP, JOB, REPLAY_JOB, TRAINING_JOB
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES

TOKEN_ENTRY = "token"  # noqa: S105
"""Under which name the token stands in its Secret."""
SCOPED_ENTRIES = ("halt", "read")
"""Beside it, tokens that open less; the gateway knows them by its own."""


def seed_entry(identity: str) -> str:
    """Return the entry, and the file name, of an identity's NATS seed."""
    return f"{identity}.nk"


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def keys(system: TradingSystem, context: RenderContext) -> Manifest:
    """Return the Secret with the NATS seed of every identity that has a pod."""
    identities = sorted((*SERVICES, BOOTSTRAP, JOB, REPLAY_JOB, TRAINING_JOB))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(system, SYSTEM, keys_name(system)),
        "type": "Opaque",
        "data": {seed_entry(name): _encoded(context.keyring.seeds[name]) for name in identities},
    }


def gateway_token(system: TradingSystem, context: RenderContext) -> Manifest:
    """Return the Secret with the tokens of the gateway: one that opens everything, and one for each lesser scope."""
    token = context.keyring.gateway_token
    scoped = {scope: _encoded(scoped_token(token, scope)) for scope in SCOPED_ENTRIES}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(system, "gateway", gateway_token_name(system)),
        "type": "Opaque",
        "data": {**scoped, TOKEN_ENTRY: _encoded(token)},
    }
