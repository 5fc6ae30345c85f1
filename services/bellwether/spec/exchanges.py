"""The exchanges that a declaration can name. Without pydantic, so that the process of a Job stays small."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

CalendarName: TypeAlias = Literal["XASX", "XNYS", "XHKG", "XLON", "XTKS"]
"""A market identifier code. Its table of sessions is made by `make generate`."""
CALENDARS: tuple[str, ...] = tuple(sorted(get_args(CalendarName)))
"""The same, as values."""
