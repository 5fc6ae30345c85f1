"""The declaration between releases: everything is sent, and what an older release does not know yet is no fault of it.

A pinned release has defaults of its own. Were values at their default left out, it would fill in its own instead. So
all of them are sent, with the paths of those at their default: a field among these that the reader does not know is
one that came later and asks for nothing, and it is passed over. Any other unknown field is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from bellwether.spec.models import TradingSystemSpec

_UNKNOWN = "extra_forbidden"


def sent(spec: TradingSystemSpec) -> dict[str, Any]:
    """Return a spec as plain data with every value in it, be it a default or not."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)


def at_default(spec: TradingSystemSpec) -> list[str]:
    """Return the paths of the values that are at their default, such as `rollout.policy` or `tasks[].usefulUntil`."""
    brief = spec.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return sorted(set(_left_out(sent(spec), brief, "")))


def known_part(spec: Mapping[str, Any], defaults: Collection[str]) -> dict[str, Any]:
    """Return a spec without the fields that this release does not know and that ask for nothing.

    Args:
        spec: as it was sent.
        defaults: the paths at their default, by the release that sent it.
    """
    found: dict[str, Any] = _copied(dict(spec))
    try:
        TradingSystemSpec.model_validate(found)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            if fault["type"] == _UNKNOWN and _asks_for_nothing(fault["loc"], defaults):
                _remove(found, fault["loc"])
    return found


def _left_out(whole: Any, brief: Any, path: str) -> Iterator[str]:
    """Yield the paths of what is in the whole and not in the brief form."""
    if isinstance(whole, dict) and isinstance(brief, dict):
        for name, value in whole.items():
            below = f"{path}.{name}" if path else str(name)
            if name in brief:
                yield from _left_out(value, brief[name], below)
            else:
                yield below
    elif isinstance(whole, list) and isinstance(brief, list):
        for one, other in zip(whole, brief, strict=True):
            yield from _left_out(one, other, f"{path}[]")


def _asks_for_nothing(location: tuple[int | str, ...], defaults: Collection[str]) -> bool:
    """Whether a field, or a block that it is in, is at its default."""
    path = ""
    for part in location:
        path += "[]" if isinstance(part, int) else f".{part}"
        if path.removeprefix(".") in defaults:
            return True
    return False


def _remove(spec: Any, location: tuple[int | str, ...]) -> None:
    for part in location[:-1]:
        spec = spec[part]
    spec.pop(location[-1], None)


def _copied(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _copied(part) for name, part in value.items()}
    return [_copied(part) for part in value] if isinstance(value, list) else value
