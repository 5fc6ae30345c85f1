"""IG's stand-in by hand: `python -m harness.ig manifests/samples/ig-demo.yaml`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import tempfile
from pathlib import Path

from bellwether.local.files import load_system
from harness.authority import make_authority
from harness.ig.markets import Market, default_markets
from harness.ig.standin import ACCOUNT, API_KEY, HOST, PASSWORD, USERNAME, StandIn


def _markets(file: Path) -> list[Market]:
    """Return a market for each epic that the resource declares; of symbols without one, a made-up epic."""
    system = load_system(file)
    trading = system.spec.trading
    made_up = default_markets(system.spec.symbols, trading.currency)
    declared = {
        symbol: Market(one.epic, f"{symbol} Ltd", trading.currency) for symbol, one in trading.instruments.items()
    }
    for (symbol, market), price in zip(declared.items(), range(40, 10**6, 15), strict=False):
        market.price += price - market.price
        made_up = {epic: one for epic, one in made_up.items() if one.name != f"{symbol} Ltd"}
    return [*declared.values(), *made_up.values()]


async def _run(options: argparse.Namespace) -> None:
    folder = options.folder or Path(tempfile.mkdtemp(prefix="ig-"))
    authority, tls = make_authority(folder, (HOST,))
    credentials = folder / "ig.json"
    credentials.touch(mode=0o600)
    words = {"apiKey": API_KEY, "identifier": USERNAME, "password": PASSWORD, "accountId": ACCOUNT}
    credentials.write_text(json.dumps(words, indent=1))
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with StandIn(_markets(options.file), authority, tls).serving(options.host, options.port) as ig:
        print(f"stand-in for IG ({HOST}): MADE-UP quotes of {' '.join(ig.markets)}")
        print("in a second terminal:")
        print(f"  export BELLWETHER_PROXY=http://127.0.0.1:{ig.port} BELLWETHER_CA_BUNDLE={authority}")
        print(f"  export BELLWETHER_IG_CREDENTIALS={credentials}")
        print(f"  bellwether ig check {options.file}")
        print("make it odd, and normal again (the switches: tests/harness/ig/switches.py):")
        print(f'  curl -X PUT http://127.0.0.1:{ig.port}/switches -d \'{{"confirm": "lost"}}\'')
        print(f"  curl -X PUT http://127.0.0.1:{ig.port}/switches -d '{{}}'")
        print(f"its books: curl http://127.0.0.1:{ig.port}/books    Ctrl-C ends it", flush=True)
        await ended.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.ig", description=__doc__)
    parser.add_argument("file", type=Path, help="a TradingSystem: its instruments are stood in for")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for pods")
    parser.add_argument("--port", type=int, default=8898)
    parser.add_argument("--folder", type=Path, help="where ca.pem and ig.json are written; without it, a new folder")
    return parser.parse_args()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(_options()))
