"""Which model serves where, which wait, and what was tried: the registry's book, as pure values.

Stages of a model, per recipe and symbol (None: the general one): candidate, shadow, serving, retired. At most one
serves; at most one per symbol, of whatever recipe, is in shadow. Only `record`, `promote`, `roll_back`,
`put_in_shadow`, `end_shadow` and `demote` change a stage, and nothing is ever taken out of the book: a model that a
stored decision names stays where it is.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from bellwether.messages.canonical import content_hash
from bellwether.storage.folders import write_durably
from bellwether.training.artifact import Manifest
from bellwether.training.evidence import Evidence
from bellwether.training.gate import Verdict, comparable, judge
from bellwether.training.recipe import Gate

Stage = Literal["candidate", "shadow", "serving", "retired"]
Mode = Literal["enforce", "report"]
FILE = "ledger.json"
_SHOWN = 5
"""How many models a message names."""


class LedgerError(Exception):
    """A change that the book does not allow; the message says why and what to do."""


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """One model of the registry."""

    version: str
    name: str
    symbol: str | None
    recipe_hash: str
    stage: Stage
    since: datetime
    reason: str
    verdict: Verdict | None
    """None where there is no evidence to judge by."""
    evidence_hash: str = ""
    before: str | None = None
    """The version that served until this one did: where a rollback goes."""
    demoted: str = ""
    """Why its live outcomes took it out of service; where nothing else could serve, it still is `serving` and answers
    nothing."""


class Trial(msgspec.Struct, frozen=True):
    """One look at what had not been seen before: the level of the gate is spent over these."""

    key: str
    name: str
    symbol: str | None
    at: datetime
    passed: bool


class ModelLedger(msgspec.Struct, frozen=True):
    """The book."""

    entries: list[Entry] = []
    trials: list[Trial] = []

    def entry(self, version: str) -> Entry:
        """Return a model's entry by its version or the beginning of one.

        Raises:
            LedgerError: when there is none, or several begin like that.
        """
        found = [one for one in self.entries if one.version.startswith(version)] if version else []
        if len(found) != 1:
            raise LedgerError(self._not_one(version, found))
        return found[0]

    def _not_one(self, version: str, found: list[Entry]) -> str:
        if found:
            matching = ", ".join(one.version[: len(version) + 4] for one in found[:_SHOWN])
            return f"version {version!r}: {len(found)} models begin like that: {matching}"
        if not self.entries:
            return f"version {version!r}: there are no models yet"
        newest = ", ".join(one.version[:12] for one in self.entries[-_SHOWN:])
        return f"version {version!r}: no model begins like that; the newest are {newest}"

    def serving(self, name: str, symbol: str | None) -> Entry | None:
        """Return what serves for a recipe and a symbol."""
        return next(
            (one for one in self.entries if (one.name, one.symbol, one.stage) == (name, symbol, "serving")), None
        )

    def demotions(self, name: str) -> list[Entry]:
        """Return the models of a recipe that were demoted and that no newer model has followed."""
        found = []
        for one in self.entries:
            now = self.serving(one.name, one.symbol)
            if one.name == name and one.demoted and (now is None or now == one or now.since == one.since):
                found.append(one)
        return found


def judged(ledger: ModelLedger, evidence: Evidence, gate: Gate, at: datetime) -> tuple[ModelLedger, Verdict]:
    """Return the book with the trial counted, and what the gate says.

    A recipe that passed for this symbol before is a refit. One that cannot be compared with its version that serves, as
    after a symbol was added, has to win again, which is a trial. Looking at the same evidence again is none.
    """
    scope = [one for one in ledger.trials if one.symbol == evidence.symbol]
    known = next((number for number, one in enumerate(scope, 1) if one.key == evidence.trial), None)
    refit = (
        known is None
        and comparable(evidence)
        and any(
            entry.verdict is not None
            and entry.verdict.passed
            and (entry.recipe_hash, entry.symbol) == (evidence.recipe_hash, evidence.symbol)
            for entry in ledger.entries
        )
    )
    trials = known or (len(scope) if refit else len(scope) + 1)
    verdict = judge(evidence, gate, trials=max(trials, 1), refit=refit)
    if known is None and not refit:
        trial = Trial(evidence.trial, evidence.recipe, evidence.symbol, at, verdict.passed)
        ledger = ModelLedger(ledger.entries, [*ledger.trials, trial])
    return ledger, verdict


def record(
    ledger: ModelLedger, version: str, manifest: Manifest, evidence: Evidence | None, gate: Gate, *, at: datetime
) -> ModelLedger:
    """Return the book with a new model as a candidate, judged; one that is known already changes nothing."""
    if any(one.version == version for one in ledger.entries):
        return ledger
    verdict = None
    if evidence is not None:
        ledger, verdict = judged(ledger, evidence, gate, at)
    entry = Entry(
        version=version,
        name=manifest.name,
        symbol=manifest.symbol,
        recipe_hash=manifest.recipe_hash,
        stage="candidate",
        since=at,
        reason="trained" if verdict is None else verdict.words(),
        verdict=verdict,
        evidence_hash="" if evidence is None else content_hash(evidence),
    )
    return ModelLedger([*ledger.entries, entry], ledger.trials)


def promote(
    ledger: ModelLedger, version: str, at: datetime, reason: str, *, mode: Mode, by_hand: bool = False
) -> ModelLedger:
    """Return the book with a model in service; what served for its recipe and symbol is retired.

    Raises:
        LedgerError: under `enforce`, when it did not pass the gate; nobody can promote past that.
    """
    entry = ledger.entry(version)
    passed = entry.verdict is not None and entry.verdict.passed
    if mode == "enforce" and not passed:
        why = "there is no evidence to judge by" if entry.verdict is None else entry.verdict.words()
        raise LedgerError(
            f"model {entry.version[:12]} did not pass the gate ({why}), and training.gate.mode is enforce: "
            "declare report to let it serve all the same"
        )
    if entry.stage == "serving" and not entry.demoted:
        return ledger
    old = ledger.serving(entry.name, entry.symbol)
    words = f"{'by hand: ' if by_hand else ''}{reason}"
    changed = {
        entry.version: msgspec.structs.replace(
            entry,
            stage="serving",
            since=at,
            reason=words,
            before=entry.before if old is None or old.version == entry.version else old.version,
            demoted="",
        )
    }
    if old is not None and old.version != entry.version:
        changed[old.version] = msgspec.structs.replace(
            old, stage="retired", since=at, reason=f"replaced by {entry.version[:12]}"
        )
    return ModelLedger([changed.get(one.version, one) for one in ledger.entries], ledger.trials)


def roll_back(
    ledger: ModelLedger, name: str, symbol: str | None, at: datetime, reason: str, *, mode: Mode
) -> ModelLedger:
    """Return the book with the version in service that served before.

    Raises:
        LedgerError: when none did, or it did not pass the gate under `enforce`.
    """
    serving = ledger.serving(name, symbol)
    whose = f"{name}, {symbol or 'all symbols'}"
    if serving is None:
        raise LedgerError(f"{whose}: no model serves, so there is nothing to roll back")
    if serving.before is None:
        raise LedgerError(f"{whose}: {serving.version[:12]} is the first that served, there is none to go back to")
    target, older = serving.before, ledger.entry(serving.before).before
    changed = promote(ledger, target, at, f"rolled back from {serving.version[:12]}: {reason}", mode=mode)
    # Rolling back again goes further back, not to and fro.
    entries = [msgspec.structs.replace(one, before=older) if one.version == target else one for one in changed.entries]
    return ModelLedger(entries, changed.trials)


def put_in_shadow(ledger: ModelLedger, version: str, at: datetime, reason: str, *, mode: Mode) -> ModelLedger:
    """Return the book with a candidate in shadow: it is asked beside what serves, and never traded by.

    Raises:
        LedgerError: when it serves or was retired or, under `enforce`, did not pass the gate.
    """
    entry = ledger.entry(version)
    passed = entry.verdict is not None and entry.verdict.passed
    if entry.stage in ("serving", "retired"):
        raise LedgerError(f"model {entry.version[:12]} is {entry.stage}: only a candidate can be put into shadow")
    if mode == "enforce" and not passed:
        raise LedgerError(f"model {entry.version[:12]} did not pass the gate, and training.gate.mode is enforce")
    if entry.stage == "shadow":
        return ledger

    def changed(one: Entry) -> Entry:
        if one.version == entry.version:
            return msgspec.structs.replace(one, stage="shadow", since=at, reason=reason)
        if (one.symbol, one.stage) == (entry.symbol, "shadow"):
            words = f"{entry.version[:12]} is in shadow instead"
            return msgspec.structs.replace(one, stage="candidate", since=at, reason=words)
        return one

    return ModelLedger([changed(one) for one in ledger.entries], ledger.trials)


def end_shadow(ledger: ModelLedger, version: str, at: datetime, reason: str) -> ModelLedger:
    """Return the book with a model out of the shadow, a candidate again.

    Raises:
        LedgerError: when it is in none.
    """
    entry = ledger.entry(version)
    if entry.stage != "shadow":
        raise LedgerError(f"model {entry.version[:12]} is {entry.stage}, not in shadow")
    changed = msgspec.structs.replace(entry, stage="candidate", since=at, reason=reason)
    return ModelLedger([changed if one == entry else one for one in ledger.entries], ledger.trials)


def demote(ledger: ModelLedger, version: str, at: datetime, why: str, *, mode: Mode) -> ModelLedger:
    """Return the book with the version in service that served before; where none may, the model answers nothing.

    A version that was demoted itself, or did not pass the gate under `enforce`, does not come back.
    """
    entry = ledger.entry(version)
    if entry.stage != "serving" or entry.demoted:
        return ledger
    changed, target = ledger, entry.before
    while target is not None:
        older = ledger.entry(target)
        passed = older.verdict is not None and older.verdict.passed
        if not older.demoted and (passed or mode == "report"):
            changed = promote(ledger, target, at, f"{version[:12]} was demoted", mode=mode)
            changed = _with(changed, msgspec.structs.replace(changed.entry(target), before=older.before))
            break
        target = older.before
    return _with(changed, msgspec.structs.replace(changed.entry(version), demoted=why, since=at))


def _with(ledger: ModelLedger, entry: Entry) -> ModelLedger:
    return ModelLedger([entry if one.version == entry.version else one for one in ledger.entries], ledger.trials)


def read_ledger(root: Path) -> ModelLedger:
    """Return the book of a registry's folder, an empty one where there is none.

    Raises:
        LedgerError: naming the file, when it cannot be read.
    """
    try:
        return msgspec.json.decode((root / FILE).read_bytes(), type=ModelLedger)
    except FileNotFoundError:
        return ModelLedger()
    except (OSError, msgspec.MsgspecError) as error:
        raise LedgerError(f"{root / FILE}: {error}") from error


def write_ledger(root: Path, ledger: ModelLedger) -> None:
    """Write the book; it changes whole or not at all."""
    root.mkdir(parents=True, exist_ok=True)
    write_durably(root / FILE, msgspec.json.format(msgspec.json.encode(ledger), indent=1))
