"""A declaration from a person's file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from bellwether.spec.models import TradingSystem
from bellwether.spec.validate_yaml import parse

_SECONDS = 600
"""How long the check may take: a busy machine needs minutes for what takes a second."""


class RunError(Exception):
    """A local run cannot be done; the message says why and what to do."""


def load_system(file: Path) -> TradingSystem:
    """Return the system that a file declares, checked by all rules; a folder of CSV files becomes absolute.

    The rules are checked in a process of its own, so that what evaluates them does not stay in this one's memory.

    Raises:
        RunError: with the problems, one a line, or why the file cannot be read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise RunError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise RunError(f"{file}: not UTF-8 text ({error.reason})") from error
    checked = subprocess.run(
        [sys.executable, "-m", "bellwether", "validate", str(file)],
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if checked.returncode != 0:
        raise RunError(checked.stderr.strip().removeprefix("error: ") or f"{file} is not valid")
    return _with_absolute_backups(_with_absolute_folder(_only_system(text, file), file), file)


def run_folder(file: Path, data: Path | None) -> Path:
    """Return the folder that a run of a file keeps its state in: the one that is given, else one of its name.

    Raises:
        RunError: with the problems, as `load_system` does.
    """
    return data or Path(".bellwether") / load_system(file).metadata.name


def _only_system(text: str, file: Path) -> TradingSystem:
    documents, problems = parse(text)
    found = [one for one in documents if isinstance(one, dict) and one.get("kind") == "TradingSystem"]
    if problems or len(found) != 1:
        raise RunError(f"{file}: holds {len(found)} systems, one is needed")
    try:
        return TradingSystem.model_validate(found[0])
    except ValidationError as error:
        raise RunError(f"{file}: {error}") from error


def _with_absolute_folder(system: TradingSystem, file: Path) -> TradingSystem:
    csv = system.spec.data.csv
    if csv is None:
        return _with_absolute_news(system, file)
    folder = (file.parent / csv.directory).resolve()
    if not folder.is_dir():
        raise RunError(f"spec.data.csv.directory: {folder} is not a folder (relative to {file})")
    data = system.spec.data.model_copy(update={"csv": csv.model_copy(update={"directory": str(folder)})})
    found = system.model_copy(update={"spec": system.spec.model_copy(update={"data": data})})
    return _with_absolute_news(found, file)


def _with_absolute_news(system: TradingSystem, file: Path) -> TradingSystem:
    sentiment = system.spec.sentiment
    if sentiment.csv is None:
        return system
    path = (file.parent / sentiment.csv.file).resolve()
    if sentiment.provider == "csv" and not path.is_file():
        raise RunError(f"spec.sentiment.csv.file: {path} is not a file (relative to {file})")
    news = sentiment.model_copy(update={"csv": sentiment.csv.model_copy(update={"file": str(path)})})
    return system.model_copy(update={"spec": system.spec.model_copy(update={"sentiment": news})})


def _with_absolute_backups(system: TradingSystem, file: Path) -> TradingSystem:
    backup = system.spec.backup
    if backup is None:
        return system
    locations = [
        one if one.path is None else one.model_copy(update={"path": str((file.parent / one.path).resolve())})
        for one in backup.locations
    ]
    absolute = backup.model_copy(update={"locations": locations})
    return system.model_copy(update={"spec": system.spec.model_copy(update={"backup": absolute})})
