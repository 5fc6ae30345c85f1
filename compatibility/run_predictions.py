"""Ask the running system for a batch of predictions and print it, as the old script of this name was used.

usage: python compatibility/run_predictions.py [SYMBOL ...]

Without symbols those of the declaration. One line a symbol, with what was missing, then a summary; ends with 1 when a
symbol failed. The old script's own output is not known: this one is documented in docs/compatibility.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from services.base_service import BaseService, ServiceError


def main(symbols: list[str]) -> int:
    """Print the batch; return the exit code."""
    if any(one.startswith("-") for one in symbols):
        print((__doc__ or "").strip())
        return 0 if symbols in (["-h"], ["--help"]) else 2
    given = {"symbols": symbols} if symbols else {}
    try:
        batch = BaseService("run_predictions").call_service("prediction", "generate_predictions", **given)
    except ServiceError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for one in batch["predictions"].values():
        line = f"{one['symbol']:<10} {one['action']:<12} p {one['probability']:.3f}  price {one['current_price']:.2f}"
        print(f"{line}  without {', '.join(one['fallbacks'])}" if one["fallbacks"] else line)
    for symbol, why in batch["errors"].items():
        print(f"{symbol:<10} failed: {why}")
    summary = batch["summary"]
    print(
        f"{summary['successful']} of {summary['total_symbols']} predicted, {summary['failed']} failed, "
        f"{summary['cache_hits']} from the cache, buy rate {summary['buy_rate']} %"
    )
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
