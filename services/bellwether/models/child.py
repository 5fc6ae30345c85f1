"""Training in a process of its own, and the bars it learns from (I/O, nothing is decided here)."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path

import msgspec

from bellwether.messages.market_data import Bar
from bellwether.runtime.errors import RpcError
from bellwether.runtime.history import newest_bars
from bellwether.runtime.service import Service
from bellwether.training.enough import TOO_FEW_ROWS

TRAINING_BARS = 5000
"""The most bars of a symbol that a model is made from, the newest."""

_log = logging.getLogger(__name__)


class TrainingFailed(Exception):
    """The training process gave no model; the message is its last word."""


class HistoryTooShort(TrainingFailed):
    """There are too few bars to make a model from."""


async def bars_of(
    service: Service, symbols: list[str], as_of: datetime, count: int
) -> tuple[dict[str, list[Bar]], list[str]]:
    """Return the bars of the symbols that have any at an instant, and why others have none."""
    found: dict[str, list[Bar]] = {}
    errors: list[str] = []
    for symbol in symbols:
        call = service.call(as_of=as_of)
        try:
            found[symbol] = await newest_bars(call, symbol, count)
        except RpcError as error:
            if error.code not in ("UNKNOWN_SYMBOL", "NO_BARS", "SOURCE_UNAVAILABLE"):
                raise
            errors.append(error.message)
    return found, errors


async def histories_before(service: Service, symbols: Iterable[str], day: date) -> tuple[dict[str, list[Bar]], str]:
    """Return the bars that are learnt from on a day, of complete sessions before it, or in words why there are none."""
    # Midnight at the exchange: sessions before that day are complete, its own is not.
    as_of = datetime.combine(day, time(0), service.context.declaration.calendar.timezone).astimezone(UTC)
    found, errors = await bars_of(service, sorted(symbols), as_of, TRAINING_BARS)
    if any(found.values()):
        return found, ""
    return {}, "".join((f"no declared symbol has bars before {day}", *(f"; {one}" for one in errors)))


async def train_in_child(
    recipe: Path,
    histories: Mapping[str, Sequence[Bar]],
    root: Path,
    *,
    workers: int = 1,
    rival: str | None = None,
    serving: Sequence[str] = (),
    say: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Make a recipe's models in a process of its own, which ends and gives its memory back; return their versions.

    `workers` processes share the symbols; `rival` names the recipe that serves, where it is another one; `serving` are
    versions of this one that serve, in the same folder; `say` gets each line of progress.

    Raises:
        TrainingFailed: with the process's last line; HistoryTooShort where there are too few bars.
    """
    bars = await asyncio.to_thread(_write_bars, root, histories)
    arguments = ["-m", "bellwether.training", "--recipe", str(recipe), "--bars", str(bars), "--out", str(root)]
    arguments += ["--workers", str(workers)]
    arguments += ["--rival", rival] if rival is not None else []
    arguments += [part for version in serving for part in ("--serving", version)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, output = await asyncio.gather(_log_lines(child, say), _read_output(child))
        if await child.wait() != 0:
            last = said.removeprefix("error: ") or f"exit code {child.returncode}"
            failed = HistoryTooShort if child.returncode == TOO_FEW_ROWS else TrainingFailed
            raise failed(f"training failed: {last}")
        return msgspec.json.decode(output, type=list[str])
    except msgspec.MsgspecError as error:
        raise TrainingFailed(f"training gave no versions: {error}") from error
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
        bars.unlink(missing_ok=True)


def _write_bars(root: Path, histories: Mapping[str, Sequence[Bar]]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    path = root / f".bars-{os.getpid()}.json"
    path.write_bytes(msgspec.json.encode(dict(histories)))
    return path


async def _read_output(child: asyncio.subprocess.Process) -> bytes:
    assert child.stdout is not None  # noqa: S101 (a pipe was asked for)
    return await child.stdout.read()


async def _log_lines(child: asyncio.subprocess.Process, say: Callable[[str], None]) -> str:
    assert child.stderr is not None  # noqa: S101 (a pipe was asked for)
    last = ""
    async for line in child.stderr:
        text = line.decode("utf-8", "replace").rstrip()
        if text:
            last = text
            if not text.startswith("error: "):
                say(text)
            _log.info("training: %s", text)
    return last
