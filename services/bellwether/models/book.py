"""The registry's book on the wire: who may change it, what a change may say, and what it shows. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import msgspec

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.fields import from_fields
from bellwether.messages.registry import RegisteredModel, RegistryBook
from bellwether.training.ledger import Entry, LedgerError, ModelLedger

PART = 512 * 1024
"""Bytes of one part of the book: a message has room for that, written as base64."""
MOST_LISTED = 500


@dataclass(frozen=True)
class Written:
    """A book as canonical JSON. A model takes about 1.5 kB: some hundreds are more than a message holds."""

    ledger: ModelLedger
    content: bytes
    hash: str

    def part(self, offset: int) -> RegistryBook:
        """Return the part that begins at a byte."""
        start = min(max(offset, 0), len(self.content))
        return RegistryBook(self.content[start : start + PART], len(self.content), self.hash)


def written(ledger: ModelLedger) -> Written:
    """Return the book as it goes over the wire, part by part."""
    content = canonical_bytes(ledger)
    return Written(ledger, content, hashlib.sha256(content).hexdigest())


def read(book: str | bytes) -> ModelLedger:
    """Return a book, or a change of one, from the wire.

    Raises:
        LedgerError: when it is none.
    """
    try:
        return msgspec.json.decode(book, type=ModelLedger)
    except msgspec.MsgspecError as error:
        raise LedgerError(f"the book cannot be read: {error}") from error


def change_of(before: ModelLedger, after: ModelLedger) -> ModelLedger:
    """Return what makes one book of another: the entries that are new or differ, and the trials that are new."""
    known = {one.version: one for one in before.entries}
    return ModelLedger(
        [one for one in after.entries if known.get(one.version) != one], after.trials[len(before.trials) :]
    )


def changed(before: ModelLedger, change: ModelLedger) -> ModelLedger:
    """Return a book with a change; nothing is ever taken out of it."""
    updated = {one.version: one for one in change.entries}
    kept = [updated.pop(one.version, one) for one in before.entries]
    return ModelLedger([*kept, *updated.values()], [*before.trials, *change.trials])


def listed(ledger: ModelLedger, name: str | None, limit: int) -> tuple[list[Entry], int]:
    """Return the models of a recipe (None: of all) that serve or are in shadow and the newest others, and the count
    of all.
    """
    of_name = [one for one in ledger.entries if name in (None, one.name)]
    others = [one for one in of_name if one.stage not in ("serving", "shadow")]
    old = {one.version for one in others[: max(len(others) - limit, 0)]}
    return [one for one in of_name if one.version not in old], len(of_name)


def check_change(before: ModelLedger, after: ModelLedger, enforce: bool) -> None:
    """Refuse a change that lets two models serve or be in shadow at once, or goes past the gate.

    Raises:
        LedgerError: naming the model.
    """
    serving = [(one.name, one.symbol) for one in after.entries if one.stage == "serving"]
    twice = {f"{name}, {symbol or 'all symbols'}" for name, symbol in serving if serving.count((name, symbol)) > 1}
    if twice:
        raise LedgerError(f"two models would serve: {'; '.join(sorted(twice))}")
    shadows = [one.symbol for one in after.entries if one.stage == "shadow"]
    if len(set(shadows)) != len(shadows):
        raise LedgerError("two models would be in shadow for one symbol")
    known = {one.version: one for one in before.entries}
    for one in after.entries:
        old = known.get(one.version)
        starts = one.stage in ("serving", "shadow") and (old is None or old.stage != one.stage)
        if enforce and starts and (one.verdict is None or not one.verdict.passed):
            raise LedgerError(f"model {one.version[:12]} did not pass the gate, and training.gate.mode is enforce")
        if old is not None and old.verdict != one.verdict:
            raise LedgerError(f"model {one.version[:12]}: a verdict is never changed")


def shown(entry: Entry) -> RegisteredModel:
    """Return an entry as callers see it."""
    verdict = entry.verdict
    passed, gate = (None, "nobody judged it") if verdict is None else (verdict.passed, verdict.words())
    return from_fields(RegisteredModel, entry, model_name=entry.name, passed=passed, gate=gate)
