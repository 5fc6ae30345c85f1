"""Where two objects differ, field by field. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_MERGE_KEYS = ("uid", "mountPath", "containerPort", "name", "port", "key", "type", "ip", "date")
"""By which field the entries of a list are distinguished, the most telling first."""
_EMPTY: tuple[Any, ...] = (None, "", [], {})


@dataclass(frozen=True)
class FieldChange:
    """One field that is to be another.

    Attributes:
        path: where it is, such as `spec.template.spec.containers[services].image`.
        old: what it was; None where there was no such field.
        new: what it becomes; None where it goes away.
    """

    path: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.path}: {self.old} -> {self.new}"


def changes(old: Any, new: Any, path: str = "") -> list[FieldChange]:
    """Return every field in which two objects differ, in the order of the new one; what is only in the old one last.

    A block that is only in one of them is one change, and so is a list of plain values. The entries of other lists are
    distinguished by the field that names them, where they have one, and by their place where the lists are as
    long; otherwise the list is one change.
    """
    return list(_differences(old, new, path, both=True))


def lacking(desired: Any, observed: Any, path: str = "") -> Iterator[FieldChange]:
    """Yield the desired fields that are not in what was observed; what others added besides is no difference.

    Nothing is yielded when all that is desired is there. An empty value is there when there is no such field.
    """
    return _differences(observed, desired, path, both=False)


def _differences(old: Any, new: Any, path: str, *, both: bool) -> Iterator[FieldChange]:
    """Yield where `new` differs from `old`; fields that only `old` has count when both are asked."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        yield from _of_blocks(old, new, path, both=both)
    elif isinstance(new, list) and isinstance(old, list):
        yield from _of_lists(old, new, path, both=both)
    elif old != new or type(old) is not type(new):  # True is not 1
        yield FieldChange(path, old, new)


def _of_blocks(old: Mapping[str, Any], new: Mapping[str, Any], path: str, *, both: bool) -> Iterator[FieldChange]:
    for name, value in new.items():
        below = f"{path}.{name}" if path else str(name)
        if name in old:
            yield from _differences(old[name], value, below, both=both)
        elif both or value not in _EMPTY:
            yield FieldChange(below, None, value)
    if both:
        for name, value in old.items():
            if name not in new:
                yield FieldChange(f"{path}.{name}" if path else str(name), value, None)


def _of_lists(old: list[Any], new: list[Any], path: str, *, both: bool) -> Iterator[FieldChange]:
    key = merge_key(new, old) if both else merge_key(new)
    if key is not None:
        yield from _of_entries(old, new, key, path, both=both)
    elif both and _plain(old) and _plain(new):
        if old != new:
            yield FieldChange(path, old, new)
    elif len(old) != len(new):
        yield FieldChange(path, old, new)
    else:
        for index, (before, after) in enumerate(zip(old, new, strict=True)):
            yield from _differences(before, after, f"{path}[{index}]", both=both)


def _of_entries(old: list[Any], new: list[Any], key: str, path: str, *, both: bool) -> Iterator[FieldChange]:
    there = {each[key]: each for each in old if isinstance(each, Mapping) and isinstance(each.get(key), str | int)}
    for each in new:
        below = f"{path}[{each[key]}]"
        if each[key] in there:
            yield from _differences(there[each[key]], each, below, both=both)
        else:
            yield FieldChange(below, None, each)
    if not both:
        return
    wanted = {each[key]: each for each in new}
    for name, each in there.items():
        if name not in wanted:
            yield FieldChange(f"{path}[{name}]", each, None)
    was, is_to_be = [name for name in there if name in wanted], [name for name in wanted if name in there]
    if was != is_to_be:
        yield FieldChange(path, was, is_to_be)


def _plain(values: Sequence[Any]) -> bool:
    return not any(isinstance(each, Mapping | list) for each in values)


def merge_key(*lists: Sequence[Any]) -> str | None:
    """Return the field that names the entries of each list, or None when some entries have no name of their own."""
    entries = [each for one in lists for each in one]
    for key in _MERGE_KEYS:
        if entries and all(isinstance(each, Mapping) and isinstance(each.get(key), str | int) for each in entries):
            distinct = all(len({each[key] for each in one}) == len(one) for one in lists)
            return key if distinct else None
    return None
