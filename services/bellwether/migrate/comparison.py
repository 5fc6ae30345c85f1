"""Comparing the old system with the new one, session by session, and when it is safe to switch. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Literal

import msgspec

from bellwether.migrate.answers import PATHS, Answer, answers


class Kind(StrEnum):
    """What differs."""

    missing = "missing"
    """One side has no answer, no price, or says that an input was not there."""
    stale = "stale"
    """One side's answer is older than allowed, or of an older bar than the other's."""
    timing = "timing"
    """The two answers were made at different times."""
    price = "price"
    input = "input"
    """An indicator, the sentiment or the model."""
    probability = "probability"
    action = "action"


class Cause(StrEnum):
    """Why it differs."""

    input = "input differs"
    """The two sides looked at different things, or one at nothing."""
    logic = "logic differs"
    """The two sides looked at the same and concluded differently."""
    service = "service differs"
    """One side did not answer, or not in time."""
    unknown = "input not reported"
    """One side does not say what it looked at."""


class Tolerances(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far the two may be apart, how often, and where a side keeps what."""

    price: float = 0.001
    """A share of the new side's price."""
    probability: float = 0.02
    rsi: float = 1.0
    tech_score: float = 2.0
    volume_trend: float = 0.05
    sentiment_score: float = 0.05
    news_confidence: float = 0.05
    timing: float = 300.0
    """Seconds between the two predictions."""
    stale: float = 1800.0
    """Seconds from a prediction to when it was asked for; the old cache kept one for 1,800."""
    action: Literal["exact", "direction"] = "exact"
    """`direction`: STRONG_BUY is as BUY."""
    model: Literal["exact", "ignore"] = "exact"
    models: dict[str, str] = {}
    """Old model -> the new one that is taken for the same, as NAME@VERSION or NAME."""
    allowed: dict[Kind, float] = {}
    """Per kind of difference the share of answers, 0 to 1, that may have it; else none."""
    old: dict[str, str] = {}
    """Where the old side keeps a value, such as `action: prediction.decision`."""
    new: dict[str, str] = {}


@dataclass(frozen=True)
class Sample:
    """What both said when they were asked for one session, with the inputs that they named."""

    session: date
    asked: datetime
    old: Mapping[str, Any]
    new: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """One way in which the two sides differ about a share."""

    session: date
    symbol: str
    kind: Kind
    cause: Cause
    field: str
    old: Any
    new: Any
    words: str


@dataclass(frozen=True)
class Compared:
    """One share in one session. `equal_inputs` is None where a side does not say its price."""

    session: date
    symbol: str
    old: Answer
    new: Answer
    equal_decisions: bool | None
    equal_inputs: bool | None
    not_reported: tuple[str, ...]
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Verdict:
    """Whether to switch: `safe`, `not safe`, or `not yet` while too few sessions were compared."""

    state: Literal["safe", "not safe", "not yet"]
    sessions: int
    wanted: int
    answers: int
    reasons: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    """Answers with a difference, by kind."""


def read_tolerances(given: Any) -> Tolerances:
    """Return tolerances from what their YAML holds; nothing gives the defaults.

    Raises:
        ValueError: naming the field, the value and what would be right.
    """
    try:
        found = msgspec.convert(given or {}, Tolerances)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    for side, paths in (("old", found.old), ("new", found.new)):
        for name in paths:
            if name not in PATHS:
                raise ValueError(f"{side}.{name} is not known; there are {', '.join(PATHS)}")
    for kind, share in found.allowed.items():
        if not 0 <= share <= 1:
            raise ValueError(f"allowed.{kind}: {share:g} is no share, 0 to 1")
    return found


def compare(sample: Sample, symbols: Sequence[str], allowed: Tolerances) -> list[Compared]:
    """Return how the two sides differ about each share."""
    old = answers(sample.old, symbols, allowed.old)
    new = answers(sample.new, symbols, allowed.new)
    return [_Pair(sample, old[symbol], new[symbol], allowed).compared() for symbol in symbols]


