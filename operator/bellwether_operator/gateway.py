"""The other way to a system: its gateway takes the live declaration and says who acknowledged it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from sys import intern
from typing import Any, NamedTuple, TypeVar

import aiohttp

from bellwether_operator.backups.repository import Answer, Order

T = TypeVar("T")

LOOK_SECONDS = 2.0
"""The gateway gives its peers about a second before it says that one is away; then its answer still counts."""
DELIVERY_SECONDS = 4.0
WAIT_SECONDS = 1
"""So long the gateway waits for all services to acknowledge; who is later is heard of by the next looks. A service that
takes its time must not keep from us that the trader has acknowledged a halt."""
KEPT_TIMES = 1024
"""So many days and instants are kept once for all systems that speak of them."""
KEPT_SECONDS = 0.5
"""So long a connection to a gateway is kept without use."""
ANSWER_LIMIT = 256 * 1024
"""A gateway's answer has at most so many bytes; a status of 200 slots and many symbols has less than half."""
TEXT_LIMIT = 300
"""Of one line that a gateway says, so many characters are kept."""
_OK = 200
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


class Held(NamedTuple):
    """What became of a hold."""

    whole: bool
    """Whether no service wrote until it was let go."""
    broken: tuple[str, ...]
    """Those that did, or do not say."""
    milliseconds: int


class OrderedModels(NamedTuple):
    """Models that a Job is to make: the order's id and its frozen targets (None: the general model)."""

    id: str
    targets: tuple[str | None, ...]


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
            replay=_read(_replay, document.get("replay")),
        )
    except _UNREADABLE as error:
        raise GatewayError(f"the gateway's status cannot be read: {error!r}") from error
    return view


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
    return None if silent or lines is None else tuple(_text(line) for line in lines)


def _safety(found: Any) -> Safety:
    refusals = tuple(
        Refusal(str(row["code"]), *(_text(row.get(name)) for name in ("value", "limit", "message", "symbol")))
        for row in found.get("refusals") or ()
    )
    return Safety(_truth(found.get("safe")), refusals)


def _data(rows: Any) -> tuple[Bars, ...]:
    return tuple(
        Bars(
            symbol=_name(row["symbol"]),
            fresh=_truth(row.get("fresh")),
            last_session=None if row.get("last_session") is None else _day(row["last_session"]),
            problem=_text(row.get("problem")),
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
            demoted=_text(row.get("demoted")),
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


def _replay(found: Any) -> str:
    return str(found["state"])


def _text(value: Any) -> str:
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


class GatewayClient:
    """HTTP to the gateways of all systems."""

    def __init__(self, url_template: str) -> None:
        self._template = url_template
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def look(self, namespace: str, name: str, token: str) -> GatewayView:
        """Return what the gateway says now, to whoever has its token.

        Raises:
            GatewayError: if it does not answer in time.
        """
        return read_status(
            await self._call("GET", namespace, name, "/v1/status", seconds=LOOK_SECONDS, token=token),
            time.monotonic(),
        )

    async def deliver(self, namespace: str, name: str, token: str, declaration: Mapping[str, Any]) -> None:
        """Hand over a declaration; the next look says which service has it.

        Raises:
            GatewayError: if the gateway is away or refuses.
        """
        await self._call(
            "PUT",
            namespace,
            name,
            f"/v1/declaration?wait={WAIT_SECONDS}",
            seconds=DELIVERY_SECONDS,
            token=token,
            body=declaration,
        )

    async def hold(self, namespace: str, name: str, token: str, hold: str, seconds: float) -> None:
        """Have no service write for so many seconds at most, until `let_go`.

        Raises:
            GatewayError: if the gateway is away, or a service does not hold.
        """
        body = {"id": hold, "seconds": seconds}
        await self._call("PUT", namespace, name, "/v1/hold", seconds=DELIVERY_SECONDS, token=token, body=body)

    async def let_go(self, namespace: str, name: str, token: str, hold: str) -> Held:
        """Have the services write again.

        Raises:
            GatewayError: if the gateway does not say what became of the hold.
        """
        found = await self._call("DELETE", namespace, name, f"/v1/hold/{hold}", seconds=DELIVERY_SECONDS, token=token)
        try:
            broken = tuple(_name(one) for one in found["broken"])
            return Held(found["held"] is True and not broken, broken, max(0, round(float(found["seconds"]) * 1000)))
        except _UNREADABLE as error:
            raise GatewayError(f"the gateway's answer cannot be read: {error!r}") from error

    async def keep_backup(self, namespace: str, name: str, token: str, order: Order) -> Answer:
        """Have the system make a backup in a repository, once, and return how far that is.

        Raises:
            GatewayError: if the gateway is away, or what it says cannot be read.

        """
        body = {"type": order.kind, "location": order.location, "attempt": order.attempt, "known": order.known}
        path = f"/v1/backups/{order.id}"
        found = await self._call("PUT", namespace, name, path, seconds=DELIVERY_SECONDS, token=token, body=body)
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

    async def retain_replays(self, namespace: str, name: str, token: str, uids: Sequence[str]) -> None:
        """Have the reports of all replays forgotten but these.

        Raises:
            GatewayError: if the gateway is away or refuses.
        """
        body = {"uids": list(uids)}
        await self._call("PUT", namespace, name, "/v1/replays", seconds=DELIVERY_SECONDS, token=token, body=body)

    async def _call(
        self,
        method: str,
        namespace: str,
        name: str,
        path: str,
        *,
        seconds: float,
        token: str | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Mapping[str, Any]:
        if self._session is None:
            # Kept for what follows at once, as a look follows a delivery; for 1,000 systems at rest none are held.
            # How many are open at once is for the caller to bound: here those that hang would hold up all others.
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEPT_SECONDS)
            # A gateway is its system's own: nothing of what it says is kept for others, nor unpacked to any size.
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                headers={"Accept-Encoding": "identity"},
            )
        url = self._template.format(namespace=namespace, name=name) + path
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            timeout = aiohttp.ClientTimeout(total=seconds)
            async with self._session.request(
                method, url, headers=headers, json=body, timeout=timeout, allow_redirects=False
            ) as response:
                status, answer = response.status, _object(await _read_answer(response))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise GatewayError(f"the gateway does not answer: {str(error) or type(error).__name__}") from error
        if status != _OK:
            said = (answer or {}).get("error")
            words = _text(said.get("message")) if isinstance(said, dict) else ""
            raise GatewayError(f"the gateway answered {status} {words}".rstrip())
        if answer is None:
            raise GatewayError("the gateway answered something that is no JSON object")
        return answer


async def _read_answer(response: aiohttp.ClientResponse) -> bytes:
    answer = bytearray()
    async for part in response.content.iter_any():
        answer += part
        if len(answer) > ANSWER_LIMIT:
            raise GatewayError(f"the gateway answered {response.status} with more than {ANSWER_LIMIT} bytes")
    return bytes(answer)


def _object(answer: bytes) -> dict[str, Any] | None:
    """Return an answer that is a JSON object, else None."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
