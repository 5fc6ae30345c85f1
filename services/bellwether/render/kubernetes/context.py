"""What the builders share: the installation's image, the system's keys, the session and months, names and labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar, OutsideCalendar, Session
from bellwether.render.keys import derive_seed, gateway_token, public_key
from bellwether.render.nats import BOOTSTRAP, CLI, JOB, REPLAY_JOB, TRAINING_JOB
from bellwether.spec.models import API_VERSION, GROUP, KIND, TradingSystem, TradingSystemSpec
from bellwether.topology import SERVICES

AHEAD = timedelta(days=40)
"""How far ahead schedules are made: so long do tasks go on without the operator."""


class Month(NamedTuple):
    """A month of the exchange's calendar."""

    year: int
    month: int


@dataclass(frozen=True)
class Period:
    """An instant as far as rendering can tell it from another.

    Two instants with equal periods give the same objects, so a system is rendered again only at `until`.
    """

    session: Session | None = None
    """The session under way; None when the exchange is closed, and in a replay, which has no session to wait for."""
    months: tuple[Month, ...] = ()
    """The months, at the exchange, that schedules are made for, whole ones, so that a schedule stays as it is while
    time goes on; none in a replay."""
    upcoming: Session | None = field(default=None, compare=False)
    """The next session; not of a replay."""
    until: datetime = field(default=datetime.max.replace(tzinfo=UTC), compare=False)
    """When the period is over (UTC): at the next open or close, when a month is over or another comes into reach."""


CLOSED = Period()
"""Of a replay: nothing depends on the time."""


def period_of(spec: TradingSystemSpec, now: datetime) -> Period:
    """Return what of this instant (aware) the objects depend on.

    Raises:
        CalendarError: when the declaration's overrides do not fit the calendar, or the calendar ends before `now`.
    """
    if spec.clock.mode == "replay":
        return CLOSED
    calendar = calendar_of(spec.market)
    # First, because it refuses what lies outside of the calendar: so far ahead there may be no date any more.
    under_way = calendar.session_at(now)
    first, last = calendar.local_day(now), calendar.local_day(now + AHEAD)
    upcoming = _next_session(calendar, now)
    ends = [_next_month_begins(calendar, first), _next_month_begins(calendar, last) - AHEAD]
    if under_way is not None:
        ends.append(under_way.close)
    elif upcoming is not None:
        ends.append(upcoming.open)
    return Period(under_way, _months(first, last), upcoming, min(ends))


def _next_session(calendar: Calendar, now: datetime) -> Session | None:
    try:
        return calendar.next_session(now)
    except OutsideCalendar:
        return None


