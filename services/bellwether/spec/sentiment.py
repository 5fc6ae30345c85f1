"""Where news comes from, and when it refuses a BUY."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bellwether.spec.fields import OBJECT_NAME_PATTERN, Block, Duration, Ratio, Symbol, cel, rules


class NewsCsv(Block):
    """Headlines in a file: a heading with published, source, title and perhaps symbol, then a row for each."""

    file: str = Field(
        min_length=1,
        max_length=400,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="The file: on one machine a path, relative to the resource's file; in a cluster a path inside the "
        "volume of `volumeClaim`.",
    )
    volume_claim: str | None = Field(
        None,
        max_length=253,
        pattern=OBJECT_NAME_PATTERN,
        description="In a cluster: the PersistentVolumeClaim in the same namespace that holds the file, mounted "
        "read-only.",
    )


class Feed(Block):
    """One RSS or Atom feed."""

    url: str = Field(
        max_length=500,
        pattern=r"^https?://[^\s/@?#]+([/?#][^\s]*)?$",
        description="Where it is, http or https, without a user's name.",
    )
    source: str | None = Field(
        None, max_length=60, description="What its headlines give as their source; without it, the feed's own title."
    )
    private: bool = Field(
        False,
        description="Whether its host may have an address that is not public, such as one inside the cluster. A "
        "redirect never may.",
    )


class Alias(Block):
    """Names that headlines use for a symbol, besides those that are built in."""

    symbol: Symbol = Field(description="The share.")
    names: list[Annotated[str, Field(min_length=2, max_length=60)]] = Field(
        min_length=1, max_length=20, description="Its firm's names, as whole words; upper and lower case count."
    )


class NewsVeto(Block):
    """When news refuses a BUY; orders that close a position are never refused for it."""

    enabled: bool = Field(True, description="Whether news refuses a BUY at all.")
    score: Ratio = Field("0.4", description="How bad: a sentiment score at or below minus this.")
    confidence: Ratio = Field("0.5", description="How sure: a confidence of at least this.")
    max_age: Duration = Field("48h", description="How fresh: a negative headline published no longer ago than this.")


class Sentiment(Block):
    """Where news comes from, and what it does."""

    model_config = rules(
        cel("self.provider != 'csv' || has(self.csv)", "provider csv needs sentiment.csv.file", ".csv"),
        cel(
            "self.provider != 'feeds' || (has(self.feeds) && self.feeds.size() > 0)",
            "provider feeds needs at least one of sentiment.feeds",
            ".feeds",
        ),
    )
    provider: Literal["none", "csv", "feeds", "yahoo"] = Field(
        "none",
        description="none: no news is used; csv: headlines in your file; feeds: RSS or Atom; yahoo: Yahoo's news, "
        "within data.yahoo.requestsPerMinute wherever bars come from. Feeds and Yahoo are for live systems only.",
    )
    csv: NewsCsv | None = Field(None, description="Settings of provider csv.")
    feeds: Annotated[list[Feed], Field(max_length=20, json_schema_extra={"x-kubernetes-list-map-keys": ["url"]})] = (
        Field(default_factory=list, description="The feeds of provider feeds.")
    )
    max_age: Duration = Field("72h", description="How old a headline may be, by its time of publishing, to count.")
    aliases: Annotated[
        list[Alias], Field(max_length=50, json_schema_extra={"x-kubernetes-list-map-keys": ["symbol"]})
    ] = Field(default_factory=list, description="More names of symbols.")
    veto: NewsVeto = Field(default_factory=NewsVeto, description="When news refuses a BUY.")
