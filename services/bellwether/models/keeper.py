"""Sees to it that the declared recipe's model serves: chosen before, named by the book, or made in a child process."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from bellwether.messages.market_data import Bar, Coverage, GetCoverage
from bellwether.models.child import HistoryTooShort, TrainingFailed, bars_of, histories_before, train_in_child
from bellwether.models.registry import Choice, Registry
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystem
from bellwether.training.artifact import ArtifactError
from bellwether.training.dataset import data_revision
from bellwether.training.enough import first_enough
from bellwether.training.ledger import ModelLedger
from bellwether.training.recipe import Recipe, RecipeError, find_recipe, read_recipe

WHOLE_HISTORY = 50_000
RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0

_log = logging.getLogger(__name__)


class ModelKeeper:
    """The work of getting a model, and how that is."""

    def __init__(self, context: ServiceContext, registry: Registry) -> None:
        self.context = context
        self.registry = registry
        self.state = "no model yet"
        self.trouble: RpcError | None = None
        """Why the newest try made none, where waiting does not help."""
        self.failed = False
        """Whether the newest try made no model."""
        self._wanted = asyncio.Event()
        self._too_short: tuple[tuple[str, date | None, str], str] | None = None

    def serve_by_book(self, ledger: ModelLedger) -> None:
        """Bring into service what the book says of the declared recipe."""
        recipe, path, cut = self._goal()
        serving = [one for one in ledger.entries if (one.name, one.stage) == (recipe.name, "serving")]
        fitting = [one.version for one in serving if one.recipe_hash == recipe.hash]
        if fitting and any(one.symbol is None for one in serving):
            self.registry.choose(Choice(recipe.name, recipe.hash, cut, fitting))
            self._serve_chosen(recipe, path, cut)

    def declared(self, system: TradingSystem) -> None:
        """Look whether the declaration asks for another model."""
        self._wanted.set()

    async def start(self) -> None:
        """Bring into service what was chosen before, so that a restart needs nobody else."""
        if self.context.declaration.known:
            try:
                self._serve_chosen(*self._goal())
            except (RecipeError, ArtifactError) as error:
                self.state = str(error)
                _log.warning("%s", error)
        self._wanted.set()

    async def keep_model(self, service: Service) -> None:
        """See to it that the declared recipe's model serves; ends never."""
        pause = RETRY_SECONDS
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            try:
                await self._ensure(service)
                pause = RETRY_SECONDS
                self.trouble = None
            except (RpcError, RecipeError, ArtifactError, TrainingFailed, LookupError) as error:
                if str(error) != self.state:
                    _log.warning("no model yet: %s", error)
                self.state = str(error)
                self.trouble = _trouble(error)
                self.failed = True
                try:
                    async with asyncio.timeout(pause):
                        await self._wanted.wait()
                except TimeoutError:
                    pause = min(pause * 2, LONGEST_RETRY_SECONDS)
                self._wanted.set()

    def _goal(self) -> tuple[Recipe, Path, date | None]:
        """Return the declared recipe, its file, and the day before which bars may be learnt from (None: today)."""
        spec = self.context.declaration.current.spec
        path = find_recipe(spec.predictions.model)
        cut = date.fromisoformat(spec.clock.from_) if spec.clock.mode == "replay" and spec.clock.from_ else None
        return read_recipe(path), path, cut

    def _serve_chosen(self, recipe: Recipe, path: Path, cut: date | None) -> bool:
        choice = self.registry.choice(recipe.name)
        if choice is None or choice.recipe_hash != recipe.hash or choice.cut != cut:
            return False
        for model in self.registry.serve(choice):
            self.state = (
                f"model {recipe.name} serves, trained through {model.manifest.trained_through}, Brier "
                f"{model.manifest.metrics.get('brier', float('nan')):.4f} beside "
                f"{model.manifest.metrics.get('base_rate_brier', float('nan')):.4f} of the base rate"
            )
            _log.info("%s", self.state)
        return True

    async def _ensure(self, service: Service) -> None:
        recipe, path, cut = self._goal()
        if self.registry.find(recipe.name, None) is not None:
            choice = self.registry.choice(recipe.name)
            if choice is not None and choice.recipe_hash == recipe.hash and choice.cut == cut:
                return
        if self._serve_chosen(recipe, path, cut):
            return
        self.state = f"model {recipe.name} waits for bars"
        histories = await self._histories(service, recipe, cut)
        key = (recipe.hash, cut, data_revision(histories))
        if self._too_short is not None and self._too_short[0] == key:
            # Only other bars help, and there are none: training again would tell the same.
            raise HistoryTooShort(self._too_short[1])
        self.state, self.failed = f"model {recipe.name} is being trained", False
        _log.info("%s on %d bars", self.state, sum(map(len, histories.values())))
        try:
            versions = await train_in_child(path, histories, self.registry.root)
        except HistoryTooShort as error:
            words = f"{error}{await self._first_day_that_would_do(service, recipe, cut)}"
            self._too_short = (key, words)
            raise HistoryTooShort(words) from error
        await asyncio.to_thread(self.registry.judge, versions, recipe, self.context.clock.now())
        self.registry.choose(Choice(recipe.name, recipe.hash, cut, versions))
        self._serve_chosen(recipe, path, cut)

    async def _first_day_that_would_do(self, service: Service, recipe: Recipe, cut: date | None) -> str:
        """Return in words from which day on a replay has enough history before it; nothing of a live system."""
        if cut is None:
            return ""
        calendar = self.context.declaration.calendar
        symbols = sorted(self.context.declaration.current.spec.symbols)
        coverage = await service.call().request("market-data", "get_coverage", GetCoverage(), Coverage)
        if not coverage.last:
            return ""
        last = max(coverage.last.values())
        # Of the sessions after the cut only their number matters here, and no model is made of them.
        as_of = datetime.combine(last + timedelta(days=1), time(0), calendar.timezone).astimezone(UTC)
        histories, _ = await bars_of(service, symbols, as_of, WHOLE_HISTORY)
        found = await asyncio.to_thread(first_enough, recipe, histories)
        counts = ", ".join(f"{symbol} has {len(bars)} from {bars[0].session}" for symbol, bars in histories.items())
        if found is None or found > last:
            return f". No clock.from would do, there are too few sessions at all: {counts}"
        return f". clock.from {cut} is too early: {found} is the first day that would do. Sessions: {counts}"

    async def _histories(self, service: Service, recipe: Recipe, cut: date | None) -> dict[str, list[Bar]]:
        declaration = self.context.declaration
        last_day = cut or declaration.calendar.local_day(self.context.clock.now())
        found, words = await histories_before(service, declaration.current.spec.symbols, last_day)
        if words:
            hint = await self._first_day_that_would_do(service, recipe, cut)
            raise HistoryTooShort(words + hint) if hint else TrainingFailed(words)
        return found


def _trouble(error: Exception) -> RpcError | None:
    """Return what made the newest try fail, where waiting does not help; None where a service was unreachable."""
    if isinstance(error, HistoryTooShort):
        return RpcError("HISTORY_TOO_SHORT", str(error))
    if isinstance(error, RecipeError):
        return RpcError("NO_RECIPE", str(error))
    if isinstance(error, TrainingFailed):
        return RpcError("TRAINING_FAILED", str(error))
    return None