def _months(first: date, last: date) -> tuple[Month, ...]:
    found = [Month(first.year, first.month)]
    while found[-1] < (last.year, last.month):
        year, month = found[-1]
        found.append(Month(year + month // 12, month % 12 + 1))
    return tuple(found)


def _next_month_begins(calendar: Calendar, day: date) -> datetime:
    begins = date(day.year + day.month // 12, day.month % 12 + 1, 1)
    return datetime.combine(begins, time(0), calendar.timezone).astimezone(UTC)


MANAGER = "bellwether"
"""Field manager, and the value of the managed-by label."""
LABEL_COMPONENT = "app.kubernetes.io/component"
LABEL_INSTANCE = "app.kubernetes.io/instance"
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
LABEL_SYSTEM_UID = f"{GROUP}/system-uid"
LABEL_TASK = f"{GROUP}/task"
LABEL_SLOT = f"{GROUP}/slot"
"""On a Job that was made for one slot: its name, as the scheduler knows it."""
ANNOTATION_APPLIED = f"{GROUP}/applied"
ANNOTATION_TEMPLATE = f"{GROUP}/template"
"""On a workload: the pod template as it was released, packed."""
BEGAN, FAILED = "rollout-began", "failed-template"
ANNOTATION_BEGAN = f"{GROUP}/{BEGAN}"
"""On a workload: since when its newest pod template is to come up."""
ANNOTATION_FAILED = f"{GROUP}/{FAILED}"
"""On a workload: which pod template did not come up, and why."""
ANNOTATION_LAST_GOOD = f"{GROUP}/last-good-template"
"""On a workload: the pod template, packed, that ran when the newest one was applied."""
ANNOTATION_START_VALUE = f"{GROUP}/start-value"

SYSTEM = "system"
"""The component that stands for the whole system: all services of the compact profile."""
NATS = "nats"
ADOPT = "adopt"
"""The container that makes a restored volume this system's."""
FILL = "fill"
"""The component of what fills a new system's volumes from a repository."""
RESTORE = "restore-volumes"
"""The component of what puts a backup in the place of what a system's volumes hold."""
LOOK = "look"
"""The component of what looks at volumes made from a backup's snapshots."""
DATA_VOLUME = "data"


def child_name(system: TradingSystem, component: str) -> str:
    """Return the name of a component's objects: the system's own for the whole of it, else `<system>-<component>`."""
    name = system.metadata.name
    return name if component == SYSTEM else f"{name}-{component}"


def claim_name(workload: str) -> str:
    """Return the name of the volume claim of a StatefulSet's only pod, as a claim template would name it."""
    return f"{DATA_VOLUME}-{workload}-0"


def declaration_name(system: TradingSystem) -> str:
    """Return the name of the ConfigMap that holds the start value of the declaration."""
    return child_name(system, "declaration")


def keys_name(system: TradingSystem) -> str:
    """Return the name of the Secret that holds the NATS keys."""
    return child_name(system, "keys")


def gateway_token_name(system: TradingSystem) -> str:
    """Return the name of the Secret that holds the gateway's bearer token."""
    return child_name(system, "gateway-token")


def selector(system: TradingSystem, component: str) -> dict[str, str]:
    """Return the labels that pick out the pods of one component; they never change while the system exists."""
    return {LABEL_COMPONENT: component, LABEL_INSTANCE: system.metadata.name}


def labels(system: TradingSystem, component: str) -> dict[str, str]:
    """Return the labels of an object; the last one says which very system it was made for."""
    return {
        **selector(system, component),
        LABEL_MANAGED_BY: MANAGER,
        "app.kubernetes.io/name": MANAGER,
        "app.kubernetes.io/part-of": MANAGER,
        LABEL_SYSTEM_UID: system.metadata.uid,
    }


def owner_reference(system: TradingSystem) -> dict[str, Any]:
    """Return the reference by which Kubernetes deletes an object together with its system."""
    return {
        "apiVersion": API_VERSION,
        "blockOwnerDeletion": True,
        "controller": True,
        "kind": KIND,
        "name": system.metadata.name,
        "uid": system.metadata.uid,
    }


def metadata(system: TradingSystem, component: str, name: str, *, owned: bool = True) -> dict[str, Any]:
    """Return an object's metadata; without an owner it outlives the system."""
    found: dict[str, Any] = {"name": name, "namespace": system.metadata.namespace, "labels": labels(system, component)}
    if owned:
        found["ownerReferences"] = [owner_reference(system)]
    return found


def content_hash(content: Any, length: int = 10) -> str:
    """Return a short hash of plain data that does not depend on the order of keys."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:length]


Manifest: TypeAlias = dict[str, Any]
"""One Kubernetes object, as it goes to the API server."""

IDENTITIES = (*SERVICES, BOOTSTRAP, CLI, JOB, REPLAY_JOB, TRAINING_JOB)
"""Everyone who has a key on the system's NATS server."""


@dataclass(frozen=True)
class Keyring:
    """The keys of one system: NATS seeds and public keys by identity, and the gateway's bearer token."""

    seeds: Mapping[str, str]
    public_keys: Mapping[str, str]
    gateway_token: str


@lru_cache(maxsize=4096)
def derive_keyring(installation_seed: bytes, system_uid: str, generation: int = 1) -> Keyring:
    """Return the keys of a system; the same arguments give the same keys, so nothing has to be read back."""
    seeds = {name: derive_seed(installation_seed, system_uid, name, generation) for name in IDENTITIES}
    return Keyring(
        seeds=seeds,
        public_keys={name: public_key(seed) for name, seed in seeds.items()},
        gateway_token=gateway_token(installation_seed, system_uid, generation),
    )


@dataclass(frozen=True)
class RenderContext:
    """Of the installation and of the system, what the builders need and the declaration does not say."""

    image: str
    """The services' image, `repository:tag`; the declaration's `version` replaces the tag."""
    keyring: Keyring
    image_pull_policy: str = "IfNotPresent"
    log_level: str = "INFO"
    period: Period = CLOSED


def image_of(default: str, version: str | None) -> str:
    """Return the image to run: the installation's, or the same repository with the declared version as tag."""
    if version is None:
        return default
    repository = default.partition("@")[0]
    head, slash, last = repository.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}:{version}"


def release_of(image: str) -> str:
    """Return an image's version: its tag, or its digest where it has no tag."""
    repository, _, digest = image.partition("@")
    tag = repository.rpartition("/")[2].partition(":")[2]
    return tag or digest or "latest"
