"""What the declaration is made of: strict blocks, rules in CEL, and the kinds of value.

Durations, money, ratios, names, days and times of day are strings with a pattern rather than numbers, so that what a
person wrote is what is stored: no float ever stands for money, and `30m` stays `30m`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel


def cel(rule: str, message: str, field_path: str | None = None) -> dict[str, Any]:
    """Return one validation rule of the resource: a CEL expression over `self` and what is right in words."""
    found = {"rule": rule, "message": message}
    if field_path is not None:
        found["fieldPath"] = field_path
    return found


class Block(BaseModel):
    """A part of the declaration: unknown fields are refused, names are camelCase in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


def rules(*expressions: dict[str, Any], **more: Any) -> ConfigDict:
    """Return the configuration of a block whose fields are held together by rules."""
    extra: dict[str, Any] = {"x-kubernetes-validations": list(expressions), **more}
    return ConfigDict(json_schema_extra=extra)


SYSTEM_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
SYSTEM_NAME_LENGTH = 20
DURATION_PATTERN = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
OFFSET_PATTERN = r"^-?([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
MONEY_PATTERN = r"^[0-9]{1,15}(\.[0-9]{1,6})?$"
RATIO_PATTERN = r"^(0(\.[0-9]{1,6})?|1(\.0{1,6})?)$"
DAY_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"
TIME_OF_DAY_PATTERN = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
INSTANT_PATTERN = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?Z$"
SIZE_PATTERN = r"^([1-9][0-9]{2,5}Mi|[1-9][0-9]{0,5}(Gi|Ti))$"

FIRST_DAY, LAST_DAY = "1990-01-01", "2040-12-31"
"""What the exchanges' tables cover at most."""
_DAY_EXISTS = (
    "^[0-9]{4}-((0[13578]|1[02])-[0-9]{2}|(0[469]|11)-([012][0-9]|30)|02-([01][0-9]|2[0-8]))"
    "|^([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29"
)
_COUNTED = r"([0-9]{1,5}(\.[0-9]{1,9})?h|[0-9]{1,7}(\.[0-9]{1,9})?m|[0-9]{1,9}(\.[0-9]{1,9})?m?s)"
"""A part of a duration that can be added up: longer ones are refused before they are counted."""
LONGEST = "168h"


def _where(pattern: str, rule: str, message: str) -> dict[str, str]:
    """Return a rule of a text for those that have the form at all; the pattern refuses the others."""
    return {"rule": f"!self.matches(r'{pattern}') || ({rule})", "message": message}


def _with_rules(*rules: dict[str, str]) -> dict[str, Any]:
    return {"x-kubernetes-validations": list(rules)}


def _day_exists(pattern: str) -> dict[str, str]:
    return _where(pattern, f"self.matches('{_DAY_EXISTS}')", "there is no such day")


_DAY_COVERED = _where(
    DAY_PATTERN, f"self >= '{FIRST_DAY}' && self <= '{LAST_DAY}'", f"the calendars cover {FIRST_DAY} to {LAST_DAY}"
)
_SHORT = _where(
    DURATION_PATTERN,
    f"self.matches(r'^{_COUNTED}+$') && duration(self) <= duration('{LONGEST}')",
    f"a duration is at most {LONGEST} (7 days)",
)
_NEAR = _where(
    OFFSET_PATTERN,
    f"self.matches(r'^-?{_COUNTED}+$') && duration(self) <= duration('{LONGEST}') && "
    f"duration(self) >= duration('-{LONGEST}')",
    f"an offset is at most {LONGEST} (7 days)",
)
Duration = Annotated[
    str,
    Field(
        pattern=DURATION_PATTERN,
        max_length=32,
        examples=["30m", "1h30m", "500ms"],
        json_schema_extra=_with_rules(_SHORT),
    ),
]
Offset = Annotated[
    str, Field(pattern=OFFSET_PATTERN, max_length=33, examples=["-15m", "1h"], json_schema_extra=_with_rules(_NEAR))
]
Money = Annotated[str, Field(pattern=MONEY_PATTERN, max_length=22, examples=["100000", "9.95"])]
Ratio = Annotated[str, Field(pattern=RATIO_PATTERN, max_length=8, examples=["0.02", "1"])]
PositiveMoney = Annotated[
    str,
    Field(
        pattern=MONEY_PATTERN,
        max_length=22,
        examples=["100000"],
        json_schema_extra=_with_rules(_where(MONEY_PATTERN, "self.matches('[1-9]')", "it must be above 0")),
    ),
]
Day = Annotated[
    str,
    Field(
        pattern=DAY_PATTERN,
        max_length=10,
        min_length=10,
        examples=["2009-01-02"],
        json_schema_extra=_with_rules(_day_exists(DAY_PATTERN), _DAY_COVERED),
    ),
]
TimeOfDay = Annotated[str, Field(pattern=TIME_OF_DAY_PATTERN, max_length=5, min_length=5, examples=["14:10"])]


