"""What systems are to consist of, by the operator's own builders, and where that which is there differs from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bellwether.change.compare import lacking
from bellwether.render.kubernetes import Manifest, RenderContext, derive_keyring
from bellwether.render.kubernetes.context import (
    LABEL_MANAGED_BY,
    LABEL_SYSTEM_UID,
    MANAGER,
    period_of,
)
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.actions import desired_from
from bellwether_operator.layout import layout, render_layout
from bellwether_operator.observe.kinds import BY_NAME, CHILD_KINDS, CLAIM, SystemKey, observed_from

CHILDREN = ",".join(f"{kind.plural}.{kind.group}".rstrip(".") for kind in CHILD_KINDS)
"""Every kind of child, as kubectl wants to hear it."""
OURS = f"{LABEL_MANAGED_BY}={MANAGER},{LABEL_SYSTEM_UID}"
"""The selector of what an operator made."""


@dataclass(frozen=True)
class Installation:
    """What an operator was installed with, as far as it shows in children."""

    image: str
    seed: bytes
    pull_policy: str = "IfNotPresent"
    log_level: str = "info"

    def wanted(self, raw: Mapping[str, Any], children: Iterable[Mapping[str, Any]] = ()) -> list[Manifest]:
        """Return the objects of a system; both are given as the API server has them.

        Of the children only the volumes matter, which say by themselves what they were made from.
        """
        system = TradingSystem.model_validate({name: raw[name] for name in raw if name != "status"})
        context = RenderContext(
            image=self.image,
            keyring=derive_keyring(self.seed, system.metadata.uid),
            image_pull_policy=self.pull_policy,
            log_level=self.log_level,
            period=period_of(system.spec, datetime.now(UTC)),
        )
        seen = [observed_from(child, child["kind"]) for child in children if BY_NAME[child["kind"]].observed]
        key = SystemKey(system.metadata.namespace, system.metadata.name)
        own = [each for each in seen if each.system == key]
        found = layout(system, own)
        return render_layout(system, context, found)


def faults(systems: Iterable[Mapping[str, Any]], children: Iterable[Mapping[str, Any]], by: Installation) -> list[str]:
    """Return in which way the children of a namespace are not exactly those that its systems declare.

    Named are what is missing, what differs, what nobody declares, what is on its way out and what a deleted system
    left behind, except for the volumes that it was to leave.
    """
    children = list(children)
    there = {(child["kind"], child["metadata"]["name"]): child for child in children}
    found: list[str] = []
    declared: set[tuple[str, str]] = set()
    for system in systems:
        for manifest in by.wanted(system, children):
            key = (manifest["kind"], manifest["metadata"]["name"])
            declared.add(key)
            found += _compare(manifest, there.get(key))
        found += _unreported(system)
    for key in sorted(there.keys() - declared):
        if not _may_stay(there[key], systems):
            found.append(f"{key[0]} {key[1]} is nobody's")
    return found


def _compare(manifest: Manifest, there: Mapping[str, Any] | None) -> Iterator[str]:
    name = f"{manifest['kind']} {manifest['metadata']['name']}"
    if there is None:
        yield f"{name} is missing"
        return
    where = next((each.path for each in lacking(desired_from(manifest).manifest, there)), None)
    if where is not None:
        yield f"{name} differs at {where}"
    if "deletionTimestamp" in there["metadata"]:
        yield f"{name} is being deleted"
    owners = [each["uid"] for each in there["metadata"].get("ownerReferences", [])]
    if owners != [each["uid"] for each in manifest["metadata"].get("ownerReferences", [])]:
        yield f"{name} has the owners {owners}"
    managers = [
        each["manager"]
        for each in there["metadata"].get("managedFields", [])
        if each["operation"] == "Apply" and "subresource" not in each
    ]
    if managers != [MANAGER]:
        yield f"{name} was applied by {managers}"


def _unreported(system: Mapping[str, Any]) -> Iterator[str]:
    status = system.get("status") or {}
    name = system["metadata"]["name"]
    if status.get("observedGeneration") != system["metadata"]["generation"]:
        yield f"{name}: the status speaks of generation {status.get('observedGeneration')}"
    accepted = next((each["status"] for each in status.get("conditions", ()) if each["type"] == "Accepted"), None)
    if accepted != "True":
        yield f"{name}: Accepted is {accepted}"


def _may_stay(child: Mapping[str, Any], systems: Iterable[Mapping[str, Any]]) -> bool:
    """Whether an object that no declaration asks for may be there: a volume kept, or an action of a system that is."""
    metadata = child["metadata"]
    if child["kind"] == CLAIM:
        return not metadata.get("ownerReferences") and "deletionTimestamp" not in metadata
    uids = {system["metadata"]["uid"] for system in systems}
    return BY_NAME[child["kind"]].once and metadata["labels"][LABEL_SYSTEM_UID] in uids
