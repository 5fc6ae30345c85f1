"""Has one slot run: asks the scheduler over the bus until it is done, and is gone.

This is all that a Job's pod does. It runs beside a whole system and often, so it takes in the bus and the messages and
nothing of the services. The scheduler decides: what is a slot, whether it is due, and that it runs once, whoever asks
for it and how often. So asking again is always safe.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import nkeys

from bellwether.market.slots import due_from_job_name
from bellwether.messages.scheduling import ExecuteSlot, Job
from bellwether.runtime.bus import Bus, BusError, RequestTimeout
from bellwether.runtime.clock import monotonic
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.errors import RpcError
from bellwether.runtime.job_calls import Peers
from bellwether.runtime.logs import configure_logs
from bellwether.runtime.nats_bus import NatsBus

IDENTITY = "job"
METHOD = "execute_slot"
DONE, GAVE_UP, WRONG, ENDED = 0, 1, 2, 128 + signal.SIGTERM

ASK_SECONDS = 20.0
"""How long one question waits. The slot goes on meanwhile; a scheduler that was killed under it never answers, so it is
asked again long before the work can have taken its full time."""
PAUSES = (0.5, 1.0, 2.0, 5.0, 10.0)
"""Seconds before the next question while the scheduler or one of its peers is unreachable; the last one is kept."""

_STILL_RUNNING = "DEADLINE_EXCEEDED"
_NO_SLOT = "NOT_A_SLOT"
_NOT_YET = "NOT_DUE_YET"
_FINAL = frozenset({"INVALID_PARAMS", "INVALID_REQUEST", "UNKNOWN_METHOD", "REPLAY_CONDUCTS"})
"""What stays as it is however often one asks."""

_log = logging.getLogger(__name__)


class _Waits(NamedTuple):
    """Why a slot has come to no end, and in how many seconds it is due where it waits for that."""

    code: str
    words: str
    due_in: float | None = None


def wanted(environ: Mapping[str, str]) -> ExecuteSlot:
    """Return what is to be asked for: BELLWETHER_SLOT, or BELLWETHER_TASK at the minute in BELLWETHER_JOB's name.

    Raises:
        ValueError: naming the variable, its value and what would be right.
    """
    slot, task, job = (environ.get(f"BELLWETHER_{name}", "") for name in ("SLOT", "TASK", "JOB"))
    if slot and not task and not job:
        return ExecuteSlot(slot)
    if slot or not task or not job:
        raise ValueError(
            f"BELLWETHER_SLOT={slot!r}, BELLWETHER_TASK={task!r}, BELLWETHER_JOB={job!r}: give either the name of a "
            "slot, or a task and the name of the Job that a schedule started for it"
        )
    try:
        return ExecuteSlot(task=task, minute=due_from_job_name(job))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"BELLWETHER_JOB={job!r}: {error}") from None


async def execute(bus: Bus, asked: ExecuteSlot, *, timeout: float) -> int:
    """Have a slot run; return DONE when it is completed, known to be missed, or no slot, GAVE_UP after `timeout` s."""
    name = asked.slot or f"{asked.task} of {asked.minute:%Y-%m-%dT%H:%MZ}"
    end = monotonic() + timeout
    said, tries = "", 0
    while (left := end - monotonic()) > 0:
        why = await _ask(bus, asked, name, min(left, ASK_SECONDS))
        if why is None:
            return DONE
        if why.code == _NO_SLOT:
            _log.info("%s is not a slot, so there is nothing to do: %s", name, why.words)
            return DONE
        if why.code in _FINAL:
            _log.error("%s is refused: %s: %s", name, why.code, why.words)
            return GAVE_UP
        tries = 0 if why.code == _NOT_YET else tries + 1
        if why.code != said:
            said = why.code
            _log.info("%s waits: %s: %s", name, why.code, why.words)
        await asyncio.sleep(min(_pause(why, tries), max(0.0, end - monotonic())))
    _log.error("%s is given up after %g s; last was %s", name, timeout, said or "that there was no time")
    return GAVE_UP


async def _ask(bus: Bus, asked: ExecuteSlot, name: str, seconds: float) -> _Waits | None:
    """Ask once; return why the slot has come to no end, None when it has."""
    try:
        job = await Peers(bus, IDENTITY).ask("scheduler", METHOD, asked, Job, seconds=seconds)
    except RpcError as error:
        due_in = error.detail.get("seconds") if error.code == _NOT_YET else None
        return _Waits(error.code, error.message, max(0.0, due_in) if isinstance(due_in, int | float) else None)
    except RequestTimeout as error:
        return _Waits(_STILL_RUNNING, str(error))
    except BusError as error:
        return _Waits("UNAVAILABLE", str(error))
    if job.status not in ("completed", "missed"):
        return _Waits("NO_END", "it has come to no end")
    _log.info("%s is %s (%s)", name, job.status, job.id)
    return None


def _pause(why: _Waits, tries: int) -> float:
    """Return the seconds until the next question."""
    if why.due_in is not None:
        # A little more, so that the scheduler's clock has surely passed the instant.
        return why.due_in + 0.05
    return PAUSES[0] if why.code == _STILL_RUNNING else PAUSES[min(tries, len(PAUSES)) - 1]


def run(environ: Mapping[str, str] = os.environ, *, timeout: float) -> int:
    """Run the client; return its exit code: 0 done, 1 given up, 2 wrongly called, 143 ended by SIGTERM."""
    try:
        if not 0 <= timeout < math.inf:
            raise ValueError(f"--timeout: {timeout:g} must be a number of seconds, 0 or more")
        asked = wanted(environ)
        config = ProcessConfig.from_environment(environ)
        configure_logs(IDENTITY, config.log_level)
        seed = None if config.keys_dir is None else config.keys_dir / f"{IDENTITY}.nk"
        if seed is not None:
            _check_seed(seed)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return WRONG
    return asyncio.run(_run(config.nats_url, seed, asked, timeout))


def _check_seed(file: Path) -> None:
    """Decode the seed, so that a damaged one ends the client at once: no time makes it whole.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it holds no user's seed; its content is not said.
    """
    seed = file.read_bytes().strip()
    try:
        kind, raw = nkeys.decode_seed(bytearray(seed))
        # Decoding does not look at the checksum at its end; encoding makes it again.
        whole = kind == nkeys.PREFIX_BYTE_USER and bytes(nkeys.encode_seed(raw, kind)) == seed
    except (ValueError, nkeys.NkeysError):
        whole = False
    if not whole:
        raise ValueError(f"{file}: what it holds is damaged or no key: it must be the seed of a NATS user (SU...)")


async def _run(url: str, seed: Path | None, asked: ExecuteSlot, timeout: float) -> int:
    ended = asyncio.Event()
    # The first process of a container is not ended by the signal itself.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    bus = NatsBus(url, IDENTITY, seed)
    await bus.start()
    work = asyncio.create_task(execute(bus, asked, timeout=timeout))
    signal_came = asyncio.create_task(ended.wait())
    await asyncio.wait({work, signal_came}, return_when=asyncio.FIRST_COMPLETED)
    if not work.done():
        _log.warning("asked to end; the scheduler goes on with what it has started")
        return ENDED
    await bus.close()
    return work.result()
