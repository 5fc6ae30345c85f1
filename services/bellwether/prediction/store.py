"""The decisions on disk: decisions.db, which prediction alone opens. All functions run inside one transaction."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Select, delete, func, select

from bellwether.messages.prediction import Action, Prediction
from bellwether.prediction.tables import alarms, decisions, outcomes, shadows
from bellwether.runtime.call import Call
from bellwether.storage.store import OutboxEvent, Transaction
from bellwether.storage.tables import matching

EVERY_SYMBOL = "*"


class Judged(msgspec.Struct, frozen=True):
    """What an outcome needs to know of a prediction."""

    prediction_id: str
    symbol: str
    probability: float
    base_rate: float
    bar_session: date | None
    horizon_sessions: int


_day = lru_cache(maxsize=64)(date.isoformat)
"""A day as text. All decisions of a session name the same few, and spelling one takes longer than looking it up."""
_decoder = msgspec.json.Decoder(Prediction)
_judged = msgspec.json.Decoder(Judged)

# What runs for each decision goes to the driver: building a statement costs ten times as much as running it.
_ADD = (
    "INSERT INTO decisions (run, id, symbol, as_of, action, target_session, outcome_session, prediction, canonical, "
    "sha256, trace) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_SHADOW = (
    "INSERT INTO shadows (run, id, version, model_name, horizon_sessions, probability, base_rate) "
    "VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = ("sequence", "run", "prediction", "canonical", "sha256", "trace")
_ROW = f"SELECT {', '.join(_COLUMNS)} FROM decisions"  # noqa: S608
# However many are asked for, it is one statement, which the driver knows again.
_BY_IDS = f"{_ROW} WHERE run = ? AND id IN (SELECT value FROM json_each(?))"  # noqa: S608
_RAISE = "INSERT INTO alarms (run, name, since) VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_CLEAR = "DELETE FROM alarms WHERE run = ? AND name = ?"
# 1: the symbol, 2 and 3: instants, 4: the run, 5: every symbol.
_FRESH = (
    f"{_ROW} WHERE symbol = ?1 "  # noqa: S608
    "AND sequence > (SELECT coalesce(max(sequence), 0) FROM marks "
    "WHERE (?4 IS NULL OR run = ?4) AND symbol IN (?1, ?5)) "
    "AND as_of <= ?2 AND as_of > ?3 AND (?4 IS NULL OR +run = ?4) ORDER BY sequence DESC LIMIT 1"
)
_MARK = (
    "INSERT INTO marks (run, symbol, sequence, trace) VALUES "
    "(?, ?, (SELECT coalesce(max(sequence), 0) FROM decisions), ?) "
    "ON CONFLICT (run, symbol) DO UPDATE SET sequence = excluded.sequence, trace = excluded.trace"
)
_TRACES = "SELECT symbol, trace FROM marks WHERE run = ? AND symbol IN (SELECT value FROM json_each(?))"
_ACTIONS_AFTER = "SELECT sequence, action FROM decisions WHERE sequence > ? ORDER BY sequence"
_NEXT_SYMBOL = "SELECT min(symbol) FROM decisions WHERE symbol > ?"
_NEWEST_ACTION = "SELECT action FROM decisions WHERE symbol = ? ORDER BY sequence DESC LIMIT 1"
# The plus signs keep it to the index of what is due: by run or sequence it would look at every decision.
_DUE = (
    "SELECT sequence, run, prediction FROM decisions "
    "WHERE outcome_session <= ? AND (? IS NULL OR +run = ?) ORDER BY +sequence"
)
_ADD_OUTCOME = (
    "INSERT INTO outcomes (run, id, session, rose, probability, base_rate) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)
_NOT_DUE = "UPDATE decisions SET outcome_session = NULL WHERE sequence = ?"
_SETTLED_BY = "SELECT run, id FROM outcomes WHERE run = ? AND session = ?"
# From run to run by the index: there are few of them.
_SETTLED_BY_ANY = (
    "WITH RECURSIVE runs (run) AS (SELECT min(run) FROM outcomes UNION ALL "
    "SELECT (SELECT min(run) FROM outcomes WHERE run > runs.run) FROM runs WHERE runs.run IS NOT NULL) "
    "SELECT outcomes.run, outcomes.id FROM runs CROSS JOIN outcomes "
    "WHERE outcomes.run = runs.run AND outcomes.session = ?"
)
_SCORED = "SELECT probability, base_rate, rose FROM outcomes WHERE ? IS NULL OR run = ?"


class Row(msgspec.Struct, frozen=True):
    """One decision as stored."""

    sequence: int
    run: str
    prediction: Prediction
    canonical: bytes
    sha256: str
    trace: str | None


class Due(NamedTuple):
    """A decision that waits for its outcome."""

    sequence: int
    run: str
    prediction: Judged


class ShadowScore(NamedTuple):
    """What a model in shadow said of a decision's symbol at its instant."""

    version: str
    model_name: str
    horizon_sessions: int
    probability: float
    base_rate: float


class New(msgspec.Struct, frozen=True):
    """A decision to be stored, and its event."""

    prediction: Prediction
    canonical: bytes
    sha256: str
    outcome_session: date | None
    event: OutboxEvent
    shadow: ShadowScore | None = None


