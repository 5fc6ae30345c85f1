"""What a TradingReplay consists of: its frozen plan, a policy, and an Indexed Job with one index a variant.

All of it belongs to the TradingReplay and goes with it. A pod has the one key that may ask the system for bars and hand
in a report; it has no token of the API server.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from bellwether.render.kubernetes import containers, quantities
from bellwether.render.kubernetes.context import (
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    NATS,
    Manifest,
    RenderContext,
    selector,
)
from bellwether.render.kubernetes.networkpolicies import name_service, nats_port
from bellwether.render.kubernetes.pods import replay_pod_spec
from bellwether.render.kubernetes.services import component_of
from bellwether.render.kubernetes.training_jobs import indexed
from bellwether.render.nats import REPLAY_JOB
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import GROUP, TradingSystem
from bellwether.spec.replaying import source_of
from bellwether.spec.trading_replay import ReplayJob, TradingReplaySpec
from bellwether.spec.vary import Variant, variant_name

LABEL_REPLAY = f"{GROUP}/replay"
"""On all of it: the uid of the TradingReplay."""
ANNOTATION_VARIANTS = f"{GROUP}/variants"
"""On the Job, for people: what is changed at which index."""
PLAN_FILE = "plan.json"
_DIRECTORY = "/etc/bellwether/replay"
LARGEST_PLAN = 900_000
_SHOWN = 2000


class Owner(NamedTuple):
    """The TradingReplay that all of it is made for."""

    name: str
    uid: str
    namespace: str
    reference: Mapping[str, Any]
    """By which all of it goes with it."""


def replay_name(replay: str) -> str:
    """Return the name of the plan, the policy and the Job."""
    return f"{replay}-replay"


def replay_plan(
    owner: Owner, spec: TradingReplaySpec, declaration: Mapping[str, Any], variants: Sequence[Variant], at: datetime
) -> Manifest:
    """Return the ConfigMap with what is replayed; `at` (UTC) is the instant as of which bars are asked for.

    Raises:
        ValueError: when there is no room for the declaration.
    """
    plan = {
        "asOf": at.isoformat(),
        "bars": source_of(declaration),
        "declaration": declaration,
        "from": spec.from_,
        "name": owner.name,
        "to": spec.to,
        "uid": owner.uid,
        "variants": [[list(change) for change in variant] for variant in variants],
    }
    text = json.dumps(plan, sort_keys=True, indent=1, ensure_ascii=False)
    if len(text.encode()) > LARGEST_PLAN:
        raise ValueError(f"the declaration and its variants have {len(text)} characters: at most {LARGEST_PLAN} fit")
    metadata = _metadata(owner)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "immutable": True, "data": {PLAN_FILE: text}}


def replay_policy(owner: Owner, system: TradingSystem) -> Manifest:
    """Return the policy of the pods: they reach NATS and the cluster's name service, and nobody reaches them."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(owner),
        "spec": {
            "podSelector": {"matchLabels": {LABEL_REPLAY: owner.uid}},
            "policyTypes": ["Ingress", "Egress"],
            "egress": [nats_port(selector(system, component_of(system, NATS))), name_service()],
        },
    }


def replay_container(system: TradingSystem, context: RenderContext, declared: ReplayJob) -> dict[str, Any]:
    """Return the container that replays one variant; Kubernetes tells it which, by the index of its pod."""
    environment = containers.client_environment(system, context, HOME="/tmp", TMPDIR="/tmp")  # noqa: S108
    plan, memory = f"{_DIRECTORY}/{PLAN_FILE}", quantities.memory(declared.memory_mebibytes)
    return {
        **containers.plain_container(
            system, context, REPLAY_JOB, "replay-variant", "--plan", plan, "--write", containers.TERMINATION_FILE
        ),
        "env": environment,
        "resources": {
            "limits": {"cpu": quantities.cpu(declared.cpu_millis), "memory": memory},
            "requests": {"cpu": quantities.cpu(declared.cpu_millis // 10), "memory": memory},
        },
        "terminationMessagePath": containers.TERMINATION_FILE,
        "volumeMounts": [
            containers.mount("keys", containers.KEYS_DIRECTORY, read_only=True),
            containers.mount("plan", _DIRECTORY, read_only=True),
            containers.mount("tmp", "/tmp"),  # noqa: S108
        ],
    }


def replay_job(
    owner: Owner, system: TradingSystem, context: RenderContext, spec: TradingReplaySpec, variants: Sequence[Variant]
) -> Manifest:
    """Return the Job: index 0 replays the declaration as it is, each further one a variant."""
    declared = spec.job
    metadata = _metadata(owner)
    names = ", ".join(f"{index} {variant_name(variant)}" for index, variant in enumerate(variants))
    metadata["annotations"] = {ANNOTATION_VARIANTS: names[:_SHOWN]}
    container = replay_container(system, context, declared)
    # The system's own label lets NATS take its connection; its component keeps it out of what watches the system.
    labels = {LABEL_COMPONENT: REPLAY_JOB, LABEL_INSTANCE: system.metadata.name, LABEL_REPLAY: owner.uid}
    pod = replay_pod_spec(system, container, replay_name(owner.name), PLAN_FILE)
    job = indexed(REPLAY_JOB, declared, len(variants), {"metadata": {"labels": labels}, "spec": pod})
    job["ttlSecondsAfterFinished"] = math.ceil(parse_duration(spec.ttl).total_seconds())
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job}


def _metadata(owner: Owner) -> dict[str, Any]:
    return {
        "name": replay_name(owner.name),
        "namespace": owner.namespace,
        "labels": {LABEL_COMPONENT: REPLAY_JOB, LABEL_REPLAY: owner.uid},
        "ownerReferences": [dict(owner.reference)],
    }
