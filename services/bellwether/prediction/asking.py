"""How ml-model is asked for a probability."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import msgspec

from bellwether.messages.models import Predict, Probability
from bellwether.prediction.logic import NO_EXPIRY, Expiry
from bellwether.runtime.call import Call


async def ask_model(name: str, symbol: str, row: dict[str, float], call: Call, version: str) -> Probability:
    """Return the probability that a version of a model gives for a row of features, as it is recorded."""
    return recorded(await ask(Predict(name, row, symbol, version), call))


async def ask(request: Predict, call: Call) -> Probability:
    """Return what ml-model answers."""
    return await call.request("ml-model", "predict", request, Probability, idempotent=True)


def recorded(found: Probability) -> Probability:
    """Return the part of an answer that a decision's record has."""
    # The version says when it expires; records from before that was said stay equal.
    return msgspec.structs.replace(found, expires_on=None, shadow=None, novelty=None)


def expiry_in(detail: Mapping[str, Any]) -> Expiry:
    """Return which model has expired and when, from the details of an error; nothing of an error about others."""
    try:
        return Expiry(str(detail["version"]), date.fromisoformat(str(detail["expires_on"])))
    except (KeyError, ValueError):
        return NO_EXPIRY
