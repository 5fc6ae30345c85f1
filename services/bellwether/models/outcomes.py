"""What came of the decisions that models made: looked at by ml-training, which may demote a model for it."""

from __future__ import annotations

import asyncio
import logging

from bellwether.messages.monitoring import AlarmReading
from bellwether.messages.registry import GetLiveRecords, LiveRecord, LiveRecords, ModelDemoted
from bellwether.models import live
from bellwether.models.clients import RegistryClient
from bellwether.runtime.call import Call
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.spec.models import TradingSystemSpec
from bellwether.training.ledger import ModelLedger, demote

RECORDS_AT_ONCE = 4
"""Of so many models live records are asked for in one message, which has room for the days of all of them."""

_log = logging.getLogger(__name__)


class Outcomes:
    """The live outcomes of models, and the alarms of those that serve and are worse than the base rate."""

    def __init__(self, service: Service, registry: RegistryClient) -> None:
        self._service = service
        self._registry = registry
        self.alarms: list[AlarmReading] = []
        """As of the newest look."""

    async def look(self) -> None:
        """Judge what serves by its live outcomes: demote it where that is declared, else keep the alarms of it."""
        if not self._service.context.declaration.known or self._spec.clock.mode != "live":
            return
        rule, name = self._spec.training.demotion, self._spec.predictions.model
        call = self._service.call()
        try:
            _, ledger = await self._registry.book(call)
            serving = [one.version for one in ledger.entries if (one.name, one.stage) == (name, "serving")]
            records = await self.records(serving, call) if rule.mode != "off" and serving else []
        except RpcError as error:
            # Whoever is unreachable is asked again at the next look; what was found before still holds.
            _log.info("live outcomes are not known: %s", error)
            return
        found = await asyncio.to_thread(live.worse, ledger, name, records, rule)
        if rule.mode == "demote":
            for one in found:
                await self._demote(one, call)
            found = []
            _, ledger = await self._registry.book(call)
        self.alarms = live.live_alarms(ledger, name, found)

    async def _demote(self, worse: live.Worse, call: Call) -> None:
        version, at = worse.entry.version, self._service.context.clock.now()

        def change(ledger: ModelLedger) -> tuple[ModelLedger, str]:
            return demote(ledger, version, at, worse.look.words, mode=self._spec.training.gate.mode), version

        _log.warning("model %s is demoted: %s", version[:12], worse.look.words)
        shown = await self._registry.changed(change, call)
        _, ledger = await self._registry.book(call)
        now = ledger.serving(shown.model_name, shown.symbol)
        instead = None if now is None or now.demoted else now.version
        event_id = f"model_demoted-{version}-{at:%Y%m%dT%H%M%S}"
        await call.publish_event("model_demoted", ModelDemoted(shown, instead), event_id=event_id)

    async def records(self, versions: list[str], call: Call) -> list[LiveRecord]:
        """Return the live records of versions; raises UNAVAILABLE without prediction."""
        found: list[LiveRecord] = []
        for start in range(0, len(versions), RECORDS_AT_ONCE):
            question = GetLiveRecords(versions[start : start + RECORDS_AT_ONCE])
            reply = await call.request("prediction", "get_live_records", question, LiveRecords, idempotent=True)
            found += reply.records
        return found

    @property
    def _spec(self) -> TradingSystemSpec:
        return self._service.context.declaration.current.spec
