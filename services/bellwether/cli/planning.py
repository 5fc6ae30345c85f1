"""`bellwether plan FILE`: from files and a cluster to a plan, and the plan as JSON."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bellwether.change.compare import FieldChange
from bellwether.change.plan import object_keys, plan
from bellwether.change.predicted import Plan
from bellwether.change.steps import Wait
from bellwether.change.world import (
    SECRET,
    UNKNOWN_VERSION,
    Installation,
    Key,
    installation_of,
    installation_of_operator,
    key_of,
    public_keys_in,
)
from bellwether.cli.client import CommandError, in_words, of_file
from bellwether.cli.kubectl import Kubectl, Refused
from bellwether.render.kubernetes.context import LABEL_INSTANCE, LABEL_MANAGED_BY, MANAGER
from bellwether.runtime.terminal import visible
from bellwether.spec.models import GROUP, PLURAL, TradingSystem
from bellwether.spec.validate import InvalidDeclaration, Problem, RulesUnavailable, load, read_document, validate

_SYSTEMS = f"{PLURAL}.{GROUP}"
_RESOURCES = {
    "ConfigMap": "configmaps",
    "CronJob": "cronjobs.batch",
    "Deployment": "deployments.apps",
    "NetworkPolicy": "networkpolicies.networking.k8s.io",
    "PersistentVolumeClaim": "persistentvolumeclaims",
    "PodDisruptionBudget": "poddisruptionbudgets.policy",
    "Service": "services",
    "ServiceAccount": "serviceaccounts",
    "StatefulSet": "statefulsets.apps",
}
"""What is read of a system's children: never Secrets, and no Jobs, which end by themselves."""
_DEFAULT_IMAGE = f"bellwether/services:{UNKNOWN_VERSION}"


@dataclass(frozen=True)
class Asked:
    """What a person asked for."""

    file: Path
    offline: bool = False
    from_file: Path | None = None
    context: str | None = None
    namespace: str | None = None
    at: datetime | None = None
    image: str | None = None


def make_plan(asked: Asked) -> Plan:
    """Return the plan for a file.

    Raises:
        CommandError: if a file cannot be read, or the cluster does not answer.
    """
    text = _text_of(asked.file)
    with in_words(RulesUnavailable):
        try:
            declared = load(text)
        except InvalidDeclaration as error:
            return _refused(asked, error.problems)
        if asked.offline or asked.from_file is not None:
            found = _between_files(asked, declared)
        else:
            found = _against_cluster(asked, declared, read_document(text))
        return replace(found, notes=(*found.notes, *_beyond_the_cluster(declared)))


def _beyond_the_cluster(declared: TradingSystem) -> list[str]:
    """Return what the API server accepts and no pod can do."""
    notes = []
    csv, news = declared.spec.data.csv, declared.spec.sentiment.csv
    if declared.spec.data.provider == "csv" and csv is not None and csv.volume_claim is None:
        notes.append(
            f"spec.data.csv.volumeClaim: a cluster needs it, the claim of the volume with the folder {csv.directory}; "
            "without it no pod sees a file"
        )
    if declared.spec.sentiment.provider == "csv" and news is not None and news.volume_claim is None:
        notes.append(
            f"spec.sentiment.csv.volumeClaim: a cluster needs it, the claim of the volume with the file {news.file}; "
            "without it no pod sees the file"
        )
    return notes


