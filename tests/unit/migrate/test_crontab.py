"""Lines of a crontab judged by sessions of the ASX, 2025 and 2026; its closed days stand here as it announced them."""

from __future__ import annotations

import json
from datetime import date, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from bellwether.cli.main import main
from bellwether.market.sessions import load_calendar
from bellwether.migrate.crontab import Judgement, Wrong, judge, read

FIRST, LAST = date(2025, 1, 1), date(2026, 12, 31)
CLOSED = {
    *("2025-01-01", "2025-01-27", "2025-04-18", "2025-04-21", "2025-04-25", "2025-06-09", "2025-12-25", "2025-12-26"),
    *("2026-01-01", "2026-01-26", "2026-04-03", "2026-04-06", "2026-06-08", "2026-12-25", "2026-12-28"),
}
HALF_DAYS = {"2025-12-24", "2025-12-31", "2026-12-24", "2026-12-31"}
UTC, SYDNEY = ZoneInfo("UTC"), ZoneInfo("Australia/Sydney")


def judged(text: str, zone: ZoneInfo = UTC) -> Judgement:
    (line,), odd = read(text, zone)
    assert odd == []
    return judge(line, load_calendar("XASX"), FIRST, LAST)


def days(found: Judgement, wrong: Wrong) -> set[str]:
    return {str(one.day) for one in found.faults if one.wrong is wrong}


def test_a_line_in_the_exchanges_zone_is_wrong_on_closed_days_alone() -> None:
    found = judged("45 9 * * 1-5 run_predictions.py", SYDNEY)
    assert days(found, Wrong.closed) == CLOSED
    assert {one.wrong for one in found.faults} == {Wrong.closed}
    assert (found.usual, found.replacement.name) == (time(9, 45), "prediction_generation")
    assert found.replacement.offset == timedelta(minutes=-15)


def test_a_line_in_utc_drifts_by_an_hour_in_the_exchanges_summer() -> None:
    # 23:45 UTC is 09:45 in Sydney's winter and 10:45, after the open, in its summer.
    found = judged("45 23 * * 0-4 run_predictions.py")
    assert found.usual == time(9, 45)
    assert days(found, Wrong.closed) == CLOSED
    late = sorted(days(found, Wrong.hour))
    assert {one.clock for one in found.faults if one.wrong is Wrong.hour} == {time(10, 45)}
    # Summer time ends on the first Sunday of April and begins on the first one of October.
    assert "2025-04-04" in late
    assert "2025-04-07" not in late
    assert "2025-10-03" not in late
    assert "2025-10-06" in late


def test_a_line_of_the_afternoon_runs_past_the_close_of_half_days() -> None:
    found = judged("30 15 * * 1-5 intraday_check", SYDNEY)
    assert days(found, Wrong.half_day) == HALF_DAYS
    assert days(found, Wrong.closed) == CLOSED
    evening = judged("0 17 * * 1-5 evening.py", SYDNEY)
    assert days(evening, Wrong.half_day) == set()
    assert (evening.replacement.name, evening.replacement.anchor) == ("evening_analysis", "close")


def test_a_line_of_each_day_runs_on_weekends_too() -> None:
    found = judged("@daily report", SYDNEY)
    assert found.runs == 730
    weekends = {FIRST + timedelta(days=n) for n in range(730) if (FIRST + timedelta(days=n)).weekday() >= 5}
    assert days(found, Wrong.closed) == CLOSED | {str(day) for day in weekends}


def test_zones_users_and_what_is_no_job() -> None:
    text = (
        "MAILTO=ops\n# comment\nCRON_TZ=Australia/Sydney\n45 9 * * 1-5 trader /opt/run\nTZ=Mars/Base\n"
        "@reboot trader x\n61 * * * * trader y\n0 1 * * * trader\n"
    )
    lines, odd = read(text, UTC, with_user=True)
    assert [(one.number, one.command, str(one.timezone)) for one in lines] == [(4, "/opt/run", "Australia/Sydney")]
    assert [one.number for one in odd] == [5, 6, 7, 8]
    assert "no time zone Mars/Base" in odd[0].why
    assert "no schedule" in odd[2].why
    assert "no command" in odd[3].why


def test_the_command_tells_it_in_words_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "old.cron"
    file.write_text("45 23 * * 0-4 predict\nnonsense\n")
    span = ("--from", str(FIRST), "--to", str(LAST))
    assert main(["migrate", "cron", str(file), *span]) == 1
    reported = capsys.readouterr().out
    assert "usually 09:45 at the exchange; replaced by prediction_generation (-15 min from the open)" in reported
    assert "15 although the exchange was closed: 2025-01-01" in reported
    assert "line 2:" in reported
    file.write_text("45 9 * * 1-5 predict\n")
    assert main(["migrate", "cron", str(file), *span, "--timezone", "Australia/Sydney", "-o", "json"]) == 0
    (line,) = json.loads(capsys.readouterr().out)["lines"]
    assert {one["day"] for one in line["faults"]} == CLOSED


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        (["--timezone", "Sydney"], "there is no such zone"),
        (["--calendar", "ASX"], "there are XASX"),
        (["--from", "27.11.2026"], "a day is written 2026-11-27"),
        (["--from", "1950-01-01"], "XASX"),
    ],
)
def test_wrong_options_are_reported_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], reported: str
) -> None:
    file = tmp_path / "old.cron"
    file.write_text("45 9 * * 1-5 predict\n")
    assert main(["migrate", "cron", str(file), *words]) == 1
    assert reported in capsys.readouterr().err
