"""Each form that people have, as a small file of it, and what is read from it."""

from __future__ import annotations

from datetime import date
from zoneinfo import ZoneInfo

import pytest

from bellwether.market_data.csv_forms.cells import FormError
from bellwether.market_data.csv_forms.reading import Found, Options, read

TODAY = date(2026, 11, 29)
SYDNEY = ZoneInfo("Australia/Sydney")


def found(text: str | bytes, symbol: str = "CBA.AX", **options: object) -> Found:
    content = text if isinstance(text, bytes) else text.encode()
    return read(content, symbol, f"{symbol}.csv", Options(today=TODAY, **options))  # type: ignore[arg-type]


def days(one: Found) -> list[str]:
    return [row.session.isoformat() for row in one.rows]


def refused(text: str | bytes, symbol: str = "CBA.AX", **options: object) -> str:
    with pytest.raises(FormError) as caught:
        found(text, symbol, **options)
    return str(caught.value)


YAHOO = """Date,Open,High,Low,Close,Adj Close,Volume
2020-01-02,80.2,80.9,79.9,80.5,72.1,1000
2020-01-03,80.6,81.5,80.4,81.2,72.7,1100
"""


def test_yahoos_old_export() -> None:
    one = found(YAHOO)
    assert (one.form, one.prices, one.states_actions) == ("Yahoo's export", None, False)
    assert days(one) == ["2020-01-02", "2020-01-03"]
    assert (one.rows[0].close, one.rows[0].adjusted_close, one.rows[0].volume) == (80.5, 72.1, 1000)
    assert one.rows[1].where == "CBA.AX.csv, line 3"


def test_history_of_yfinance_is_read_without_the_dividends_taken_out() -> None:
    # 14.00 the day before a dividend of 1.70: history() states 14 * (1 - 1.7 / 14) = 12.30.
    one = found(
        "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n"
        "2023-05-29 00:00:00+10:00,12.2,12.4,12.1,12.3,900,0.0,0.0\n"
        "2023-05-30 00:00:00+10:00,12.4,12.5,12.3,12.4,1000,1.7,0.0\n"
        "2023-05-31 00:00:00+10:00,12.4,12.6,12.3,12.5,1000,0.0,2.0\n"
    )
    assert (one.form, one.split_adjusted, one.states_actions) == ("yfinance history()", True, True)
    assert days(one) == ["2023-05-29", "2023-05-30", "2023-05-31"]
    assert [round(row.close, 6) for row in one.rows] == [14.0, 12.4, 12.5]
    assert [row.adjusted_close for row in one.rows] == [12.3, 12.4, 12.5]
    assert [(row.dividend, row.split) for row in one.rows] == [(0.0, 1.0), (1.7, 1.0), (0.0, 2.0)]


def test_history_of_yfinance_with_adj_close_newest_first_in_a_datetime_column() -> None:
    one = found(
        "Datetime,Open,High,Low,Close,Adj Close,Volume,Dividends,Stock Splits\n"
        "2022-01-05 00:00:00+09:00,4100.0,4118.0,4066.0,4080.0,3840.68212890625,4258500,0.0,0.0\n"
        "2022-01-04 00:00:00+09:00,4050.0,4134.0,4022.0,4131.0,3888.69091796875,5385000,0.0,0.0\n"
    )
    assert (one.split_adjusted, one.states_actions) == (True, True)
    assert days(one) == ["2022-01-04", "2022-01-05"]
    assert one.rows[0].close == 4131.0


def test_the_old_switch_of_the_first_column_to_the_index_without_a_title() -> None:
    assert days(found(YAHOO.replace("Date,", ",", 1))) == ["2020-01-02", "2020-01-03"]


@pytest.mark.parametrize(
    ("head", "form", "close"),
    [
        (
            "Price,Close,High,Low,Open,Volume\nTicker,X,X,X,X,X\nDate,,,,,\n",
            "yfinance download()",
            80.5,
        ),
        (
            "Ticker,X,X,X,X,X\nPrice,Close,High,Low,Open,Volume\nDate,,,,,\n",
            "yfinance download()",
            80.5,
        ),
    ],
)
def test_download_of_yfinance_with_three_lines_of_titles(head: str, form: str, close: float) -> None:
    one = found(head + "2020-01-02,80.5,80.9,79.9,80.2,1000\n2020-01-03,81.2,81.5,80.4,80.6,1100\n")
    assert (one.form, one.prices) == (form, "adjusted")
    assert one.rows[0].close == close
    assert one.rows[0].adjusted_close == close
    assert one.rows[1].where == "CBA.AX.csv, line 5"


