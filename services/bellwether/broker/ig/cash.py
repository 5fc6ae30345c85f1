"""What moved money on the account: IG's transactions as adjustments. Pure."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from bellwether.broker.ig.facts import NotUnderstood, exact
from bellwether.broker.ig.lookup import instant_of
from bellwether.broker.values import Adjustment, AdjustmentKind

_AMOUNT = re.compile(r"[0-9][0-9,]*(\.[0-9]+)?")
_WORDS: tuple[tuple[AdjustmentKind, tuple[str, ...]], ...] = (
    ("dividend", ("DIVIDEND", "DVD")),
    ("funding", ("INTEREST", "FUNDING", "BORROW", "ADMIN FEE")),
    ("commission", ("COMM",)),
    ("transfer", ("CASH IN", "CASH OUT", "TRANSFER", "DEPOSIT", "WITHDRAWAL", "CARD PAYMENT")),
)


def adjustments_of(rows: Iterable[Mapping[str, Any]], names: Mapping[str, str], now: datetime) -> list[Adjustment]:
    """Return an adjustment for each transaction, oldest first; `names` gives the symbol of a market's name.

    IG does not say what a cash transaction is for but in its text, so its words decide; what they do not tell is
    `other`, with the text.

    Raises:
        NotUnderstood: when an amount cannot be read: no money may be overlooked.
    """
    found: dict[str, Adjustment] = {}
    for row in rows:
        text, kind = str(row.get("instrumentName") or "")[:120], str(row.get("transactionType") or "")
        at = instant_of(row.get("dateUtc"), now)
        amount = _amount(row.get("profitAndLoss"))
        known = _kind(text, kind, cash=bool(row.get("cashTransaction")))
        symbol = next((symbol for name, symbol in names.items() if name and name in text), "")
        said = "|".join(str(row.get(key)) for key in sorted(row))
        # A reference is shared by a deal's commission, funding and close, so that the whole row is the identity; two
        # equal rows are two.
        number, digest = 1, hashlib.sha256(said.encode()).hexdigest()[:24]
        while f"ig:{digest}:{number}" in found:
            number += 1
        identity = f"ig:{digest}:{number}"
        found[identity] = Adjustment(identity, at, known, amount, symbol, text)
    return sorted(found.values(), key=lambda one: one.at)


def _kind(text: str, kind: str, *, cash: bool) -> AdjustmentKind:
    if kind == "TRADE" and not cash:
        return "realised"
    upper = text.upper()
    return next((name for name, words in _WORDS if any(word in upper for word in words)), "other")


def _amount(value: Any) -> Decimal:
    text = str(value or "").replace(" ", "")
    sign = -1 if "-" in text else 1
    digits = _AMOUNT.search(text)
    if digits is None:
        raise NotUnderstood(f"profitAndLoss: {text[:40]!r} is no amount")
    return sign * Decimal(digits[0].replace(",", ""))


def closing_price(rows: Iterable[Mapping[str, Any]], name: str, lot: int) -> Decimal | None:
    """Return the average price per share at which positions in a market were closed; None where none were."""
    value = size = Decimal(0)
    for row in rows:
        if row.get("transactionType") == "TRADE" and str(row.get("instrumentName")) == name:
            part = abs(exact(str(row.get("size")).replace(",", ""), "size"))
            value += part * exact(str(row.get("closeLevel")).replace(",", ""), "closeLevel")
            size += part
    return None if size == 0 or value <= 0 else (value / size / lot).quantize(Decimal("0.0001"))
