"""The names that everything on the bus goes by: one place, because services and renderers must agree on them.

It lies below topology and has no imports of its own, so that the operator's renderer can use it without taking in
the wire types.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

EVENT_STREAM = "EVENTS"
EVENT_SUBJECTS = "bw.event.>"
DEAD_STREAM = "DEAD"
DEAD_SUBJECTS = "bw.dead.>"
DECLARATION_BUCKET = "declaration"
DECLARATION_KEY = "current"
RESTORE_KEY = "restore"
"""In the declaration's bucket: the restore in place that `backup` was asked for last."""
ACKS_BUCKET = "acks"
MONITORING_BUCKET = "monitoring"
MONITORING_KEY = "book"
TRACE_SUBJECTS = "bw.trace.>"

_NOT_IN_A_TOKEN = re.compile(r"[^a-z0-9]+")


def symbol_token(symbol: str) -> str:
    """Return a symbol as one token of a subject or key: `CBA.AX` becomes `cba-ax`; empty for what can be no symbol."""
    return _NOT_IN_A_TOKEN.sub("-", symbol.lower()).strip("-")


def rpc_subject(service: str, method: str) -> str:
    """Return the subject that one method of one service answers on."""
    return f"bw.rpc.{service}.{method}"


def rpc_subjects(service: str) -> str:
    """Return the pattern of all methods of one service: an unknown method gets an answer too."""
    return f"bw.rpc.{service}.*"


def event_subject(priority: str, event_type: str) -> str:
    """Return the subject that events of one type and priority are published on."""
    return f"bw.event.{priority}.{event_type}"


def dead_subject(service: str, event_type: str) -> str:
    """Return the subject that a service puts an event on after its last attempt at it."""
    return f"bw.dead.{service}.{event_type}"


def trace_subject(service: str) -> str:
    """Return the subject that a service sends its finished spans on."""
    return f"bw.trace.{service}"


def consumer_name(service: str, priority: str) -> str:
    """Return the durable consumer that holds a service's place among the events of one priority."""
    return f"{service}-{priority}"


def inbox_prefix(identity: str) -> str:
    """Return the prefix of an identity's private reply subjects."""
    return f"_INBOX_{identity}"


def bucket_stream(bucket: str) -> str:
    """Return the stream behind a key-value bucket."""
    return f"KV_{bucket}"


def key_subject(bucket: str, key: str) -> str:
    """Return the subject behind one key of a bucket."""
    return f"$KV.{bucket}.{key}"


def message_id(system_uid: str, run: str, event_id: str) -> str:
    """Return the id by which the stream drops a repeated event; runs of one system never share ids."""
    return f"{system_uid}.{run}.{event_id}"


def subject_matches(pattern: str, subject: str) -> bool:
    """Whether a subject fits a NATS pattern: `*` is any one token, `>` at the end one or more."""
    wanted: Sequence[str] = pattern.split(".")
    tokens = subject.split(".")
    for position, part in enumerate(wanted):
        if part == ">":
            return len(tokens) > position
        if position >= len(tokens) or part not in ("*", tokens[position]):
            return False
    return len(wanted) == len(tokens)
