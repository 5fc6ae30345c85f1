"""Replays one variant of a TradingReplay: the program of its Job's pod.

Which variant is said by the index that Kubernetes gives the pod. It reads the frozen plan, asks the system for bars
where these are not recorded ones, replays, hands the report to the scheduler, and writes the figures where Kubernetes
keeps what a container said last. A report that nobody takes does not cost the figures.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import msgspec
import yaml

from bellwether.local.files import RunError
from bellwether.local.replay import ReplayOptions, replay_file
from bellwether.messages import market_data
from bellwether.messages.parts import FileState
from bellwether.messages.scheduling import REPORT_FILES, PutReplayReport
from bellwether.render.kubernetes.training_jobs import FUTILE
from bellwether.render.nats import REPLAY_JOB
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.errors import RpcError
from bellwether.runtime.history import PAGE
from bellwether.runtime.job_calls import Peers, Requests
from bellwether.runtime.logs import configure_logs
from bellwether.runtime.nats_bus import NatsBus
from bellwether.runtime.parts import send_parts
from bellwether.spec.replaying import BARS_FOLDER, Refused, Source, Span, replay_document
from bellwether.spec.validate import validate
from bellwether.spec.vary import Change, Variant

_TITLES = "Date,Open,High,Low,Close,Volume,Dividends,Stock Splits"
Histories = Mapping[str, tuple[list[market_data.Bar], list[market_data.CorporateAction]]]


async def fetch(peers: Requests, symbols: Sequence[str], last: date | None) -> Histories:
    """Return the bars of the symbols that have any, up to a day, unadjusted, with their splits and dividends.

    Raises:
        RpcError: as market-data says.
    """
    coverage = await peers.request(
        "market-data", "get_coverage", market_data.GetCoverage(list(symbols)), market_data.Coverage
    )
    found: dict[str, tuple[list[market_data.Bar], list[market_data.CorporateAction]]] = {}
    for symbol in symbols:
        if symbol not in coverage.last:
            continue
        bars = await _bars(peers, symbol)
        kept = [bar for bar in bars if last is None or bar.session <= last]
        if not kept:
            continue
        question = market_data.GetCorporateActions(kept[-1].session, [symbol], since=kept[0].session)
        actions = await peers.request("market-data", "get_corporate_actions", question, market_data.CorporateActions)
        found[symbol] = (kept, actions.actions)
    return found


def write(histories: Histories, folder: Path) -> str:
    """Write one SYMBOL.csv per symbol; return the sha256 of all of them.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hashed = hashlib.sha256()
    for symbol in sorted(histories):
        text = csv_text(*histories[symbol])
        hashed.update(f"{symbol}\n{text}".encode())
        (folder / f"{symbol}.csv").write_text(text, "utf-8")
    return hashed.hexdigest()


def csv_text(bars: Sequence[market_data.Bar], actions: Sequence[market_data.CorporateAction]) -> str:
    """Return a symbol's bars as a file's text; a float is written so that reading it gives the same one."""
    splits = {one.session: one.ratio for one in actions if one.kind == "split"}
    dividends = {one.session: one.amount for one in actions if one.kind == "dividend"}
    lines = [
        f"{bar.session},{bar.open!r},{bar.high!r},{bar.low!r},{bar.close!r},{bar.volume!r},"
        f"{dividends.get(bar.session, 0.0)!r},{splits.get(bar.session, 0.0)!r}"
        for bar in bars
    ]
    return "\n".join([_TITLES, *lines]) + "\n"


async def _bars(peers: Requests, symbol: str) -> list[market_data.Bar]:
    found: list[market_data.Bar] = []
    while True:
        question = market_data.GetBars(symbol, count=PAGE, adjusted=False, before=found[0].session if found else None)
        page = (await peers.request("market-data", "get_bars", question, market_data.Bars)).bars
        found = [*page, *found]
        if len(page) < PAGE:
            return found


DONE, GAVE_UP, WRONG = 0, 1, 2
REPORT_PATIENCE = 60.0
"""How long the scheduler is asked again to take the report; the figures do not need it."""
_WORDS = 400
_log = logging.getLogger(__name__)


class Plan(msgspec.Struct, frozen=True, rename="camel"):
    """What is replayed, frozen when the TradingReplay was accepted."""

    as_of: datetime
    bars: Source
    declaration: dict[str, Any]
    name: str
    uid: str
    variants: list[list[tuple[str, str]]]
    first: str = msgspec.field(name="from")
    to: str | None = None

    def variant(self, index: int) -> Variant:
        """Return what is changed at an index.

        Raises:
            Refused: when there is none.
        """
        if index >= len(self.variants):
            raise Refused(f"index {index} is none of the {len(self.variants)} variants")
        return tuple(Change(*change) for change in self.variants[index])


