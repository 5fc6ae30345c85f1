"""ml-model: serves models from the registry, and has the recipe's model made when there is none."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec

from bellwether.market.declared import calendar_of
from bellwether.market.sessions import Calendar
from bellwether.messages.alarms import alarm
from bellwether.messages.market_data import Bar, Coverage, GetCoverage
from bellwether.messages.models import (
    Drift,
    ExplainProbability,
    GetArtifact,
    GetDrift,
    GetRegistry,
    ListModels,
    LoadModel,
    ModelInfo,
    Models,
    Predict,
    Predicted,
    Predictions,
    PredictMany,
    Probability,
    ProbabilityParts,
    PutArtifact,
    RegistryBook,
    RegistryChanged,
    SetRegistry,
    ShadowModel,
    expiry_words,
)
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.parts import FilePart, FileState
from bellwether.models import book
from bellwether.models.child import TRAINING_BARS, HistoryTooShort, TrainingFailed, bars_of, train_in_child
from bellwether.models.expiry import expiry_alarms, has_expired
from bellwether.models.order_desk import add_orders
from bellwether.models.registry import Choice, Registry
from bellwether.models.serving import FeaturesMismatch, ServedModel
from bellwether.models.uploads import Uploads
from bellwether.runtime.call import Call, ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystem
from bellwether.training.artifact import ArtifactError
from bellwether.training.dataset import data_revision
from bellwether.training.enough import first_enough
from bellwether.training.ledger import Ledger, LedgerError
from bellwether.training.recipe import Recipe, RecipeError, find_recipe, read_recipe
from bellwether.training.reference import stability_index

WHOLE_HISTORY = 50_000
RETRY_SECONDS = 2.0
LONGEST_RETRY_SECONDS = 60.0

_log = logging.getLogger(__name__)


class ModelService:
    """The models in service, and the work of getting one."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.registry = Registry(context.files / "registry")
        self._uploads = Uploads(self.registry.root)
        self._wanted = asyncio.Event()
        self._book: book.Written | None = None
        self._state = "no model yet"
        self._trouble: RpcError | None = None
        self._failed = False
        self._too_short: tuple[tuple[str, date | None, str], str] | None = None
        self._calendar: Calendar | None = None
        self._calendar_of: Any = None

    # Answering

    async def load_model(self, request: LoadModel, call: Call) -> ModelInfo:
        """Return the model that answers for a symbol.

        Raises:
            RpcError: MODEL_NOT_READY while it is being made, or why the newest try made none: HISTORY_TOO_SHORT (in a
                replay with the first day that would do), NO_RECIPE, TRAINING_FAILED; MODEL_NOT_FOUND for another name.

        """
        try:
            return self._info(self._find(request.model_name, request.symbol))
        except RpcError as error:
            if error.code != "MODEL_NOT_READY" or self._trouble is None:
                raise
            raise self._trouble from error

    async def predict(self, request: Predict, call: Call) -> Probability:
        """Return the calibrated probability for one row of features."""
        return self._predicted(request, call)

    async def predict_many(self, request: PredictMany, call: Call) -> Predictions:
        """Return what `predict` says of each row; each is scored by itself, a batch would give other bits."""
        found: list[Predicted] = []
        for row, trace in zip(request.rows, request.traces or [""] * len(request.rows), strict=True):
            try:
                with call.start_span("ml-model.predict", parent=trace) as inner:
                    found.append(Predicted(self._predicted(row, inner)))
            except RpcError as error:
                found.append(Predicted(None, error.code, error.message, error.detail))
        return Predictions(found)

    def _predicted(self, request: Predict, call: Call) -> Probability:
        model = self._named(request)
        self._refuse_lookahead(model, call.as_of)
        if request.version is None:
            # What a stored decision names is asked as it was, whatever has become of it since.
            self._refuse_unfit(model, call.as_of)
        try:
            found = model.predict(request.features, request.symbol)
        except FeaturesMismatch as error:
            raise RpcError("FEATURES_MISMATCH", str(error)) from error
        if request.version is None:
            novelty = model.novelty(request.features) if self._asks_novelty() else None
            shadow = self._shadow(request.symbol, call.as_of)
            found = msgspec.structs.replace(found, shadow=shadow, novelty=novelty)
        call.annotate(**{"bellwether.model": found.model_name, "bellwether.model_version": found.version})
        return found

    async def explain_probability(self, request: ExplainProbability, call: Call) -> ProbabilityParts:
        """Return what each feature did to the probability of one row.

        Raises:
            RpcError: MODEL_NOT_FOUND where the version is not there any more, FEATURES_MISMATCH.

        """
        try:
            return self.registry.version(request.version).parts(request.features, request.symbol)
        except ArtifactError as error:
            raise RpcError("MODEL_NOT_FOUND", str(error)) from error
        except FeaturesMismatch as error:
            raise RpcError("FEATURES_MISMATCH", str(error)) from error

    async def get_drift(self, request: GetDrift, call: Call) -> Drift:
        """Return how far features lie from a version's training rows.

        Raises:
            RpcError: MODEL_NOT_FOUND where the version is not there any more.

        """
        try:
            reference = self.registry.version(request.version).reference
        except ArtifactError as error:
            raise RpcError("MODEL_NOT_FOUND", str(error)) from error
        if reference is None:
            return Drift({}, "an earlier release made the model and kept no record of its training rows")
        values = request.values
        return Drift({one.name: stability_index(one, values.get(one.name, [])) for one in reference.features})

    async def list_models(self, request: ListModels, call: Call) -> Models:
        """Return all models in service."""
        return Models([self._info(model) for model in self.registry.serving()])

    # The registry

    async def get_registry(self, request: GetRegistry, call: Call) -> RegistryBook:
        """Return a part of the registry's book."""
        return (await asyncio.to_thread(self._written, self.registry.book())).part(request.offset)

    def _written(self, ledger: Ledger) -> book.Written:
        if self._book is None or self._book.ledger is not ledger:
            self._book = book.written(ledger)
        return self._book

    async def put_artifact(self, request: PutArtifact, call: Call) -> FileState:
        """Take a part of a candidate's file.

        Raises:
            RpcError: MODEL_REFUSED, when it is not what its version says.

        """
        try:
            return await asyncio.to_thread(
                self._uploads.take, request.version, request.name, request.offset, request.total, request.content
            )
        except ArtifactError as error:
            raise RpcError("MODEL_REFUSED", str(error)) from error

    async def get_artifact(self, request: GetArtifact, call: Call) -> FilePart:
        """Return a part of a model's file.

        Raises:
            RpcError: MODEL_NOT_FOUND, when there is none of that version or name.

        """
        try:
            return await asyncio.to_thread(self._uploads.part, request.version, request.name, request.offset)
        except ArtifactError as error:
            raise RpcError("MODEL_NOT_FOUND", str(error)) from error

    async def set_registry(self, request: SetRegistry, call: Call) -> RegistryChanged:
        """Take a change of the registry's book, and let serve what it says.

        Raises:
            RpcError: BOOK_CHANGED, when it is a change of an older book; NOT_ALLOWED; MODEL_REFUSED.

        """
        before = self.registry.book()
        if request.before != self._written(before).hash:
            raise RpcError("BOOK_CHANGED", "the registry's book was changed in between: read it again")
        try:
            after = book.changed(before, book.read(request.change))
            book.check_change(before, after, self._enforced())
            self.registry.set_book(after)
            self._serve_by_book(after)
        except LedgerError as error:
            raise RpcError("NOT_ALLOWED", str(error)) from error
        except ArtifactError as error:
            raise RpcError("MODEL_REFUSED", str(error)) from error
        return RegistryChanged(self._written(after).hash)

    def _serve_by_book(self, ledger: Ledger) -> None:
        """Bring into service what the book says of the declared recipe."""
        recipe, path, cut = self._goal()
        serving = [one for one in ledger.entries if (one.name, one.stage) == (recipe.name, "serving")]
        fitting = [one.version for one in serving if one.recipe_hash == recipe.hash]
        if fitting and any(one.symbol is None for one in serving):
            self.registry.choose(Choice(recipe.name, recipe.hash, cut, fitting))
            self._serve_chosen(recipe, path, cut)

    def health(self) -> dict[str, Any]:
        """Return what health says besides."""
        serving = self.registry.serving()
        return {
            "models": len(serving),
            "model_state": self._state,
            "ungated_models": [model.manifest.name for model in serving if not self._gated(model)],
            "gate_mode": "enforce" if self._enforced() else "report",
        }

    def alarms(self) -> list[AlarmReading]:
        """Return the alarms of a declared model that does not serve, that has expired, or that soon will.

        Whether one is missing is unknown before the first try to get it has failed, and while it is being trained.
        """
        if not self.context.declaration.known:
            return []
        name = self.context.declaration.current.spec.predictions.model
        declared = [self._info(model) for model in self.registry.serving() if model.manifest.name == name]
        if not declared:
            return [
                alarm("model_missing", f"model {name} does not serve: {self._state}"[:500], unknown=not self._failed)
            ]
        return expiry_alarms(declared, self._today()) if self.context.clock.live else []

    def _named(self, request: Predict) -> ServedModel:
        if request.version is None:
            return self._find(request.model_name, request.symbol)
        try:
            return self.registry.version(request.version)
        except ArtifactError as error:
            raise RpcError("MODEL_NOT_FOUND", str(error)) from error

    def _find(self, name: str, symbol: str | None) -> ServedModel:
        found = self.registry.find(name, symbol)
        if found is None:
            if not self.context.declaration.known or name == self.context.declaration.current.spec.predictions.model:
                raise RpcError("MODEL_NOT_READY", f"model {name} does not serve yet: {self._state}")
            known = ", ".join(sorted({model.manifest.name for model in self.registry.serving()})) or "none"
            raise RpcError("MODEL_NOT_FOUND", f"there is no model {name}; in service: {known}")
        return found

    def _refuse_lookahead(self, model: ServedModel, as_of: datetime) -> None:
        day = self._calendar_now().local_day(as_of)
        through = model.manifest.trained_through
        if through >= day:
            raise RpcError(
                "MODEL_LOOKAHEAD",
                f"model {model.manifest.name} was trained through {through}: it has seen what {day} was to bring",
                trained_through=through.isoformat(),
                day=day.isoformat(),
            )

    def _refuse_unfit(self, model: ServedModel, as_of: datetime) -> None:
        """Refuse a model that did not pass the gate, where that is enforced, that was demoted, or that has expired."""
        name, manifest = model.manifest.name, model.manifest
        demoted = self.registry.demoted(model.version)
        if demoted:
            raise RpcError("MODEL_DEMOTED", f"model {name} {model.version[:12]} was demoted: {demoted}")
        if self._enforced() and not self._gated(model):
            raise RpcError(
                "MODEL_NOT_GATED",
                f"model {name} did not pass the gate ({self.registry.words(model.version)}), and training.gate.mode is "
                "enforce",
            )
        ends = manifest.expires_on
        if ends is not None and has_expired(ends, self._calendar_now().local_day(as_of)):
            told = msgspec.structs.replace(model.info(), expired=True)
            raise RpcError(
                "MODEL_EXPIRED",
                f"{expiry_words(told)}: train it again",
                version=model.version,
                expires_on=ends.isoformat(),
            )

    def _shadow(self, symbol: str | None, as_of: datetime) -> ShadowModel | None:
        """Return what is to be asked beside; not what has seen the day, and not what has expired."""
        model = self.registry.shadow(symbol)
        if model is None:
            return None
        day, manifest = self._calendar_now().local_day(as_of), model.manifest
        if manifest.trained_through >= day or has_expired(manifest.expires_on, day):
            return None
        return ShadowModel(model.version, manifest.name, list(manifest.features))

    def _asks_novelty(self) -> bool:
        declaration = self.context.declaration
        return declaration.known and declaration.current.spec.trading.risk.max_novelty is not None

    def _enforced(self) -> bool:
        declaration = self.context.declaration
        return declaration.known and declaration.current.spec.training.gate.mode == "enforce"

    def _gated(self, model: ServedModel) -> bool:
        """Return whether a model passed the gate; one that nobody judged did not."""
        verdict = self.registry.verdict(model.version)
        return verdict is not None and verdict.passed

    def _info(self, model: ServedModel) -> ModelInfo:
        info, ends = model.info(), model.manifest.expires_on
        return msgspec.structs.replace(
            info,
            gated=self._gated(model),
            gate=self.registry.words(model.version),
            demoted=self.registry.demoted(model.version),
            expired=ends is not None and self.context.clock.live and has_expired(ends, self._today()),
        )

    def _today(self) -> date:
        return self._calendar_now().local_day(self.context.clock.now())

    def _calendar_now(self) -> Calendar:
        market = self.context.declaration.current.spec.market
        if self._calendar is None or market is not self._calendar_of:
            self._calendar, self._calendar_of = calendar_of(market), market
        return self._calendar

    # Getting a model

    def declared(self, system: TradingSystem) -> None:
        """Look whether the declaration asks for another model."""
        self._wanted.set()

    async def start(self) -> None:
        """Bring into service what was chosen before, so that a restart needs nobody else."""
        if self.context.declaration.known:
            try:
                self._serve_chosen(*self._goal())
            except (RecipeError, ArtifactError) as error:
                self._state = str(error)
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
                self._trouble = None
            except (RpcError, RecipeError, ArtifactError, TrainingFailed, LookupError) as error:
                if str(error) != self._state:
                    _log.warning("no model yet: %s", error)
                self._state = str(error)
                self._trouble = _trouble(error)
                self._failed = True
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
            self._state = (
                f"model {recipe.name} serves, trained through {model.manifest.trained_through}, Brier "
                f"{model.manifest.metrics.get('brier', float('nan')):.4f} beside "
                f"{model.manifest.metrics.get('base_rate_brier', float('nan')):.4f} of the base rate"
            )
            _log.info("%s", self._state)
        return True

    async def _ensure(self, service: Service) -> None:
        recipe, path, cut = self._goal()
        if self.registry.find(recipe.name, None) is not None:
            choice = self.registry.choice(recipe.name)
            if choice is not None and choice.recipe_hash == recipe.hash and choice.cut == cut:
                return
        if self._serve_chosen(recipe, path, cut):
            return
        self._state = f"model {recipe.name} waits for bars"
        histories = await self._histories(service, recipe, cut)
        key = (recipe.hash, cut, data_revision(histories))
        if self._too_short is not None and self._too_short[0] == key:
            # Only other bars help, and there are none: training again would tell the same.
            raise HistoryTooShort(self._too_short[1])
        self._state, self._failed = f"model {recipe.name} is being trained", False
        _log.info("%s on %d bars", self._state, sum(map(len, histories.values())))
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
        calendar = self._calendar_now()
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
        spec = self.context.declaration.current.spec
        calendar = self._calendar_now()
        last_day = cut or calendar.local_day(self.context.clock.now())
        # Midnight at the exchange: sessions before that day are complete, its own is not.
        as_of = datetime.combine(last_day, time(0), calendar.timezone).astimezone(UTC)
        found, errors = await bars_of(service, sorted(spec.symbols), as_of, TRAINING_BARS)
        if not any(found.values()):
            words = f"no declared symbol has bars before {last_day.isoformat()}" + "".join(f"; {e}" for e in errors)
            hint = await self._first_day_that_would_do(service, recipe, cut)
            raise HistoryTooShort(words + hint) if hint else TrainingFailed(words)
        return found


