"""A recipe says, in one file, what a model is made of and how it is judged."""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic.alias_generators import to_camel

import bellwether
from bellwether.messages.canonical import content_hash
from bellwether.training.feature_table import TABLE
from bellwether.training.features import FEATURES

METHOD = 2
"""Counts changes of what a model is made by; a model of another one is made again. 2: base rates of the calibration."""


class RecipeError(Exception):
    """A recipe that is not there or not right; the message names the file and the field."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


EstimatorKind = Literal["logistic-regression", "gradient-boosting", "histogram-boosting"]
SERVABLE: tuple[EstimatorKind, ...] = ("logistic-regression", "gradient-boosting")
"""What converts to ONNX and may serve; histogram boosting does not convert and is only compared."""


class Estimator(_Part):
    """What learns. `inverse_penalty` is scikit-learn's C of the regression: smaller is flatter; the rest is trees."""

    kind: EstimatorKind = "logistic-regression"
    inverse_penalty: Annotated[float, Field(gt=0.0, le=1000.0)] = 1.0
    trees: Annotated[int, Field(ge=1, le=1000)] | None = None
    depth: Annotated[int, Field(ge=1, le=6)] | None = None
    learning_rate: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    subsample: Annotated[float, Field(gt=0.0, le=1.0)] | None = None

    @model_validator(mode="after")
    def _of_its_kind(self) -> Estimator:
        if self.kind == "logistic-regression":
            for name in ("trees", "depth", "learning_rate", "subsample"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{to_camel(name)} is for boosting, not for logistic-regression: leave it out")
        return self


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
    embargo_sessions: Annotated[int, Field(ge=0, le=250)] = 0
    """Sessions before each test block that are left out besides those whose label reaches into it."""


class Gate(_Part):
    """What a model has to show before it serves (docs/training.md)."""

    level: Annotated[float, Field(gt=0.0, le=0.1)] = 0.01
    """How often, at most, all trials together may pass a recipe that knows nothing."""
    margin: Annotated[float, Field(ge=0.0, le=0.1)] = 0.0
    """By how much of log loss per row it must be better than the model in service, of another recipe."""
    tolerance: Annotated[float, Field(ge=0.0, le=0.1)] = 0.002
    """By how much of log loss per row a refit may at most be worse than the base rate, and than what serves."""


class Data(_Part):
    """What bars it takes: full ones, or such as have nothing but a closing price."""

    prices: Literal["bars", "closes"] = "bars"


class NewsFeature(_Part):
    """The news as one more feature, whose weight prediction learns of the decisions that it kept."""

    minimum_outcomes: Annotated[int, Field(ge=20, le=1_000_000)] = 1000
    """With fewer known outcomes of decisions with news the news moves nothing."""
    prior_strength: Annotated[float, Field(ge=0.0, le=1.0e6)] = 5.0
    """How strongly the weight is held at 0."""


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
    data: Data = Field(default_factory=Data)
    target: Literal["higher-close"] = "higher-close"
    beside: list[Estimator] = Field(default_factory=list, max_length=5)
    """Estimators that are judged beside; the base rate and a logistic regression always are."""
    gate: Gate | None = None
    """None in a recipe of the first form: it is judged by the gate's defaults, and its manifest stays as it was."""
    expires_after_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """How many days after the last session it learned from a model may open positions; None: for ever."""
    news: NewsFeature | None = None
    """Whether the news moves the model's probability; no part of the model, nor of the recipe's hash."""

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.estimator.kind not in SERVABLE:
            raise ValueError(
                f"estimator.kind {self.estimator.kind} cannot serve (it does not convert to ONNX): name it under "
                f"beside, and one of {', '.join(SERVABLE)} here"
            )
        full = [name for name in self.features if TABLE[name].needs == "bars"]
        if self.data.prices == "closes" and full:
            raise ValueError(f"feature {full[0]} needs full bars, data.prices says closes")
        return self

    @property
    def judged_by(self) -> Gate:
        """The gate's declaration, or its defaults."""
        return self.gate or Gate()

    @field_validator("features")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        unknown = [name for name in names if name not in TABLE]
        if unknown:
            raise ValueError(f"{unknown[0]} is not a feature; there are {', '.join(TABLE)}")
        if len(set(names)) != len(names):
            raise ValueError("a feature is named twice")
        return names

    @property
    def hash(self) -> str:
        """The SHA-256 of what the recipe says and of the method it is followed by, whatever its file looks like."""
        fields = self.model_dump(mode="json", exclude_none=True, exclude={"news"})
        # What was added later is left out at its default, so that older recipes keep their hash, and their models.
        for name, default in (("data", Data()), ("target", "higher-close"), ("beside", [])):
            if getattr(self, name) == default:
                del fields[name]
        if not self.evaluation.embargo_sessions:
            del fields["evaluation"]["embargo_sessions"]
        return content_hash(fields | {"method": METHOD})


@lru_cache(maxsize=1)
def recipe_folders() -> tuple[Path, ...]:
    """Return where recipes are looked for: beside the sources (a checkout, the image), then in the installed data."""
    package = Path(bellwether.__file__).resolve().parent
    return (package.parents[1] / "models", Path(sys.prefix) / "share" / "bellwether" / "models")


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


@lru_cache(maxsize=16)
def _found_once(name: str) -> str:
    return str(find_recipe(name))


@lru_cache(maxsize=16)
def _read_once(path: str, changed: int) -> tuple[str, ...]:
    return tuple(read_recipe(Path(path)).features)


def recipe_features(name: str) -> tuple[str, ...]:
    """Return the features that a recipe names; where there is no such recipe, those of the default one."""
    try:
        path = _found_once(name)
        return _read_once(path, os.stat(path).st_mtime_ns)
    except (RecipeError, OSError):
        return FEATURES


def load_recipe(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
        RecipeError: when there is none, or it is not right.
    """
    return read_recipe(find_recipe(name))
