"""What exchange_calendars lacks: days on which an exchange stayed closed, opened late or closed early.

Each was looked up (`SEEN`) at the source beside it. `market/tables` carries them, tests hold that nothing else differs
from the library, and that each is still needed: once a release has a day, it is taken out here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time

SEEN = date(2026, 11, 29)
_HKEX = "hkex.com.hk/News/Market-Communications"
_NYSE = "NYSE, list of special closings since 1885"


@dataclass(frozen=True, slots=True)
class Correction:
    """One day of an exchange: closed (neither time), or its open and close in the exchange's time zone."""

    calendar: str
    day: date
    source: str
    open: time | None = None
    close: time | None = None

    @property
    def hours(self) -> tuple[time, time] | None:
        """The open and close, None for a day without a session."""
        return None if self.open is None or self.close is None else (self.open, self.close)


def _hours(calendar: str, day: str, opens: str, closes: str, source: str) -> Correction:
    return Correction(calendar, date.fromisoformat(day), source, time.fromisoformat(opens), time.fromisoformat(closes))


def _closed(calendar: str, day: str, source: str) -> Correction:
    return Correction(calendar, date.fromisoformat(day), source)


CORRECTIONS = (
    _hours("XASX", "2016-09-19", "11:30", "14:13", "asxonline.com notice 1111.16.09; zdnet.com (halt at 14:13)"),
    _hours("XASX", "2020-11-16", "10:00", "10:24", "ASX, trading outage of 16 November 2020; smh.com.au p56eu7"),
    _hours("XHKG", "2013-09-23", "13:00", "16:00", "Usagi: reuters.com idUSL4N0HJ0CL20130923"),
    _hours("XHKG", "2014-09-16", "13:00", "16:00", "Kalmaegi: Bloomberg, signal lowered at 10:40, trading from 13:00"),
    _hours("XHKG", "2020-08-19", "13:30", "16:00", f"Higos: {_HKEX}/2020/2008192news"),
    _hours("XHKG", "2021-06-28", "13:30", "16:00", f"black rainstorm: {_HKEX}/2021/2106283news"),
    _hours(
        "XHKG", "2022-08-25", "13:00", "16:00", "Ma-on: Bloomberg, news.yahoo.com hong-kong-delays-trading-233533253"
    ),
    _hours(
        "XHKG", "2022-11-02", "09:30", "13:55", "Nalgae: signal 8 at 13:40, trading ends 15 minutes later (Bloomberg)"
    ),
    _closed("XHKG", "2023-09-01", f"Saola: {_HKEX}/2023/2309012news"),
    _closed("XHKG", "2023-09-08", f"black rainstorm: {_HKEX}/2023/2309083news"),
    _hours(
        "XHKG", "2023-10-09", "14:00", "16:00", "Koinu: HKEX by mondovisione.com, resume after cancellation, 2023-10-09"
    ),
    _hours("XLON", "2018-06-07", "09:00", "16:30", "outage: businessinsider.com london-stock-exchange-down 2018-06-07"),
    _hours("XLON", "2019-08-16", "09:40", "16:30", "outage of FTSE 100 and 250: finance.yahoo.com 2019-08-16"),
    _hours("XNYS", "1990-12-27", "09:31", "16:00", _NYSE),
    _hours("XNYS", "1991-01-17", "09:31", "16:00", _NYSE),
    _hours("XNYS", "1991-02-25", "09:31", "16:00", _NYSE),
    _hours("XNYS", "1994-02-11", "09:30", "14:30", _NYSE),
    _hours("XNYS", "1995-12-18", "10:30", "16:00", _NYSE),
    _hours("XNYS", "1996-01-08", "11:00", "14:00", _NYSE),
    _hours("XNYS", "1997-10-27", "09:30", "15:30", _NYSE),
    _hours("XNYS", "2001-09-17", "09:33", "16:00", _NYSE),
    _hours("XNYS", "2001-10-08", "09:31", "16:00", _NYSE),
    _hours("XNYS", "2002-09-11", "12:00", "16:00", _NYSE),
    _hours("XNYS", "2003-03-20", "09:32", "16:00", _NYSE),
    _hours("XNYS", "2004-06-07", "09:32", "16:00", _NYSE),
    _hours("XNYS", "2005-06-01", "09:30", "15:56", _NYSE),
    _hours("XNYS", "2006-12-27", "09:32", "16:00", _NYSE),
    _hours("XTKS", "2005-11-01", "13:30", "15:00", "outage: thedailystar.net 2005-11-02 (AFP)"),
    _hours("XTKS", "2006-01-18", "09:00", "14:40", "closed early: mg.co.za 2006-01-18"),
)


def of(calendar: str) -> list[Correction]:
    """Return the corrections of one exchange, by day."""
    return sorted((one for one in CORRECTIONS if one.calendar == calendar), key=lambda one: one.day)
