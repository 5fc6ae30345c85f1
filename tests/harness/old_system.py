"""A stand-in for the old system: a process on Unix sockets that speaks its protocol and answers from a file.

    python -m harness.old_system FOLDER ANSWERS.json

The file is one raw answer, as bellwether.migrate.answers describes it; it is read again for each request. It answers
prediction.generate_predictions, market-data.get_market_data and sentiment.analyze_sentiment. Prints `ready` when all
of its sockets listen, and ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path
from typing import Any

SERVICES = ("prediction", "market-data", "sentiment")


class OldService:
    """One service, as the old design has it: one JSON object in, one reply, then the end."""

    def __init__(self, answers: Path) -> None:
        self._answers = answers
        self._numbers = itertools.count(1)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = b""
        while chunk := await reader.read(32_768):
            text += chunk
            try:
                request = json.loads(text)
            except ValueError:
                continue
            reply = {"request_id": next(self._numbers), **self._reply(request["method"], request["params"])}
            writer.write(json.dumps(reply).encode())
            await writer.drain()
            break
        writer.close()

    def _reply(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        reported = json.loads(self._answers.read_text())
        found: Any
        if method == "generate_predictions":
            known = reported["predictions"]
            found = {"predictions": {one: known[one] for one in params["symbols"] if one in known}}
        else:
            part = {"get_market_data": "market_data", "analyze_sentiment": "sentiment"}[method]
            found = reported.get(part, {}).get(params["symbol"])
            if found is None:
                return {"status": "error", "error": f"no data for {params['symbol']}", "execution_time": 0.0}
        return {"status": "success", "result": found, "execution_time": 0.01}


async def serve(folder: Path, answers: Path) -> None:
    """Serve until standard input ends."""
    service = OldService(answers)
    for name in SERVICES:
        await asyncio.start_unix_server(service.connected, folder / f"trading_{name}.sock")
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), Path(sys.argv[2])))
