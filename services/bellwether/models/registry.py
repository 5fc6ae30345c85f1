"""Models on this machine, and which of them serve.

Which versions serve is written down once per (recipe, cut): a restarted process serves the very same model, so its
decisions have the same bytes.
"""

from __future__ import annotations

import logging
import os
from datetime import date
from pathlib import Path

import msgspec

from bellwether.models.serving import ServedModel
from bellwether.training.artifact import ArtifactError

_log = logging.getLogger(__name__)


class Choice(msgspec.Struct, frozen=True):
    """Which versions serve for a recipe and a cut: bars of sessions before `cut` made them."""

    recipe: str
    recipe_hash: str
    cut: date | None
    versions: list[str]


class Registry:
    """The models of one folder; those that serve are in memory, others are opened when a replay asks for them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._serving: dict[tuple[str, str | None], ServedModel] = {}
        self._open: dict[str, ServedModel] = {}

    def choice(self, recipe: str) -> Choice | None:
        """Return what was chosen to serve for a recipe, None where nothing readable is written down."""
        try:
            return msgspec.json.decode(self._choice_file(recipe).read_bytes(), type=Choice)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("%s is passed over: %s", self._choice_file(recipe), error)
            return None

    def choose(self, choice: Choice) -> None:
        """Write down which versions serve from now on."""
        self.root.mkdir(parents=True, exist_ok=True)
        target = self._choice_file(choice.recipe)
        scratch = target.with_suffix(f".{os.getpid()}")
        scratch.write_bytes(msgspec.json.encode(choice))
        scratch.replace(target)

    def serve(self, choice: Choice) -> list[ServedModel]:
        """Bring the chosen versions into service, in place of what served for that recipe.

        Raises:
            ArtifactError: when one of them cannot be trusted; then nothing changes.

        """
        models = [self.version(version) for version in choice.versions]
        kept = {key: model for key, model in self._serving.items() if key[0] != choice.recipe}
        for model in models:
            kept[(model.manifest.name, model.manifest.symbol)] = model
        self._serving = kept
        return models

    def find(self, name: str, symbol: str | None) -> ServedModel | None:
        """Return the symbol's own model, else the general one, None where neither serves."""
        return self._serving.get((name, symbol)) or self._serving.get((name, None))

    def serving(self) -> list[ServedModel]:
        """Return all models in service, by name and symbol."""
        return [self._serving[key] for key in sorted(self._serving, key=lambda key: (key[0], key[1] or ""))]

    def version(self, version: str) -> ServedModel:
        """Return a model by its version, whether it serves or not.

        Raises:
            ArtifactError: when it is not there or cannot be trusted.

        """
        found = self._open.get(version)
        if found is None:
            if len(version) != 64 or not set(version) <= set("0123456789abcdef"):
                raise ArtifactError(f"{version!r} is not a version: it has 64 hexadecimal digits")
            found = self._open[version] = ServedModel.open(self.root / version)
        return found

    def _choice_file(self, recipe: str) -> Path:
        return self.root / f"serving-{recipe}.json"
