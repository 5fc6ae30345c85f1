"""The Jobs that bring volumes what a repository holds, as the operator sees them."""

from __future__ import annotations

from collections.abc import Iterable

from bellwether.render.kubernetes.context import FILL, child_name
from bellwether.render.kubernetes.filling import restore_name
from bellwether.spec.models import TradingSystem
from bellwether_operator.apply.client import Client
from bellwether_operator.backups.drilling import termination_message
from bellwether_operator.observe.kinds import JOB, PODS, ChildKey, Observed

_LABEL_JOB = "batch.kubernetes.io/controller-uid"
"""By which Kubernetes says of which very Job a pod is: former ones of the system are still there for a day."""
_FEW = 20
_WORDS = 600


def fill_key(system: TradingSystem) -> ChildKey:
    """Return which Job it is."""
    return ChildKey(JOB, system.metadata.namespace, child_name(system, FILL))


def fill_job_of(system: TradingSystem, children: Iterable[Observed]) -> Observed | None:
    """Return the Job that fills the volumes of this very system; None where it is not there."""
    return _job_of(system, fill_key(system), children)


def restore_key(system: TradingSystem, request: str) -> ChildKey:
    """Return which Job carries out a restore in place."""
    return ChildKey(JOB, system.metadata.namespace, restore_name(system, request))


def restore_job_of(system: TradingSystem, request: str, children: Iterable[Observed]) -> Observed | None:
    """Return the Job that carries out a restore in place of this very system; None where it is not there."""
    return _job_of(system, restore_key(system, request), children)


def _job_of(system: TradingSystem, key: ChildKey, children: Iterable[Observed]) -> Observed | None:
    uid = system.metadata.uid
    return next((one for one in children if one.key == key and one.belongs_to(uid) and not one.deleting), None)


async def job_said(client: Client, job: Observed | None) -> str:
    """Return what the newest pod of such a Job said as it failed; empty where none has.

    Raises:
        ApiError: when the server refuses or is not reached.
    """
    if job is None or not job.status.get("failed"):
        return ""
    pods = await client.page(PODS, job.key.namespace, f"{_LABEL_JOB}={job.uid}", _FEW)
    lines = termination_message(pods.items).strip().splitlines()
    return lines[-1].removeprefix("error: ")[:_WORDS] if lines else ""
