"""What a gateway's status says of its system, as the operator keeps it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple, TypeVar

from bellwether_operator.backups.repository import Answer

T = TypeVar("T")
KEPT_TIMES = 1024
"""So many days and instants are kept once for all systems that speak of them."""
TEXT_LIMIT = 300
"""Of one line that a gateway says, so many characters are kept."""
_UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)


class Refusal(NamedTuple):
    """Why the trader would refuse orders now: a guard's code, what it saw, what it holds to, and a sentence."""

    code: str
    value: str = ""
    limit: str = ""
    message: str = ""
    symbol: str = ""
    """The only symbol that it is about; empty: it is about every order."""


class Safety(NamedTuple):
    """Whether an order would be allowed if the session were open; None: the trader did not say.

    Where it is safe, each refusal is about one symbol, and there is another one that could be traded.
    """

    safe: bool | None
    refusals: tuple[Refusal, ...] = ()


class Bars(NamedTuple):
    """Whether a symbol's newest bar is the one that is due; None: market-data did not say."""

    symbol: str
    fresh: bool | None
    last_session: date | None = None
    problem: str = ""


class ServedModel(NamedTuple):
    """A model in service: its recipe, its symbol (None: any), and whether it passed the training gate.

    `expired` is the day on which it expired; None: it has not. `demoted` says why its live outcomes took it out of
    service.
    """

    name: str
    symbol: str | None
    gated: bool | None
    expired: date | None = None
    demoted: str = ""


class SlotJob(NamedTuple):
    """What became of a slot; `due` is UTC, `status` running, completed, failed or missed."""

    name: str
    task: str
    session: date
    due: datetime
    status: str


class Slots(NamedTuple):
    """The slots of the last days, newest first, and when the live system first started (UTC)."""

    since: datetime | None
    jobs: tuple[SlotJob, ...] = ()
    since_by_task: tuple[tuple[str, datetime], ...] = ()
    """Since when each task is counted, where that is later; a task that is not named here is not known there yet."""
    since_by_session: tuple[tuple[date, datetime], ...] = ()
    """Since when overridden sessions have had their hours."""


class OrderedModels(NamedTuple):
    """Models that a Job is to make: the order's id and its frozen targets (None: the general model)."""

    id: str
    targets: tuple[str | None, ...]


class RestoreAsked(NamedTuple):
    """A restore in place that somebody asked for, and that is not known there to be over."""

    id: str
    backup: str
    location: str
    at: datetime
    """When, UTC; a later one never has the same."""
    uid: str
    """Of the system that was asked."""


@dataclass(frozen=True)
class GatewayView:
    """What a gateway last said. Two views are equal when it said the same, whenever that was."""

    at: float = field(compare=False)
    """When, on the monotonic clock."""
    generation: int = 0
    """Of the declaration in force there."""
    acknowledged: Mapping[str, int] = field(default_factory=dict)
    """Per service, the generation that it acknowledged; 0 for none."""
    ready: Mapping[str, bool] = field(default_factory=dict)
    halts: tuple[str, ...] | None = ()
    """What stops orders; None: the trader did not say."""
    safety: Safety | None = None
    """None, here and below: the gateway did not say, or not in words that can be read."""
    data: tuple[Bars, ...] | None = None
    models: tuple[ServedModel, ...] | None = None
    slots: Slots | None = None
    ordered: OrderedModels | None = None
    """None: nothing is ordered, or nobody said."""
    replay: str | None = None
    """The state of a replay: off, waiting, running, complete or failed. Its cursor is left out: it never rests."""
    restore: RestoreAsked | None = None
    """None: none was asked for, or nobody said."""


def undelivered(view: GatewayView, generation: int) -> bool:
    """Whether the gateway or a service lags behind; delivering the same generation again does no harm."""
    return view.generation < generation or any(each < generation for each in view.acknowledged.values())


class GatewayError(Exception):
    """The gateway was not reached or refused; the message says which."""


def read_status(document: Mapping[str, Any], at: float) -> GatewayView:
    """Return what a gateway's status says; what it leaves out, or says in other words, stays unknown.

    Raises:
        GatewayError: if it is not a status.
    """
    try:
        rows = document.get("services", [])
        view = GatewayView(
            at=at,
            generation=max(0, int(document.get("generation") or 0)),
            acknowledged={_name(row["name"]): max(0, int(row.get("generation") or 0)) for row in rows},
            ready={_name(row["name"]): bool(row.get("ready", False)) for row in rows},
            halts=_halts(document),
            safety=_read(_safety, document.get("safety")),
            data=_read(_data, document.get("data")),
            models=_read(_models, document.get("models")),
            slots=_read(_slots, document.get("slots")),
            ordered=_read(_ordered, document.get("training")),
            replay=_read(lambda found: str(found["state"]), document.get("replay")),
            restore=_read(_restore, document.get("restore")),
        )
    except _UNREADABLE as error:
        raise GatewayError(f"the gateway's status cannot be read: {error!r}") from error
    return view