@lru_cache(maxsize=64)
def stamp(instant: datetime) -> str:
    """Return an instant (UTC) as text of one length."""
    return instant.isoformat(timespec="microseconds")


def add(tx: Transaction, run: str, news: Sequence[New]) -> None:
    """Store decisions and put their events into the outbox, in this order."""
    tx.driver.executemany(
        _ADD,
        [
            (
                run,
                new.prediction.prediction_id,
                new.prediction.symbol,
                stamp(new.prediction.timestamp),
                new.prediction.action,
                _day(new.prediction.target_session),
                None if new.outcome_session is None else _day(new.outcome_session),
                msgspec.json.encode(new.prediction),
                new.canonical,
                new.sha256,
                new.event.trace,
            )
            for new in news
        ],
    )
    shadowed = [(run, new.prediction.prediction_id, *new.shadow) for new in news if new.shadow is not None]
    if shadowed:
        tx.driver.executemany(_ADD_SHADOW, shadowed)
    for new in news:
        tx.outbox(new.event)


def stored(tx: Transaction, run: str, ids: Iterable[str]) -> dict[str, Row]:
    """Return those of the decisions that this run has made already, by id."""
    rows = tx.driver.execute(_BY_IDS, (run, json.dumps(list(ids)))).fetchall()
    return {row.prediction.prediction_id: row for row in map(_row, rows)}


def turn(tx: Transaction, run: str, name: str, at: datetime, *, high: bool) -> bool | None:
    """Raise or clear an alarm; return True when it was raised now, False when it was cleared now, None otherwise."""
    if high:
        return True if tx.driver.execute(_RAISE, (run, name, stamp(at))).rowcount else None
    return False if tx.driver.execute(_CLEAR, (run, name)).rowcount else None


def raised(tx: Transaction, run: str) -> set[str]:
    """Return the names of the alarms that are raised."""
    return set(tx.execute(select(alarms.c.name).where(alarms.c.run == run)).scalars())


def find(tx: Transaction, identifier: str, run: str | None) -> Row | None:
    """Return a decision by its id; without a run, the newest of that id."""
    wanted = matching(decisions, id=identifier, run=run)
    row = tx.execute(_rows().where(*wanted).order_by(decisions.c.sequence.desc()).limit(1)).first()
    return None if row is None else _row(row)


def fresh(tx: Transaction, symbol: str, as_of: datetime, ttl: timedelta, run: str | None) -> Row | None:
    """Return the decision that answers for a symbol: newer than its last bar, the last clear, and the time to live.

    Decisions of a later instant (a replay that was started again) never answer for an earlier one.
    """
    values = (symbol, stamp(as_of), stamp(as_of - ttl), run, EVERY_SYMBOL)
    row = tx.driver.execute(_FRESH, values).fetchone()
    return None if row is None else _row(row)


def mark(tx: Transaction, run: str, symbol: str, trace: str | None) -> None:
    """Record that what was decided so far does not answer for a symbol any more."""
    tx.driver.execute(_MARK, (run, symbol, trace))


def bar_traces(tx: Transaction, run: str, symbols: Sequence[str]) -> dict[str, str]:
    """Return the trace context of each symbol's newest bar event."""
    rows = tx.driver.execute(_TRACES, (run, json.dumps(list(symbols)))).fetchall()
    return {str(symbol): str(trace) for symbol, trace in rows if trace}


def newest(
    tx: Transaction, run: str | None, symbol: str | None, limit: int, before: datetime | None
) -> tuple[list[Row], int]:
    """Return decisions, newest first, and how many fit the question."""
    conditions = matching(decisions, run=run, symbol=symbol)
    if before is not None:
        conditions.append(decisions.c.as_of < stamp(before))
    rows = tx.execute(_rows().where(*conditions).order_by(decisions.c.sequence.desc()).limit(limit)).all()
    total = tx.execute(select(func.count()).select_from(decisions).where(*conditions)).scalar_one()
    return [_row(row) for row in rows], int(total)


def count_actions(tx: Transaction, *conditions: Any) -> dict[Action, int]:
    """Return how many decisions that fit have each action; an action without one is left out."""
    query = select(decisions.c.action, func.count()).where(*conditions).group_by(decisions.c.action)
    found: Sequence[Any] = tx.execute(query).all()
    return {row[0]: int(row[1]) for row in found}


def actions_after(tx: Transaction, sequence: int) -> Iterable[tuple[int, Action]]:
    """Return the decisions after one, in order: the sequence and the action of each."""
    return tx.driver.execute(_ACTIONS_AFTER, (sequence,))


def newest_per_symbol(run: str | None) -> Any:
    """Return the condition that a decision is the newest of its symbol."""
    newest_of_each = select(func.max(decisions.c.sequence)).where(*matching(decisions, run=run))
    return decisions.c.sequence.in_(newest_of_each.group_by(decisions.c.symbol))


