"""Pod templates: restricted pods with the volumes that their containers mount."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bellwether.render.kubernetes.configmaps import start_value_annotations
from bellwether.render.kubernetes.containers import (
    CA_FILE,
    TOKEN_FILE,
    adopt_container,
    asks_outside,
    compact_resources,
    job_container,
    kept_by,
    nats_container,
    notification_secrets,
    reads_csv,
    reads_news,
    resources_of,
    services_container,
    trades_at_ig,
)
from bellwether.render.kubernetes.context import (
    LABEL_MANAGED_BY,
    LABEL_SYSTEM_UID,
    MANAGER,
    NATS,
    SYSTEM,
    RenderContext,
    child_name,
    claim_name,
    declaration_name,
    gateway_token_name,
    keys_name,
    selector,
)
from bellwether.render.kubernetes.secrets import TOKEN_ENTRY, seed_entry
from bellwether.render.kubernetes.volumes import kept_on
from bellwether.render.nats import BOOTSTRAP, JOB, REPLAY_JOB, TRAINING_JOB
from bellwether.spec.backup import SECRET_ENTRIES, BackupLocation
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES

USER = 65532
GRACE_SECONDS = 30
NOTIFY_ENTRIES = ("key", "password", "token", "url", "username")
"""Entries of a notification's Secret that are mounted, where it has them."""
SCRATCH_SIZE = "1Gi"
"""What a pod without a volume may keep on its node: the gateway's traces, bounded below that, with room to work."""
_READ_ONLY_MODE = 0o440


def _key_volume(system: TradingSystem, name: str, identities: Sequence[str]) -> dict[str, Any]:
    """Return a volume with the seeds of these identities, and with the token where the gateway is one of them."""
    sources: list[dict[str, Any]] = [
        {
            "secret": {
                "name": keys_name(system),
                "items": [{"key": seed_entry(each), "path": seed_entry(each)} for each in sorted(identities)],
            }
        }
    ]
    if "gateway" in identities:
        items = [{"key": TOKEN_ENTRY, "path": TOKEN_FILE}]
        sources.append({"secret": {"name": gateway_token_name(system), "items": items}})
    return {"name": name, "projected": {"defaultMode": _READ_ONLY_MODE, "sources": sources}}


def _volumes(
    system: TradingSystem, component: str, services: Sequence[str], nats_config: str | None, *, claim: bool
) -> list[dict[str, Any]]:
    """Return the volumes of a component's pod, by name."""
    data: dict[str, Any] = {"name": "data"}
    if claim:
        data["persistentVolumeClaim"] = {"claimName": claim_name(child_name(system, component))}
    else:
        data["emptyDir"] = {"sizeLimit": SCRATCH_SIZE}
    found = [
        data,
        {"name": "declaration", "configMap": {"name": declaration_name(system)}},
        {"name": "tmp", "emptyDir": {}},
    ]
    if services:
        found.append(_key_volume(system, "keys", services))
    if nats_config is not None:
        found.append({"name": "nats-config", "configMap": {"name": nats_config}})
        found.append(_key_volume(system, "nats-keys", [BOOTSTRAP]))
    csv = system.spec.data.csv
    if csv is not None and reads_csv(system, services):
        found.append({"name": "csv", "persistentVolumeClaim": {"claimName": csv.volume_claim, "readOnly": True}})
    news = system.spec.sentiment.csv
    if news is not None and reads_news(system, services):
        found.append({"name": "news", "persistentVolumeClaim": {"claimName": news.volume_claim, "readOnly": True}})
    broker = system.spec.trading.broker_secret_ref
    if broker is not None and trades_at_ig(system, services):
        found.append({"name": "broker", "secret": {"secretName": broker.name, "defaultMode": _READ_ONLY_MODE}})
    kept = kept_by(system, services)
    if kept or asks_outside(system, services):
        found += _ca(system)
    if kept:
        found += _repositories(kept)
    secrets = notification_secrets(system, services)
    if secrets:
        # Optional: a Secret that is not there yet keeps no pod from starting; monitoring says that it is missing.
        sources = [
            {
                "secret": {
                    "name": secret,
                    "optional": True,
                    "items": [{"key": entry, "path": f"{secret}/{entry}"} for entry in NOTIFY_ENTRIES],
                }
            }
            for secret in secrets
        ]
        found.append({"name": "notify", "projected": {"defaultMode": _READ_ONLY_MODE, "sources": sources}})
    return sorted(found, key=lambda volume: str(volume["name"]))