class Held(NamedTuple):
    """What became of a hold."""

    whole: bool
    """Whether no service wrote until it was let go."""
    broken: tuple[str, ...]
    """Those that did, or do not say."""
    milliseconds: int


def read_held(found: Mapping[str, Any]) -> Held:
    """Return what a gateway says became of a hold.

    Raises:
        GatewayError: if it does not say.
    """
    try:
        broken = tuple(_name(one) for one in found["broken"])
        return Held(found["held"] is True and not broken, broken, max(0, round(float(found["seconds"]) * 1000)))
    except _UNREADABLE as error:
        raise GatewayError(f"the gateway's answer cannot be read: {error!r}") from error


def read_answer(found: Mapping[str, Any]) -> Answer:
    """Return how far a backup is that the system was asked for.

    Raises:
        GatewayError: if the gateway does not say.
    """
    try:
        return Answer(
            state=str(found["state"]),
            step=str(found["step"]),
            said=str(found["said"]),
            final=bool(found["final"]),
            id=str(found["backup_id"]),
            kind=str(found["type"]),
            cut=None if found["cut"] is None else _instant(found["cut"]),
            session=str(found["session"]),
            size=int(found["size"]),
            added=int(found["added"]),
            kept=tuple(str(one) for one in found["kept"]),
        )
    except _UNREADABLE as error:
        raise GatewayError(f"the gateway's answer cannot be read: {error!r}") from error


def _read(read: Callable[[Any], T], value: Any) -> T | None:
    """Return a part of the status, None where there is none that can be read: the rest still counts."""
    if value is None:
        return None
    try:
        return read(value)
    except _UNREADABLE:
        return None


def _halts(document: Mapping[str, Any]) -> tuple[str, ...] | None:
    silent = "halted" in document and document["halted"] is None
    lines = document.get("halts")
    return None if silent or lines is None else tuple(shortened(line) for line in lines)


def _safety(found: Any) -> Safety:
    refusals = tuple(
        Refusal(str(row["code"]), *(shortened(row.get(name)) for name in ("value", "limit", "message", "symbol")))
        for row in found.get("refusals") or ()
    )
    return Safety(_truth(found.get("safe")), refusals)


def _data(rows: Any) -> tuple[Bars, ...]:
    return tuple(
        Bars(
            symbol=_name(row["symbol"]),
            fresh=_truth(row.get("fresh")),
            last_session=None if row.get("last_session") is None else _day(row["last_session"]),
            problem=shortened(row.get("problem")),
        )
        for row in rows
    )


def _models(rows: Any) -> tuple[ServedModel, ...]:
    return tuple(
        ServedModel(
            name=_name(row["model_name"]),
            symbol=None if row.get("symbol") is None else _name(row["symbol"]),
            gated=_truth(row.get("gated")),
            expired=_day(row["expires_on"]) if row.get("expired") else None,
            demoted=shortened(row.get("demoted")),
        )
        for row in rows
    )


def _ordered(found: Any) -> OrderedModels | None:
    order = found.get("order")
    if order is None:
        return None
    return OrderedModels(str(order["id"]), tuple(None if one is None else _name(one) for one in order["targets"]))


def _slots(found: Any) -> Slots:
    jobs = tuple(
        SlotJob(
            name=_name(row["name"]),
            task=_name(row["task"]),
            session=_day(row["session"]),
            due=_instant(row["due"]),
            status=_name(row["status"]),
        )
        for row in found.get("jobs") or ()
    )
    by_task = tuple((str(task), _instant(since)) for task, since in sorted((found.get("since_by_task") or {}).items()))
    days = sorted((found.get("since_by_session") or {}).items())
    by_session = tuple((date.fromisoformat(day), _instant(since)) for day, since in days)
    return Slots(None if found.get("since") is None else _instant(found["since"]), jobs, by_task, by_session)


def _restore(found: Any) -> RestoreAsked:
    backup, location = (shortened(found[name]) for name in ("backup_id", "location"))
    return RestoreAsked(shortened(found["id"]), backup, location, _instant(found["at"]), shortened(found["uid"]))


def shortened(value: Any) -> str:
    """Return a line that a gateway says, of bounded length; empty for none."""
    return "" if value is None else str(value)[:TEXT_LIMIT]


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _name(value: Any) -> str:
    """Return a name; thousands of gateways say the same few, and each is kept once."""
    return intern(str(value))


@lru_cache(maxsize=KEPT_TIMES)
def _day(text: str) -> date:
    return date.fromisoformat(text)


@lru_cache(maxsize=KEPT_TIMES)
def _instant(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return found.astimezone(UTC)
