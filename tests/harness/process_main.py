"""A process with the two small services, for tests that send it signals: `python -m harness.process_main`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from functools import partial

from bellwether.runtime import process
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.logs import configure_logs
from harness.parts import ROWS, Switches, ledger, shop

UNWANTED = ("pandas", "exchange_calendars", "yfinance", "sklearn", "alembic", "requests", "rich", "aiohttp")


async def _main(environ: Mapping[str, str]) -> None:
    config = ProcessConfig.from_environment(environ)
    configure_logs("process", config.log_level)
    switches = Switches()
    factories: dict[str, process.Factory] = {
        "shop": partial(shop, switches=switches),
        "ledger": partial(ledger, switches=switches),
    }
    await process.serve(config, factories, rows=ROWS)
    print("unwanted:", ",".join(name for name in UNWANTED if name in sys.modules), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(os.environ))
