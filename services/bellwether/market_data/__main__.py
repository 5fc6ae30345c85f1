"""`python -m bellwether.market_data`: write recorded bars to a file, as the training process reads them."""

from __future__ import annotations

import argparse
import sys
from datetime import date
from pathlib import Path

import msgspec

from bellwether.market_data.actions import adjusted, infer_actions, splits_through
from bellwether.market_data.rows import SourceError
from bellwether.market_data.sources import RECORDED, RecordedBars


def main(arguments: list[str] | None = None) -> int:
    """Write the bars of all symbols of a dataset through a day, adjusted for the splits known by then."""
    parser = argparse.ArgumentParser(prog="python -m bellwether.market_data", description=__doc__)
    parser.add_argument("--dataset", default="us-2000-2013", help="recorded bars: " + ", ".join(sorted(RECORDED)))
    parser.add_argument("--through", required=True, type=date.fromisoformat, help="the last day, such as 2008-12-31")
    parser.add_argument("--out", required=True, type=Path, help="the JSON file to write")
    options = parser.parse_args(arguments)
    try:
        source = RecordedBars(options.dataset)
        found = {}
        for symbol in source.symbols:
            rows = source.load(symbol).rows
            splits = splits_through(infer_actions(rows).actions, options.through)
            found[symbol] = adjusted([row.bar for row in rows if row.bar.session <= options.through], splits)
        options.out.write_bytes(msgspec.json.encode(found))
    except (SourceError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
