"""Models on this machine, and which of them serve.

Which versions serve is written down once per (recipe, cut): a restarted process serves the very same model, so its
decisions have the same bytes.
"""

from __future__ import annotations

import logging
from datetime import date, datetime
from pathlib import Path

import msgspec

from bellwether.models.serving import ServedModel
from bellwether.storage.folders import write_durably
from bellwether.training.artifact import ArtifactError, read_model
from bellwether.training.gate import Verdict
from bellwether.training.ledger import LedgerError, ModelLedger, promote, read_ledger, record, write_ledger
from bellwether.training.recipe import Recipe

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
        self._book: ModelLedger | None = None
        self._shadows: dict[str | None, ServedModel] | None = None

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
        write_durably(self._choice_file(choice.recipe), msgspec.json.encode(choice))

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

    def judge(self, versions: list[str], recipe: Recipe, at: datetime) -> None:
        """Write models into the book, each with what the gate says; what is in service is promoted there.

        Raises:
            ArtifactError: when a model, or what it is judged by, is not what it should be.
        """
        try:
            ledger = read_ledger(self.root)
            for version in versions:
                manifest, evidence = read_model(self.root, version)
                ledger = record(ledger, version, manifest, evidence, recipe.judged_by, at=at)
                if not ledger.entry(version).demoted:
                    ledger = promote(ledger, version, at, "the first of its recipe", mode="report")
            write_ledger(self.root, ledger)
        except LedgerError as error:
            raise ArtifactError(str(error)) from error
        self._book = ledger

    def verdict(self, version: str) -> Verdict | None:
        """Return what the gate said of a model, None where nobody judged it."""
        return next((one.verdict for one in self.book().entries if one.version == version), None)

    def words(self, version: str) -> str:
        """Return what the gate said of a model, in words."""
        verdict = self.verdict(version)
        return "nobody judged it" if verdict is None else verdict.words()

    def set_book(self, ledger: ModelLedger) -> None:
        """Keep another book; every model that it puts into service is verified first.

        Raises:
            ArtifactError: when one of them is not there or not what its version says.
        """
        for one in ledger.entries:
            if one.stage == "serving":
                self.version(one.version)
        write_ledger(self.root, ledger)
        self._book, self._shadows = ledger, None

    def shadow(self, symbol: str | None) -> ServedModel | None:
        """Return the symbol's own model in shadow, else the general one, None where neither is; one that cannot be
        trusted counts as none."""
        if self._shadows is None:
            self._shadows = {}
            for one in self.book().entries:
                if one.stage == "shadow":
                    try:
                        self._shadows[one.symbol] = self.version(one.version)
                    except ArtifactError as error:
                        _log.warning("no shadow: %s", error)
        return self._shadows.get(symbol) or self._shadows.get(None)

    def demoted(self, version: str) -> str:
        """Return why a version answers nothing any more, empty where it does."""
        return next((one.demoted for one in self.book().entries if one.version == version), "")

    def book(self) -> ModelLedger:
        """Return the registry's book; one that cannot be read counts as empty, and nothing in it as judged."""
        if self._book is None:
            try:
                self._book = read_ledger(self.root)
            except LedgerError as error:
                _log.warning("%s: no model counts as judged", error)
                self._book = ModelLedger()
        return self._book

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
