"""A recipe says, in one file, what a model is made of and how it is judged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

import bellwether
from bellwether.messages.canonical import content_hash
from bellwether.training.features import FEATURES

METHOD = 2
"""Counts changes of what a model is made by; a model of another one is made again. 2: base rates of the calibration."""


class RecipeError(Exception):
    """A recipe that is not there or not right; the message names the file and the field."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


class Estimator(_Part):
    """Logistic regression on standardised features; `inverse_penalty` is scikit-learn's C: smaller is flatter."""

    kind: Literal["logistic-regression"] = "logistic-regression"
    inverse_penalty: Annotated[float, Field(gt=0.0, le=1000.0)] = 1.0


class Calibration(_Part):
    """Platt's two numbers, fitted on the newest `share` of the sessions, which the estimator does not see."""

    kind: Literal["platt"] = "platt"
    share: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.25
    prior_strength: Annotated[float, Field(ge=0.0, le=1.0e6)] = 0.0
    """How strongly the slope is held at 1: the weight, in rows, of the wish that the estimator was right already."""


class Evaluation(_Part):
    """Expanding walk-forward: `folds` test blocks over the newest `share` of the sessions, each purged."""

    folds: Annotated[int, Field(ge=1, le=50)] = 5
    share: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5


class Recipe(_Part):
    """What a model is made of."""

    name: Annotated[str, Field(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=40)]
    description: Annotated[str, Field(max_length=2000)]
    horizon_sessions: Annotated[int, Field(ge=1, le=60)]
    features: Annotated[list[str], Field(min_length=1)]
    estimator: Estimator = Field(default_factory=Estimator)
    calibration: Calibration = Field(default_factory=Calibration)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    per_symbol: bool = False
    """Whether each symbol gets its own model beside the general one."""
    minimum_rows: Annotated[int, Field(ge=50)] = 500

    @field_validator("features")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        unknown = [name for name in names if name not in FEATURES]
        if unknown:
            raise ValueError(f"{unknown[0]} is not a feature; there are {', '.join(FEATURES)}")
        if len(set(names)) != len(names):
            raise ValueError("a feature is named twice")
        return names

    @property
    def hash(self) -> str:
        """The SHA-256 of what the recipe says and of the method it is followed by, whatever its file looks like."""
        return content_hash(self.model_dump(mode="json") | {"method": METHOD})


def recipe_folders() -> list[Path]:
    """Return where recipes are looked for: beside the sources (a checkout, the image), then in the installed data."""
    package = Path(bellwether.__file__).resolve().parent
    return [package.parents[1] / "models", Path(sys.prefix) / "share" / "bellwether" / "models"]


def find_recipe(name: str) -> Path:
    """Return the file of a recipe.

    Raises:
        RecipeError: naming the folders, when there is none of that name.

    """
    folders = recipe_folders()
    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            return path
    raise RecipeError(f"predictions.model {name!r}: there is no {name}.yaml in {' or '.join(map(str, folders))}")


def read_recipe(path: Path) -> Recipe:
    """Return the recipe of a file.

    Raises:
        RecipeError: naming file and field.

    """
    try:
        document: Any = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise RecipeError(f"recipe {path}: {error}") from error
    try:
        recipe = Recipe.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise RecipeError(f"recipe {path}: {where}: {first['msg']}") from error
    if recipe.name != path.stem:
        raise RecipeError(f"recipe {path}: name is {recipe.name!r}, the file's name says {path.stem!r}")
    return recipe


def load_recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
        RecipeError: when there is none, or it is not right.

    """
    return read_recipe(find_recipe(name))
