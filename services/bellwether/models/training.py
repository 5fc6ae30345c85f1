"""ml-training: makes models again in a child process, judges them by the gate, and lets them serve.

It keeps nothing: the registry and its book are ml-model's, which verifies every file and every change of the book. A
process that ends while it trains has uploaded at most candidates.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any, Literal

from bellwether.market.declared import calendar_of
from bellwether.messages.models import (
    ArtifactState,
    GetRegistry,
    GetTraining,
    ListRegistry,
    ModelPromoted,
    ModelTrained,
    PromoteModel,
    PutArtifact,
    RegisteredModel,
    RegisteredModels,
    RegistryBook,
    RollbackModel,
    SetRegistry,
    TrainingState,
    TrainModel,
)
from bellwether.models import book
from bellwether.models.child import TRAINING_BARS, TrainingFailed, bars_of, train_in_child
from bellwether.models.uploads import NAMES
from bellwether.runtime.call import Call, ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystem
from bellwether.training.artifact import EVIDENCE, ArtifactError, read_model
from bellwether.training.ledger import Entry, Ledger, LedgerError, promote, record, roll_back
from bellwether.training.recipe import Recipe, RecipeError, find_recipe, read_recipe

PART = 192 * 1024
"""Bytes of one part of an upload: a message has room for that, written as base64."""
LOOK_SECONDS = 900.0
"""How often it is looked whether training is due; sessions are counted, so this only bounds how late it begins."""
TRIES = 5

_log = logging.getLogger(__name__)


class TrainingService:
    """The one training that may be under way, and what came of the last."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._context = service.context
        self._state = TrainingState("idle")
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

    async def get_training(self, request: GetTraining, call: Call) -> TrainingState:
        """Return how training is."""
        return self._state

    async def list_registry(self, request: ListRegistry, call: Call) -> RegisteredModels:
        """Return the models of the registry, the newest last."""
        _, ledger = await self._book(call)
        wanted = [one for one in ledger.entries if request.model_name in (None, one.name)]
        return RegisteredModels([book.shown(one) for one in wanted], len(ledger.trials))

    async def promote_model(self, request: PromoteModel, call: Call) -> RegisteredModel:
        """Let a model serve.

        Raises:
            RpcError: NOT_ALLOWED, in the registry's words.

        """

        def change(ledger: Ledger) -> tuple[Ledger, str]:
            version = ledger.entry(request.version).version
            return promote(ledger, version, call.as_of, request.reason, mode=self._mode, by_hand=True), version

        return await self._changed(change, call)

    async def rollback_model(self, request: RollbackModel, call: Call) -> RegisteredModel:
        """Let the model serve again that served before.

        Raises:
            RpcError: NOT_ALLOWED, in the registry's words.

        """

        def change(ledger: Ledger) -> tuple[Ledger, str]:
            name, symbol = request.model_name, request.symbol
            changed = roll_back(ledger, name, symbol, call.as_of, request.reason, mode=self._mode)
            serving = changed.serving(name, symbol)
            return changed, "" if serving is None else serving.version

        return await self._changed(change, call)

    def health(self) -> dict[str, Any]:
        """Return what health says besides."""
        known = self._context.declaration.known
        return {
            "training": self._state.status,
            "progress": self._state.progress,
            "training_error": self._state.error,
            "every_sessions": self._spec.training.every_sessions if known else None,
        }

    def declared(self, system: TradingSystem) -> None:
        """Look at once whether training is due now."""
        self._woken.set()

    # Training

    async def keep_training(self) -> None:
        """Train when it is asked for or due; ends never."""
        while True:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._woken.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            wanted = self._wanted
            try:
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
                self._wanted = None

    async def _due(self) -> TrainModel | None:
        """Return what the declaration wants made again by now; a replay has no sessions to wait for."""
        if not self._context.declaration.known:
            return None
        spec = self._spec
        if not spec.training.every_sessions or spec.clock.mode != "live":
            return None
        _, ledger = await self._book(self._service.call())
        made = [one.since for one in ledger.entries if one.name == spec.predictions.model]
        if not made:
            return None
        calendar = calendar_of(spec.market)
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
        rival = self._spec.predictions.model
        root = self._context.files / "work"

        def say(line: str) -> None:
            self._state = TrainingState("training", name, line, started)

        versions = await train_in_child(path, histories, root, rival=None if rival == name else rival, say=say)
        for version in versions:
            say(f"uploading {version[:12]}")
            await self._upload(root, version)
        await self._enter(root, versions, recipe, wanted.reason)
        self._state = TrainingState("idle", name, "done", started, self._context.clock.now(), versions)

    async def _histories(self) -> dict[str, Any]:
        spec = self._spec
        calendar = calendar_of(spec.market)
        replayed = date.fromisoformat(spec.clock.from_) if spec.clock.mode == "replay" and spec.clock.from_ else None
        day = replayed or calendar.local_day(self._context.clock.now())
        as_of = datetime.combine(day, time(0), calendar.timezone).astimezone(UTC)
        found, errors = await bars_of(self._service, sorted(spec.symbols), as_of, TRAINING_BARS)
        if not any(found.values()):
            raise TrainingFailed(f"no declared symbol has bars before {day}" + "".join(f"; {one}" for one in errors))
        return found

    async def _upload(self, root: Path, version: str) -> None:
        """Upload a model's files, the evidence last: with it the model is complete, or refused."""
        folder = root / version
        for name in sorted(NAMES, key=lambda one: one == EVIDENCE):
            path = folder / name
            if not path.exists():
                if name == EVIDENCE:
                    raise TrainingFailed(f"{version[:12]}: too little history to judge it by, so it stays where it is")
                continue
            content = await asyncio.to_thread(path.read_bytes)
            offset = 0
            while True:
                part = PutArtifact(version, name, offset, len(content), content[offset : offset + PART])
                call = self._service.call()
                state = await call.request("ml-model", "put_artifact", part, ArtifactState, idempotent=True)
                offset = state.received
                if state.complete or offset >= len(content):
                    break
            if state.complete:
                return

    async def _enter(self, root: Path, versions: list[str], recipe: Recipe, reason: str) -> None:
        """Write the models into the book, judged; what passed serves, and under `report` what did not, too."""
        for version in versions:
            manifest, evidence = await asyncio.to_thread(read_model, root, version)
            call = self._service.call()

            def enter(ledger: Ledger, version: str = version, told: Any = (manifest, evidence)) -> tuple[Ledger, str]:
                at = self._context.clock.now()
                changed = record(ledger, version, told[0], told[1], recipe.judged_by, at=at)
                entry = changed.entry(version)
                passed = entry.verdict is not None and entry.verdict.passed
                if entry.name == self._spec.predictions.model and (passed or self._mode == "report"):
                    changed = promote(changed, version, at, reason, mode=self._mode)
                return changed, version

            await self._changed(enter, call, trained=True)

    # The book

    @property
    def _spec(self) -> Any:
        return self._context.declaration.current.spec

    @property
    def _mode(self) -> Literal["enforce", "report"]:
        mode: Literal["enforce", "report"] = self._spec.training.gate.mode
        return mode

    async def _book(self, call: Call) -> tuple[str, Ledger]:
        found = await call.request("ml-model", "get_registry", GetRegistry(), RegistryBook, idempotent=True)
        return found.hash, book.read(found.book)

    async def _changed(
        self, change: Callable[[Ledger], tuple[Ledger, str]], call: Call, *, trained: bool = False
    ) -> RegisteredModel:
        """Change the book; where somebody else changed it in between, once more from what they left."""
        for _ in range(TRIES):
            before, ledger = await self._book(call)
            try:
                after, version = await asyncio.to_thread(change, ledger)
            except LedgerError as error:
                raise RpcError("NOT_ALLOWED", str(error)) from error
            if after == ledger:
                return book.shown(after.entry(version))
            request = SetRegistry(before, book.told(after).book)
            try:
                await call.request("ml-model", "set_registry", request, RegistryBook)
            except RpcError as error:
                if error.code == "BOOK_CHANGED":
                    continue
                raise
            entry = after.entry(version)
            await self._publish(entry, call, trained=trained)
            return book.shown(entry)
        raise RpcError("UNAVAILABLE", f"the registry's book changed {TRIES} times in between: ask again")

    async def _publish(self, entry: Entry, call: Call, *, trained: bool) -> None:
        shown, stamp = book.shown(entry), f"{call.as_of:%Y%m%dT%H%M%S}"
        if trained:
            await call.publish_event("model_trained", ModelTrained(shown), event_id=f"model_trained-{entry.version}")
        if entry.stage == "serving":
            event_id = f"model_promoted-{entry.version}-{stamp}"
            await call.publish_event("model_promoted", ModelPromoted(shown, entry.before), event_id=event_id)


def create(context: ServiceContext) -> Service:
    """Return the service, wired to its runtime."""
    service = Service("ml-training", context)
    training = TrainingService(service)
    for handler in (
        training.train_model,
        training.get_training,
        training.list_registry,
        training.promote_model,
        training.rollback_model,
    ):
        service.rpc(handler.__name__)(handler)
    service.on_declaration(training.declared)
    service.on_health(training.health)
    service.background(training.keep_training)
    return service
