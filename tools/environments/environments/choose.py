"""Which environment to use, decided from what the machine has (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeGuard

Kind = Literal["kind", "embedded", "current", "local"]
CLUSTERS: tuple[Kind, ...] = ("kind", "embedded", "current")
VARIABLE = "BELLWETHER_CLUSTER"
REQUIRED = "BELLWETHER_REQUIRE_CLUSTER"


@dataclass(frozen=True)
class Facts:
    """What was found out about this machine."""

    docker_answers: bool
    is_linux: bool
    is_root: bool
    can_install: bool
    """Whether missing system packages could be installed (apt), or nothing is missing."""
    missing_packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The environment, and why no cluster is possible where it is `local`."""

    kind: Kind
    why: str


class WrongChoiceError(ValueError):
    """The variable names no environment."""


def _is_cluster(asked: str) -> TypeGuard[Kind]:
    return asked in CLUSTERS


def choose(facts: Facts, variables: Mapping[str, str]) -> Choice:
    """Return where to run: what BELLWETHER_CLUSTER says, else kind where Docker answers, else the embedded cluster.

    Raises:
        WrongChoiceError: if the variable names something else, or a cluster is required and none is possible.
    """
    asked = variables.get(VARIABLE, "").strip()
    if asked:
        if not _is_cluster(asked):
            raise WrongChoiceError(f"{VARIABLE} is {asked!r}: it must be one of {', '.join(CLUSTERS)}")
        return Choice(asked, f"{VARIABLE} says so")
    if facts.docker_answers:
        return Choice("kind", "a Docker engine answers")
    obstacle = _obstacle(facts)
    if obstacle is None:
        return Choice("embedded", "no Docker engine answers, and this is root on Linux")
    if variables.get(REQUIRED, "") not in ("", "0"):
        raise WrongChoiceError(f"{REQUIRED} is set, but no cluster is possible here: {obstacle}")
    return Choice("local", obstacle)


def _obstacle(facts: Facts) -> str | None:
    no_docker = "no Docker engine answers, and the embedded cluster needs "
    if not facts.is_linux:
        return no_docker + "Linux"
    if not facts.is_root:
        return no_docker + "root (network namespaces, mounts, cgroups)"
    if facts.missing_packages and not facts.can_install:
        return no_docker + "the packages " + " ".join(facts.missing_packages)
    return None
