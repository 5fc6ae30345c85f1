"""Canonical bytes: the one spelling of a value, so that equal values are equal bytes on any machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec


def canonical_bytes(value: Any) -> bytes:
    """Return compact UTF-8 JSON with sorted keys; floats by `repr`, Decimals as strings, times as ISO 8601.

    Structs, dataclasses, Decimals, dates, enums, tuples and sets of what JSON knows are accepted.

    Raises:
        ValueError: for NaN or infinity, which JSON cannot say.
        TypeError: for a type that has no one spelling.

    """
    plain = msgspec.to_builtins(value, order="deterministic", str_keys=True)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_hash(value: Any) -> str:
    """Return the SHA-256 of a value's canonical bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()
