"""Canonical bytes: the one spelling of a value, so that equal values are equal bytes on any machine."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import msgspec

_quick = msgspec.json.Encoder(order="sorted").encode
_exponent = re.compile(rb"e-?[0-9]+(?:[],}]|$)").search
_packed = msgspec.msgpack.Encoder().encode
_no_number = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search
"""Finds NaN and infinity in MessagePack, and now and then other bytes that look the same."""


def canonical_bytes(value: Any) -> bytes:
    """Return compact UTF-8 JSON with sorted keys; floats by `repr`, Decimals as strings, times as ISO 8601.

    Structs, dataclasses, Decimals, dates, enums, tuples and sets of what JSON knows are accepted.

    Raises:
        ValueError: for NaN or infinity, which JSON cannot say.
        TypeError: for a type that has no one spelling.
    """
    try:
        quick = _quick(value)
        # What it may spell otherwise: a number that is none, a control character, small and large numbers.
        odd = b"\\u" in quick or b"0.0000" in quick or _exponent(quick)
        # A number that is none is null, as None is.
        if not odd and (b"null" not in quick or not _no_number(_packed(value))):
            return quick
    except (TypeError, ValueError, OverflowError):
        pass
    return _spelled_out(value)


def _spelled_out(value: Any) -> bytes:
    """Return the bytes as the standard library spells them; they are what canonical means."""
    plain = msgspec.to_builtins(value, order="deterministic", str_keys=True)
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def content_hash(value: Any) -> str:
    """Return the SHA-256 of a value's canonical bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_bytes(value)).hexdigest()