def instant(text: str) -> datetime:
    """Return the instant that a person wrote.

    Raises:
        CommandError: if it is none, has no time zone, or lies where clocks of some zones cannot show it.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise CommandError(f"--at {text!r}: write an instant such as 2026-11-23T01:30:00Z") from error
    if found.tzinfo is None:
        raise CommandError(f"--at {text!r}: say the time zone, as in {text}Z or {text}+11:00")
    # In the first and the last year the same instant may have no date in another time zone.
    if not MINYEAR < found.year < MAXYEAR:
        raise CommandError(f"--at {text!r}: write an instant of the years 0002 to 9998")
    return found.astimezone(UTC)


def _between_files(asked: Asked, declared: TradingSystem) -> Plan:
    before = None
    if asked.from_file is not None:
        try:
            before = load(_text_of(asked.from_file))
        except InvalidDeclaration as error:
            listed = "\n".join(f"{asked.from_file}: {problem}" for problem in error.problems)
            raise CommandError(f"the old file would not be accepted itself:\n{listed}") from error
    installation = Installation(asked.image or _DEFAULT_IMAGE)
    try:
        return plan(before, declared, asked.at or datetime.now(UTC), installation)
    except ValueError as error:
        raise CommandError(f"--from {asked.from_file}: {error}") from error


def _against_cluster(asked: Asked, declared: TradingSystem, document: dict[str, Any]) -> Plan:
    written = document["metadata"].get("namespace")
    if written is not None and asked.namespace not in {None, written}:
        raise CommandError(f"--namespace {asked.namespace}: the file says metadata.namespace {written}")
    cluster = Kubectl(asked.context, asked.namespace or written)
    declared = declared.with_metadata(namespace=cluster.namespace)
    stored = _stored(cluster, declared.metadata.name)
    before = None if stored is None else _model(stored, "the stored system")
    if stored is not None:
        if "deletionTimestamp" in stored["metadata"]:
            words = "is being deleted: wait until it is gone"
            return _refused(asked, [Problem("metadata.name", words)], declared)
        problems = validate(document, stored)
        if problems:
            return _refused(asked, problems, declared)
    notes = []
    try:
        after = _model(cluster.result_of_apply(document), "what would be stored")
    except Refused as error:
        if not error.forbidden:
            return _refused(asked, [Problem("", f"the API server would refuse it: {error}")], declared)
        after = declared
        notes.append(
            "you may not apply it, so the file alone was looked at: fields that were set by other means, such as "
            "kubectl patch, would stay"
        )
    children = cluster.labelled(
        list(_RESOURCES.values()), {LABEL_MANAGED_BY: MANAGER, LABEL_INSTANCE: declared.metadata.name}
    )
    installation = _installation(asked, cluster, children, before)
    now = asked.at or datetime.now(UTC)
    if asked.at is None:
        children += _unlabelled(cluster, children, [before, after], now, installation)
    else:
        notes.append("at another time than now, everything is taken to be there as it was declared")
    found = plan(before, after, now, installation, children if asked.at is None else None)
    if UNKNOWN_VERSION in installation.image and installation.image != _DEFAULT_IMAGE and after.spec.version is None:
        notes.append("the operator's own version is not known here: say --image REPOSITORY:TAG")
    return replace(found, notes=(*found.notes, *notes))


def _stored(cluster: Kubectl, name: str) -> Any:
    try:
        return cluster.get(_SYSTEMS, name)
    except Refused as error:
        if "the server doesn't have a resource type" in str(error):
            raise CommandError(
                "this cluster does not know TradingSystem: install the chart first, or use --offline"
            ) from error
        raise


def _installation(asked: Asked, cluster: Kubectl, children: list[Any], before: TradingSystem | None) -> Installation:
    """Return what is installed: as the operator's Deployment says, where it may be read, else as the system's pods."""
    keys = public_keys_in(children) or None
    try:
        operators = cluster.labelled(
            ["deployments.apps"], {"app.kubernetes.io/name": "bellwether-operator"}, everywhere=True
        )
    except Refused:
        operators = []
    found = installation_of_operator(operators, cluster.namespace, keys)
    if found is None:
        found = installation_of(children, None if before is None else before.spec.version)
    if found is None:
        found = Installation(_DEFAULT_IMAGE, public_keys=keys)
    return found if asked.image is None else replace(found, image=asked.image)


def _unlabelled(
    cluster: Kubectl,
    children: list[Any],
    systems: list[TradingSystem | None],
    now: datetime,
    installation: Installation,
) -> list[Any]:
    """Return what has the name of a child and not its labels: somebody took them away, or it is somebody else's."""
    known = {key_of(each) for each in children}
    wanted: dict[Key, None] = {}
    for system in systems:
        if system is not None:
            wanted |= dict.fromkeys(object_keys(system, now, installation))
    missing = [(_RESOURCES[key.kind], key.name) for key in wanted if key not in known and key.kind != SECRET]
    return cluster.named(missing)


def _model(raw: dict[str, Any], what: str) -> TradingSystem:
    known = {name: part for name, part in raw.items() if name != "status"}
    size = (raw.get("status") or {}).get("volumeSize")
    if size is not None:  # of the status what decides on an edit; the rest may be of another version
        known["status"] = {"volumeSize": size}
    try:
        return TradingSystem.model_validate(known)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CommandError(
            f"{what} has what this version does not know: {where}: {first['msg']}. "
            "Use the version of bellwether that the cluster has"
        ) from error


def _refused(asked: Asked, problems: list[Problem], system: TradingSystem | None = None) -> Plan:
    return Plan(
        system="" if system is None else system.metadata.name,
        namespace="" if system is None else system.metadata.namespace,
        at=asked.at or datetime.now(UTC),
        time_zone="UTC",
        refusals=tuple(problems),
    )


def _text_of(file: Path) -> str:
    with of_file(file):
        return file.read_text(encoding="utf-8")


def as_json(found: Plan) -> dict[str, Any]:
    """Return a plan as plain data: instants in UTC, names as in the resource, what is absent left out."""
    session = found.session
    return {
        "system": found.system,
        "namespace": found.namespace,
        "at": _utc(found.at),
        "timeZone": found.time_zone,
        "session": None
        if session is None
        else {"date": session.day.isoformat(), "opens": _utc(session.open), "closes": _utc(session.close)},
        "created": found.created,
        "changes": not found.empty,
        "refusals": [{"path": one.path, "message": one.message} for one in found.refusals],
        "declared": [{**_field(one.change), "effect": one.effect.value} for one in found.declared],
        "steps": [
            {
                "action": step.action,
                "kind": step.kind,
                "name": step.name,
                **_given(replaces=step.replaces, source=step.source),
                "fields": [_field(change) for change in step.fields],
                "because": list(step.because),
                **_when(step.wait),
            }
            for step in found.steps
        ],
        "pods": [
            {
                "action": one.verb,
                "kind": one.kind,
                "name": one.name,
                "pods": list(one.pods),
                "because": list(one.why),
                **_when(one.wait),
            }
            for one in found.restarts
        ],
        "slots": [
            {
                "task": one.task,
                "session": one.session.isoformat(),
                **_given(old=one.old and _utc(one.old), new=one.new and _utc(one.new)),
            }
            for one in found.slots
        ],
        "drift": [
            {
                "problem": one.problem,
                "kind": one.kind,
                "name": one.name,
                "fields": [_field(change) for change in one.fields],
            }
            for one in found.drift
        ],
        "notes": list(found.notes),
    }


def _field(change: FieldChange) -> dict[str, Any]:
    return {"path": change.path, **_given(old=change.old, new=change.new)}


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _when(wait: Wait | None) -> dict[str, Any]:
    return {"when": None} if wait is None else {"when": _utc(wait.until), "waitsFor": wait.for_}


def _utc(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def show_refusals(file: Path, found: Plan) -> None:
    """Write why a file would be refused, one line per problem, on stderr."""
    sys.stderr.write("".join(f"{file}: {visible(str(problem))}\n" for problem in found.refusals))
