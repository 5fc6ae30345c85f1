"""The bars that `bellwether train --data FILE` learns from are those that the declared system would have."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest

from bellwether.cli.client import CommandError
from bellwether.cli.training_bars import Histories, declared
from bellwether.market.sessions import load_calendar
from bellwether.spec.models import TradingSystem

DAYS = [session.day for session in load_calendar("XASX").sessions(date(2020, 1, 1), date(2020, 12, 31))][:120]


def learned(folder: Path, rows: Sequence[str]) -> tuple[Histories, list[str]]:
    (folder / "CBA.AX.csv").write_text("\n".join(["Date,Open,High,Low,Close,Volume", *rows]) + "\n")
    csv = {"directory": str(folder), "prices": "raw"}
    spec = {"market": {"calendar": "XASX"}, "symbols": ["CBA.AX"], "data": {"provider": "csv", "csv": csv}}
    system = TradingSystem.model_validate({"metadata": {"name": "own"}, "spec": spec})
    said: list[str] = []
    return declared(system, folder, None, said.append), said


def priced(day: date, price: float) -> str:
    return f"{day},{price},{price + 1},{price - 1},{price},1000"


def test_what_may_be_a_split_is_named_and_nothing_is_learned_from_it(tmp_path: Path) -> None:
    found, said = learned(tmp_path, [priced(day, 100.0 if at < 100 else 50.0) for at, day in enumerate(DAYS)])
    assert [bar.close for bar in found["CBA.AX"]] == [100.0] * 100
    (words,) = said
    assert words.startswith(f"CBA.AX is held back from {DAYS[100]} on: SPLIT_OR_FALL")


def test_bars_of_another_exchange_are_no_bars(tmp_path: Path) -> None:
    days = [date.fromordinal(day.toordinal() + 2) for day in DAYS]
    with pytest.raises(CommandError, match="no symbol of own has bars"):
        learned(tmp_path, [priced(day, 100.0) for day in days])
