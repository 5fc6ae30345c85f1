"""How `bellwether compare` asks both systems, and what it keeps between its runs."""

from __future__ import annotations

import json
import shlex
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec

from bellwether.cli.client import Client, CommandError, in_words
from bellwether.market.sessions import Calendar, Session
from bellwether.migrate.comparison import Sample

TIMEOUT_SECONDS = 60.0
TRIES = 3
RETRY_SECONDS = 20.0
LATEST = timedelta(minutes=10)
"""How long after its instant a session may still be asked about."""
_REPLY_BYTES = 16 << 20


class Side(Protocol):
    """One of the two systems."""

    def ask(self, symbols: Sequence[str]) -> dict[str, Any]:
        """Return its raw answer; one that cannot be had at all has `error`."""


class SocketSide:
    """A system with the old Unix sockets: one of its sockets, or the folder where they are."""

    def __init__(self, path: Path) -> None:
        self._folder = path if path.is_dir() else path.parent
        self._prediction = self._folder / "trading_prediction.sock" if path.is_dir() else path

    def ask(self, symbols: Sequence[str]) -> dict[str, Any]:
        """Ask for the batch and, where such sockets are, for market data and sentiment of each share."""
        calls = [(self._prediction, "generate_predictions", {"symbols": list(symbols), "force_refresh": True})]
        for service, method in (("market-data", "get_market_data"), ("sentiment", "analyze_sentiment")):
            path = self._folder / f"trading_{service}.sock"
            if path.is_socket():
                calls += [(path, method, {"symbol": symbol}) for symbol in symbols]
        with ThreadPoolExecutor(len(calls)) as pool:
            replies = list(pool.map(lambda call: call_socket(*call), calls))
        batch = replies[0]
        if "error" in batch:
            return {"error": batch["error"]}
        found: dict[str, Any] = {"market_data": {}, "sentiment": {}} | as_batch(batch["result"])
        for (_, method, params), reply in zip(calls[1:], replies[1:], strict=True):
            part = "market_data" if method == "get_market_data" else "sentiment"
            if "result" in reply:
                found[part][params["symbol"]] = reply["result"]
        return found


