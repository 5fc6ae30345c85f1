from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from bellwether.market_data.rows import SourceError
from bellwether.market_data.sources import CsvFiles, RecordedBars, open_source, read_yahoo
from bellwether.spec.models import CsvData, Data

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "bars"


def read(*lines: str) -> list[date]:
    return [row.bar.session for row in read_yahoo([HEADER, *lines], "X.csv")]


def test_rows_come_in_the_order_of_their_sessions_whatever_the_file_says() -> None:
    assert read("2020-01-03,1,2,1,2,2,5", "2020-01-02,1,2,1,2,2,5") == [date(2020, 1, 2), date(2020, 1, 3)]


def test_a_day_that_yahoo_left_null_is_passed_over() -> None:
    assert read("2020-01-02,null,null,null,null,null,null", "2020-01-03,1,2,1,2,2,5") == [date(2020, 1, 3)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("2020-13-02,1,2,1,2,2,5", "X.csv, line 2, column Date: '2020-13-02' is not a day; write it as 2009-01-02"),
        ("2020-01-02,1,2,1,x,2,5", "X.csv, line 2, column Close: 'x' is not a number above 0"),
        ("2020-01-02,0,2,1,2,2,5", "X.csv, line 2, column Open: '0' is not a number above 0"),
        ("2020-01-02,1,nan,1,2,2,5", "X.csv, line 2, column High: 'nan' is not a number above 0"),
        ("2020-01-02,1,2,1,2,2,-5", "X.csv, line 2, column Volume: '-5' is not a number of shares, 0 or more"),
        ("2020-01-02,1,2,1,3,2,5", "X.csv, line 2, column Close: 3 is not between Low 1 and High 2"),
        ("2020-01-02,1,2,1", "X.csv, line 2: 4 values for 7 columns"),
        ("2020-01-02,1,2,1,2,-2,5", "X.csv, line 2, column Adj Close: '-2' is not a number above 0"),
    ],
)
def test_a_bad_value_is_named_with_file_line_and_column(line: str, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(line)
    assert str(caught.value) == words


def test_a_day_given_twice_names_both_lines() -> None:
    with pytest.raises(
        SourceError, match=r"X\.csv, line 3, column Date: 2020-01-02 was given before, in X\.csv, line 2"
    ):
        read("2020-01-02,1,2,1,2,2,5", "2020-01-02,1,2,1,2,2,5")


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "it is empty; the first line must be Date,Open,High,Low,Close,Adj Close,Volume"),
        (["Date,Open,High,Low,Close,Volume"], "line 1: column Adj Close is missing; it has Date,Open"),
        ([HEADER], "it has no row with prices"),
    ],
)
def test_a_file_of_another_form_says_what_is_needed(lines: list[str], words: str) -> None:
    with pytest.raises(SourceError) as caught:
        read_yahoo(lines, "X.csv")
    assert words in str(caught.value)


def test_a_file_as_yahoo_exports_it_is_read() -> None:
    loaded = CsvFiles(FIXTURES).load("CBA.AX")
    assert [row.bar.session for row in loaded.rows] == [date(2020, 1, 2), date(2020, 1, 3), date(2020, 1, 7)]
    assert loaded.rows[0].bar.close == 80.5


def test_a_missing_file_is_named() -> None:
    with pytest.raises(SourceError, match=r"BHP\.AX\.csv does not exist: each symbol needs its SYMBOL\.csv"):
        CsvFiles(FIXTURES).load("BHP.AX")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"data\.csv\.directory .*nothing is not a folder"):
        CsvFiles(tmp_path / "nothing").load("BHP.AX")


def test_a_folder_within_a_volume_is_taken_from_its_root(tmp_path: Path) -> None:
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "X.csv").write_text(f"{HEADER}\n2020-01-02,1,2,1,2,2,5\n")
    source = open_source(Data(provider="csv", csv=CsvData(directory="/bars")), Path("/nowhere"), tmp_path)
    assert len(source.load("X").rows) == 1


def test_yahoo_says_that_it_cannot_be_asked() -> None:
    with pytest.raises(SourceError, match=r"CBA\.AX: SOURCE_UNAVAILABLE: provider yahoo cannot be asked"):
        open_source(Data(provider="yahoo"), Path()).load("CBA.AX")


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
