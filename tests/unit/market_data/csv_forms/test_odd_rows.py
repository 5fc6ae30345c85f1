"""Rows that cannot be right: left out or flagged, each named with file and line, or too many for the file."""

from __future__ import annotations

import contextlib
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bellwether.market_data.csv_files import read_bars
from bellwether.market_data.csv_forms.cells import FormError
from bellwether.market_data.csv_forms.reading import Found, Options, read
from bellwether.market_data.rows import SourceError

TODAY = date(2026, 11, 29)
HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"


def day(number: int) -> date:
    return date(2024, 11, 4) + timedelta(days=number + 2 * (number // 5))


def good(number: int, close: float = 76.0) -> str:
    return f"{day(number)},{close - 0.1:.2f},{close + 0.4:.2f},{close - 0.5:.2f},{close:.2f},{close:.2f},1000"


def found(*lines: str, most_odd: float = 0.05) -> Found:
    return read("\n".join((HEADER, *lines)).encode(), "CBA.AX", "CBA.AX.csv", Options(today=TODAY, most_odd=most_odd))


def said(one: Found) -> list[tuple[str, str, str]]:
    return [(row.where, row.code, row.message) for row in one.odd]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("2024-11-18,0.020,0.021,0.019,0.031,0.031,500", "OHLC_ORDER", "Close 0.031 is above High 0.021"),
        ("2024-11-18,75,74,77,75,75,500", "OHLC_ORDER", "Low 77 is above High 74"),
        ("2024-11-18,76,nan,75,76,76,500", "MISSING_PRICE", "High is missing"),
        ("2024-11-18,76,inf,75,76,76,500", "NOT_A_NUMBER", "High 'inf' is not a number above 0"),
        ("2024-11-18,76,null,75,76,76,500", "MISSING_PRICE", "High is missing"),
        ("2024-11-18,76,77,75,x,76,500", "NOT_A_NUMBER", "Close 'x' is not a number above 0"),
        ("2024-11-18,0,77,75,76,76,500", "NOT_POSITIVE", "Open '0' is not a number above 0"),
        ("2024-11-18,76,77,75,76,76,-5", "VOLUME", "Volume '-5' is not a number of shares, 0 or more"),
        ("2024-02-30,76,77,75,76,76,500", "DATE", "Date '2024-02-30' is not a day"),
        ("2024-11-18,76,77", "MISSING_PRICE", "Low is missing"),
        ("2024-11-18,76,77,75,76,76,500,1,2", "COLUMNS", "it has 9 values for 7 columns"),
        ('2024-11-18,"76,77,75,76,76,500', "LINE", "its quotes do not match"),
        ("2024-11-18,76,77,75,76,76,\x00500", "LINE", "it holds a NUL character"),
        ("2024-11-18,7600,7674,7592,7610,7610,500", "SPIKE", "Close 7610 is 100.1 times that of 2024-11-15 (76)"),
        ("2024-11-18,0.76,0.77,0.75,0.76,0.76,500", "SPIKE", "Close 0.76 is 1/100 of that of 2024-11-15 (76)"),
    ],
)
def test_one_bad_row_is_one_bad_row_named_with_file_and_line(line: str, code: str, message: str) -> None:
    one = found(*(good(number) for number in range(10)), line, good(11))
    assert said(one) == [("CBA.AX.csv, line 12", code, message)]
    assert [row.session for row in one.rows] == [*(day(number) for number in range(10)), day(11)]


def test_a_huge_line_is_left_out() -> None:
    one = found(*(good(number) for number in range(10)), "9" * 1_000_000, good(11))
    assert said(one) == [("CBA.AX.csv, line 12", "LINE", "it has 1000000 characters: a row of prices has at most 8192")]


def test_a_close_a_little_above_the_high_is_kept_with_a_flag() -> None:
    one = found(good(0), "2024-11-15,149.5606,150.4783,148.1329,150.6580,150.6580,1000")
    assert said(one) == []
    assert [row.flags for row in one.rows] == [(), ("OHLC_ORDER",)]


def test_noise_of_computed_prices_is_not_odd() -> None:
    line = "2024-11-15,0.12,0.12029,0.119,0.1202900001,0.12029,9"
    penny = read(f"{HEADER}\n{line}\n".encode(), "X", "X.csv", Options(today=TODAY))
    assert penny.rows[0].flags == ()