def test_download_of_several_shares_takes_the_columns_of_the_one() -> None:
    text = (
        "Price,Adj Close,Adj Close,Close,Close,High,High,Low,Low,Open,Open,Volume,Volume\n"
        "Ticker,ANZ.AX,CBA.AX,ANZ.AX,CBA.AX,ANZ.AX,CBA.AX,ANZ.AX,CBA.AX,ANZ.AX,CBA.AX,ANZ.AX,CBA.AX\n"
        "Date,,,,,,,,,,,,\n"
        "2020-01-02,20,72,25,80.5,26,80.9,24,79.9,25,80.2,10,1000\n"
    )
    one = found(text)
    assert (one.rows[0].open, one.rows[0].close, one.rows[0].adjusted_close, one.rows[0].volume) == (
        80.2,
        80.5,
        72.0,
        1000,
    )
    assert refused(text, "BHP.AX") == "BHP.AX.csv, line 2: it has no columns of BHP.AX, but of ANZ.AX, CBA.AX"


PLAIN = "Date,Open,High,Low,Close,Volume\n2020-01-02,80.2,80.9,79.9,80.5,1000\n2020-01-03,80.6,81.5,80.4,81.2,1100\n"


def test_a_form_that_does_not_say_what_its_prices_are_names_the_key() -> None:
    assert refused(PLAIN) == (
        "CBA.AX.csv: a table with titles does not say what its prices are: set data.csv.prices to raw (as traded), "
        "splitAdjusted (restated after later splits) or adjusted (after splits and dividends)"
    )
    assert not found(PLAIN, prices="raw").split_adjusted
    assert found(PLAIN, prices="splitAdjusted").split_adjusted


def test_the_declaration_speaks_for_the_forms_that_say_nothing_and_for_no_other() -> None:
    history = "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits\n2020-01-02,1,2,1,2,5,0,0\n"
    assert found(history, prices="raw").prices == "adjusted"
    lower = "timestamp,open,high,low,close,volume\n2020-01-02,1,2,1,2,5\n"
    assert (found(lower).prices, found(lower, prices="adjusted").prices) == ("raw", "adjusted")


def test_stooq_in_bulk() -> None:
    one = found(
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "CBA.AU,D,20200102,000000,80.2,80.9,79.9,80.5,1000,0\n"
        "CBA.AU,D,20200103,000000,80.6,81.5,80.4,81.2,1100,0\n",
        prices="adjusted",
    )
    assert (one.form, days(one)) == ("Stooq (bulk)", ["2020-01-02", "2020-01-03"])


def test_stooq_of_another_period_is_refused() -> None:
    text = "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>\nCBA.AU,W,20200102,0,1,2,1,2,5\n"
    assert refused(text) == "CBA.AX.csv, line 2: its period is W: only daily bars (D) are read"


def test_alpha_vantage_as_traded_and_adjusted() -> None:
    one = found(
        "timestamp,open,high,low,close,volume\n2020-01-03,80.6,81.5,80.4,81.2,1100\n2020-01-02,80.2,80.9,79.9,80.5,1000\n"
    )
    assert (one.form, one.split_adjusted, days(one)) == ("Alpha Vantage", False, ["2020-01-02", "2020-01-03"])
    one = found(
        "timestamp,open,high,low,close,adjusted_close,volume,dividend_amount,split_coefficient\n"
        "2020-08-31,127.58,131.0,126.0,129.04,129.04,225702688,0.0000,4.0\n"
        "2020-08-28,504.05,505.77,498.31,499.23,124.80,46907479,0.0000,1.0\n"
    )
    assert (one.split_adjusted, one.states_actions) == (False, True)
    assert [(row.session.day, row.close, row.split) for row in one.rows] == [(28, 499.23, 1.0), (31, 129.04, 4.0)]


def test_money_of_another_encoding() -> None:
    text = PLAIN.replace("80.2,80.9,79.9,80.5", "£80.20,£80.90,£79.90,£80.50").encode("cp1252")
    one = found(text, prices="raw")
    assert (one.rows[0].close, one.odd) == (80.5, ())


