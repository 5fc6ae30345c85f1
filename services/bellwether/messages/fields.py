"""Structs that take their fields from other values, and from rows of a database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_ABSENT = object()


def from_fields(wanted: type[T], *sources: object, **given: Any) -> T:
    """Return a struct or dataclass with the fields that are `given`, and those of the same names of the sources.

    Where several sources have a field it is the first one's; a field that none has keeps its default.
    """
    names = getattr(wanted, "__struct_fields__", None) or wanted.__match_args__  # type: ignore[attr-defined]
    for name in names:
        if name not in given:
            for source in sources:
                if (value := getattr(source, name, _ABSENT)) is not _ABSENT:
                    given[name] = value
                    break
    return wanted(**given)


def from_row(wanted: type[T], row: Mapping[str, Any], **given: Any) -> T:
    """Return a struct with the fields that are `given`, and those that a row has columns of the same names of.

    Decimals, days and instants are texts in the row. A column that the struct has no field of is passed over.
    """
    # SQLAlchemy's names of columns are texts of its own, which msgspec takes for none.
    return msgspec.convert({str(name): value for name, value in row.items()} | given, wanted)
