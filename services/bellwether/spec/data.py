"""Where bars come from: recorded ones, files, or Yahoo Finance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from bellwether.spec.fields import OBJECT_NAME_PATTERN, Block, Duration, Ratio, cel, rules


class ReplayData(Block):
    """Recorded bars that come with the product."""

    dataset: Literal["us-2000-2013"] = Field(
        "us-2000-2013",
        description="Recorded daily bars: us-2000-2013 holds AAPL, GOOG, IBM and MSFT, unadjusted, from 2000-03-01 "
        "(GOOG 2004-08-19) to 2013-03-01.",
    )


class CsvData(Block):
    """Daily bars in files, one SYMBOL.csv per symbol, in one of the forms that docs/bars.md names."""

    directory: str = Field(
        min_length=1,
        max_length=400,
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(r"!self.matches(r'[\x00-\x1f\x7f]')", "a folder's name has no control characters")
            ]
        },
        description="The folder of the files: on one machine a path, relative to the resource's file; in a cluster a "
        "path inside the volume of `volumeClaim`.",
    )
    volume_claim: str | None = Field(
        None,
        max_length=253,
        pattern=OBJECT_NAME_PATTERN,
        description="In a cluster: the PersistentVolumeClaim in the same namespace that holds the folder, mounted "
        "read-only.",
    )
    prices: Literal["raw", "splitAdjusted", "adjusted"] | None = Field(
        None,
        description="What the files' prices are, where their form does not say it: raw, as traded; splitAdjusted, "
        "restated after later splits; adjusted, restated after later splits and dividends.",
    )
    dates: Literal["dayFirst", "monthFirst"] | None = Field(
        None, description="How 2/01/2020 is read, where neither the files' form nor their other days tell."
    )
    max_odd_rows: Ratio = Field(
        "0.05",
        description="The share of a file's rows that may be left out as odd, 0-1; with more the file is refused. One "
        'row may always be, unless this is "0".',
    )
    delay: Duration = Field(
        "20m",
        description="How long after the close of a session a row of it is not final yet: a file that was written "
        "earlier has a quote of that session, and no bar.",
    )


class YahooData(Block):
    """How Yahoo Finance is asked."""

    requests_per_minute: int = Field(
        60,
        ge=10,
        le=600,
        description="The most requests that the system makes in any minute, those for cookies, crumbs and time zones "
        "included. A symbol takes two.",
    )
    history_years: int = Field(10, ge=1, le=50, description="How far back bars are fetched.")
    delay: Duration = Field(
        "30m",
        description="How long after the close of a session its row is not final yet: the closing auction, and the "
        "delay of Yahoo's prices.",
    )


class Data(Block):
    """Where bars come from."""

    model_config = rules(
        cel("self.provider != 'csv' || has(self.csv)", "provider csv needs data.csv.directory", ".csv")
    )
    provider: Literal["replay", "csv", "yahoo"] = Field(
        "yahoo", description="replay: recorded bars that come with the product; csv: your files; yahoo: Yahoo Finance."
    )
    interval: Literal["1d"] = Field("1d", description="The length of a bar: one session.")
    replay: ReplayData = Field(default_factory=ReplayData, description="Settings of provider replay.")
    csv: CsvData | None = Field(None, description="Settings of provider csv.")
    yahoo: YahooData = Field(default_factory=YahooData, description="Settings of provider yahoo.")
