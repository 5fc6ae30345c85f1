"""Yahoo's stand-in by hand: `python -m harness.yahoo manifests/samples/asx-banks.yaml`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path

from bellwether.local.files import load_system
from bellwether.market.declared import calendar_of
from harness.authority import make_authority
from harness.yahoo.shares import default_shares
from harness.yahoo.standin import HOSTS, StandIn


async def _run(options: argparse.Namespace) -> None:
    system = load_system(options.file)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="yahoo-"))
    authority, tls = make_authority(folder, HOSTS)
    calendar = calendar_of(system.spec.market)
    shares = default_shares(system.spec.symbols, calendar, signal=options.signal)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with StandIn(shares, authority, tls).serving(options.host, options.port) as yahoo:
        print(f"stand-in for Yahoo: MADE-UP bars of {' '.join(shares)} on {calendar.name}")
        print("in a second terminal:")
        print(f"  export BELLWETHER_PROXY=http://127.0.0.1:{yahoo.port} BELLWETHER_CA_BUNDLE={authority}")
        print(f"  bellwether run {options.file}")
        print("make it odd, and normal again (the switches: tests/harness/yahoo/switches.py):")
        print(f"  curl -X PUT http://127.0.0.1:{yahoo.port}/switches -d '{{\"rate_limited\": true}}'")
        print(f"  curl -X PUT http://127.0.0.1:{yahoo.port}/switches -d '{{}}'")
        print(f"what was asked: curl http://127.0.0.1:{yahoo.port}/count    Ctrl-C ends it", flush=True)
        await ended.wait()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m harness.yahoo", description=__doc__)
    parser.add_argument("file", type=Path, help="a TradingSystem: its symbols and its calendar are stood in for")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 for pods")
    parser.add_argument("--port", type=int, default=8899)
    parser.add_argument("--folder", type=Path, help="where ca.pem is written; without it, a new folder")
    parser.add_argument("--signal", type=float, default=0.0, help="planted signal, 0 (random walk) to 1")
    return parser.parse_args()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_run(_options()))
