"""`python -m bellwether.training`: make the models of a recipe from a file of bars. It runs as a child process."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

import msgspec

from bellwether.messages.market_data import Bar
from bellwether.training.enough import TOO_FEW_ROWS
from bellwether.training.recipe import RecipeError, find_recipe, read_recipe


def main(arguments: list[str] | None = None) -> int:
    """Train; versions go to standard output as a JSON list, progress to standard error, one line each."""
    parser = argparse.ArgumentParser(prog="python -m bellwether.training", description=__doc__)
    parser.add_argument("--recipe", required=True, help="name or file of the recipe")
    parser.add_argument(
        "--bars", required=True, type=Path, help="JSON file: bars by symbol, split-adjusted, oldest first"
    )
    parser.add_argument("--out", required=True, type=Path, help="folder of the model registry")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes that share the symbols (1)")
    parser.add_argument("--rival", help="name of the recipe that serves, where it is another one")
    parser.add_argument(
        "--serving",
        action="append",
        default=[],
        metavar="VERSION",
        help="a version of this recipe that serves, in the same folder; a refit is compared with it",
    )
    options = parser.parse_args(arguments)
    try:
        path = Path(options.recipe) if options.recipe.endswith(".yaml") else find_recipe(options.recipe)
        recipe = read_recipe(path)
        rival = read_recipe(find_recipe(options.rival)) if options.rival else None
        histories = msgspec.json.decode(options.bars.read_bytes(), type=dict[str, list[Bar]])
    except (RecipeError, OSError, msgspec.MsgspecError) as error:
        return _refuse(str(error))
    # Before numpy is imported: more threads would change nothing but the number of threads.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    _say("loading scikit-learn")
    from bellwether.training.artifact import ArtifactError, read_artifact
    from bellwether.training.export import NotTheSame
    from bellwether.training.fit import TooFewRows
    from bellwether.training.train import train

    if not any(histories.values()):
        return _refuse(f"{options.bars} holds no bars")
    try:
        serving = {read_artifact(options.out / one).symbol: one for one in options.serving}
        versions = train(recipe, histories, options.out, _say, workers=options.workers, rival=rival, serving=serving)
    except TooFewRows as error:
        _refuse(str(error))
        return TOO_FEW_ROWS
    except (NotTheSame, ArtifactError, OSError) as error:
        return _refuse(str(error))
    sys.stdout.write(json.dumps(versions) + "\n")
    return 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _refuse(line: str) -> int:
    _say(f"error: {line}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
