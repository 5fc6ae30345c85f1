"""The sample's model, trained once for all sections of a run."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from environments.machine import ROOT

SAMPLE = ROOT / "manifests" / "samples" / "replay.yaml"
FIRST_DAYS = "2009-01-09"


@functools.cache
def trained() -> Path:
    """Return a data folder in which a short replay of the sample has left its model."""
    folder = Path(tempfile.mkdtemp(prefix="bellwether-bench-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = [sys.executable, "-m", "bellwether", "replay", str(SAMPLE), "--to", FIRST_DAYS, "--data", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)
    return folder


def copy_model(to: Path) -> None:
    """Put the model into another data folder, so that nothing is trained there."""
    shutil.copytree(trained() / "ml-model", to / "ml-model")


def model_folder() -> Path:
    """Return the artifact of the model that serves."""
    registry = trained() / "ml-model" / "registry"
    (choice,) = registry.glob("serving-*.json")
    return registry / str(json.loads(choice.read_bytes())["versions"][0])
