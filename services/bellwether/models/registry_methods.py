"""The methods by which people look at the registry, and let a model serve, go back, or be asked beside another one."""

from __future__ import annotations

from bellwether.messages import registry as messages
from bellwether.models import book, live
from bellwether.models.clients import RegistryClient
from bellwether.models.outcomes import Outcomes
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.training import Training
from bellwether.training.ledger import LedgerError, Mode, ModelLedger, end_shadow, promote, put_in_shadow, roll_back


class RegistryMethods:
    """Answers about the registry, whose book is ml-model's."""

    def __init__(self, service: Service, registry: RegistryClient, outcomes: Outcomes) -> None:
        self._service = service
        self._registry = registry
        self._outcomes = outcomes

    async def list_registry(self, request: messages.ListRegistry, call: Call) -> messages.RegisteredModels:
        """Return models of the registry, the newest last.

        Raises:
            RpcError: INVALID_PARAMS, for a limit that is out of bounds.
        """
        if not 1 <= request.limit <= book.MOST_LISTED:
            raise RpcError("INVALID_PARAMS", f"limit is {request.limit}: it must be from 1 to {book.MOST_LISTED}")
        _, ledger = await self._registry.book(call)
        found, total = book.listed(ledger, request.model_name, request.limit)
        return messages.RegisteredModels([book.shown(one) for one in found], len(ledger.trials), total)

    async def show_model(self, request: messages.ShowModel, call: Call) -> messages.ShownModel:
        """Return a model of the registry with its live records.

        Raises:
            RpcError: NOT_ALLOWED, when no version begins like that; UNAVAILABLE, without prediction.
        """
        _, ledger = await self._registry.book(call)
        try:
            entry = ledger.entry(request.version)
        except LedgerError as error:
            raise RpcError("NOT_ALLOWED", str(error)) from error
        rule = self._training.demotion
        found = await self._outcomes.records([entry.version], call)
        return messages.ShownModel(
            book.shown(entry),
            [
                live.summary(one, rule, entry.since.date() if (one.role, entry.stage) == ("serving",) * 2 else None)
                for one in found
            ],
        )

    async def shadow_model(self, request: messages.ShadowCandidate, call: Call) -> messages.RegisteredModel:
        """Put a candidate into shadow, or take it out again.

        Raises:
            RpcError: NOT_ALLOWED, in the registry's words.
        """

        def change(ledger: ModelLedger) -> tuple[ModelLedger, str]:
            version = ledger.entry(request.version).version
            if request.end:
                return end_shadow(ledger, version, call.as_of, request.reason), version
            return put_in_shadow(ledger, version, call.as_of, request.reason, mode=self._mode), version

        return await self._registry.changed(change, call)

    async def promote_model(self, request: messages.PromoteModel, call: Call) -> messages.RegisteredModel:
        """Let a model serve.

        Raises:
            RpcError: NOT_ALLOWED, in the registry's words.
        """

        def change(ledger: ModelLedger) -> tuple[ModelLedger, str]:
            version = ledger.entry(request.version).version
            return promote(ledger, version, call.as_of, request.reason, mode=self._mode, by_hand=True), version

        return await self._registry.changed(change, call)

    async def rollback_model(self, request: messages.RollbackModel, call: Call) -> messages.RegisteredModel:
        """Let the model serve again that served before.

        Raises:
            RpcError: NOT_ALLOWED, in the registry's words.
        """

        def change(ledger: ModelLedger) -> tuple[ModelLedger, str]:
            name, symbol = request.model_name, request.symbol
            changed = roll_back(ledger, name, symbol, call.as_of, request.reason, mode=self._mode)
            serving = changed.serving(name, symbol)
            return changed, "" if serving is None else serving.version

        return await self._registry.changed(change, call)

    @property
    def _training(self) -> Training:
        return self._service.context.declaration.current.spec.training

    @property
    def _mode(self) -> Mode:
        return self._training.gate.mode