def test_tiingo_as_traded_with_actions() -> None:
    one = found(
        "date,close,high,low,open,volume,adjClose,adjHigh,adjLow,adjOpen,adjVolume,divCash,splitFactor\n"
        "2020-08-28T00:00:00.000Z,499.23,505.77,498.31,504.05,46907479,124.8,126.4,124.6,126.0,187629916,0.0,1.0\n"
        "2020-08-31T00:00:00.000Z,129.04,131.0,126.0,127.58,225702688,129.04,131.0,126.0,127.58,225702688,0.0,4.0\n"
    )
    assert (one.form, one.split_adjusted, one.states_actions) == ("Tiingo", False, True)
    assert [(row.close, row.open, row.split) for row in one.rows] == [(499.23, 504.05, 1.0), (129.04, 127.58, 4.0)]


def test_a_table_copied_from_yahoos_page() -> None:
    one = found(
        "Date\tOpen\tHigh\tLow\tClose Close price adjusted for splits.\tAdj Close Adjusted close price adjusted for "
        "splits and dividend and/or capital gain distributions.\tVolume\n"
        "Jan 3, 2020\t80.60\t81.50\t80.40\t81.20\t72.70\t1,100\nJan 2, 2020\t80.20\t80.90\t79.90\t80.50\t72.10\t1,000\n"
    )
    assert days(one) == ["2020-01-02", "2020-01-03"]
    assert one.rows[0].adjusted_close == 72.1


def test_nasdaq_with_dollars_month_first() -> None:
    one = found(
        "Date,Close/Last,Volume,Open,High,Low\n01/03/2020,$212.69,1100,$210.00,$213.10,$209.90\n"
        "01/02/2020,$210.10,1000,$209.00,$211.00,$208.50\n",
        "MSFT",
        prices="splitAdjusted",
    )
    assert (one.form, days(one)) == ("Nasdaq", ["2020-01-02", "2020-01-03"])
    assert one.rows[1].close == 212.69


def test_investing_com_quoted_newest_first_with_a_byte_order_mark() -> None:
    one = found(
        b"\xef\xbb\xbf"
        b'"Date","Price","Open","High","Low","Vol.","Change %"\n'
        b'"01/31/2020","1,081.20","1,080.60","1,081.50","1,080.40","77.03M","0.87%"\n'
        b'"01/30/2020","1,080.50","1,080.20","1,080.90","1,079.90","803.5K","-0.2%"\n',
        prices="splitAdjusted",
    )
    assert one.form == "Investing.com"
    assert [(row.session.isoformat(), row.close, row.volume) for row in one.rows] == [
        ("2020-01-30", 1080.5, 803_500),
        ("2020-01-31", 1081.2, 77_030_000),
    ]


def test_days_of_excel_are_read_by_the_files_other_days_or_the_declaration() -> None:
    head = "Date;Open;High;Low;Close;Volume\n"
    two = head + "2/01/2020;80.2;80.9;79.9;80.5;1000\n3/01/2020;80.6;81.5;80.4;81.2;1100\n"
    assert refused(two, prices="raw") == (
        "CBA.AX.csv, line 2: whether 2/01/2020 has the day or the month first cannot be known: set data.csv.dates to "
        "dayFirst or monthFirst"
    )
    assert days(found(two, prices="raw", order="dayFirst")) == ["2020-01-02", "2020-01-03"]
    reported = two + "31/01/2020;80.6;81.5;80.4;81.2;1100\n"
    assert days(found(reported, prices="raw")) == ["2020-01-02", "2020-01-03", "2020-01-31"]
    both = reported + "01/31/2020;80.6;81.5;80.4;81.2;1100\n"
    assert (
        "the days are written in two orders: 31/01/2020 (line 4) has the day first, 01/31/2020 (line 5) the month"
        in (refused(both, prices="raw"))
    )


