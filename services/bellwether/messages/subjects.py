"""Subject names for whoever works with messages; they are defined in `bellwether.naming`."""

from __future__ import annotations

from bellwether.naming import (
    dead_subject,
    event_subject,
    rpc_subject,
    rpc_subjects,
    subject_matches,
    symbol_token,
    trace_subject,
)

__all__ = [
    "dead_subject",
    "event_subject",
    "rpc_subject",
    "rpc_subjects",
    "subject_matches",
    "symbol_token",
    "trace_subject",
]
