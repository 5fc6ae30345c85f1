"""What looks at a backup: scratch volumes, and a Job that reads them, or restores a repository's backup on one.

It talks to nobody but the repository's bucket. All of it belongs to the TradingBackup, and none of it bears the labels
of a system: it is no part of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bellwether.naming import ACKS_BUCKET, DEAD_STREAM, DECLARATION_BUCKET, EVENT_STREAM, MONITORING_BUCKET
from bellwether.render.kubernetes.containers import (
    DECIDING,
    LOOK_DIRECTORY,
    OF_NUMBERS,
    READER_RESOURCES,
    SECURITY,
    TERMINATION_FILE,
    environment_of,
    mount,
    repository_access,
    requirements,
    shared_resources,
)
from bellwether.render.kubernetes.context import LABEL_COMPONENT, LOOK, NATS, SYSTEM, Manifest, image_of, release_of
from bellwether.render.kubernetes.filling import TRIES
from bellwether.render.kubernetes.networkpolicies import way_to
from bellwether.render.kubernetes.pods import repository_volumes, scratch_pod_spec
from bellwether.render.kubernetes.training_jobs import failure_policy
from bellwether.render.kubernetes.volumes import kept_on, made_from
from bellwether.render.kubernetes.workloads import claims_of
from bellwether.spec.backup import BackupLocation, RestoreFrom
from bellwether.spec.models import GROUP, TradingSystem
from bellwether.topology import SERVICES

LABEL_LOOKED_AT = f"{GROUP}/looks-at"
"""On all of it: the uid of the backup."""
SECONDS = 1800
"""How long reading may take."""
LONGEST_ARGUMENT = 100_000
"""Of bytes: the kernel takes no argument beyond 128 KiB. Of a longer declaration decisions are not computed again."""
STREAMS = (EVENT_STREAM, DEAD_STREAM, *(f"KV_{name}" for name in (ACKS_BUCKET, DECLARATION_BUCKET, MONITORING_BUCKET)))
"""What the bus keeps, as the server names the folders."""


class Looked(NamedTuple):
    """A backup that is looked at."""

    name: str
    uid: str
    namespace: str
    owner: Mapping[str, Any]
    """The reference by which all of it goes with the backup."""
    declaration: str = ""
    """The TradingSystem of then, as JSON, where its last decisions are to be computed again."""
    release: str = ""
    """The one that wrote the volumes."""
    source: RestoreFrom | None = None
    """Where it is fetched from, where it is in a repository."""


class Copy(NamedTuple):
    """A volume of which a scratch copy is made; without a snapshot an empty one."""

    claim: str
    snapshot: str | None
    size: str


def look_name(backup: str) -> str:
    """Return the name of the Job and the policy."""
    return f"{backup}-{LOOK}"


def scratch_name(backup: str, at: int) -> str:
    """Return the name of a scratch volume's claim."""
    return f"{backup}-{LOOK}-{at}"