def test_a_row_without_volume_is_kept_with_a_flag() -> None:
    one = found(good(0), "2024-11-15,76,77,75,76,76,")
    assert (one.rows[1].volume, one.rows[1].flags) == (0.0, ("NO_VOLUME",))


def test_days_without_any_price_are_left_out_and_not_counted() -> None:
    one = found(
        good(0), *(f"{day(number)},null,null,null,null,null,null" for number in range(1, 9)), good(9), most_odd=0
    )
    assert [row.session for row in one.rows] == [day(0), day(9)]
    assert {row.code for row in one.odd} == {"NO_TRADING"}


def test_of_the_newest_day_written_twice_the_later_row_counts() -> None:
    one = found(good(0), good(1), good(1, 76.2))
    assert [row.close for row in one.rows] == [76.0, 76.2]
    assert said(one) == [("CBA.AX.csv, line 3", "REPEATED", f"{day(1)} is given again in line 4")]
    assert one.rows[1].flags == ("REPEATED",)


def test_an_older_day_with_two_prices_is_left_out() -> None:
    one = found(good(0), good(1), good(1, 77.0), *(good(number) for number in range(2, 40)))
    assert [row.code for row in one.odd] == ["CONFLICT", "CONFLICT"]
    assert one.odd[0].message == f"{day(1)} is given with other prices in line 4"
    assert day(1) not in [row.session for row in one.rows]


def test_the_newest_row_at_100_times_the_price_is_left_out_until_others_confirm_it() -> None:
    rows = [good(number) for number in range(10)]
    assert [row.code for row in found(*rows, good(10, 7600)).odd] == ["SPIKE"]
    confirmed = found(*rows, *(good(number, 7600) for number in range(10, 14)))
    assert (len(confirmed.rows), confirmed.odd) == (14, ())


def test_a_split_that_the_adjusted_closes_show_is_no_spike() -> None:
    one = found("2024-06-25,0.41,0.42,0.39,0.40,10.00,300000", "2024-06-26,9.9,10.2,9.7,10.1,10.1,200000")
    assert (len(one.rows), one.odd) == (2, ())


def test_more_odd_rows_than_declared_refuse_the_file() -> None:
    rows = [good(number) for number in range(20)]
    rows[3] = rows[7] = "2024-11-18,x,1,1,1,1,1"
    with pytest.raises(FormError) as caught:
        found(*rows)
    assert str(caught.value) == (
        "CBA.AX.csv: 2 of 20 rows are odd, more than data.csv.maxOddRows 0.05 allows: line 5: Open 'x' is not a number "
        "above 0; line 9: Open 'x' is not a number above 0"
    )
    assert len(found(*rows, most_odd=0.1).rows) == 18


def test_no_odd_row_is_taken_where_none_is_declared() -> None:
    with pytest.raises(FormError, match="1 of 3 rows are odd"):
        found(good(0), "x", good(1), most_odd=0)


@given(st.binary(max_size=400))
def test_whatever_a_file_holds_it_is_read_or_refused(content: bytes) -> None:
    for head in (b"", HEADER.encode() + b"\n", b"Price,Close\nTicker,X\nDate,\n", f"{HEADER}\n{good(0)}\n".encode()):
        with contextlib.suppress(FormError):
            found = read(head + content, "X", "X.csv", Options(today=TODAY, prices="raw", order="dayFirst"))
            assert all(where.startswith("X.csv, line ") for where in [row.where for row in found.rows])


@given(
    st.lists(
        st.lists(st.sampled_from(["", "1", "2020-01-02", "-", "1:0", "9" * 400, "1e999", '"', "date", "open"])),
        max_size=9,
    )
)
def test_whatever_cells_a_file_holds_it_is_read_or_refused(rows: list[list[str]]) -> None:
    head = "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
    body = "\n".join(",".join(row) for row in rows)
    for text in (head + body, body):
        with contextlib.suppress(FormError):
            options = Options(today=TODAY, prices="adjusted", order="dayFirst", most_odd=1.0)
            found = read(text.encode(), "X", "X.csv", options)
            assert [row.session for row in found.rows] == sorted({row.session for row in found.rows})


def test_a_fault_of_the_reader_is_a_refusal_of_this_file_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise IndexError("tuple index out of range")

    monkeypatch.setattr("bellwether.market_data.csv_files.read", fails)
    with pytest.raises(SourceError, match=r"X\.csv: it cannot be read \(IndexError: tuple index out of range\)"):
        read_bars(b"", "X", "X.csv", Options(today=TODAY))
