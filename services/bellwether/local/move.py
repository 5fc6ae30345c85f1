"""`bellwether move`: what a pod does that copies the volumes of one profile to those of another."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path

from bellwether.render.kubernetes.moves import FUTILE, PROFILES, Profile
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.logs import configure_logs
from bellwether.storage.moving import FutileMove, MoveError, Order, move

_log = logging.getLogger(__name__)

_FAILED = 1
_ENDED = 128 + signal.SIGTERM


def ordered(number: int, leave: str, to: str, source: Path, target: Path) -> Order:
    """Return the move that was typed.

    Raises:
        ValueError: naming the option that is wrong.

    """
    if number < 1:
        raise ValueError(f"--number {number}: the first move is 1")
    return Order(number, _profile("--from", leave), _profile("--to", to, other_than=leave), source, target)


def _profile(option: str, text: str, other_than: str = "") -> Profile:
    possible = [profile for profile in PROFILES if profile != other_than]
    for profile in possible:
        if profile == text:
            return profile
    raise ValueError(f"{option} {text!r}: name {' or '.join(possible)}")


def run_move(order: Order, environ: Mapping[str, str]) -> int:
    """Do a move and say in JSON lines how far it is; return 0 when it is done, `FUTILE` when it never can be, else 1.

    Raises:
        ValueError: if a variable of the environment is wrong.

    """
    configure_logs("move", ProcessConfig.from_environment(environ).log_level)
    # The first process of a container has to end itself. Nothing needs an end in good order here.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_ENDED))
    try:
        move(order)
    except FutileMove as error:
        _log.error("%s", error)
        return FUTILE
    except MoveError as error:
        _log.error("%s", error)
        return _FAILED
    return 0
