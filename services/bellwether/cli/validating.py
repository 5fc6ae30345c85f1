"""`bellwether validate FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bellwether.cli.client import in_words, of_file
from bellwether.market.declared import fit
from bellwether.runtime.terminal import visible
from bellwether.spec.models import TradingSystemSpec
from bellwether.spec.validate import InvalidDeclaration, Problem, RulesUnavailable, load
from bellwether.training.recipe import RecipeError, find_recipe


def check_file(file: Path, *, as_json: bool, quiet: bool = False) -> int:
    """Write what is wrong with a file, one line per problem; return 0 when nothing is, else 1.

    With `quiet` nothing is written about a file that is right.

    Beside what the API server refuses it says what would fail later: days without a session, a missing folder.

    Raises:
        CommandError: if the file cannot be read, or the rules cannot be checked here.
    """
    with of_file(file), in_words(RulesUnavailable):
        problems = _problems(file)
    if as_json:
        answer = {"valid": not problems, "problems": [{"path": one.path, "message": one.message} for one in problems]}
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    elif problems:
        sys.stderr.write("".join(f"{file}: {visible(str(problem))}\n" for problem in problems))
    elif not quiet:
        sys.stdout.write(f"{file} is valid\n")
    return 1 if problems else 0


def _problems(file: Path) -> list[Problem]:
    try:
        system = load(file.read_text(encoding="utf-8"))
    except InvalidDeclaration as error:
        return error.problems
    return [*fit(system.spec), *missing_here(system.spec, file)]


def missing_here(spec: TradingSystemSpec, file: Path) -> list[Problem]:
    """Return what a declaration names and this machine does not have: its folder of bars, its model's recipe."""
    problems = []
    csv = spec.data.csv
    # With a volumeClaim the folder is inside of that volume, where nobody can look from here.
    if spec.data.provider == "csv" and csv is not None and csv.volume_claim is None:
        folder = (file.parent / csv.directory).resolve()
        if not folder.is_dir():
            problems.append(Problem("spec.data.csv.directory", f"{folder} is not a folder (relative to {file})"))
    news = spec.sentiment.csv
    if spec.sentiment.provider == "csv" and news is not None and news.volume_claim is None:
        path = (file.parent / news.file).resolve()
        if not path.is_file():
            problems.append(Problem("spec.sentiment.csv.file", f"{path} is not a file (relative to {file})"))
    try:
        find_recipe(spec.predictions.model)
    except RecipeError as error:
        problems.append(Problem("spec.predictions.model", str(error).removeprefix("predictions.model ")))
    return problems