def call_socket(path: Path, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the reply of a service, or `error` in words if there is none."""
    request = {"method": method, "params": params, "timestamp": time.time()}
    data = bytearray()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(TIMEOUT_SECONDS)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode())
            while chunk := connection.recv(65536):
                data += chunk
                if len(data) > _REPLY_BYTES:
                    return {"error": f"{path}: the reply is larger than {_REPLY_BYTES} bytes"}
        reply = json.loads(data)
    except OSError as error:
        return {"error": f"{path}: {error}"}
    except ValueError:
        return {"error": f"{path}: the reply is no JSON"}
    if not isinstance(reply, dict) or reply.get("status") != "success" or "result" not in reply:
        said = reply.get("error") if isinstance(reply, dict) else None
        return {"error": f"{method}: {said or 'neither success nor error'}"}
    return reply


def as_batch(result: Any) -> dict[str, Any]:
    """Return the parts of a batch as they are compared; a plain mapping or list of predictions is one."""
    if isinstance(result, dict) and "predictions" in result:
        return {name: result[name] for name in ("predictions", "errors", "market_data", "sentiment") if name in result}
    return {"predictions": result}


class CommandSide:
    """A command that prints a batch as JSON; the shares are its last arguments."""

    def __init__(self, command: str) -> None:
        with in_words(ValueError):
            self._words = shlex.split(command)

    def ask(self, symbols: Sequence[str]) -> dict[str, Any]:
        """Run it and read what it prints."""
        try:
            done = subprocess.run(
                [*self._words, *symbols], capture_output=True, timeout=TIMEOUT_SECONDS, check=False, text=True
            )
            if done.returncode != 0:
                return {"error": f"{self._words[0]} ended with {done.returncode}: {done.stderr.strip()[-200:]}"}
            return as_batch(json.loads(done.stdout))
        except (OSError, subprocess.TimeoutExpired) as error:
            return {"error": f"{self._words[0]}: {error}"}
        except ValueError:
            return {"error": f"{self._words[0]} printed no JSON"}


class GatewaySide:
    """A system of ours, through its gateway. What it is asked for leads to no order."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def symbols(self) -> list[str]:
        """Return the declared shares; raises CommandError."""
        return [str(one["symbol"]) for one in self._client.get("/v1/sentiment")["news"]]

    def ask(self, symbols: Sequence[str]) -> dict[str, Any]:
        """Ask for a fresh prediction of each share, and for market data."""
        with ThreadPoolExecutor(len(symbols) + 1) as pool:
            looking = pool.submit(self._client.get, "/v1/market-data")
            answers = list(pool.map(self._predict, symbols))
            try:
                market = looking.result()["market_data"]
            except CommandError:
                market = {}
        found: dict[str, Any] = {"predictions": {}, "errors": {}, "market_data": market}
        for symbol, one in zip(symbols, answers, strict=True):
            found["errors" if isinstance(one, str) else "predictions"][symbol] = one
        return found

    def _predict(self, symbol: str) -> Any:
        try:
            return self._client.send("POST", f"/v1/predict/{symbol}", None, force_refresh=True)
        except CommandError as error:
            return str(error)


def _is_socket(given: str) -> bool:
    return Path(given).is_dir() or Path(given).is_socket() or given.endswith(".sock")


def old_side(given: str) -> Side:
    """Return the old system: a socket or the folder of its sockets, else a command that prints a batch as JSON."""
    return SocketSide(Path(given)) if _is_socket(given) else CommandSide(given)


def new_side(given: str, client: Callable[[str], Client]) -> Side:
    """Return the new system: a socket or the folder of its sockets, else what has a gateway."""
    return SocketSide(Path(given)) if _is_socket(given) else GatewaySide(client(given))


@dataclass(frozen=True)
class Comparison:
    """What is compared with what, as the state file says it."""

    old: str
    new: str
    calendar: str
    symbols: tuple[str, ...]


class State:
    """The samples so far, in one SQLite file: who is killed goes on where it was."""

    def __init__(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None)
            path.chmod(0o600)
            self._database.executescript(
                "CREATE TABLE IF NOT EXISTS comparison (only INTEGER PRIMARY KEY CHECK (only = 1), what TEXT NOT NULL);"
                "CREATE TABLE IF NOT EXISTS samples (session TEXT PRIMARY KEY, asked TEXT NOT NULL, tries INTEGER, "
                "old TEXT NOT NULL, new TEXT NOT NULL, old_seconds REAL, new_seconds REAL);"
            )
        except (sqlite3.Error, OSError) as error:
            raise CommandError(f"{path}: {error}") from error
        self._path = path

    def comparison(self) -> Comparison | None:
        """Return what is compared; None in a new file."""
        row = self._database.execute("SELECT what FROM comparison").fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=Comparison)

    def begin(self, wanted: Comparison) -> None:
        """Write down what is compared.

        Raises:
            CommandError: if the file is of another comparison.
        """
        before = self.comparison()
        if before is not None and before != wanted:
            raise CommandError(
                f"{self._path} compares {before.old} with {before.new} ({before.calendar}, "
                f"{', '.join(before.symbols)}); name another file with --state"
            )
        what = msgspec.json.encode(wanted).decode()
        self._database.execute("INSERT OR IGNORE INTO comparison VALUES (1, ?)", (what,))

    def has(self, session: date) -> bool:
        """Return whether a session was asked about."""
        return bool(self._database.execute("SELECT 1 FROM samples WHERE session = ?", (str(session),)).fetchone())

    def keep(self, sample: Sample, tries: int, seconds: tuple[float, float]) -> None:
        """Keep what both said; the first answer of a session stays."""
        self._database.execute(
            "INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                str(sample.session),
                sample.asked.isoformat(),
                tries,
                json.dumps(sample.old),
                json.dumps(sample.new),
                *seconds,
            ),
        )

    def samples(self) -> list[Sample]:
        """Return all that was kept, oldest first."""
        rows = self._database.execute("SELECT session, asked, old, new FROM samples ORDER BY session").fetchall()
        return [
            Sample(date.fromisoformat(day), datetime.fromisoformat(asked), json.loads(old), json.loads(new))
            for day, asked, old, new in rows
        ]


def ask_both(
    state: State, session: date, sides: tuple[Side, Side], symbols: Sequence[str], sleep: Callable[[float], None]
) -> Sample:
    """Ask both at once and keep it; a side that cannot be reached is tried again, and both with it."""
    for tries in range(1, TRIES + 1):
        asked = datetime.now(UTC)
        with ThreadPoolExecutor(2) as pool:
            old, new = pool.map(lambda side: _timed(side, symbols), sides)
        sample = Sample(session, asked, old[0], new[0])
        if tries == TRIES or not ("error" in sample.old or "error" in sample.new):
            state.keep(sample, tries, (old[1], new[1]))
            return sample
        sleep(RETRY_SECONDS)
    raise AssertionError("unreachable")


def _timed(side: Side, symbols: Sequence[str]) -> tuple[dict[str, Any], float]:
    began = time.monotonic()
    found = side.ask(symbols)
    return found, round(time.monotonic() - began, 3)


def meant_session(calendar: Calendar, now: datetime) -> Session:
    """Return the session that a prediction made now is for: today's until its close, else the next."""
    return calendar.session_at(now) or calendar.next_session(now)


def next_session_time(
    calendar: Calendar, lead: timedelta, now: datetime, done: Callable[[date], bool]
) -> tuple[date, datetime]:
    """Return the next session to ask about, and when: `lead` before its open, now if that is not long ago."""
    session = meant_session(calendar, now)
    while done(session.day) or now > session.open - lead + LATEST:
        session = calendar.next_session(session.open)
    return session.day, max(now, session.open - lead)
