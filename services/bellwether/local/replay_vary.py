"""`bellwether replay FILE --vary path=a,b`: variants of a declaration side by side, and one table of what they came to.

Each variant is a replay in a process and a folder of its own, as many at a time as there are cores.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bellwether.local.files import RunError, load_system
from bellwether.local.replay import ReplayOptions, replayed
from bellwether.reporting.performance import YEAR, Sharpe, deflated, luckiest, session_sharpe
from bellwether.spec.vary import VaryError, changed, parse_varied, variant_name, variants


@dataclass(frozen=True)
class VariantSum:
    """What one variant came to. Returns as fractions, ratios annualised; None: not defined."""

    name: str
    folder: str
    total_return: float | None
    sharpe: float | None
    sharpe_interval: tuple[float, float] | None
    max_drawdown: float | None
    filled: int
    hit_rate: float | None
    hit_rate_interval: tuple[float, float] | None
    deflated_sharpe: float | None
    """Probability that the true Sharpe ratio is above what the best of as many tries without skill would show."""


def vary_file(file: Path, options: ReplayOptions, varied: Sequence[str]) -> int:
    """Replay every variant and write the table; return 0, or 1 where one of them did not end well.

    Raises:
        RunError: for a path, a value or a variant that cannot be, before anything is replayed.
    """
    system = replayed(load_system(file), options)
    document = system.model_dump(by_alias=True, exclude_none=True, mode="json")
    with ExitStack() as stack:
        root = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bellwether-variants-")))
        try:
            chosen = variants([parse_varied(text) for text in varied])
            files = [_write(root / f"{number:02d}", changed(document, one)) for number, one in enumerate(chosen)]
        except VaryError as error:
            raise RunError(str(error)) from error
        for one, path in zip(chosen, files, strict=True):
            try:
                load_system(path)
            except RunError as error:
                raise RunError(f"{variant_name(one)}: {error}") from error
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
            codes = list(pool.map(lambda path: _replay(path, options), files))
        found = summed([(variant_name(one), path.parent) for one, path in zip(chosen, files, strict=True)])
        if options.as_json:
            sys.stdout.write(json.dumps([asdict(one) for one in found], indent=2) + "\n")
        else:
            kept = "" if options.data is None else f"each variant's databases and page are in {root}/NN"
            sys.stdout.write("\n".join([*table(found), kept]).rstrip() + "\n")
        return 0 if all(code == 0 for code in codes) else 1


def _write(folder: Path, document: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "system.json"
    path.write_text(json.dumps(document, indent=1), "utf-8")
    return path


def _replay(path: Path, options: ReplayOptions) -> int:
    folder = path.parent
    command = [sys.executable, "-m", "bellwether", "replay", str(path), "--data", str(folder / "data")]
    command += ["--report", str(folder / "report"), "--sampling", str(options.sampling)]
    with (folder / "replay.log").open("wb") as log:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode
    sys.stderr.write(f"{folder.name} has ended{'' if code == 0 else f' with {code}: see {folder}/replay.log'}\n")
    return code


def summed(folders: Sequence[tuple[str, Path]]) -> list[VariantSum]:
    """Return what the variants came to, by their reports; one without a report is left without figures."""
    reports = [_report(folder) for _, folder in folders]
    sharpes = [None if report is None else session_sharpe(_returns(report)) for report in reports]
    ratios = [one.ratio for one in sharpes if one is not None]
    return [
        _sum(name, folder, report, sharpe, ratios)
        for (name, folder), report, sharpe in zip(folders, reports, sharpes, strict=True)
    ]


def _report(folder: Path) -> dict[str, Any] | None:
    path = folder / "report" / "report.json"
    found: dict[str, Any] | None = json.loads(path.read_text("utf-8")) if path.is_file() else None
    return found


def _returns(report: dict[str, Any]) -> list[float]:
    values = [float(report["initial_cash"]), *report["curves"][0]["values"]]
    return [after / before - 1.0 for before, after in pairwise(values)]


def _sum(
    name: str, folder: Path, report: dict[str, Any] | None, sharpe: Sharpe | None, ratios: Sequence[float]
) -> VariantSum:
    if report is None:
        return VariantSum(name, str(folder), None, None, None, None, 0, None, None, None)
    figures, hits = report["curves"][0]["performance"], report["judgement"]["hit_rate"]
    low, high = hits.get("low"), hits.get("high")
    return VariantSum(
        name=name,
        folder=str(folder),
        total_return=figures["total_return"]["value"],
        sharpe=figures["sharpe"]["value"],
        sharpe_interval=None if sharpe is None else sharpe.interval,
        max_drawdown=figures["max_drawdown"]["value"],
        filled=report["orders"].get("filled", 0),
        hit_rate=hits["value"],
        hit_rate_interval=None if low is None or high is None else (low, high),
        deflated_sharpe=None if sharpe is None else deflated(sharpe, ratios).value,
    )


def table(found: Sequence[VariantSum]) -> list[str]:
    """Return the variants as lines of a table, and what is to be thought of the best of them."""
    head = ("variant", "return", "Sharpe (95 %)", "drawdown", "filled", "hit rate (95 %)", "deflated")
    rows = [head, *map(_cells, found)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    known = [one.sharpe / math.sqrt(YEAR) for one in found if one.sharpe is not None]
    if len(known) < 2:
        return lines
    luck = luckiest(known) * math.sqrt(YEAR)
    return [
        *lines,
        "",
        f"The best of {len(known)} is chosen by luck, too: without any skill the best Sharpe ratio of tries that",
        f"differ as much as these would be about {luck:.2f}. `deflated` is the probability that a variant's true ratio",
        "is above that (Bailey and López de Prado, 2014); below 0.95 the choice shows nothing. Try it on other years.",
    ]


def _cells(one: VariantSum) -> tuple[str, ...]:
    return (
        one.name,
        _percent(one.total_return, "+.1%"),
        _between(one.sharpe, one.sharpe_interval, ".2f"),
        _percent(one.max_drawdown, ".1%"),
        str(one.filled),
        _between(one.hit_rate, one.hit_rate_interval, ".1%"),
        "-" if one.deflated_sharpe is None else f"{one.deflated_sharpe:.2f}",
    )


def _percent(value: float | None, form: str) -> str:
    return "-" if value is None else f"{value:{form}}"


def _between(value: float | None, interval: tuple[float, float] | None, form: str) -> str:
    if value is None:
        return "-"
    return f"{value:{form}}" if interval is None else f"{value:{form}} ({interval[0]:{form}} to {interval[1]:{form}})"