def _trouble(error: Exception) -> RpcError | None:
    """Return what made the newest try fail, where waiting does not help; None where a service was away."""
    if isinstance(error, HistoryTooShort):
        return RpcError("HISTORY_TOO_SHORT", str(error))
    if isinstance(error, RecipeError):
        return RpcError("NO_RECIPE", str(error))
    if isinstance(error, TrainingFailed):
        return RpcError("TRAINING_FAILED", str(error))
    return None


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime."""
    service = Service("ml-model", context)
    models = ModelService(context)
    service.rpc("load_model")(models.load_model)
    service.rpc("predict")(models.predict)
    service.rpc("predict_many")(models.predict_many)
    service.rpc("explain_probability")(models.explain_probability)
    service.rpc("get_drift")(models.get_drift)
    service.rpc("list_models")(models.list_models)
    service.rpc("get_registry")(models.get_registry)
    service.rpc("put_artifact")(models.put_artifact)
    service.rpc("get_artifact")(models.get_artifact)
    add_orders(service, models.registry)
    service.rpc("set_registry")(models.set_registry)
    service.on_declaration(models.declared)
    service.on_health(models.health)
    service.on_alarms(models.alarms)
    service.on_start(models.start)

    async def keep_model() -> None:
        await models.keep_model(service)

    service.background(keep_model)
    return service
