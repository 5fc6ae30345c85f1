"""Which decisions may be forgotten: all that are old, but those that orders came of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert, select

from bellwether.prediction import tables as rows
from bellwether.prediction.store import oldest, prune, stamp
from bellwether.storage.store import Store, Transaction
from bellwether.trading.upkeep import LATER, WINDOW, Named, questions

BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


def test_without_orders_one_question_takes_everything() -> None:
    (asked,) = questions([], BEFORE)
    assert (asked.after, asked.before, asked.keep) == (None, BEFORE, [])


def test_each_question_follows_on_the_one_before_and_every_order_keeps_its_decision() -> None:
    named = [Named(f"d{days}", BEFORE - timedelta(days=days)) for days in range(-10, 400, 7)]
    asked = questions(named, BEFORE)
    assert asked[0].after is None
    assert [one.before for one in asked[:-1]] == [one.after for one in asked[1:]]
    assert asked[-1].before == BEFORE
    for one in named:
        for made in (one.ordered_at, one.ordered_at - LATER + timedelta(hours=1)):
            of = next((each for each in asked if made < each.before), None)
            if of is not None and (of.after is None or of.after <= made):
                assert one.prediction_id in of.keep
    assert all(len(one.keep) <= (WINDOW + LATER) / timedelta(days=7) + 2 for one in asked[1:])


async def test_what_is_forgotten_takes_its_outcome_along_and_what_is_due_stays(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "decisions.db", rows.metadata, version=rows.VERSION, upgrades=rows.UPGRADES)
    made = BEFORE - timedelta(days=1)
    blank = {"symbol": "AAA", "action": "HOLD", "target_session": "2026-01-02", "sha256": "x"}

    def fill(tx: Transaction) -> None:
        for name, due in (("old", None), ("ordered", None), ("due", "2026-01-02")):
            row = {**blank, "run": "live", "id": name, "as_of": stamp(made), "outcome_session": due}
            tx.execute(insert(rows.decisions), {**row, "prediction": b"{}", "canonical": b"{}"})
            said = {"version": "v", "model_name": "m", "horizon_sessions": 5, "probability": 0.5, "base_rate": 0.5}
            tx.execute(insert(rows.shadows), {"run": "live", "id": name, **said})
            tx.execute(
                insert(rows.outcomes),
                {"run": "live", "id": name, "session": "s", "rose": 1, "probability": 0.5, "base_rate": 0.5},
            )

    await store.transact(fill)
    assert await store.transact(lambda tx: oldest(tx, "live")) == made
    assert await store.transact(lambda tx: prune(tx, "live", made, BEFORE, ["ordered"])) == 1

    def left(tx: Transaction) -> list[set[str]]:
        tables = (rows.decisions, rows.outcomes, rows.shadows)
        return [set(tx.execute(select(one.c.id)).scalars()) for one in tables]

    assert await store.transact(left) == [{"ordered", "due"}] * 3
    await store.close()
