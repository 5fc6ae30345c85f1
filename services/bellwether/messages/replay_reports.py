"""Reports of replays beside a system: handed in part by part, kept by the scheduler, shown by the gateway.

A report is its page (`index.html`) and its figures (`report.json`), both packed by gzip.
"""

from __future__ import annotations

from typing import Literal

import msgspec

ReportFile = Literal["index.html", "report.json"]
REPORT_FILES: tuple[ReportFile, ...] = ("index.html", "report.json")


class PutReplayReport(msgspec.Struct, frozen=True):
    """A part of one file of a report; `sha256` and `total` are of the whole file as it is sent."""

    replay: str
    """The TradingReplay's name."""
    uid: str
    index: int
    """Of the variant; 0 is the declaration as it is."""
    file: ReportFile
    sha256: str
    offset: int
    total: int
    content: bytes


class GetReplayReport(msgspec.Struct, frozen=True):
    """Ask for a part of a file of the newest replay of a name."""

    replay: str
    index: int
    file: ReportFile
    offset: int = 0


class ReplayReportLine(msgspec.Struct, frozen=True):
    """A replay and the variants whose page is there."""

    replay: str
    uid: str
    variants: list[int]


class ReplayReports(msgspec.Struct, frozen=True):
    """Replays with a report, by name."""

    replays: list[ReplayReportLine]


class RetainReplayReports(msgspec.Struct, frozen=True):
    """Forget the reports of all replays but these, by uid."""

    uids: list[str]