def _ca(system: TradingSystem) -> list[dict[str, Any]]:
    bundle = system.spec.network.ca_bundle_ref
    if bundle is None:
        return []
    items = [{"key": bundle.key, "path": CA_FILE}]
    return [{"name": "ca", "configMap": {"name": bundle.name, "items": items}}]


def _repositories(locations: Sequence[BackupLocation]) -> list[dict[str, Any]]:
    """Return the volumes by which backups are kept: the secrets of all repositories, and the claims of folders."""
    ordered = sorted(locations, key=lambda one: one.kind)
    entries = {one.secret_ref.name: SECRET_ENTRIES[one.kind] for one in ordered if one.secret_ref}
    sources = [
        {
            "secret": {
                "name": name,
                "optional": True,
                "items": [{"key": entry, "path": f"{name}/{entry}"} for entry in wanted],
            }
        }
        for name, wanted in sorted(entries.items())
    ]
    found: list[dict[str, Any]] = [
        {"name": "repositories", "projected": {"defaultMode": _READ_ONLY_MODE, "sources": sources}}
    ]
    for one in locations:
        if one.volume_claim is not None:
            found.append({"name": f"kept-{one.name}", "persistentVolumeClaim": {"claimName": one.volume_claim}})
    return found


def repository_volumes(system: TradingSystem, location: BackupLocation | None) -> list[dict[str, Any]]:
    """Return the volumes by which a pod opens one repository; none where there is none."""
    return [] if location is None else [*_ca(system), *_repositories([location])]


def _pod_spec(system: TradingSystem, containers: dict[str, Any], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    extra = system.spec.pod_template
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        **containers,
        "enableServiceLinks": False,
        "securityContext": {
            "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "runAsGroup": USER,
            "runAsNonRoot": True,
            "runAsUser": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "serviceAccountName": child_name(system, SYSTEM),
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "volumes": volumes,
    }
    if extra.image_pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in extra.image_pull_secrets]
    if extra.node_selector:
        spec["nodeSelector"] = dict(extra.node_selector)
    if extra.priority_class_name is not None:
        spec["priorityClassName"] = extra.priority_class_name
    if extra.tolerations:
        spec["tolerations"] = [
            toleration.model_dump(mode="json", by_alias=True, exclude_none=True) for toleration in extra.tolerations
        ]
    return spec


def _template(
    system: TradingSystem, component: str, annotations: dict[str, str], spec: dict[str, Any]
) -> dict[str, Any]:
    extra = system.spec.pod_template
    labels = {
        **extra.labels,
        **selector(system, component),
        LABEL_MANAGED_BY: MANAGER,
        "app.kubernetes.io/name": MANAGER,
    }
    metadata: dict[str, Any] = {"labels": labels}
    merged = {**extra.annotations, **annotations}
    if merged:
        metadata["annotations"] = merged
    return {"metadata": metadata, "spec": spec}


def compact_pod(system: TradingSystem, context: RenderContext, nats_config: str) -> dict[str, Any]:
    """Return the pod of the compact profile.

    NATS is a sidecar (an init container that stays): it is up, with its streams made, before the services start, and
    it goes down after them, so they can drain.
    """
    services = list(SERVICES)
    nats = {**nats_container(system, context), "restartPolicy": "Always"}
    containers = {
        "initContainers": [*_adopting(system, context, SYSTEM), nats],
        "containers": [services_container(system, context, "services", services, compact_resources(system))],
    }
    volumes = _volumes(system, SYSTEM, services, nats_config, claim=True)
    return _template(system, SYSTEM, start_value_annotations(system), _pod_spec(system, containers, volumes))


