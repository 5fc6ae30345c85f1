"""A stored decision computed again: from the bars and the model as they were, compared byte by byte."""

from __future__ import annotations

from typing import Any

import msgspec

from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.market_data import Bar, Bars, GetBars
from bellwether.messages.prediction import ReplayedDecision
from bellwether.prediction.asking import ask_model
from bellwether.prediction.logic import Inputs, canonical_record, decide, differences
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.training.feature_table import TABLE, Basket
from bellwether.training.features import WINDOW, NotEnoughBars, basket_of, features, needs_basket

TOLERANCE = 1.0e-6


class _Record(msgspec.Struct, frozen=True):
    code_version: str
    inputs: Inputs


async def again(identifier: str, stored: bytes, call: Call) -> ReplayedDecision:
    """Return whether a decision comes out with the same bytes.

    Features are computed again from the bars of its instant, the probability is asked of the very model version, then
    the decision is made again. What the market's state was stays as stored: it depends on limits and symbols that may
    have been edited since. Another version of this product than the stored one can at best be equal within 1e-6.

    Raises:
        RpcError: when bars or model cannot be asked.
    """
    record = msgspec.json.decode(stored, type=_Record)
    version = call.context.config.version
    inputs = await _inputs_again(record.inputs, call.at(record.inputs.as_of))
    bytes_again = canonical_record(inputs, decide(inputs), record.code_version)
    found, largest = differences(msgspec.json.decode(stored), _plain(bytes_again))
    if bytes_again == stored and record.code_version == version:
        return ReplayedDecision(identifier, "equal", [])
    if largest <= TOLERANCE:
        if record.code_version != version:
            found = [*found, "code_version"]
        return ReplayedDecision(identifier, "equal within 1e-6", found)
    return ReplayedDecision(identifier, "different", found)


async def _inputs_again(inputs: Inputs, call: Call) -> Inputs:
    if inputs.bars_revision is None:
        return inputs
    changes: dict[str, Any] = {}
    try:
        # Bars that were corrected since are asked for in the version that was used.
        question = GetBars(inputs.symbol, count=WINDOW, revision=inputs.bars_revision)
        bars = await call.request("market-data", "get_bars", question, Bars, idempotent=True)
        changes["bars_revision"] = bars.revision
        names = [name for name in inputs.features if name in TABLE]
        basket = await _basket_again(inputs, bars.bars, call) if needs_basket(tuple(names)) else {}
        changes["features"] = features(bars.bars, names, basket) if names else {}
    except NotEnoughBars:
        changes["features"] = {}
    except RpcError as error:
        # Bars that are gone are a difference to be reported, not a failure to compare.
        if error.code not in ("NO_BARS", "UNKNOWN_SYMBOL", "SOURCE_UNAVAILABLE"):
            raise
        changes["bars_revision"] = None
    if inputs.model is not None:
        row = changes.get("features") or inputs.features
        changes["model"] = await ask_model(inputs.model_name, inputs.symbol, row, call, inputs.model.version)
    return msgspec.structs.replace(inputs, **changes)


async def _basket_again(inputs: Inputs, own: list[Bar], call: Call) -> Basket:
    """Return the basket of the very bars that the decision was made with."""
    histories = [own]
    for symbol, revision in sorted((inputs.basket or {}).items()):
        question = GetBars(symbol, count=WINDOW, revision=revision)
        histories.append((await call.request("market-data", "get_bars", question, Bars, idempotent=True)).bars)
    return basket_of(histories)


def _plain(content: bytes) -> Any:
    return msgspec.json.decode(canonical_bytes(msgspec.json.decode(content)))
