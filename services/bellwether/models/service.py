"""ml-model: serves models from the registry, and has the recipe's model made when there is none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec

from bellwether.messages import models as messages
from bellwether.messages import registry
from bellwether.messages.alarms import alarm
from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.parts import FilePart, FileState
from bellwether.models import book
from bellwether.models.keeper import ModelKeeper
from bellwether.models.orders import add_orders
from bellwether.models.registry import Registry
from bellwether.models.serving import ServedModel
from bellwether.models.transfer import Uploads
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.training.artifact import ArtifactError
from bellwether.training.ledger import LedgerError, ModelLedger
from bellwether.training.reference import stability_index

WARNING_DAYS = 14
"""So many days before a model expires people are notified."""
_LONGEST = 500

_log = logging.getLogger(__name__)


class ModelService:
    """The models in service."""

    def __init__(self, context: ServiceContext) -> None:
        self.context = context
        self.registry = Registry(context.files / "registry")
        self._uploads = Uploads(self.registry.root)
        self.keeper = ModelKeeper(context, self.registry)
        self._book: book.Written | None = None

    # Answering

    async def load_model(self, request: messages.LoadModel, call: Call) -> messages.ModelInfo:
        """Return the model that answers for a symbol.

        Raises:
            RpcError: MODEL_NOT_READY while it is being made, or why the newest try made none: HISTORY_TOO_SHORT (in a
                replay with the first day that would do), NO_RECIPE, TRAINING_FAILED; MODEL_NOT_FOUND for another name.
        """
        try:
            return self._info(self._find(request.model_name, request.symbol))
        except RpcError as error:
            if error.code != "MODEL_NOT_READY" or self.keeper.trouble is None:
                raise
            raise self.keeper.trouble from error

    async def predict(self, request: messages.Predict, call: Call) -> messages.Probability:
        """Return the calibrated probability for one row of features."""
        return self._predicted(request, call)

    async def predict_many(self, request: messages.PredictMany, call: Call) -> messages.Predictions:
        """Return what `predict` says of each row; each is scored by itself, a batch would give other bits."""
        found: list[messages.Predicted] = []
        for row, trace in zip(request.rows, request.traces or [""] * len(request.rows), strict=True):
            try:
                with call.start_span("ml-model.predict", parent=trace) as inner:
                    found.append(messages.Predicted(self._predicted(row, inner)))
            except RpcError as error:
                found.append(messages.Predicted(None, error.code, error.message, error.detail))
        return messages.Predictions(found)

    def _predicted(self, request: messages.Predict, call: Call) -> messages.Probability:
        named = request.version
        model = self._find(request.model_name, request.symbol) if named is None else self._version(named)
        self._refuse_lookahead(model, call.as_of)
        if request.version is None:
            # What a stored decision names is asked as it was, whatever has become of it since.
            self._refuse_unfit(model, call.as_of)
        found = model.predict(request.features, request.symbol)
        if request.version is None:
            novelty = model.novelty(request.features) if self._asks_novelty() else None
            shadow = self._shadow(request.symbol, call.as_of)
            found = msgspec.structs.replace(found, shadow=shadow, novelty=novelty)
        call.annotate(**{"bellwether.model": found.model_name, "bellwether.model_version": found.version})
        return found

    async def explain_probability(self, request: messages.ExplainProbability, call: Call) -> messages.ProbabilityParts:
        """Return what each feature did to the probability of one row.

        Raises:
            RpcError: MODEL_NOT_FOUND where the version is not there any more, FEATURES_MISMATCH.
        """
        return self._version(request.version).parts(request.features, request.symbol)

    async def get_drift(self, request: messages.GetDrift, call: Call) -> messages.Drift:
        """Return how far features lie from a version's training rows.

        Raises:
            RpcError: MODEL_NOT_FOUND where the version is not there any more.
        """
        reference = self._version(request.version).reference
        if reference is None:
            return messages.Drift({}, "an earlier release made the model and kept no record of its training rows")
        values = request.values
        return messages.Drift({one.name: stability_index(one, values.get(one.name, [])) for one in reference.features})

    async def list_models(self, call: Call) -> messages.Models:
        """Return all models in service."""
        return messages.Models([self._info(model) for model in self.registry.serving()])

    # The registry

    async def get_registry(self, request: registry.GetRegistry, call: Call) -> registry.RegistryBook:
        """Return a part of the registry's book."""
        return (await asyncio.to_thread(self._written, self.registry.book())).part(request.offset)

    def _written(self, ledger: ModelLedger) -> book.Written:
        if self._book is None or self._book.ledger is not ledger:
            self._book = book.written(ledger)
        return self._book

    async def put_artifact(self, request: registry.PutArtifact, call: Call) -> FileState:
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

    async def get_artifact(self, request: registry.GetArtifact, call: Call) -> FilePart:
        """Return a part of a model's file.

        Raises:
            RpcError: MODEL_NOT_FOUND, when there is none of that version or name.
        """
        try:
            return await asyncio.to_thread(self._uploads.part, request.version, request.name, request.offset)
        except ArtifactError as error:
            raise RpcError("MODEL_NOT_FOUND", str(error)) from error

    async def set_registry(self, request: registry.SetRegistry, call: Call) -> registry.RegistryChanged:
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
            self.keeper.serve_by_book(after)
        except LedgerError as error:
            raise RpcError("NOT_ALLOWED", str(error)) from error
        except ArtifactError as error:
            raise RpcError("MODEL_REFUSED", str(error)) from error
        return registry.RegistryChanged(self._written(after).hash)

    def health(self) -> dict[str, Any]:
        """Return what health says besides."""
        serving = self.registry.serving()
        return {
            "models": len(serving),
            "model_state": self.keeper.state,
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
                alarm(
                    "model_missing",
                    f"model {name} does not serve: {self.keeper.state}"[:500],
                    unknown=not self.keeper.failed,
                )
            ]
        return expiry_alarms(declared, self._today()) if self.context.clock.live else []

    def _version(self, version: str) -> ServedModel:
        try:
            return self.registry.version(version)
        except ArtifactError as error:
            raise RpcError("MODEL_NOT_FOUND", str(error)) from error

    def _find(self, name: str, symbol: str | None) -> ServedModel:
        found = self.registry.find(name, symbol)
        if found is None:
            if not self.context.declaration.known or name == self.context.declaration.current.spec.predictions.model:
                raise RpcError("MODEL_NOT_READY", f"model {name} does not serve yet: {self.keeper.state}")
            known = ", ".join(sorted({model.manifest.name for model in self.registry.serving()})) or "none"
            raise RpcError("MODEL_NOT_FOUND", f"there is no model {name}; in service: {known}")
        return found

    def _refuse_lookahead(self, model: ServedModel, as_of: datetime) -> None:
        day = self.context.declaration.calendar.local_day(as_of)
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
        if ends is not None and has_expired(ends, self.context.declaration.calendar.local_day(as_of)):
            overdue = msgspec.structs.replace(model.info(), expired=True)
            raise RpcError(
                "MODEL_EXPIRED",
                f"{messages.expiry_words(overdue)}: train it again",
                version=model.version,
                expires_on=ends.isoformat(),
            )

    def _shadow(self, symbol: str | None, as_of: datetime) -> messages.ShadowModel | None:
        """Return what is to be asked beside; not what has seen the day, and not what has expired."""
        model = self.registry.shadow(symbol)
        if model is None:
            return None
        day, manifest = self.context.declaration.calendar.local_day(as_of), model.manifest
        if manifest.trained_through >= day or has_expired(manifest.expires_on, day):
            return None
        return messages.ShadowModel(model.version, manifest.name, list(manifest.features))

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

    def _info(self, model: ServedModel) -> messages.ModelInfo:
        info, ends = model.info(), model.manifest.expires_on
        return msgspec.structs.replace(
            info,
            gated=self._gated(model),
            gate=self.registry.words(model.version),
            demoted=self.registry.demoted(model.version),
            expired=ends is not None and self.context.clock.live and has_expired(ends, self._today()),
        )

    def _today(self) -> date:
        return self.context.declaration.calendar.local_day(self.context.clock.now())


def has_expired(expires_on: date | None, day: date) -> bool:
    """Return whether a model answers no more on a day at the exchange."""
    return expires_on is not None and day >= expires_on


def expiry_alarms(models: Sequence[messages.ModelInfo], day: date) -> list[AlarmReading]:
    """Return the alarm of models that have expired by a day, critical, or else of those that soon will."""
    over = [one for one in models if one.expired]
    if over:
        return [alarm("model_expired", "; ".join(map(messages.expiry_words, over))[:_LONGEST], severity="critical")]
    soon = [one for one in models if one.expires_on is not None and (one.expires_on - day).days <= WARNING_DAYS]
    return [alarm("model_expired", "; ".join(map(messages.expiry_words, soon))[:_LONGEST])] if soon else []


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
    service.on_declaration(models.keeper.declared)
    service.on_health(models.health)
    service.on_alarms(models.alarms)
    service.on_start(models.keeper.start)

    async def keep_model() -> None:
        await models.keeper.keep_model(service)

    service.background(keep_model)
    return service