@pytest.mark.parametrize(
    "text",
    [
        "20200102",
        "2020/01/02",
        "02-Jan-2020",
        "2 Jan 2020",
        "Jan 02, 2020",
        "43832",
        "2020-01-02T00:00:00Z",
        "2020-01-01 13:00:00+00:00",
        "2020-01-02 10:00:00",
    ],
)
def test_a_day_in_other_words(text: str) -> None:
    one = found(f'Date,Open,High,Low,Close,Volume\n"{text}",80.2,80.9,79.9,80.5,1000\n', prices="raw", zone=SYDNEY)
    assert days(one) == ["2020-01-02"]


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", ";").replace(".", ","),
        PLAIN.lower(),
        PLAIN.upper(),
        PLAIN.replace("\n", ",,,\n"),
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("\n", "\r"),
        "sep=,\n" + PLAIN,
        "CBA.AX daily\n\n" + PLAIN,
        PLAIN.replace("1000", '"1,000"').replace("1100", '"1,100"'),
        PLAIN.replace("1000", "1 000").replace("1100", "1 100"),
        "\n".join(line for line in PLAIN.splitlines()[1:]),
        "\n".join("CBA," + line.replace("-", "") for line in PLAIN.splitlines()[1:]),
        "﻿" + PLAIN,
    ],
    ids=[
        "tabs", "semicolons and decimal commas", "lower case", "upper case", "trailing commas", "dos", "old mac",
        "sep=", "a line before", "thousands", "spaces of thousands", "no titles", "no titles, symbol, yyyymmdd",
        "byte order mark",
    ],
)  # fmt: skip
def test_the_same_rows_written_in_another_way(text: str) -> None:
    one = found(text, prices="raw")
    assert [(row.session.isoformat(), row.open, row.high, row.low, row.close, row.volume) for row in one.rows] == [
        ("2020-01-02", 80.2, 80.9, 79.9, 80.5, 1000),
        ("2020-01-03", 80.6, 81.5, 80.4, 81.2, 1100),
    ]
    assert one.odd == ()


def test_text_of_excel_in_utf_16() -> None:
    assert days(found(b"\xff\xfe" + PLAIN.replace(",", "\t").encode("utf-16-le"), prices="raw")) == [
        "2020-01-02",
        "2020-01-03",
    ]


def test_decimals_that_can_be_read_both_ways_are_refused() -> None:
    text = "Date;Open;High;Low;Close;Volume\n2020-01-02;80,200;80,900;79,900;80,500;1000\n"
    assert refused(text, prices="raw") == (
        "CBA.AX.csv: whether the comma of 80,200 is one of thousands cannot be known: write a point for it"
    )


def test_weekly_and_monthly_bars_are_refused() -> None:
    rows = "".join(f"2020-01-{day:02},1,2,1,2,2,5\n" for day in (6, 13, 20, 27))
    assert refused("Date,Open,High,Low,Close,Adj Close,Volume\n" + rows) == (
        "CBA.AX.csv: its rows are 7 days apart: only daily bars are read, export them by day"
    )


def test_bars_of_hours_are_refused() -> None:
    rows = "".join(f"2020-01-02 {hour}:00:00+11:00,1,2,1,2,2,5\n" for hour in (10, 11, 12, 13))
    assert refused("Datetime,Open,High,Low,Close,Adj Close,Volume\n" + rows) == (
        "CBA.AX.csv: its rows are of times within the day: only daily bars are read"
    )


def test_a_day_to_come_is_refused() -> None:
    assert refused(YAHOO + "2026-12-01,80.6,81.5,80.4,81.2,72.7,1100\n") == (
        "CBA.AX.csv, line 4: 2026-12-01 has not come yet: check the order of day and month in CBA.AX.csv"
    )


def test_a_file_of_several_shares_takes_the_rows_of_the_one() -> None:
    head = "Ticker,Date,Open,High,Low,Close,Adj Close,Volume\n"
    text = head + "ANZ.AX,2020-01-02,1,2,1,2,2,5\nCBA.AX,2020-01-02,3,4,3,4,4,5\n"
    assert [row.open for row in found(text).rows] == [3.0]
    assert refused(text, "BHP.AX") == "BHP.AX.csv: it has no rows of BHP.AX, but of ANZ.AX, CBA.AX"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty; the first line must have titles such as Date,Open,High,Low,Close,Volume"),
        (
            "Date,Open,High,Low,Close,Adj Close\n2020-01-02,1,2,1,2,2",
            "line 1: column Volume is missing; it has Date,Open",
        ),
        ("hello\nworld\n", "line 1: no titles are found; it has hello; needed are Date,Open,High,Low,Close,Volume"),
        ("Date,Open,High,Low,Close,Adj Close,Volume\n", "it has no row with prices"),
        ('Date,"Open\n', "line 1: no titles are found; its quotes do not match; needed are Date,Open"),
        ("<html><body>Will be right back</body></html>", "no titles are found"),
    ],
)
def test_a_file_of_no_form_says_what_is_needed(text: str, words: str) -> None:
    assert words in refused(text)
