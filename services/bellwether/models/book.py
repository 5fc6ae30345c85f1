"""The registry's book on the wire: who may change it, what a change may say, and what it shows. Pure."""

from __future__ import annotations

import msgspec

from bellwether.messages.canonical import canonical_bytes, content_hash
from bellwether.messages.models import RegisteredModel, RegistryBook
from bellwether.training.ledger import Entry, Ledger, LedgerError


def told(ledger: Ledger) -> RegistryBook:
    """Return the book as it goes over the wire."""
    return RegistryBook(canonical_bytes(ledger).decode(), content_hash(ledger))


def read(book: str) -> Ledger:
    """Return a book from the wire.

    Raises:
        LedgerError: when it is none.

    """
    try:
        return msgspec.json.decode(book, type=Ledger)
    except msgspec.MsgspecError as error:
        raise LedgerError(f"the book cannot be read: {error}") from error


def check_change(before: Ledger, after: Ledger, enforce: bool) -> None:
    """Refuse a change that takes something out, lets two models serve or be in shadow at once, or goes past the gate.

    Raises:
        LedgerError: naming the model.

    """
    gone = {one.version for one in before.entries} - {one.version for one in after.entries}
    if gone or len(after.trials) < len(before.trials):
        raise LedgerError(f"nothing is ever taken out of the book: {', '.join(sorted(gone)) or 'trials'} would be gone")
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
    return RegisteredModel(
        version=entry.version,
        model_name=entry.name,
        symbol=entry.symbol,
        stage=entry.stage,
        since=entry.since,
        reason=entry.reason,
        passed=None if entry.verdict is None else entry.verdict.passed,
        gate="nobody judged it" if entry.verdict is None else entry.verdict.words(),
        demoted=entry.demoted,
    )