class _Pair:
    """Two answers about one share, and what was found so far."""

    def __init__(self, sample: Sample, old: Answer, new: Answer, allowed: Tolerances) -> None:
        self._sample = sample
        self._old = old
        self._new = new
        self._allowed = allowed
        self._found: list[Difference] = []

    def compared(self) -> Compared:
        if self._old.error is not None or self._new.error is not None:
            self._no_answer()
            return self._result(None, None, ())
        not_reported = self._inputs()
        inputs_differ = bool(self._found)
        self._times()
        stale = any(one.kind is Kind.stale for one in self._found)
        priced = self._old.price is not None and self._new.price is not None
        equal_inputs = False if inputs_differ or stale else True if priced else None
        cause = {False: Cause.input, True: Cause.logic, None: Cause.unknown}[equal_inputs]
        equal = self._decisions(cause)
        if equal and equal_inputs is False:
            # Right for the wrong reason today; on another day the same inputs would part them.
            self._found = [
                replace(one, words=f"{one.words}; equal decisions on unequal input")
                if one.cause is Cause.input
                else one
                for one in self._found
            ]
        return self._result(equal, equal_inputs, not_reported)

    def _result(self, equal: bool | None, inputs: bool | None, not_reported: tuple[str, ...]) -> Compared:
        session, symbol = self._sample.session, self._old.symbol
        return Compared(session, symbol, self._old, self._new, equal, inputs, not_reported, tuple(self._found))

    def _add(self, kind: Kind, cause: Cause, values: tuple[str, Any, Any], words: str) -> None:
        """Add a difference; `values` are the field's name and what the old and the new side have."""
        self._found.append(Difference(self._sample.session, self._old.symbol, kind, cause, *values, words))

    def _no_answer(self) -> None:
        for side, one in (("old", self._old), ("new", self._new)):
            if one.error is not None:
                values = ("prediction", self._old.action, self._new.action)
                self._add(Kind.missing, Cause.service, values, f"the {side} system has no prediction: {one.error}")

    def _inputs(self) -> tuple[str, ...]:
        """Find what the two looked at differently; return the names that one side does not give."""
        for words in sorted({*self._old.lacking} ^ {*self._new.lacking}):
            side = "old" if words in self._old.lacking else "new"
            had = {"old": "missing" if side == "old" else "there", "new": "missing" if side == "new" else "there"}
            self._add(Kind.missing, Cause.input, (words, had["old"], had["new"]), f"the {side} system had no {words}")
        self._price()
        not_reported = []
        for name in sorted({*self._old.inputs, *self._new.inputs}):
            old, new = self._old.inputs.get(name), self._new.inputs.get(name)
            if old is None or new is None:
                not_reported.append(name)
            elif not self._same_input(name, old, new):
                self._add(Kind.input, Cause.input, (name, old, new), f"{name}: {old} and {new}{self._limit(name)}")
        return tuple(not_reported)

    def _price(self) -> None:
        old, new = self._old.price, self._new.price
        if old is None or new is None:
            if (old is None) != (new is None) and self._old.lacking == self._new.lacking:
                side = "old" if old is None else "new"
                self._add(Kind.missing, Cause.input, ("price", old, new), f"the {side} system has no price")
        elif abs(old - new) > self._allowed.price * abs(new):
            apart = f"{abs(old - new) / abs(new):.2%} apart, {self._allowed.price:.2%} allowed"
            self._add(Kind.price, Cause.input, ("price", old, new), f"price: {old:g} and {new:g}, {apart}")

    def _same_input(self, name: str, old: float | str, new: float | str) -> bool:
        if name == "model":
            return self._allowed.model == "ignore" or self._same_model(str(old), str(new))
        if isinstance(old, str) or isinstance(new, str):
            return str(old) == str(new)
        return abs(old - new) <= float(getattr(self._allowed, name))

    def _same_model(self, old: str, new: str) -> bool:
        for known in (old, old.partition("@")[0]):
            if known in self._allowed.models:
                meant = self._allowed.models[known]
                return meant in (new, new.partition("@")[0])
        return old == new

    def _limit(self, name: str) -> str:
        limit = getattr(self._allowed, name, None)
        return f", {limit:g} allowed" if isinstance(limit, float) else ""

    def _times(self) -> None:
        stale = False
        for side, one in (("old", self._old), ("new", self._new)):
            age = None if one.at is None else (self._sample.asked - one.at).total_seconds()
            if age is not None and age > self._allowed.stale:
                stale = True
                words = f"the {side} system's prediction was {age:.0f} s old, {self._allowed.stale:g} allowed"
                self._add(Kind.stale, Cause.service, ("at", self._old.at, self._new.at), words)
        old, new = self._old.bar, self._new.bar
        if old is not None and new is not None and old != new:
            stale = True
            side = "old" if old < new else "new"
            self._add(
                Kind.stale, Cause.input, ("bar", old, new), f"the {side} system looks at an older bar: {old}, {new}"
            )
        if self._old.at is None or self._new.at is None or stale:
            return
        apart = abs((self._old.at - self._new.at).total_seconds())
        if apart > self._allowed.timing:
            words = f"they were made {apart:.0f} s apart, {self._allowed.timing:g} allowed"
            self._add(Kind.timing, Cause.service, ("at", self._old.at, self._new.at), words)

    def _decisions(self, cause: Cause) -> bool:
        old, new = self._old.probability, self._new.probability
        if old is not None and new is not None and abs(old - new) > self._allowed.probability:
            words = f"probability: {old:g} and {new:g}, {self._allowed.probability:g} allowed; {cause}"
            self._add(Kind.probability, cause, ("probability", old, new), words)
        one, other = self._old.action, self._new.action
        equal = one == other or (self._allowed.action == "direction" and _direction(one) == _direction(other))
        if not equal:
            self._add(Kind.action, cause, ("action", one, other), f"action: {one} and {other}; {cause}")
        return equal


