"""What a pass does about backups: the one that is due is made, one that has outlived its use removed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from bellwether.market.slots import Slot
from bellwether.render.kubernetes.context import LABEL_SLOT, LABEL_SYSTEM_UID, release_of
from bellwether.spec.models import API_VERSION, TradingSystem
from bellwether.spec.trading_backup import KIND
from bellwether_operator.apply.client import ApiError
from bellwether_operator.backups import upgrades
from bellwether_operator.backups.plan import full_or_incremental, made, planned, schedule_row_of, schedule_row_status
from bellwether_operator.backups.running import Backups
from bellwether_operator.backups.snapshots import LABEL_BY_OPERATOR
from bellwether_operator.backups.status import progress_of
from bellwether_operator.backups.upgrades import Gate
from bellwether_operator.following import ActionKey
from bellwether_operator.observe.kinds import SystemKey
from bellwether_operator.report.observation import BackupsSeen

log = logging.getLogger(__name__)

SCHEDULE = "schedule"
UPGRADE = "upgrade"


class BackupStage(NamedTuple):
    """What was done, and when something about it changes next."""

    seen: BackupsSeen
    due: datetime | None = None
    retry: bool = False


async def keep(backups: Backups, system: TradingSystem, status: Mapping[str, Any], now: datetime) -> BackupStage:
    """Make and remove what is due; what the API server refuses is reported and tried again."""
    if system.spec.backup is None:
        return BackupStage(BackupsSeen())
    key, uid = SystemKey(system.metadata.namespace, system.metadata.name), system.metadata.uid
    plan = planned(system.spec, schedule_row_of(status), backups.known(key, uid), now)
    row, refused = plan.row, None
    try:
        if plan.make is not None and row is not None:
            labels = {LABEL_SLOT: plan.make.name, LABEL_BY_OPERATOR: SCHEDULE}
            for location in plan.locations:
                stored = any(one.name == location for one in system.spec.backup.repositories_in_cluster)
                kind = full_or_incremental(system.spec.backup, location if stored else "", backups.known(key, uid))
                name = f"{key.name}-{plan.make.session:%Y%m%d}{f'-{location}' if stored else ''}"
                tested = is_tested(system, plan.make)
                await backups.make(manifest(system, name, location, labels, tested=tested, kind=kind))
            row = made(row, plan.make)
        if plan.remove is not None:
            await backups.remove(ActionKey(key.namespace, plan.remove))
    except ApiError as error:
        what = "made" if plan.make is not None and row == plan.row else "removed"
        log.warning("a backup of %s cannot be %s: %s", key.name, what, error.message)
        refused = f"a backup cannot be {what}: {error.message}"
    seen = BackupsSeen(None if row is None else schedule_row_status(row), plan.overdue, refused)
    return BackupStage(seen, plan.due, retry=refused is not None)


def upgrade_gate(
    backups: Backups, system: TradingSystem, raw: Mapping[str, Any], image: str, now: datetime
) -> Gate | None:
    """Return what the release of an image has to wait for; None where the very one runs, or nothing does.

    Args:
        backups: that are there.
        system: its declaration.
        raw: the system as the API server has it.
        image: that is to run.
        now: aware.
    """
    status = raw.get("status") or {}
    runs, wanted = str(status.get("release", "")), release_of(image)
    if not runs or runs == wanted:
        return None
    row, key = upgrades.upgrade_row_of(status), system.metadata
    name = None if row is None else upgrades.backup_name(key.name, row)
    there = backups.named(key.namespace, name)
    progress = None if there is None else progress_of(there)
    return upgrades.gate(system, row, wanted, progress, now)


async def make_before(backups: Backups, system: TradingSystem, gate: Gate) -> Gate:
    """Make the backup that a release waits for; where that is refused, the gate's words say so."""
    location = upgrades.location_before(system.spec.backup)
    if gate.make is None or location is None:
        return gate
    try:
        # Nothing is stored twice in a repository, so that the release waits no longer than it has to.
        kind = "full" if location.kind == "volumeSnapshots" else "incremental"
        labels = {LABEL_BY_OPERATOR: UPGRADE}
        await backups.make(manifest(system, gate.make, location.name, labels, tested=False, kind=kind))
    except ApiError as error:
        log.warning("the backup %s cannot be made: %s", gate.make, error.message)
        return replace(gate, waits=f"{gate.waits}: {error.message}")
    return gate


def is_tested(system: TradingSystem, slot: Slot) -> bool:
    """Whether the backup of a slot is restored for a test: by the day of its session."""
    drill = None if system.spec.backup is None else system.spec.backup.drill
    return drill is not None and f"{slot.session:%a}" in drill.weekdays


def manifest(
    system: TradingSystem, name: str, location: str, labels: Mapping[str, str], *, tested: bool, kind: str = "full"
) -> dict[str, Any]:
    """Return a backup of a system; it has no owner, since it is to outlive that."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {
            "name": name,
            "namespace": system.metadata.namespace,
            "labels": {LABEL_SYSTEM_UID: system.metadata.uid, **labels},
        },
        "spec": {"system": system.metadata.name, "location": location, "drill": tested, "kind": kind},
    }
