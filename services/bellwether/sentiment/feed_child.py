"""The process that parses one feed, within limits of time and memory, and then ends.

A feed that is made for it keeps a parser busy for minutes or lets it ask for gigabytes. In a process of its own that
harms nobody: it gets the feed on standard input, a line of JSON first, and answers with one line of JSON.
"""

from __future__ import annotations

import contextlib
import json
import resource
import sys
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from bellwether.sentiment.csv_news import NewsError
from bellwether.sentiment.feed_text import headlines_of


def main(given: BinaryIO, out: BinaryIO) -> None:
    """Answer with the headlines, or with the words that say why there are none."""
    settings = json.loads(given.readline())
    _limit(settings["bytes"], settings["cpu_seconds"])
    out.write(json.dumps(_answer(settings, given.read())).encode() + b"\n")


def _answer(settings: dict[str, Any], body: bytes) -> dict[str, Any]:
    fetched = datetime.fromisoformat(settings["fetched"])
    try:
        found = headlines_of(body, settings["content_type"], settings["source"], fetched)
    except NewsError as error:
        return {"error": str(error)}
    except (MemoryError, SystemError):  # the latter where code in C got no memory and did not say so
        return {"error": f"parsing it takes more than {settings['bytes'] // 2**20} MiB"}
    except Exception as error:  # a fault of the parser is the feed's, whatever it is
        return {"error": f"it cannot be parsed ({type(error).__name__})"}
    return {"headlines": [[raw.published.isoformat(), raw.source, raw.title] for raw in found]}


def _limit(most_bytes: int, seconds: int) -> None:
    """Bound memory and time of this process, and have it ended first where the machine's memory is short."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


if __name__ == "__main__":
    main(sys.stdin.buffer, sys.stdout.buffer)
