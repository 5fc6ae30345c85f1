"""ConfigMaps: the start value of the declaration, and the configuration of NATS."""

from __future__ import annotations

import json
from typing import Any

from bellwether.render.kubernetes import quantities
from bellwether.render.kubernetes.context import (
    ANNOTATION_START_VALUE,
    NATS,
    SYSTEM,
    Manifest,
    RenderContext,
    child_name,
    content_hash,
    declaration_name,
    metadata,
)
from bellwether.render.nats import MEBIBYTE, nats_conf
from bellwether.spec.models import TradingSystem
from bellwether.spec.wire import at_default, sent
from bellwether.topology import NATS_STORE_BYTES

DECLARATION_FILE = "system.json"
NATS_FILE = "nats.conf"
NATS_DIRECTORY = "/data/nats"


def spec_document(system: TradingSystem) -> dict[str, Any]:
    """Return the spec as plain data, with every default filled in."""
    return sent(system.spec)


def sent_spec(system: TradingSystem) -> dict[str, Any]:
    """Return the spec as services get it: `spec` with every value, and `defaults`, the paths of those at a default.

    A newer operator knows fields that the services of a pinned release do not: they pass over those at a default.
    """
    return {"spec": spec_document(system), "defaults": at_default(system.spec)}


def declaration_document(system: TradingSystem) -> dict[str, Any]:
    """Return the declaration as a process reads it at its start."""
    of = system.metadata
    return {
        "apiVersion": system.api_version,
        "kind": system.kind,
        "metadata": {"name": of.name, "namespace": of.namespace, "uid": of.uid, "generation": of.generation},
        **sent_spec(system),
    }


def declaration(system: TradingSystem) -> Manifest:
    """Return the ConfigMap with the start value of the declaration.

    Its name is constant and it is rewritten with each edit: the pod template names it and so stays the same
    when a live field changes, and a process that starts later starts from the newest declaration
    (docs/decisions/0010-start-value.md).
    """
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(system, SYSTEM, declaration_name(system)),
        "data": {DECLARATION_FILE: json.dumps(declaration_document(system), sort_keys=True, indent=1) + "\n"},
    }


def start_value_annotations(system: TradingSystem) -> dict[str, str]:
    """Return what makes a pod new when a part of the spec changes that is read at the start only: where bars are."""
    data = system.spec.data.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {ANNOTATION_START_VALUE: content_hash(data)}


def store_bytes(system: TradingSystem) -> int:
    """Return how much JetStream may keep: three quarters of the volume, and no more than its default."""
    return min(NATS_STORE_BYTES, quantities.mebibytes(system.spec.storage.size) * MEBIBYTE * 3 // 4)


def nats_config(system: TradingSystem, context: RenderContext) -> Manifest:
    """Return the immutable ConfigMap with nats.conf, named by its content: another content is another pod template."""
    text = nats_conf(
        context.keyring.public_keys,
        store_directory=NATS_DIRECTORY,
        always_sync=system.spec.clock.mode == "live",
        max_store=store_bytes(system),
    )
    name = f"{child_name(system, NATS)}-{content_hash(text)}"
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(system, NATS, name),
        "data": {NATS_FILE: text},
        "immutable": True,
    }
