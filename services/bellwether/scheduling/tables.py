"""The scheduler's tables: declarations, claimed slots, scheduled jobs, the replay's cursor, session reports.

Instants are ISO 8601 in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from sqlalchemy import Column, Connection, Float, Index, Integer, MetaData, String, Table, Text

from bellwether.storage.store import Upgrade
from bellwether.storage.tables import texts

VERSION = 5

metadata = MetaData()

# One row for each change of what a live declaration says about time; the last one is in force. `spec` is that part
# (declarations.Timing) as JSON, and null where an earlier release did not keep it.
declarations = Table(
    "declarations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("generation", Integer),
    Column("effective_from", String, nullable=False),
    Column("spec", Text),
)

# A slot's row is its claim: `running` from the claim on, then `completed` or `failed`. A claimed slot that never
# came to an end (its process was killed) runs again; its effects are keyed by the slot.
slots = Table(
    "slots",
    metadata,
    *texts("run", "name", key=True),
    *texts("task", "session", "due", "status"),
    Column("attempts", Integer, nullable=False, default=0),
    *texts("started_at", "ended_at", null=True),
    Column("result", Text),
    Column("error", Text),
)
_SLOTS_OF_SESSION = Index("slots_of_session", slots.c.run, slots.c.session)
_SLOTS_BY_TIME = Index("slots_by_time", slots.c.run, slots.c.due)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String, primary_key=True),
    *texts("type", "anchor"),
    Column("seconds", Float, nullable=False, default=0),
    Column("time", String),
    Column("params", Text, nullable=False),
    *texts("status", "created_at"),
    # For how many seconds a slot is of use; null in a row that version 1 wrote.
    Column("useful_seconds", Float),
)

replay = Table(
    "replay",
    metadata,
    Column("only", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("cursor", String),
    Column("step", Integer, nullable=False, default=0),
    Column("state", String, nullable=False),
    *texts("first_session", "last_session", null=True),
    # In a replay of one process, up to where all services are surely on disk: steps from there to the cursor are done
    # once more after a kill, and what they came to is kept as it was. Null: up to the cursor.
    Column("durable", String),
)


# A session's report as canonical bytes, and the rows it was composed from, likewise.
reports = Table(
    "reports",
    metadata,
    *texts("run", "session", key=True),
    *texts("as_of", "summary"),
    Column("report", Text, nullable=False),
    Column("rows", Text, nullable=False),
    Column("sha256", String, nullable=False),
)


def _keep_use(connection: Connection) -> None:
    connection.exec_driver_sql("ALTER TABLE jobs ADD COLUMN useful_seconds FLOAT")


def _index_slots(connection: Connection) -> None:
    if connection.exec_driver_sql("PRAGMA table_info(replay)").all():
        connection.exec_driver_sql("ALTER TABLE replay ADD COLUMN durable VARCHAR")
    for index in (_SLOTS_OF_SESSION, _SLOTS_BY_TIME):
        index.create(connection, checkfirst=True)


def _keep_declarations(connection: Connection) -> None:
    """Make rows of their own of what were rows among the slots: the first start, and since when all is as it is."""
    declarations.create(connection)
    instants = connection.exec_driver_sql("SELECT due FROM slots WHERE name = 'first_start'").scalars().all()
    kept = connection.exec_driver_sql("SELECT result FROM slots WHERE run = 'rules'").scalars().all()
    since = [one["since"] for text in kept for one in json.loads(text).values()]
    for instant in sorted({*instants, *sorted(since)[-1:]}):
        connection.exec_driver_sql("INSERT INTO declarations (effective_from) VALUES (?)", (instant,))
    connection.exec_driver_sql("DELETE FROM slots WHERE run = 'rules' OR name = 'first_start'")


UPGRADES: Mapping[int, Upgrade] = {1: _keep_use, 2: reports.create, 3: _index_slots, 4: _keep_declarations}
