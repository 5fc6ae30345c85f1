"""Why pods do not run: from the statuses of pods and the Events of their makers to a cause in words. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bellwether_operator.report.finding import Reason

SCHEDULING_GRACE = timedelta(seconds=20)
"""So long a pod may look for a node: volumes and nodes are made meanwhile."""
ANOTHER_TRY = timedelta(seconds=60)
"""So long after its start a container is taken to be about to end as it did before."""
WORDS_LIMIT = 400
_PULL = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "ErrImageNeverPull",
        "ImageInspectError",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_NOT_STARTED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "StartError"})
_AGAIN_AND_AGAIN = 2
_PREEMPTION = re.compile(r" (?:no new claims to deallocate, )?preemption: ")
"""After this the scheduler says whom it could not push aside."""
_SAID = ("msg", "message", "error")


class Cause(NamedTuple):
    """Why the pods of a workload do not run."""

    reason: Reason
    words: str


def cause_of_pod(name: str, status: Mapping[str, Any], now: datetime) -> Cause | None:
    """Return why a pod does not run, None where it may still come up; `status` as the API server gives it."""
    for each in status.get("conditions") or ():
        if each.get("type") == "PodScheduled" and each.get("status") == "False":
            return _of_scheduling(name, each, now)
    for each in (*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())):
        found = None if each.get("ready") else _of_container(name, each, now)
        if found is not None:
            return found
    return None


def cause_of_events(events: Iterable[Mapping[str, Any]]) -> Cause | None:
    """Return why a pod or a volume was not made, by the newest Event (core/v1) that says so; None without one."""
    for each in sorted(events, key=_last_seen, reverse=True):
        words = _first_line(str(each.get("message", "")))
        if each.get("reason") == "FailedCreate":
            said = words.partition(" failed error: ")[2] or words.partition("Error creating: ")[2] or words
            quota = "exceeded quota" in said or "must specify" in said
            return Cause(Reason.QUOTA_EXCEEDED if quota else Reason.POD_REFUSED, said[:WORDS_LIMIT])
        if each.get("reason") == "ProvisioningFailed":
            claim = (each.get("involvedObject") or {}).get("name", "")
            missing = re.search(r'storageclass(?:\.storage\.k8s\.io)? "([^"]*)" not found', words)
            if missing is not None:
                return Cause(
                    Reason.STORAGE_CLASS_MISSING,
                    f"volume claim {claim}: there is no StorageClass {missing[1]} (spec.storage.className)",
                )
            return Cause(Reason.VOLUME_NOT_MADE, f"volume claim {claim}: {words}"[:WORDS_LIMIT])
    return None


def waits_for_volume(cause: Cause) -> bool:
    """Whether the scheduler only says that a volume is not there; the volume claim's Events say why."""
    return cause.reason is Reason.UNSCHEDULABLE and "persistentvolumeclaim" in cause.words.lower()


def last_words(text: str) -> str:
    """Return the last thing that a log says: of JSON lines their message, of a traceback its last line."""
    for line in reversed(text.splitlines()):
        said = _said(line.strip())
        if said:
            return said[:WORDS_LIMIT]
    return ""


def _of_scheduling(name: str, condition: Mapping[str, Any], now: datetime) -> Cause | None:
    since = condition.get("lastTransitionTime")
    if condition.get("reason") != "Unschedulable" or since is None:
        return None
    if now - datetime.fromisoformat(since) < SCHEDULING_GRACE:
        return None
    words = _PREEMPTION.split(str(condition.get("message", "")))[0].rstrip(". ")
    return Cause(Reason.UNSCHEDULABLE, f"pod {name} finds no node: {words}"[:WORDS_LIMIT])


def _of_container(name: str, status: Mapping[str, Any], now: datetime) -> Cause | None:
    state = status.get("state") or {}
    waiting = state.get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), _first_line(str(waiting.get("message", "")))
    container = f"pod {name}, container {status.get('name', '')}"
    if reason in _PULL:
        # So the words are the same while it is tried and while it waits to be tried again.
        why = message.rpartition(": ErrImagePull: ")[2].rpartition(" desc = ")[2] or reason
        return Cause(Reason.IMAGE_NOT_PULLED, f"image {status.get('image', '')} cannot be pulled: {why}"[:WORDS_LIMIT])
    if reason in _NOT_STARTED:
        return Cause(Reason.CONTAINER_NOT_STARTED, f"{container} cannot be started: {message or reason}"[:WORDS_LIMIT])
    ended = next(iter(_ends(status)), None)
    if ended is None or not (ended.get("exitCode") or ended.get("reason") == "OOMKilled" or reason):
        return None
    started = (state.get("running") or {}).get("startedAt")
    if started is not None and now - datetime.fromisoformat(started) > ANOTHER_TRY:
        return None  # it has run for long: what ended it then is not why it is not ready now
    if ended.get("reason") == "OOMKilled":
        return Cause(Reason.OOM_KILLED, f"{container} was killed: it needs more than its memory limit")
    times = int(status.get("restartCount", 0)) + ("terminated" in state)
    if reason != "CrashLoopBackOff" and times < _AGAIN_AND_AGAIN:
        return None
    said = last_words(str(ended.get("message", "")))
    words = f"{container} ends again and again, exit code {ended.get('exitCode', '?')}"
    return Cause(Reason.CRASH_LOOP, f"{words}: {said}" if said else f"{words}; it said nothing")


def _ends(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield how a container ended, the newest first."""
    for which in ("state", "lastState"):
        ended = (status.get(which) or {}).get("terminated")
        if ended is not None:
            yield ended


def _said(line: str) -> str:
    try:
        found = json.loads(line)
    except ValueError:
        return line
    if not isinstance(found, dict):
        return line
    words = next((str(found[name]) for name in _SAID if found.get(name)), "")
    thrown = str(found.get("exception", "")).rstrip().rpartition("\n")[2].strip()
    return f"{words}: {thrown}" if words and thrown else words or thrown


def _first_line(text: str) -> str:
    return " ".join(text.split())


def _last_seen(event: Mapping[str, Any]) -> str:
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return str(next((each for each in times if each), ""))