def run(plan: Path, write: Path | None, environ: Mapping[str, str] = os.environ) -> int:
    """Run the program; return its exit code: 0 done, 1 try again, 2 wrongly called, 3 futile."""
    try:
        index = environ.get("JOB_COMPLETION_INDEX", "")
        if not index.isdigit():
            raise ValueError(f"JOB_COMPLETION_INDEX={index!r}: it is the index of an Indexed Job, 0 or more")
        frozen, at = msgspec.json.decode(plan.read_bytes(), type=Plan), int(index)
        config = ProcessConfig.from_environment(environ)
        configure_logs(REPLAY_JOB, config.log_level)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return WRONG
    # Before numpy is imported: more threads would change nothing but the number of threads.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    try:
        with tempfile.TemporaryDirectory(prefix="bellwether-replay-") as folder:
            said, code = _replay(frozen, at, config, Path(folder)), DONE
    except (Refused, RunError) as error:
        said, code = {"error": str(error)[:_WORDS]}, FUTILE
    except (RpcError, OSError) as error:
        said, code = {"error": str(error)[:_WORDS]}, GAVE_UP
    text = json.dumps(said, sort_keys=True)
    sys.stderr.write(text + "\n")
    if write is not None:
        write.write_text(text, "utf-8")
    return code


def _replay(plan: Plan, index: int, config: ProcessConfig, folder: Path) -> dict[str, Any]:
    """Replay a variant; return its figures.

    Raises:
        Refused: when the variant is no declaration that can be replayed.
        RunError: when the replay failed.
        RpcError: when market-data did not give its bars.
    """
    document = replay_document(plan.declaration, Span(plan.first, plan.to), plan.variant(index))
    problems = validate(document)
    if problems:
        raise Refused("; ".join(map(str, problems[:3])))
    bars = ""
    if plan.bars == "system":
        bars = asyncio.run(_fetch(plan, document["spec"]["symbols"], config, folder / BARS_FOLDER))
    file = folder / "system.yaml"
    file.write_text(yaml.safe_dump(document), "utf-8")
    options = ReplayOptions(data=folder / "data", as_json=True, report=folder / "report")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = replay_file(file, options)
    if code > 1:
        raise RpcError("STOPPING", "the replay was interrupted")
    report = json.loads((folder / "report" / "report.json").read_bytes())
    found = figures_of(json.loads(said.getvalue()), report)
    reason = asyncio.run(_hand_in(plan, index, config, folder / "report"))
    if reason:
        found["noReport"] = reason[:_WORDS]
    return found | ({"bars": bars} if bars else {})


def figures_of(total: Mapping[str, Any], report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a replay by its sum and its report; one that is not defined is left out. Pure."""
    performance = report["curves"][0]["performance"]
    judgement = report["judgement"]
    hold = next((one for one in report["curves"] if one["name"] == "buy-and-hold"), None)
    wanted = {
        "baseHitRate": judgement["base_hit_rate"],
        "buyAndHoldReturn": None if hold is None else hold["performance"]["total_return"]["value"],
        "hitRate": judgement["hit_rate"]["value"],
        "maxDrawdown": performance["max_drawdown"]["value"],
        "sharpe": performance["sharpe"]["value"],
        "totalReturn": performance["total_return"]["value"],
    }
    found: dict[str, Any] = {name: _text(value) for name, value in wanted.items() if value is not None}
    found |= {
        "finalEquity": str(total["equity"]),
        "sessions": int(total["sessions"]),
        "signals": int(judgement["signals"]),
        "trades": int(total["filled"]),
    }
    amiss = [*total["ledger_violations"], *(f"{name}: {why}" for name, why in total["without"].items())]
    if total["slots_failed"]:
        amiss.append(f"{total['slots_failed']} slots had no effect, the first: {total['first_failed']}")
    return found | ({"amiss": "; ".join(amiss)[:_WORDS]} if amiss else {})


def _text(value: float) -> str:
    text = f"{value:.6f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


async def _fetch(plan: Plan, symbols: list[str], config: ProcessConfig, folder: Path) -> str:
    async with _peers(config, as_of=plan.as_of) as peers:
        last = None if plan.to is None else date.fromisoformat(plan.to)
        histories = await fetch(peers, symbols, last)
    return write(histories, folder)


async def _hand_in(plan: Plan, index: int, config: ProcessConfig, folder: Path) -> str:
    """Give the report to the scheduler; return why it did not take it, else an empty text."""
    try:
        async with _peers(config, patience=REPORT_PATIENCE) as peers:
            for name in reversed(REPORT_FILES):  # the page is last: where it is, all of it is
                content = gzip.compress((folder / name).read_bytes(), mtime=0)
                whole = PutReplayReport(
                    replay=plan.name,
                    uid=plan.uid,
                    index=index,
                    file=name,
                    sha256=hashlib.sha256(content).hexdigest(),
                    offset=0,
                    total=len(content),
                    content=b"",
                )

                async def put(offset: int, part: bytes, whole: PutReplayReport = whole) -> FileState:
                    request = msgspec.structs.replace(whole, offset=offset, content=part)
                    return await peers.request("scheduler", "put_replay_report", request, FileState)

                await send_parts(content, put)
    except RpcError as error:
        return f"{error.code}: {error.message}"
    return ""


@contextlib.asynccontextmanager
async def _peers(
    config: ProcessConfig, *, as_of: datetime | None = None, patience: float | None = None
) -> AsyncIterator[Peers]:
    seed = None if config.keys_dir is None else config.keys_dir / f"{REPLAY_JOB}.nk"
    bus = NatsBus(config.nats_url, REPLAY_JOB, seed)
    await bus.start()
    try:
        yield Peers(bus, REPLAY_JOB, **({} if patience is None else {"patience": patience}), as_of=as_of)
    finally:
        await bus.close()