def nats_pod(system: TradingSystem, context: RenderContext, nats_config: str) -> dict[str, Any]:
    """Return the NATS pod of the standard profile."""
    volumes = _volumes(system, NATS, [], nats_config, claim=True)
    adopting = _adopting(system, context, NATS)
    containers = {"containers": [nats_container(system, context)], **({"initContainers": adopting} if adopting else {})}
    return _template(system, NATS, {}, _pod_spec(system, containers, volumes))


def service_pod(system: TradingSystem, context: RenderContext, service: str) -> dict[str, Any]:
    """Return the pod of one service of the standard profile."""
    container = services_container(system, context, service, [service], resources_of(system, service))
    row = SERVICES[service]
    adopting = _adopting(system, context, service) if row.needs_volume else []
    volumes = _volumes(system, service, [service], None, claim=row.needs_volume)
    annotations = start_value_annotations(system) if service == "market-data" else {}
    containers = {"containers": [container], **({"initContainers": adopting} if adopting else {})}
    return _template(system, service, annotations, _pod_spec(system, containers, volumes))


def _adopting(system: TradingSystem, context: RenderContext, component: str) -> list[dict[str, Any]]:
    return [] if system.spec.restore_from is None else [adopt_container(system, context, kept_on(component))]


def job_pod(
    system: TradingSystem,
    context: RenderContext,
    environment: Sequence[dict[str, Any]],
    labels: Mapping[str, str],
    patience: int,
) -> dict[str, Any]:
    """Return the pod that has one slot run; `environment` says which, and it tries for `patience` seconds."""
    container = job_container(system, context, environment, patience)
    spec = _pod_spec(system, {"containers": [container]}, [_key_volume(system, "keys", [JOB])])
    template = _template(system, JOB, {}, {**spec, "restartPolicy": "OnFailure"})
    template["metadata"]["labels"] |= {LABEL_SYSTEM_UID: system.metadata.uid, **labels}
    return template


def fill_pod_spec(
    system: TradingSystem, container: dict[str, Any], claims: Mapping[str, str], location: BackupLocation | None
) -> dict[str, Any]:
    """Return the spec of the pod that brings volumes, by component, what a repository holds."""
    volumes: list[dict[str, Any]] = [
        {"name": "declaration", "configMap": {"name": declaration_name(system)}},
        {"name": "tmp", "emptyDir": {}},
        *({"name": f"volume-{each}", "persistentVolumeClaim": {"claimName": name}} for each, name in claims.items()),
        *repository_volumes(system, location),
    ]
    return scratch_pod_spec(system, container, volumes)


def scratch_pod_spec(system: TradingSystem, container: dict[str, Any], volumes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the spec of a pod beside a system, which may be gone: it has no keys and no account of it."""
    spec = {**_pod_spec(system, {"containers": [container]}, volumes), "restartPolicy": "Never"}
    del spec["serviceAccountName"]
    return spec


def replay_pod_spec(system: TradingSystem, container: dict[str, Any], plan: str, file: str) -> dict[str, Any]:
    """Return the spec of a pod that replays; `plan` is the ConfigMap and `file` its entry."""
    volumes = [
        _key_volume(system, "keys", [REPLAY_JOB]),
        {"name": "plan", "configMap": {"name": plan, "items": [{"key": file, "path": file}]}},
        {"name": "tmp", "emptyDir": {"sizeLimit": SCRATCH_SIZE}},
    ]
    return scratch_pod_spec(system, container, volumes)


def training_pod(system: TradingSystem, container: dict[str, Any]) -> dict[str, Any]:
    """Return the pod that makes one model of an order; a new try is a new pod, with nothing of the one before."""
    volumes = [_key_volume(system, "keys", [TRAINING_JOB]), {"name": "tmp", "emptyDir": {}}]
    spec = _pod_spec(system, {"containers": [container]}, volumes)
    template = _template(system, TRAINING_JOB, {}, {**spec, "restartPolicy": "Never"})
    template["metadata"]["labels"] |= {LABEL_SYSTEM_UID: system.metadata.uid}
    return template
