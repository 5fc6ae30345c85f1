"""Rollouts that failed: a workload whose new pods do not come up gets the pod template back that ran before. Pure.

What is remembered stands on the workload itself, so that any operator goes on with it: the template that ran when a
new one was applied, since when the new one is to come up, and which one failed. The failed one is not tried again
until the declaration asks for another. See docs/decisions/0020-rollouts-that-fail.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bellwether.change.hold import Held, released, with_template
from bellwether.render.kubernetes import Manifest, context

DEFECT_DEADLINE = timedelta(seconds=60)
"""So long a new template has where its pods have a fault that does not go by itself, such as an image without a tag."""


class Failure(NamedTuple):
    """A pod template that did not come up, and why."""

    template: str
    """Its hash."""
    why: str


def template_hash(manifest: Mapping[str, Any]) -> str:
    """Return what a workload's pod template is recognised by."""
    return context.content_hash(manifest["spec"]["template"], 16)


def failure_in(annotations: Mapping[str, str]) -> Failure | None:
    """Return what a workload's annotations say of a template that failed; None where that cannot be read."""
    try:
        found = json.loads(annotations.get(context.ANNOTATION_FAILED, ""))
        return Failure(str(found["template"]), str(found["why"]))
    except (ValueError, KeyError, TypeError):
        return None


def failed_annotations(manifest: Mapping[str, Any], why: str) -> dict[str, str | None]:
    """Return what to write on a workload whose template failed."""
    return {
        context.ANNOTATION_FAILED: json.dumps({"template": template_hash(manifest), "why": why}),
        context.ANNOTATION_BEGAN: None,
    }


def started_annotations(
    observed: Mapping[str, Any], wanted: Mapping[str, Any], now: datetime
) -> dict[str, str | None] | None:
    """Return what to write on a workload before another template is applied; None where the template stays.

    The template that is there is the one to go back to if a pod of it is ready; else the one before it stays that. Is
    there neither, nothing can be gone back to, and no deadline is set.
    """
    annotation, current = released(observed, context.ANNOTATION_TEMPLATE)
    if current == wanted["spec"]["template"]:
        return None
    _, before = released(observed, context.ANNOTATION_LAST_GOOD)
    runs = current is not None and bool((observed.get("status") or {}).get("readyReplicas"))
    good = runs and not _under_way(observed)
    began = now.strftime("%Y-%m-%dT%H:%M:%SZ") if good or before is not None else None
    found: dict[str, str | None] = {context.ANNOTATION_BEGAN: began, context.ANNOTATION_FAILED: None}
    return {**found, context.ANNOTATION_LAST_GOOD: annotation} if good else found


def _under_way(observed: Mapping[str, Any]) -> bool:
    """Whether the ready pod may still be one of the template before: it is only then ended, or is kept meanwhile."""
    status = observed.get("status") or {}
    if int(status.get("observedGeneration", 0)) < int(observed["metadata"].get("generation", 0)):
        return True
    revisions = {status.get("currentRevision"), status.get("updateRevision")}
    return len(revisions) > 1 or int(status.get("updatedReplicas", 0)) < int(status.get("replicas", 0))


def overdue(began: str, now: datetime, deadline: timedelta, *, defect: bool) -> timedelta | None:
    """Return for how long a rollout still has time; None where it has failed.

    Args:
        began: as its annotation says; what is no time counts as now.
        now: aware.
        deadline: how long pods may take to come up.
        defect: whether they are known to have a fault that does not go by itself.
    """
    try:
        since = datetime.fromisoformat(began)
    except ValueError:
        since = now
    left = since + (min(deadline, DEFECT_DEADLINE) if defect else deadline) - now
    return left if left > timedelta(0) else None


def gone_back(desired: Manifest, observed: Mapping[str, Any] | None) -> Held | None:
    """Return a workload with the template that ran before, where the desired one failed; None where it did not."""
    if observed is None:
        return None
    failure = failure_in(observed["metadata"].get("annotations") or {})
    if failure is None or failure.template != template_hash(desired):
        return None
    annotation, before = released(observed, context.ANNOTATION_LAST_GOOD)
    return None if before is None else with_template(desired, annotation, before)
