"""Which declaration a local run works by: the file, or what was changed while an earlier run was up. Pure."""

from __future__ import annotations

from typing import NamedTuple

from bellwether.gateway.delivery import next_declaration
from bellwether.gateway.problems import Problem
from bellwether.local.files import RunError
from bellwether.runtime.declaration import generation_of
from bellwether.spec.models import TradingSystem


class Chosen(NamedTuple):
    """The declaration to run, and a sentence for the person when it is not simply the file."""

    system: TradingSystem
    note: str | None = None


def choose(file: TradingSystem, last_file: TradingSystem | None, on_bus: TradingSystem | None) -> Chosen:
    """Return what to run: an edited file wins over the bus, the bus over a file that is as it was.

    Raises:
        RunError: if the state belongs to another system, or the edit changes what cannot be changed.
    """
    present = on_bus or last_file
    if present is None:
        return Chosen(_numbered(file, 1))
    if present.metadata.name != file.metadata.name:
        raise RunError(
            f"the state is of the system {present.metadata.name}, the file declares {file.metadata.name}: "
            "choose another folder with --data"
        )
    if present.spec == file.spec:
        return Chosen(present)
    if last_file is not None and last_file.spec == file.spec:
        generation = generation_of(present)
        return Chosen(present, f"the declaration was edited while it ran: generation {generation} stays in force")
    try:
        plain = file.spec.model_dump(by_alias=True, exclude_none=True)
        edited = next_declaration(present, generation_of(present) + 1, plain)
    except Problem as problem:
        raise RunError(f"{problem.message}; or forget the earlier runs with --fresh") from problem
    return Chosen(edited, f"the file was edited since the last run: generation {generation_of(edited)}")


def _numbered(system: TradingSystem, generation: int) -> TradingSystem:
    return system.model_copy(update={"metadata": system.metadata.model_copy(update={"generation": generation})})
