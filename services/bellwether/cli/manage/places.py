"""Where a system can run, what can be done with it there, and which place is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from bellwether.cli.client import DEFAULT_URL, CommandError
from bellwether.topology import SERVICES
from bellwether.wiring import start_order

NATS = "nats"


class On(StrEnum):
    """A kind of place that a system runs in."""

    local = "local"
    systemd = "systemd"
    compose = "compose"
    cluster = "cluster"


@dataclass(frozen=True)
class Part:
    """One process of a system as its place tells it: which services it runs, and how it is."""

    name: str
    services: tuple[str, ...]
    state: str
    """running, starting, stopping, stopped, failed, or the place's own word."""
    pid: int | None = None
    memory_mib: float | None = None
    since: str | None = None
    """Since when it is in this state, UTC; None: the place does not say."""
    detail: str = ""

    @property
    def good(self) -> bool:
        """Whether it runs."""
        return self.state == "running"


class Place(Protocol):
    """A system in one place. Every method raises CommandError with the reason when it cannot be done."""

    on: On
    title: str
    """Which system this is, in words: `systemd units of demo`."""

    def parts(self) -> list[Part]:
        """Return the processes, in start order."""

    def start(self, part: str) -> None:
        """Start one process and wait until it is up."""

    def stop(self, part: str) -> None:
        """Stop one process and wait until it has ended."""

    def restart(self, part: str) -> None:
        """Stop and start one process."""

    def logs(self, parts: Sequence[str], lines: int, *, follow: bool) -> Iterable[str]:
        """Return the last lines of some processes' logs, oldest first; with `follow` also those to come."""

    def gateway(self) -> tuple[str, str] | None:
        """Return address and token of its gateway; None where it is reached by the system's name."""

    def undeploy(self) -> str:
        """Take the system away but for its data; return in words what was kept and where."""


def gateway_here(token: Path) -> tuple[str, str]:
    """Return address and token of the gateway of units or containers of this machine.

    Raises:
        CommandError: if the file of the token cannot be read.
    """
    try:
        return DEFAULT_URL, token.read_text().strip()
    except OSError as error:
        raise CommandError(f"{token}: {error.strerror}; with a token of your own leave --on out") from error


def check_services(names: Sequence[str]) -> list[str]:
    """Return services in start order.

    Raises:
        CommandError: if one is unknown.
    """
    known = (NATS, *start_order())
    for name in names:
        if name not in known:
            raise CommandError(f"--service {name!r}: no such service; there are {', '.join(known)}")
    return [name for name in known if name in names]


def chosen(place: Place, services: Sequence[str]) -> list[Part]:
    """Return the processes that are meant, in start order: all, or those of some services.

    Raises:
        CommandError: if a service is not there, or shares its process with others.
    """
    parts = place.parts()
    if not services:
        return parts
    found = []
    for name in check_services(services):
        part = next((one for one in parts if name == one.name or name in one.services), None)
        if part is None:
            raise CommandError(f"--service {name}: {place.title} has no such process")
        others = [one for one in part.services if one not in services]
        if others:
            raise CommandError(
                f"--service {name}: one process ({part.name}) runs all services here, so {name} cannot be handled "
                "alone; leave --service out, or declare profile standard. Orders are stopped by `bellwether halt`"
            )
        if part not in found:
            found.append(part)
    return [one for one in parts if one in found]


def services_of(part: Part) -> str:
    """Return in words which services a process runs."""
    if set(part.services) >= set(SERVICES):
        return "all services"
    return ", ".join(part.services)


def only(found: Sequence[Place]) -> Place:
    """Return the one place that was found.

    Raises:
        CommandError: if there is none, or several.
    """
    if not found:
        raise CommandError(
            f"no system was found from {Path.cwd()}: none runs below ./.bellwether (or BELLWETHER_STATE), there are no "
            "systemd units and no compose file. `bellwether deploy FILE` starts one; a system in a cluster is named "
            "with --system NAME"
        )
    if len(found) > 1:
        titles = "; ".join(f"{one.title} (--on {one.on.value})" for one in found)
        local = sum(one.on is On.local for one in found) > 1
        how = "--on, or a local run with BELLWETHER_STATE=FOLDER" if local else "--on"
        raise CommandError(f"several systems were found: {titles}. Say which with {how}")
    return found[0]