def look_objects(
    system: TradingSystem, looked: Looked, copies: Sequence[Copy], *, image: str, pull_policy: str, log_level: str
) -> list[Manifest]:
    """Return the policy, the scratch claims and the Job, in the order in which they are to be made."""
    labels = {LABEL_COMPONENT: LOOK, LABEL_LOOKED_AT: looked.uid}
    location = None if looked.source is None else looked.source.repository
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": _metadata(looked, look_name(looked.name)),
        "spec": {
            "podSelector": {"matchLabels": labels},
            "policyTypes": ["Ingress", "Egress"],
            "egress": way_to(location),
        },
    }
    claims = [_claim(system, looked, copy, at) for at, copy in enumerate(copies)]
    short = 0 < len(looked.declaration.encode()) <= LONGEST_ARGUMENT
    if looked.declaration or looked.source is not None:
        image = image_of(image, system.spec.version)
    if looked.source is not None:
        wanted = ["--restore", looked.source.model_dump_json(by_alias=True, exclude_none=True)]
    elif looked.declaration:
        wanted = ["--decide", looked.declaration, "--release", looked.release] if short else []
    else:
        # The operator's own release, since one that the system stays at may not know what is to be there.
        wanted = [word for path in to_be_there(system) for word in ("--expect", path)]
    decide, names = short or looked.source is not None, [one.claim for one in copies]
    container = look_container(system, image, names, wanted, decide=decide, log_level=log_level, location=location)
    container["imagePullPolicy"] = pull_policy
    volumes: list[dict[str, Any]] = [
        {"name": f"volume-{at}", "persistentVolumeClaim": {"claimName": scratch_name(looked.name, at)}}
        for at in range(len(copies))
    ]
    volumes += [{"name": "tmp", "emptyDir": {}}, *repository_volumes(system, location)]
    spec = {
        "activeDeadlineSeconds": SECONDS,
        "backoffLimit": TRIES,
        "podFailurePolicy": failure_policy(LOOK, "FailJob"),
        "template": {"metadata": {"labels": labels}, "spec": scratch_pod_spec(system, container, volumes)},
    }
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(looked, look_name(looked.name)), "spec": spec}
    return [policy, *claims, job]


def look_container(
    system: TradingSystem,
    image: str,
    claims: Sequence[str],
    wanted: Sequence[str],
    *,
    decide: bool,
    log_level: str,
    location: BackupLocation | None = None,
) -> dict[str, Any]:
    """Return the container that looks at scratch volumes, and says what is on them as it ends.

    Args:
        system: of then.
        image: to be run.
        claims: of which the volumes are copies.
        wanted: arguments by which it looks.
        decide: whether the last session's decisions are computed again.
        log_level: of the process.
        location: the repository that it restores from, where it does.
    """
    variables, access = repository_access(system, location)
    command = ["python", "-m", "bellwether", "look"]
    environment = {"BELLWETHER_LOG_LEVEL": log_level.lower(), "BELLWETHER_VERSION": release_of(image), **OF_NUMBERS}
    return {
        "name": LOOK,
        "image": image,
        "command": [*command, "--volumes", LOOK_DIRECTORY, "--write", TERMINATION_FILE, *wanted],
        "env": environment_of(environment | variables),
        "resources": requirements(shared_resources(system, DECIDING) if decide else READER_RESOURCES),
        "securityContext": SECURITY,
        "terminationMessagePath": TERMINATION_FILE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            *(mount(f"volume-{at}", f"{LOOK_DIRECTORY}/{claim}") for at, claim in enumerate(claims)),
            mount("tmp", "/tmp"),  # noqa: S108
            *access,
        ],
    }


def to_be_there(system: TradingSystem) -> list[str]:
    """Return what a system keeps in any case: the database of each service, and each stream, by the volumes' claims."""
    (nats,) = kept_on(NATS)
    kept = {row.name: [row.store] for row in SERVICES.values() if row.needs_volume and row.store is not None}
    kept[NATS] = [f"{nats}/jetstream/*/streams/{name}/meta.inf" for name in STREAMS]
    off = {str(name) for name, override in system.spec.services.items() if not override.enabled}
    found = []
    for component, claim in claims_of(system, system.spec.profile).items():
        parts = kept if component == SYSTEM else {component}
        found += [f"{claim}/{path}" for part in parts if part not in off for path in kept.get(part, ())]
    return found


def _claim(system: TradingSystem, looked: Looked, copy: Copy, at: int) -> Manifest:
    spec: dict[str, Any] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": copy.size}}}
    if system.spec.storage.class_name is not None:
        spec["storageClassName"] = system.spec.storage.class_name
    metadata = _metadata(looked, scratch_name(looked.name, at))
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}
    return made_from(claim, copy.snapshot, None)


def _metadata(looked: Looked, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "namespace": looked.namespace,
        "labels": {LABEL_LOOKED_AT: looked.uid},
        "ownerReferences": [dict(looked.owner)],
    }