def _instant(text: str) -> str:
    datetime.fromisoformat(text)  # the pattern lets the 30th of February through
    return text


Instant = Annotated[
    str,
    Field(
        pattern=INSTANT_PATTERN,
        max_length=20,
        min_length=17,
        examples=["2026-11-23T04:30:00Z"],
        json_schema_extra=_with_rules(
            _day_exists(INSTANT_PATTERN),
            # Not the last day itself: it may be the next one at an exchange further east.
            _where(
                INSTANT_PATTERN,
                f"self >= '{FIRST_DAY}' && self < '{LAST_DAY}'",
                f"the calendars cover {FIRST_DAY} to {LAST_DAY}",
            ),
        ),
    ),
    AfterValidator(_instant),
]
Days = Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}d$", max_length=5, examples=["365d"])]
_SYMBOL_PATTERN = r"^[A-Z0-9^][A-Z0-9.^=-]{0,14}$"
Symbol = Annotated[
    str,
    Field(
        pattern=_SYMBOL_PATTERN,
        max_length=15,
        examples=["CBA.AX"],
        json_schema_extra=_with_rules(
            _where(_SYMBOL_PATTERN, "self.matches('[A-Z0-9]')", "a symbol needs a letter or a digit")
        ),
    ),
]
SymbolKey = Annotated[str, Field(pattern=_SYMBOL_PATTERN, max_length=15)]
"""A symbol as the key of a map, where no rule can be."""
TaskName = Annotated[str, Field(pattern=r"^[a-z]([_a-z0-9]*[a-z0-9])?$", max_length=24)]
_DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
LABEL_PATTERN = rf"^({_DNS_NAME}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
LABEL_VALUE_PATTERN = r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
OBJECT_NAME_PATTERN = rf"^{_DNS_NAME}$"
CLASS_NAME_PATTERN = rf"^({_DNS_NAME})?$"
Label = Annotated[str, Field(pattern=LABEL_PATTERN, max_length=253)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE_PATTERN, max_length=63)]
ObjectName = Annotated[str, Field(pattern=OBJECT_NAME_PATTERN, max_length=253)]

_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_UNIT_MICROSECONDS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000}


def parse_duration(text: str) -> timedelta:
    """Return the length of time that a Go duration such as `1h30m` or `-15m` states.

    Raises:
        ValueError: if the text is not a duration in hours, minutes, seconds or milliseconds.
    """
    if not re.fullmatch(OFFSET_PATTERN, text):
        raise ValueError(f"{text!r} is not a duration: write hours, minutes, seconds as in 1h30m or 500ms")
    total = sum(Decimal(number) * _UNIT_MICROSECONDS[unit] for number, unit in _PART.findall(text))
    return timedelta(microseconds=int(-total if text.startswith("-") else total))


def parse_days(text: str) -> timedelta:
    """Return the length of time that days such as `365d` state.

    Raises:
        ValueError: if the text is not a whole number of days.
    """
    if not re.fullmatch(r"[1-9][0-9]{0,3}d", text):
        raise ValueError(f"{text!r} is not a number of days: write 1d to 9999d")
    return timedelta(days=int(text[:-1]))


def parse_instant(text: str) -> datetime:
    """Return the instant (UTC) that a text such as `2026-11-23T04:30:00Z` states.

    Raises:
        ValueError: if there is no such instant.
    """
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