def _direction(action: str | None) -> str | None:
    return None if action is None else action.removeprefix("STRONG_")


def judge(compared: Sequence[Compared], wanted: int, allowed: Tolerances) -> Verdict:
    """Return whether to switch, by the newest `wanted` sessions."""
    sessions = sorted({one.session for one in compared})
    counted = set(sessions[-wanted:])
    recent = [one for one in compared if one.session in counted]
    counts = Counter(kind for one in recent for kind in {difference.kind for difference in one.differences})
    reasons = []
    for kind in Kind:
        most = allowed.allowed.get(kind, 0.0)
        if counts[kind] > most * len(recent):
            share = f", {most:.1%} allowed" if most else ""
            reasons.append(f"{counts[kind]} of {len(recent)} answers differ in {kind}{share}")
    not_known = sum(one.equal_inputs is None and one.equal_decisions is not None for one in recent)
    if not_known:
        reasons.append(f"of {not_known} of {len(recent)} answers a side does not tell its price: {Cause.unknown}")
    lacking = wanted - len(sessions)
    state: Literal["safe", "not safe", "not yet"] = "not safe" if reasons else "safe"
    if lacking > 0:
        state = "not yet"
        reasons.insert(0, f"{len(sessions)} of {wanted} sessions are compared")
    return Verdict(
        state, len(sessions), wanted, len(recent), tuple(reasons), {str(kind): counts[kind] for kind in counts}
    )


def as_json(compared: Sequence[Compared], verdict: Verdict) -> dict[str, Any]:
    """Return a report for programs."""
    return {
        "verdict": msgspec.to_builtins(verdict),
        "differences": [msgspec.to_builtins(one) for pair in compared for one in pair.differences],
        "answers": [
            {name: value for name, value in msgspec.to_builtins(pair).items() if name != "differences"}
            for pair in compared
        ],
    }
