"""Session reports: what the evening gathers from the other services, and the reports on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec
from msgspec.structs import replace
from sqlalchemy import func, select

from bellwether.market.sessions import Session
from bellwether.market.slots import slot_of
from bellwether.messages.canonical import canonical_bytes
from bellwether.messages.envelope import LIVE
from bellwether.messages.fields import from_row
from bellwether.messages.quality import DataQualityReport
from bellwether.messages.reporting import (
    GetSessionBook,
    GetSessionDecisions,
    ReportLine,
    Reports,
    SessionBook,
    SessionDecisions,
    SessionReport,
    SessionRows,
    SlotEnd,
    StoredReport,
)
from bellwether.reporting.session import compose
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.scheduling import tables
from bellwether.scheduling.time_settings import Reader
from bellwether.storage.prepared import Prepared, given
from bellwether.storage.store import Store, Transaction

TRADING_TASK = "prediction_generation"
MOST_LISTED = 500
_LOOKING_TASK = "morning_analysis"


_PUT = (
    "INSERT INTO reports (run, session, as_of, summary, report, rows, sha256) VALUES (?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (run, session) DO UPDATE SET as_of = excluded.as_of, summary = excluded.summary, "
    "report = excluded.report, rows = excluded.rows, sha256 = excluded.sha256"
)
_SLOTS = Prepared(
    select(tables.slots).where(tables.slots.c.run == given("of_run"), tables.slots.c.session == given("of_session"))
)
_rows = msgspec.json.Decoder(SessionRows)
_NOT_ASKED = SessionDecisions([], [], [], [])


class SessionReports:
    """Makes and keeps the reports of one system."""

    def __init__(self, store: Store, reader: Reader) -> None:
        self._store = store
        self._reader = reader
        self.repeating = False
        """Whether reports that are there stay as they are: the services may be further than they were."""

    def session_before(self, day: date) -> date | None:
        """Return the session before another one; None for a day on which the exchange does not trade."""
        calendar = self._reader.settings.calendar
        session = calendar.session_on(day)
        return None if session is None else calendar.previous_session(session.open).day

    async def make(self, day: date, own_slot: str, quality: DataQualityReport, call: Call) -> str | None:
        """Gather, compose and store the report of a session; return its sha256. Made again, it replaces the old one.

        A replay stores what it is composed from, and composes it when it is asked for (decision 0030). None for that,
        and for a day on which the exchange does not trade: a job by hand may run on any day.

        Raises:
            RpcError: of the service that could not do its part.
        """
        session = self._reader.settings.calendar.session_on(day)
        if session is None:
            return None
        if self.repeating:
            return None
        rows = await self._gather(session, own_slot, quality, call)
        summary, report, sha256 = ("", "", "") if call.run != LIVE else _composed(rows)
        texts = (summary, report, canonical_bytes(rows).decode(), sha256)
        values = (call.run, day.isoformat(), call.as_of.isoformat(), *texts)
        await self._store.transact(lambda tx: tx.driver.execute(_PUT, values))
        return sha256 or None

    async def _gather(self, session: Session, own_slot: str, quality: DataQualityReport, call: Call) -> SessionRows:
        settings, day = self._reader.settings, session.day
        before = settings.calendar.previous_session(session.open)
        decided = await _decided(day, call) if call.run == LIVE else _NOT_ASKED
        asked = GetSessionBook(day, before.close, session.close)
        book = await call.request("paper-trading", "get_session_book", asked, SessionBook, idempotent=True)
        ends, failures = await self._store.transact(lambda tx: self._ends(tx, call.run, session, own_slot))
        return SessionRows(
            system=settings.system.metadata.name,
            calendar=settings.calendar.name,
            session=day,
            open=session.open,
            close=session.close,
            as_of=call.as_of,
            symbols=list(settings.system.spec.symbols),
            slots=ends,
            failures=failures,
            decided=decided,
            book=book,
            quality=quality,
        )

    def _ends(self, tx: Transaction, run: str, session: Session, own_slot: str) -> tuple[list[SlotEnd], dict[str, str]]:
        """Return how the slots of a session ended, by time, and which symbols the batch could not predict."""
        settings, day = self._reader.settings, session.day
        rows = _SLOTS.rows(tx, {"of_run": run, "of_session": day.isoformat()})
        known = {row["name"]: row for row in rows}
        due = [slot_of(rule, session, settings.calendar.timezone) for rule in settings.tasks]
        found = [
            SlotEnd(name, row["task"], datetime.fromisoformat(row["due"]), row["status"], row["error"])
            for name, row in known.items()
        ]
        found += [SlotEnd(slot.name, slot.task, slot.due, "not run") for slot in due if slot.name not in known]
        # It still runs; that there is a report says that it ended well.
        found = [replace(one, status="completed", error=None) if one.name == own_slot else one for one in found]
        batch = known.get(f"{TRADING_TASK}-{day:%Y%m%d}")
        failures: dict[str, str] = {}
        if batch is not None and batch["result"] is not None:
            failures = json.loads(batch["result"]).get("errors", {})
        return sorted(found, key=lambda one: (one.due, one.name)), failures

    # Looking

    async def stored(self, run: str, session: date | None, call: Call, *, verify: bool) -> StoredReport:
        """Return the report of a session, or the newest.

        Raises:
            RpcError: NO_REPORT where there is none; of prediction, which a replay asks how decisions fared until then.
        """
        table = tables.reports
        query = select(table).where(table.c.run == run)
        if session is not None:
            query = query.where(table.c.session == session.isoformat())
        query = query.order_by(table.c.session.desc()).limit(1)
        row = await self._store.transact(lambda tx: tx.execute(query).mappings().first())
        if row is None:
            raise RpcError("NO_REPORT", f"there is no report of {session or 'any session'}: evening_analysis makes it")
        report, sha256, equal = row["report"], row["sha256"], None
        if verify or not report:
            _, again, hashed = _composed(await _whole(row, call))
            equal = again == report if verify and report else None
            report, sha256 = report or again, sha256 or hashed
        return StoredReport(msgspec.json.decode(report, type=SessionReport), row["run"], sha256, equal)

    async def listed(self, run: str, limit: int, call: Call) -> Reports:
        """Return the newest reports in one line each, and how many there are.

        Raises:
            RpcError: INVALID_PARAMS for a limit that is out of its bounds.
        """
        if not 1 <= limit <= MOST_LISTED:
            raise RpcError("INVALID_PARAMS", f"limit: {limit} must be from 1 to {MOST_LISTED}")
        table = tables.reports
        query = select(table).where(table.c.run == run).order_by(table.c.session.desc()).limit(limit)

        def look(tx: Transaction) -> tuple[list[dict[str, Any]], int]:
            total = tx.execute(select(func.count()).select_from(table).where(table.c.run == run)).scalar_one()
            return [dict(row) for row in tx.execute(query).mappings()], int(total)

        rows, total = await self._store.transact(look)
        for row in rows:
            row["summary"] = row["summary"] or compose(await _whole(row, call, 0)).summary
        return Reports([from_row(ReportLine, row) for row in rows], total)


async def _decided(day: date, call: Call, sessions: int = 250) -> SessionDecisions:
    """Return what was decided for a session, judged over so many of the newest sessions with outcomes."""
    slots = [f"{task}-{day:%Y%m%d}" for task in (TRADING_TASK, _LOOKING_TASK)]
    asked = GetSessionDecisions(day, slots, sessions)
    return await call.request("prediction", "get_session_decisions", asked, SessionDecisions, idempotent=True)


async def _whole(row: Mapping[Any, Any], call: Call, sessions: int = 250) -> SessionRows:
    """Return the rows of a report; those of a replay are without decisions, which are asked for."""
    rows = _rows.decode(row["rows"])
    if row["report"]:
        return rows
    return replace(rows, decided=await _decided(rows.session, call.at(rows.as_of, run=row["run"]), sessions))


def _composed(rows: SessionRows) -> tuple[str, str, str]:
    """Return the summary of a report, its canonical text, and the sha256 of that."""
    report = compose(rows)
    body = canonical_bytes(report)
    return report.summary, body.decode(), hashlib.sha256(body).hexdigest()
