"""NATS away under systemd: what that costs the units of a machine in starts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence

from harness.booted import Machine

NATS = "trading-nats.service"
_AWAY = "/run/nats-away"
_LOOK_SECONDS = 0.5


@contextlib.contextmanager
def drop_in(machine: Machine, unit: str, text: str, kind: str = "service") -> Iterator[None]:
    """Add settings to a unit, or to all whose names begin with `unit` where that ends in a hyphen, for a while."""
    folder = f"/run/systemd/system/{unit}.{kind}.d"
    machine.run("sh", "-c", f"mkdir -p {folder} && printf '%b' '{text}' > {folder}/test.conf")
    machine.run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        machine.run("rm", "-r", folder)
        machine.run("systemctl", "daemon-reload")


@contextlib.contextmanager
def without_nats(machine: Machine) -> Iterator[None]:
    """Have NATS stopped; who wants it started does not get it."""
    with drop_in(machine, "trading-nats", f"[Unit]\\nConditionPathExists=!{_AWAY}\\n"):
        machine.run("touch", _AWAY)
        machine.run("systemctl", "stop", NATS)
        try:
            yield
        finally:
            machine.run("rm", _AWAY)


def restarts(machine: Machine, services: Sequence[str]) -> dict[str, int]:
    """Return how often systemd has started each service again.

    Raises:
        AssertionError: if one has failed for good, as after its start limit.
    """
    found = {}
    for name in services:
        unit = f"trading-{name}.service"
        reported = machine.run("systemctl", "show", unit, "--property=NRestarts,ActiveState,Result").stdout
        values = dict(line.split("=", 1) for line in reported.split())
        assert values["ActiveState"] != "failed", f"{unit} has failed: {values['Result']}"
        found[name] = int(values["NRestarts"])
    return found


def restarts_over(machine: Machine, services: Sequence[str], seconds: float) -> dict[str, int]:
    """Look at services again and again for so long; return how often each was started in that time.

    Raises:
        AssertionError: as `restarts`.
    """
    before = after = restarts(machine, services)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)
        after = restarts(machine, services)
    return {name: after[name] - before[name] for name in services}
