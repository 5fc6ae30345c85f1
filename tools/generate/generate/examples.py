"""Examples of messages: made from the types, and decoded by them, so that each is one that a service would take."""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec

NAMED: Mapping[str, Any] = {
    "symbol": "CBA.AX",
    "symbols": ["CBA.AX", "BHP.AX"],
    "session": "2026-11-27",
    "first_session": "2026-11-02",
    "last_session": "2026-11-26",
    "bar_session": "2026-11-26",
    "target_session": "2026-11-27",
    "trained_from": "2016-01-04",
    "trained_through": "2025-12-31",
    "opened": "2026-11-20",
    "expected": "2026-11-26",
    "prediction_id": "prediction_generation-20261127-cba-ax",
    "job_id": "prediction_generation-20261127",
    "job_type": "prediction_generation",
    "slot": "prediction_generation-20261127",
    "name": "prediction_generation-20261127",
    "task": "prediction_generation",
    "slots": ["prediction_generation-20261127", "morning_analysis-20261127"],
    "order_id": "o-2f6c1b8a90d34e57",
    "client_id": "by-hand-1",
    "run": "live",
    "model_name": "direction-lr",
    "model_version": "9b1f0c52d7a4",
    "version": "9b1f0c52d7a4",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "sha256": "6c1f0d2e8a4b7c9350e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7",
    "revision": "5f0c9d1e2b3a4c5d",
    "currency": "AUD",
    "calendar": "XASX",
    "system": "banks",
    "service": "prediction",
    "source": "The Wire",
    "title": "Bank raises its outlook",
    "features": {"return_1": 0.0042, "rsi_14": 55.1},
    "probability": 0.571,
    "base_rate": 0.52,
    "buy_threshold": 0.55,
    "confidence": 0.14,
    "current_price": 141.72,
    "quantity": "35",
    "cash": "95034.80",
    "positions_value": "4960.20",
    "equity": "99995.00",
    "initial_cash": "100000.00",
    "realised": "0",
    "commission": "5.00",
    "fill_price": "141.86",
    "average_cost": "141.86",
    "market_price": "141.72",
    "market_value": "4960.20",
    "unrealised": "-4.90",
    "horizon_sessions": 5,
    "fallbacks": ["sentiment"],
    "reason": "odd prices",
    "code": "DATA_STALE",
    "value": "2026-11-25",
    "limit": "2026-11-26",
    "rsi": 55.1,
    "rule": "stale",
    "event_ids": ["prediction_generated-prediction_generation-20261127-cba-ax"],
    "recipe": "direction-lr",
    "open": 141.5,
    "high": 142.3,
    "low": 140.9,
    "close": 141.72,
    "volume": 1834000.0,
    "data": {"symbol": "CBA.AX", "technical": {"current_price": 141.72}},
    "message": "BHP.AX: the newest bar is of 2026-11-25, that of 2026-11-26 can be expected",
    "canonical": {"model_version": "9b1f0c52d7a4"},
    "halts": [],
    "last_error": None,
    "error": None,
}
"""Values by the name of the field, for fields whose type takes them."""

_PLAIN: Mapping[Any, Any] = {
    str: "text",
    int: 1,
    float: 0.5,
    bool: True,
    Decimal: "100.00",
    date: "2026-11-27",
    datetime: "2026-11-26T22:45:00Z",
    type(None): None,
    bytes: "",
}


def example(kind: Any) -> Any:
    """Return an example of a type as plain JSON, as the type itself would write it.

    Raises:
        msgspec.ValidationError: if what was put together does not fit the type: a value of `NAMED` is wrong.
    """
    if kind is None:
        return {}
    made = msgspec.json.decode(json.dumps(_of(kind, "")), type=kind)
    return json.loads(msgspec.json.encode(made))


def _of(kind: Any, name: str) -> Any:
    if name in NAMED and _takes(kind, NAMED[name]):
        return NAMED[name]
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return arguments[0]
    if origin in (typing.Union, types.UnionType):
        real = [one for one in arguments if one not in (type(None), msgspec.UnsetType)]
        return _of(real[0], name)
    if origin in (list, tuple, set, frozenset):
        return [_of(arguments[0], name.removesuffix("s"))] if arguments else []
    if origin in (dict, Mapping, typing.Mapping):
        key = "2026-11-27" if arguments[0] is date else _key(arguments[0], name)
        return {key: _of(arguments[1], name.removesuffix("s"))}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind)
        fields = msgspec.structs.fields(kind)
        return {one.encode_name: _of(hints[one.name], one.name) for one in fields if not _unset(one)}
    return _PLAIN.get(kind, {})


def _key(kind: Any, name: str) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return str(typing.get_args(kind)[0])
    return "error" if name == "detail" else "CBA.AX"


def _unset(field: Any) -> bool:
    return field.default is msgspec.UNSET


def _takes(kind: Any, value: Any) -> bool:
    try:
        msgspec.json.decode(json.dumps(value), type=kind)
    except (msgspec.ValidationError, TypeError):
        return False
    return kind is not Any


def json_text(value: Any, width: int = 110, indent: int = 0) -> str:
    """Return JSON with everything that fits on a line on one line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(flat) + indent <= width or not isinstance(value, (dict, list)) or not value:
        return flat
    pad = " " * (indent + 2)
    if isinstance(value, dict):
        parts = [f"{pad}{json.dumps(key)}: {json_text(inner, width, indent + 2)}" for key, inner in value.items()]
        return "{\n" + ",\n".join(parts) + "\n" + " " * indent + "}"
    parts = [pad + json_text(inner, width, indent + 2) for inner in value]
    return "[\n" + ",\n".join(parts) + "\n" + " " * indent + "]"