def newest_actions(tx: Transaction) -> list[Action]:
    """Return what was decided last for each symbol, of whichever run."""
    found: list[Action] = []
    symbol = ""
    while (row := tx.driver.execute(_NEXT_SYMBOL, (symbol,)).fetchone()) and row[0] is not None:
        symbol = row[0]
        found.append(tx.driver.execute(_NEWEST_ACTION, (symbol,)).fetchone()[0])
    return found


def due(tx: Transaction, run: str | None, session: date) -> list[Due]:
    """Return the decisions whose horizon ends by a session and whose outcome is not written yet."""
    rows = tx.driver.execute(_DUE, (session.isoformat(), run, run)).fetchall()
    return [Due(sequence, run, _judged.decode(made)) for sequence, run, made in rows]


def write_outcomes(tx: Transaction, rows: Sequence[tuple[Due, date, bool]]) -> list[Due]:
    """Store what came of decisions: the session that each one came out in, and whether the close had risen.

    Returns those that had none before.
    """
    new: list[Due] = []
    for row, session, rose in rows:
        made = row.prediction
        values = (row.run, made.prediction_id, _day(session), int(rose), made.probability, made.base_rate)
        if tx.driver.execute(_ADD_OUTCOME, values).rowcount:
            new.append(row)
    tx.driver.executemany(_NOT_DUE, [(row.sequence,) for row, _, _ in rows])
    return new


def outcome_of(tx: Transaction, run: str, identifier: str) -> tuple[date, bool] | None:
    """Return the session in which a decision came out and whether the close had risen, None where none did yet."""
    query = select(outcomes.c.session, outcomes.c.rose).where(outcomes.c.run == run, outcomes.c.id == identifier)
    row: Any = tx.execute(query).first()
    return None if row is None else (date.fromisoformat(row[0]), bool(row[1]))


def outcomes_of(tx: Transaction, run: str | None, session: date) -> set[tuple[str, str]]:
    """Return run and id of the decisions that came out in a session."""
    if run is not None:
        return set(tx.driver.execute(_SETTLED_BY, (run, session.isoformat())).fetchall())
    return set(tx.driver.execute(_SETTLED_BY_ANY, (session.isoformat(),)).fetchall())


def scored(tx: Transaction, run: str | None) -> Iterable[tuple[float, float, int]]:
    """Return probability, base rate and outcome of everything whose outcome is known."""
    return tx.driver.execute(_SCORED, (run, run))


def realised_with_news(tx: Transaction, run: str, before: date, limit: int) -> list[tuple[Row, date, bool]]:
    """Return the newest decisions that came out before a day, each with its session and whether the close rose.

    Of several of a symbol with the same newest bar the last one counts; those without news or model are left out.
    """
    query = (
        _rows()
        .add_columns(outcomes.c.session, outcomes.c.rose)
        .join(outcomes, (outcomes.c.run == decisions.c.run) & (outcomes.c.id == decisions.c.id))
        .where(decisions.c.run == run, outcomes.c.session < before.isoformat())
        .order_by(decisions.c.sequence.desc())
        .limit(limit)
    )
    found: dict[tuple[str, date | None], tuple[Row, date, bool]] = {}
    answer: Sequence[Any] = tx.execute(query).all()
    for each in answer:
        row = _row(each)
        made = row.prediction
        if made.sentiment_data_available and made.model_available:
            found.setdefault((made.symbol, made.bar_session), (row, date.fromisoformat(each[6]), bool(each[7])))
    return list(found.values())


def event_again(row: Row, call: Call, data: Any, event_id: str) -> OutboxEvent:
    """Return the event of a stored decision, as it was published the first time."""
    event = call.at(row.prediction.timestamp, run=row.run).event("prediction_generated", data, event_id=event_id)
    return event._replace(trace=row.trace)


def prune(tx: Transaction, run: str, after: datetime, before: datetime, keep: Iterable[str]) -> int:
    """Delete a run's decisions made from `after` until `before` but those named, with their outcomes; return how many.

    One whose outcome is still due stays until it is known.
    """
    within = (
        decisions.c.run == run,
        decisions.c.as_of >= stamp(after),
        decisions.c.as_of < stamp(before),
        decisions.c.outcome_session.is_(None),
    )
    named = set(keep)
    going = [one for one in tx.execute(select(decisions.c.id).where(*within)).scalars() if one not in named]
    for place in range(0, len(going), 500):
        part = going[place : place + 500]
        tx.execute(delete(outcomes).where(outcomes.c.run == run, outcomes.c.id.in_(part)))
        tx.execute(delete(shadows).where(shadows.c.run == run, shadows.c.id.in_(part)))
        tx.execute(delete(decisions).where(decisions.c.run == run, decisions.c.id.in_(part)))
    return len(going)


def oldest(tx: Transaction, run: str) -> datetime | None:
    """Return when the oldest decision of a run was made."""
    found = tx.execute(select(func.min(decisions.c.as_of)).where(decisions.c.run == run)).scalar()
    return None if found is None else datetime.fromisoformat(found)


def _rows() -> Select[Any]:
    return select(*(decisions.c[name] for name in _COLUMNS))


def _row(row: Any) -> Row:
    return Row(row[0], row[1], _decoder.decode(row[2]), row[3], row[4], row[5])
