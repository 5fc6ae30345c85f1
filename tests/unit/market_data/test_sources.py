from __future__ import annotations

import os
import time
from datetime import date
from pathlib import Path

import pytest

from bellwether.market_data.csv_files import CsvFiles, read_unchanging
from bellwether.market_data.rows import SourceError
from bellwether.market_data.sources import RecordedBars, open_source
from bellwether.spec.data import CsvData, Data

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "bars"


def files(folder: Path, **declared: str) -> CsvFiles:
    return CsvFiles(CsvData.model_validate({"directory": "bars", **declared}), folder)


def refused(folder: Path, symbol: str = "X") -> str:
    with pytest.raises(SourceError) as caught:
        files(folder).load(symbol)
    return str(caught.value)


def test_a_file_as_yahoo_exports_it_is_read() -> None:
    loaded = files(FIXTURES).load("CBA.AX")
    assert [row.session for row in loaded.rows] == [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 7)]
    assert loaded.rows[0].close == 80.5


def test_a_missing_file_is_named() -> None:
    assert refused(FIXTURES, "BHP.AX").endswith("BHP.AX.csv does not exist: each symbol needs its SYMBOL.csv")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    assert "nothing is not a folder" in refused(tmp_path / "nothing")


def test_a_folder_or_a_pipe_in_a_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "X.csv").mkdir()
    assert refused(tmp_path) == f"{tmp_path}/X.csv is a folder, not a file"
    os.mkfifo(tmp_path / "Y.csv")
    assert refused(tmp_path, "Y") == f"{tmp_path}/Y.csv is a special file, not a file"


def test_a_file_that_goes_on_changing_while_it_is_read_is_said_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "X.csv"
    path.write_text(f"{HEADER}\n2020-01-02,1,2,1")
    now = time.time()
    os.utime(path, (now, now))

    def grows(_: float) -> None:
        path.write_text(path.read_text() + "0")

    with pytest.raises(SourceError, match="is being written: it changed 5 times while it was read"):
        read_unchanging(path, grows)


def test_a_half_written_file_is_read_when_its_last_line_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "X.csv"
    path.write_text(f"{HEADER}\n2020-01-02,1,2,1,2,2,5\n2020-01-03,1,2,1,1")
    pauses: list[float] = []

    def is_finished(seconds: float) -> None:
        pauses.append(seconds)
        path.write_text(path.read_text() + ".5,1.5,5\n")

    content, _ = read_unchanging(path, is_finished)
    assert content.endswith(b"2020-01-03,1,2,1,1.5,1.5,5\n")
    assert len(pauses) == 1


def test_a_file_that_vanishes_while_it_is_read_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "X.csv"
    path.write_text(f"{HEADER}\n2020-01-02,1,2,1")
    with pytest.raises(SourceError, match="does not exist"):
        read_unchanging(path, lambda _: path.unlink())


def test_what_is_declared_of_files_is_part_of_their_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "X.csv").write_text("Date,Open,High,Low,Close,Volume\n02/01/2020,1,2,1,2,5\n")
    declared = [files(tmp_path, prices="raw", dates=order) for order in ("dayFirst", "monthFirst")]
    assert [one.load("X").rows[0].session for one in declared] == [date(2020, 1, 2), date(2020, 2, 1)]
    assert declared[0].fingerprint("X") != declared[1].fingerprint("X")
    assert declared[0].fingerprint("X") == declared[0].load("X").fingerprint


def test_a_folder_within_a_volume_is_taken_from_its_root(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "X.csv").write_text(f"{HEADER}\n2020-01-02,1,2,1,2,2,5\n")
    source = open_source(Data(provider="csv", csv=CsvData(directory="/bars")), Path("/nowhere"), tmp_path)
    assert len(source.load("X").rows) == 1


def test_yahoo_is_asked_by_a_running_system_only() -> None:
    with pytest.raises(SourceError, match="provider yahoo is asked by a running system only"):
        open_source(Data(provider="yahoo"), Path())


def test_a_symbol_that_was_not_recorded_names_those_that_were() -> None:
    with pytest.raises(SourceError, match="symbol TSLA is not in the recorded bars us-2000-2013: it has AAPL, GOOG"):
        RecordedBars("us-2000-2013").load("TSLA")


def test_recorded_bars_reach_as_far_as_documented() -> None:
    recorded = RecordedBars("us-2000-2013")
    reach = {symbol: recorded.load(symbol).rows for symbol in recorded.symbols}
    assert {symbol: rows[0].bar.session for symbol, rows in reach.items()} == {
        "AAPL": date(2000, 3, 1),
        "GOOG": date(2004, 8, 19),
        "IBM": date(2000, 3, 1),
        "MSFT": date(2000, 3, 1),
    }
    assert {rows[-1].bar.session for rows in reach.values()} == {date(2013, 3, 1)}


def test_recorded_rows_are_the_same_however_often_they_are_read() -> None:
    recorded = RecordedBars("us-2000-2013")
    first = recorded.load("IBM")
    assert recorded.load("AAPL").rows != first.rows
    assert recorded.load("IBM") == first
