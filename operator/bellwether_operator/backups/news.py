"""What is known of a system's backups: the newest one, and each as retention sees it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from bellwether.render.kubernetes.context import LABEL_SYSTEM_UID
from bellwether_operator.backups.plan import Known
from bellwether_operator.backups.repository import Place
from bellwether_operator.backups.snapshots import LABEL_BY_OPERATOR
from bellwether_operator.backups.status import progress_of
from bellwether_operator.backups.steps import Progress, Stored
from bellwether_operator.report.observation import BackupNews


def newest(backups: Sequence[Mapping[str, Any]], declared: Callable[[str], bool]) -> BackupNews | None:
    """Return the newest backup that has ended, of several places first one where it failed; None: there is none.

    The first backup of a repository counts as failed while it is tried again. `declared` says whether a repository of
    a name is; those of others count no more.
    """
    states = [(progress_of(raw), str(raw["metadata"]["name"])) for raw in backups]
    by_place: dict[str, tuple[datetime, str, Progress]] = {}
    tried_again: dict[str, tuple[datetime, str, Progress]] = {}
    for one, name in states:
        place = _place(one)
        if place and not declared(place):
            continue
        if one.ended_at is not None and one.state in {"complete", "failed"}:
            ended = (one.ended_at, name, one)
            by_place[place] = max(by_place.get(place, ended), ended, key=lambda each: each[:2])
        elif one.state == "running" and one.started_at is not None and _failed_once(one.stored):
            # Words of its own: those of the backup change with every try.
            words = f"the first backup in {place} failed and is tried again"
            tried_again[place] = (one.started_at, name, msgspec.structs.replace(one, state="failed", message=words))
    by_place = tried_again | by_place
    if not by_place:
        return None
    _, name, progress = max(by_place.values(), key=lambda each: (each[2].state == "failed", *each[:2]))
    complete = [
        (one.cut_at, each)
        for one, each in states
        if one.state == "complete" and one.cut_at is not None and _place(one) == _place(progress)
    ]
    good = "{1} of {0:%Y-%m-%d %H:%M} UTC".format(*max(complete)) if complete else ""
    return BackupNews(name, progress.state == "complete", progress.message, good)


def drilled(backups: Sequence[Mapping[str, Any]], declared: Callable[[str], bool]) -> BackupNews | None:
    """Return the backup that was restored for a test last, of several places first one that failed; None: none was.

    `declared` says whether a repository of a name is; those of others count no more.
    """
    states = [(progress_of(raw), str(raw["metadata"]["name"])) for raw in backups]
    by_place: dict[str, BackupNews] = {}
    for one, name in sorted(states, key=lambda each: (str(each[0].drill_started_at), each[1]), reverse=True):
        place = _place(one)
        if one.verified is not None and (not place or declared(place)):
            by_place.setdefault(place, BackupNews(name, one.verified, one.drill_message))
    return min(by_place.values(), key=lambda each: each.complete, default=None)


def known(raw: Mapping[str, Any], system_uid: str, place: Place | None) -> Known:
    """Return a backup as retention sees it; `place` is the repository that it is for, None of volume snapshots."""
    metadata, progress = raw["metadata"], progress_of(raw)
    labels = metadata.get("labels") or {}
    return Known(
        metadata["name"],
        metadata["uid"],
        LABEL_BY_OPERATOR in labels and labels.get(LABEL_SYSTEM_UID) == system_uid,
        progress.state,
        datetime.fromisoformat(metadata["creationTimestamp"]),
        progress.cut_at,
        "" if place is None else place.location,
        str(raw["spec"].get("kind", "full")),
    )


def _failed_once(stored: Stored | None) -> bool:
    return stored is not None and (stored.retry_at is not None or stored.attempts > 1)


def _place(progress: Progress) -> str:
    return "" if progress.stored is None else progress.stored.location
