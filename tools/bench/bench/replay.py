"""How fast history is replayed."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.report import Figure, Section
from environments.machine import ROOT

SAMPLE = ROOT / "manifests" / "samples" / "replay.yaml"


def measure() -> Section:
    """Replay the sample twice: the first time trains the model, the second is the measurement."""
    with tempfile.TemporaryDirectory() as folder:
        _replay(Path(folder))
        began = time.monotonic()
        result = _replay(Path(folder))
        wall = time.monotonic() - began
    decisions, seconds = int(result["decisions"]), float(result["seconds"])
    figures = [
        Figure("decisions", decisions, ""),
        Figure("decisions a second, in-process bus", decisions / seconds, "/s", target=1000, better="higher"),
        Figure("whole command", wall, "s"),
    ]
    how = (
        "`bellwether replay manifests/samples/replay.yaml`: every session of the sample through market data, model, decision, "
        "guards, ledger, with traces on, model trained before. For scale, measured elsewhere on a machine of this size: "
        "zipline-reloaded 476 decisions/s."
    )
    return Section("Replay", how, figures)


def _replay(folder: Path) -> dict[str, float]:
    command = [
        sys.executable,
        "-m",
        "bellwether",
        "replay",
        str(SAMPLE),
        "--data",
        str(folder),
        "--fresh",
        "-o",
        "json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=1800)
    summary: dict[str, float] = json.loads(done.stdout)["summary"]
    return summary
