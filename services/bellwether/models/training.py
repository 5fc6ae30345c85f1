"""ml-training: makes models again in a child process, judges them by the gate, and lets them serve.

It keeps nothing: the registry and its book are ml-model's, which verifies every file and every change of the book. A
process that ends while it trains has uploaded at most candidates.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from pathlib import Path
from typing import Any, Literal

from bellwether.messages.models import OpenOrder, TrainingState, TrainModel
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.registry import OrderState, TargetResult
from bellwether.models.child import TrainingFailed, histories_before, train_in_child
from bellwether.models.clients import RegistryClient, TrainingOrderClient
from bellwether.models.outcomes import Outcomes
from bellwether.models.registry_methods import RegistryMethods
from bellwether.models.transfer import download, upload
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystem
from bellwether.training.artifact import ArtifactError, read_model
from bellwether.training.ledger import LedgerError, ModelLedger, promote, record
from bellwether.training.recipe import Recipe, RecipeError, find_recipe, load_recipe, read_recipe

ORDER_LOOK_SECONDS = 2.0
"""How often it is looked how far a Job is."""
UPLOAD_SECONDS = 120.0
LOOK_SECONDS = 900.0
"""How often it is looked whether training is due; sessions are counted, so this only bounds how late it begins."""

_log = logging.getLogger(__name__)


class TrainingService:
    """The one training that may be under way, and what came of the last."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._context = service.context
        self._state = TrainingState("idle")
        self._registry = RegistryClient(service)
        self._outcomes = Outcomes(service, self._registry)
        self.registry_methods = RegistryMethods(service, self._registry, self._outcomes)
        self._orders = TrainingOrderClient(service)
        self._wanted: TrainModel | None = None
        self._woken = asyncio.Event()

    # Answering

    async def train_model(self, request: TrainModel, call: Call) -> TrainingState:
        """Begin to make the models of a recipe again; `get_training` tells how far it is.

        Raises:
            RpcError: TRAINING_UNDER_WAY, NO_RECIPE.
        """
        if self._wanted is not None or self._state.status == "training":
            raise RpcError("TRAINING_UNDER_WAY", f"{self._state.model_name or 'a model'} is being trained already")
        name = request.model_name or self._spec.predictions.model
        try:
            find_recipe(name)
        except RecipeError as error:
            raise RpcError("NO_RECIPE", str(error)) from error
        self._wanted = TrainModel(name, request.reason)
        self._woken.set()
        return TrainingState("training_started", name, started=call.as_of)

    async def get_training(self, call: Call) -> TrainingState:
        """Return how training is."""
        return self._state

    def health(self) -> dict[str, Any]:
        """Return what health says besides."""
        known = self._context.declaration.known
        return {
            "training": self._state.status,
            "progress": self._state.progress,
            "training_error": self._state.error,
            "every_sessions": self._spec.training.every_sessions if known else None,
        }

    def alarms(self) -> list[AlarmReading]:
        """Return the alarm of models whose live outcomes are worse than the base rate, as of the newest look."""
        return self._outcomes.alarms

    def declared(self, system: TradingSystem) -> None:
        """Look at once whether training is due now."""
        self._woken.set()

    # Training

    async def keep_training(self) -> None:
        """Train when it is asked for or due; ends never."""
        while True:
            try:
                async with asyncio.timeout(ORDER_LOOK_SECONDS if self._state.order else LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            wanted = self._wanted
            try:
                if await self._follow_order():
                    continue
                await self._outcomes.look()
                if wanted is None:
                    wanted = await self._due()
                if wanted is not None:
                    await self._train(wanted)
            except (RpcError, TrainingFailed, RecipeError, ArtifactError, LedgerError, OSError) as error:
                _log.warning("no new model: %s", error)
                self._state = TrainingState(
                    "failed",
                    "" if wanted is None else wanted.model_name or "",
                    self._state.progress,
                    self._state.started,
                    self._context.clock.now(),
                    error=str(error),
                )
            finally:
                # Asked for meanwhile: it is done next.
                if self._wanted is wanted:
                    self._wanted = None

    async def _due(self) -> TrainModel | None:
        """Return what the declaration wants made again by now; a replay has no sessions to wait for."""
        if not self._context.declaration.known:
            return None
        spec = self._spec
        if not spec.training.every_sessions or spec.clock.mode != "live":
            return None
        _, ledger = await self._registry.book(self._service.call())
        made = [one.since for one in ledger.entries if one.name == spec.predictions.model]
        if not made:
            return None
        calendar = self._context.declaration.calendar
        now = self._context.clock.now()
        first, last = calendar.local_day(max(made)), calendar.previous_session(now).day
        passed = calendar.sessions_between(first, last) if first < last else 0
        if passed < spec.training.every_sessions:
            return None
        return TrainModel(spec.predictions.model, f"{passed} sessions since the last training")

    async def _train(self, wanted: TrainModel) -> None:
        name = wanted.model_name or self._spec.predictions.model
        path = find_recipe(name)
        recipe, started = read_recipe(path), self._context.clock.now()
        self._state = TrainingState("training", name, "asking for bars", started)
        histories = await self._histories()
        declared = self._spec.predictions.model
        rival = None if declared == name else declared
        root = self._context.files / "work"

        def say(line: str) -> None:
            self._state = TrainingState("training", name, line, started)

        serving = await self._serving(root, recipe)
        job = self._spec.training.job
        if job is not None:
            patience = parse_duration(job.deadline)
            state = await self._orders.place(
                recipe, histories, rival=rival, serving=serving, at=started, patience=patience, reason=wanted.reason
            )
            self._follow(state)
            return
        versions = await train_in_child(path, histories, root, rival=rival, serving=serving, say=say)
        for version in versions:
            say(f"uploading {version[:12]}")
            await upload(root, version, self._service.call(budget=UPLOAD_SECONDS))
        await self._enter(root, versions, recipe, wanted.reason)
        self._state = TrainingState("idle", name, "done", started, self._context.clock.now(), versions)

    def _follow(self, state: OrderState) -> None:
        order, done = state.order, len(state.results)
        placed = OpenOrder(state.id, order.targets, done)
        words = f"waiting for the Job of order {state.id[:12]}: {done} of {len(order.targets)} targets are done"
        self._state = TrainingState("training", order.recipe, words, order.created, order=placed)

    async def _follow_order(self) -> bool:
        """Judge what a Job has made once every target has a result; return whether an order is still open."""
        if not self._context.declaration.known or self._spec.training.job is None:
            return False
        state = await self._orders.open_order(self._service.call())
        if state is None:
            return False
        self._follow(state)
        if not state.complete and self._context.clock.now() < state.order.deadline:
            return True
        root, recipe = self._context.files / "work", load_recipe(state.order.recipe)
        versions = [one.version for _, one in sorted(state.results.items(), key=_index) if one.version is not None]
        _, ledger = await self._registry.book(self._service.call())
        known = {one.version for one in ledger.entries}
        for version in versions:
            await download(root, version, self._service.call(budget=UPLOAD_SECONDS))
        await self._enter(root, [one for one in versions if one not in known], recipe, state.order.reason)
        await self._orders.close(state.id, self._service.call())
        missing = len(state.order.targets) - len(state.results)
        words = f"done, {missing} targets without a result" if missing else "done"
        now = self._context.clock.now()
        self._state = TrainingState("idle", recipe.name, words, state.order.created, now, versions)
        return False

    async def _histories(self) -> dict[str, Any]:
        spec = self._spec
        replayed = date.fromisoformat(spec.clock.from_) if spec.clock.mode == "replay" and spec.clock.from_ else None
        day = replayed or self._context.declaration.calendar.local_day(self._context.clock.now())
        found, words = await histories_before(self._service, spec.symbols, day)
        if words:
            raise TrainingFailed(words)
        return found

    async def _serving(self, root: Path, recipe: Recipe) -> list[str]:
        """Return the versions of a recipe that serve, each brought into a folder so that a refit can be compared."""
        _, ledger = await self._registry.book(self._service.call())
        found = []
        for one in ledger.entries:
            if (one.stage, one.recipe_hash) == ("serving", recipe.hash) and not one.demoted:
                try:
                    await download(root, one.version, self._service.call(budget=UPLOAD_SECONDS))
                except (RpcError, ArtifactError) as error:
                    _log.warning("%s serves and is not compared with: %s", one.version[:12], error)
                else:
                    found.append(one.version)
        return found

    async def _enter(self, root: Path, versions: list[str], recipe: Recipe, reason: str) -> None:
        """Write the models into the book, judged; what passed serves, and under `report` what did not, too."""
        for version in versions:
            manifest, evidence = await asyncio.to_thread(read_model, root, version)
            call = self._service.call()

            def enter(
                ledger: ModelLedger, version: str = version, made: Any = (manifest, evidence)
            ) -> tuple[ModelLedger, str]:
                at = self._context.clock.now()
                changed = record(ledger, version, made[0], made[1], recipe.judged_by, at=at)
                entry = changed.entry(version)
                passed = entry.verdict is not None and entry.verdict.passed
                serves = entry.name == self._spec.predictions.model and not entry.demoted
                if serves and (passed or self._mode == "report"):
                    changed = promote(changed, version, at, reason, mode=self._mode)
                return changed, version

            await self._registry.changed(enter, call, trained=True)

    # The book

    @property
    def _spec(self) -> Any:
        return self._context.declaration.current.spec

    @property
    def _mode(self) -> Literal["enforce", "report"]:
        mode: Literal["enforce", "report"] = self._spec.training.gate.mode
        return mode


def _index(item: tuple[str, TargetResult]) -> int:
    return int(item[0])


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime."""
    service = Service("ml-training", context)
    training = TrainingService(service)
    for handler in (
        training.train_model,
        training.get_training,
        training.registry_methods.list_registry,
        training.registry_methods.show_model,
        training.registry_methods.shadow_model,
        training.registry_methods.promote_model,
        training.registry_methods.rollback_model,
    ):
        service.rpc(handler.__name__)(handler)
    service.on_declaration(training.declared)
    service.on_health(training.health)
    service.on_alarms(training.alarms)
    service.background(training.keep_training)
    return service
