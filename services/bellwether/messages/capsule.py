"""A decision in one file: all that it was made from, and the bytes that come out again (pure)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from bellwether.messages.canonical import canonical_bytes, content_hash
from bellwether.messages.market_data import Bar

FORMAT = 1
MANIFEST, ONNX = "manifest.json", "model.onnx"
DECLARED = ("symbols", "market", "predictions", "quality", "training", "tasks", "clock")
"""The blocks of a declaration that a decision depends on. No other goes along: addresses and names of secrets are in
them."""


class CapsuleBars(msgspec.Struct, frozen=True):
    """Bars of one symbol as the decision saw them; `revision` is their hash."""

    revision: str
    bars: list[Bar]


class Capsule(msgspec.Struct, frozen=True):
    """A decision and its inputs."""

    format: int
    release: str
    """The release that wrote it down."""
    decision_id: str
    record: str
    """The canonical record, as text: its bytes are what has to come out again."""
    record_sha256: str
    declaration: dict[str, Any]
    bars: dict[str, CapsuleBars]
    model_version: str | None
    model: dict[str, bytes]
    """The files that answer, by name; the manifest's hash is the version, and names the hash of the other."""


class _Sealed(msgspec.Struct, frozen=True):
    capsule: Capsule
    sha256: str


class CapsuleError(ValueError):
    """A file that is no capsule, or is not what was written; the message says what is wrong."""


def seal(capsule: Capsule) -> bytes:
    """Return a capsule as the bytes of its file."""
    return canonical_bytes(_Sealed(capsule, content_hash(capsule))) + b"\n"


def unseal(content: bytes) -> Capsule:
    """Return the capsule of a file after every hash in it was verified.

    Raises:
        CapsuleError: naming the first part that is not what it should be.
    """
    try:
        found = msgspec.json.decode(content, type=_Sealed)
        capsule = found.capsule
        inputs = msgspec.json.decode(capsule.record)["inputs"]
        wanted = {} if inputs["bars_revision"] is None else {inputs["symbol"]: inputs["bars_revision"]}
        wanted |= inputs.get("basket") or {}
        answered = None if inputs["model"] is None else inputs["model"]["version"]
    except (msgspec.MsgspecError, KeyError, TypeError) as error:
        raise CapsuleError(f"it is no capsule: {error}") from error
    if capsule.format != FORMAT:
        raise CapsuleError(f"its format is {capsule.format}, this release reads {FORMAT}")
    if content_hash(capsule) != found.sha256:
        raise CapsuleError("its hash is not that of its content: it was changed after it was written")
    if hashlib.sha256(capsule.record.encode()).hexdigest() != capsule.record_sha256:
        raise CapsuleError("the record's hash is not that of the decision: it was changed")
    for symbol, revision in wanted.items():
        bars = capsule.bars.get(symbol)
        if bars is None or bars.revision != revision or content_hash(bars.bars) != revision:
            raise CapsuleError(f"the bars of {symbol} are not those of the record: they were changed")
    _check_model(capsule, answered)
    return capsule


def _check_model(capsule: Capsule, answered: str | None) -> None:
    if answered is None:
        return
    manifest = capsule.model.get(MANIFEST, b"")
    if capsule.model_version != answered or hashlib.sha256(manifest).hexdigest() != answered:
        raise CapsuleError("the model's manifest is not that of the record: it was changed")
    files: Mapping[str, str] = msgspec.json.decode(manifest)["files"]
    if hashlib.sha256(capsule.model.get(ONNX, b"")).hexdigest() != files.get(ONNX):
        raise CapsuleError(f"{ONNX} is not what the model's manifest says: it was changed")
