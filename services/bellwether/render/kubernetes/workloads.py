"""StatefulSets and Deployments: what keeps the pods running, and which volume claims they have."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any, Literal, get_args

from bellwether.render.kubernetes.context import (
    ANNOTATION_TEMPLATE,
    LABEL_INSTANCE,
    NATS,
    SYSTEM,
    Manifest,
    RenderContext,
    child_name,
    claim_name,
    metadata,
    selector,
)
from bellwether.render.kubernetes.pods import compact_pod, nats_pod, service_pod
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES

STATEFUL_SET = "StatefulSet"
DEPLOYMENT = "Deployment"
_HISTORY = 3
_TEMPLATE_BYTES = 4 * 2**20
"""A pod template is never as long: a longer one was not packed here."""
_NAMED_LISTS = ("containers", "initContainers", "volumes")
_GZIP = 31
"""What zlib calls the gzip format."""


def packed(template: dict[str, Any]) -> str:
    """Return a pod template as the text of an annotation: JSON with sorted keys, gzipped without a time, in base64."""
    text = json.dumps(template, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def unpacked(text: str) -> dict[str, Any]:
    """Return the pod template that was packed into an annotation.

    Raises:
        ValueError: if it is none, since somebody else wrote the annotation.
    """
    try:
        plain = zlib.decompressobj(_GZIP).decompress(base64.b64decode(text, validate=True), _TEMPLATE_BYTES)
        found = json.loads(plain)
    except (ValueError, RecursionError, zlib.error) as error:
        raise ValueError(f"{ANNOTATION_TEMPLATE} is not a packed pod template: {error}") from error
    spec = found.get("spec") if isinstance(found, dict) else None
    if not isinstance(spec, dict) or not all(_named(spec.get(name, [])) for name in _NAMED_LISTS):
        raise ValueError(f"{ANNOTATION_TEMPLATE} is not a packed pod template: it has no containers that can be named")
    return dict(found)


def _named(entries: Any) -> bool:
    return isinstance(entries, list) and all(isinstance(e, dict) and isinstance(e.get("name"), str) for e in entries)


def _metadata(system: TradingSystem, component: str, template: dict[str, Any]) -> dict[str, Any]:
    """Return a workload's metadata, with its pod template: so it can be applied again after a newer one was rendered.

    What the API server returns of a template is filled with defaults, which would become ours by applying them.
    """
    found = metadata(system, component, child_name(system, component))
    return {**found, "annotations": {ANNOTATION_TEMPLATE: packed(template)}}


def _workload(
    kind: str, system: TradingSystem, component: str, replicas: int, template: dict[str, Any]
) -> dict[str, Any]:
    return of_kind(
        kind,
        {
            "apiVersion": "apps/v1",
            "metadata": _metadata(system, component, template),
            "spec": {
                "replicas": replicas,
                "revisionHistoryLimit": _HISTORY,
                "selector": {"matchLabels": selector(system, component)},
                "template": template,
            },
        },
    )


def of_kind(kind: str, workload: Manifest) -> Manifest:
    """Return a workload as the other kind keeps it: the same pods under the same name.

    A StatefulSet has at most one pod. Its volume is named in the pod template and made by the operator, not by a claim
    template: that one could never be changed afterwards, and the volume has to be there before (restored) or stay
    behind (retained).
    """
    metadata, spec = workload["metadata"], workload["spec"]
    common = {name: spec[name] for name in ("replicas", "revisionHistoryLimit", "selector", "template")}
    own: dict[str, Any] = {"strategy": {"type": "RollingUpdate"}}
    if kind == STATEFUL_SET:
        own = {
            "podManagementPolicy": "Parallel",
            "serviceName": f"{metadata['labels'][LABEL_INSTANCE]}-{NATS}",
            "updateStrategy": {"type": "RollingUpdate"},
        }
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": {**common, **own}}


def components(system: TradingSystem) -> list[str]:
    """Return the components that have pods of their own, NATS first."""
    return [SYSTEM] if system.spec.profile == "compact" else [NATS, *SERVICES]


def stateful_components(system: TradingSystem) -> list[str]:
    """Return the components whose pod has a volume, and therefore exactly one replica."""
    if system.spec.profile == "compact":
        return [SYSTEM]
    return [NATS, *(row.name for row in SERVICES.values() if row.needs_volume)]


def replicas_of(system: TradingSystem, component: str) -> int:
    """Return how many pods a component is to have: none where the declaration switches the service off."""
    if system.spec.profile == "compact":
        return 1
    off = any(name == component and not override.enabled for name, override in system.spec.services.items())
    return 0 if off else 1


def workloads(system: TradingSystem, context: RenderContext, nats_config: str) -> list[Manifest]:
    """Return what keeps the system's pods running; NATS comes first.

    What has a volume is a StatefulSet of one pod, everything else a Deployment.
    """
    if system.spec.profile == "compact":
        return [_workload(STATEFUL_SET, system, SYSTEM, 1, compact_pod(system, context, nats_config))]
    pod = nats_pod(system, context, nats_config)
    found = [_workload(STATEFUL_SET, system, NATS, replicas_of(system, NATS), pod)]
    for row in SERVICES.values():
        kind = STATEFUL_SET if row.needs_volume else DEPLOYMENT
        pod = service_pod(system, context, row.name)
        found.append(_workload(kind, system, row.name, replicas_of(system, row.name), pod))
    return found


Profile = Literal["compact", "standard"]
PROFILES: tuple[Profile, ...] = get_args(Profile)


def other(profile: Profile) -> Profile:
    """Return the profile that this one is not."""
    return next(each for each in PROFILES if each != profile)


def at_profile(system: TradingSystem, profile: Profile) -> TradingSystem:
    """Return the system as it would be with a profile."""
    return system.model_copy(update={"spec": system.spec.model_copy(update={"profile": profile})})


def claims_of(system: TradingSystem, profile: Profile) -> dict[str, str]:
    """Return, by component, the name of each volume claim that a system of this profile has."""
    components = stateful_components(at_profile(system, profile))
    return {component: claim_name(child_name(system, component)) for component in components}
