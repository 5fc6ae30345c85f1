"""The tables of decisions, their outcomes, and what models in shadow said."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, UniqueConstraint

from bellwether.storage.store import Upgrade
from bellwether.storage.tables import creating, texts

VERSION = 4
metadata = MetaData()
decisions = Table(
    "decisions",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    *texts("run", "id", "symbol", "as_of", "action", "target_session"),
    Column("outcome_session", String),
    Column("prediction", LargeBinary, nullable=False),
    Column("canonical", LargeBinary, nullable=False),
    Column("sha256", String, nullable=False),
    Column("trace", String),
    UniqueConstraint("run", "id"),
)
"""`as_of` in UTC as ISO 8601 of one length, so that text order is time order.

`outcome_session` null: no outcome is due, or it is known.
"""
Index("decisions_of_symbol", decisions.c.symbol, decisions.c.sequence)
Index("decisions_due", decisions.c.outcome_session)
marks = Table(
    "marks",
    metadata,
    *texts("run", "symbol", key=True),
    Column("sequence", Integer, nullable=False),
    Column("trace", String),
    sqlite_with_rowid=False,
)
"""Up to which decision nothing answers for a symbol any more: a bar arrived, or (symbol *) the cache was cleared."""
outcomes = Table(
    "outcomes",
    metadata,
    *texts("run", "id", key=True),
    Column("session", String, nullable=False),
    Column("rose", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    Column("base_rate", Float, nullable=False),
    sqlite_with_rowid=False,
)
"""What came of the predictions that a model made."""
_OUTCOMES_BY_SESSION = Index("outcomes_of_session", outcomes.c.run, outcomes.c.session)
shadows = Table(
    "shadows",
    metadata,
    *texts("run", "id", key=True),
    *texts("version", "model_name"),
    Column("horizon_sessions", Integer, nullable=False),
    Column("probability", Float, nullable=False),
    Column("base_rate", Float, nullable=False),
    sqlite_with_rowid=False,
)
"""What models in shadow said beside decisions, written with the decision and so before its outcome."""
_SHADOWS_OF_VERSION = Index("shadows_of_version", shadows.c.run, shadows.c.version)
alarms = Table(
    "alarms",
    metadata,
    *texts("run", "name", key=True),
    Column("since", String, nullable=False),
    sqlite_with_rowid=False,
)
"""The alarms that are raised, and since which instant (UTC)."""


UPGRADES: Mapping[int, Upgrade] = {1: creating(alarms), 2: creating(_OUTCOMES_BY_SESSION), 3: creating(shadows)}
