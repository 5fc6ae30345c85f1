"""monitoring: asks every service how it is, looks at the machine, and says what is wrong. It keeps nothing."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import Any

from bellwether.messages.monitoring import Alerts, SystemAlert, SystemFigures, SystemMetrics
from bellwether.monitoring.judging import (
    NAME,
    Key,
    Observation,
    alerts,
    judged,
    observations,
    processes,
    service_figures,
)
from bellwether.runtime.alarm import CLEAR, AlarmState, turned
from bellwether.runtime.call import Call, ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.machine import Machine
from bellwether.runtime.service import Service

HEALTH_BUDGET = 2.0
"""Seconds that every service has for its answer; all are asked at once."""
EVERY = 30.0
"""Seconds between two looks of a live system."""
LOOK_BUDGET = 10.0

_log = logging.getLogger(__name__)


class Monitoring:
    """The looks at a system. Only `watch` changes the alarms; whoever asks is told and changes nothing."""

    def __init__(self, service: Service, machine: Machine, every: float) -> None:
        self._service = service
        self._machine = machine
        self._every = every
        self._states: dict[Key, AlarmState] = {}

    async def collect_system_metrics(self, call: Call) -> SystemMetrics:
        """Return each service's health, the memory and CPU of each process once, and the machine's figures."""
        names = self._watched()
        found = await asyncio.gather(*(self._health(name, call) for name in names))
        services = {name: service_figures(health) for name, health in zip(names, found, strict=True)}
        machine = self._machine.figures()
        each = processes(services)
        return SystemMetrics(
            timestamp=call.as_of,
            services=services,
            system=SystemFigures(machine.scope, machine.cpu_percent, machine.memory_percent, machine.disk_usage),
            processes=each,
            memory_usage=round(sum(one.memory_usage or 0.0 for one in each), 1),
        )

    async def check_alerts(self, call: Call) -> Alerts:
        """Return what is wrong at this moment."""
        seen = observations(await self.collect_system_metrics(call))
        return Alerts(call.as_of, alerts(judged(self._states, seen, call.as_of), seen))

    async def watch(self) -> None:
        """Look again and again, and publish each alarm that is raised or resolved."""
        while True:
            await asyncio.sleep(self._every)
            await self.look(self._service.call(budget=LOOK_BUDGET))

    async def look(self, call: Call) -> None:
        """Look once. What cannot be published counts as not changed, so that the next look publishes it."""
        seen = observations(await self.collect_system_metrics(call))
        after = judged(self._states, seen, call.as_of)
        for one in seen:
            before, now = self._states.get(one.key, CLEAR), after[one.key]
            if turned(before, now) is not None and not await self._publish(one, before, now, call):
                after[one.key] = replace(now, raised=False) if now.raised else before
        self._states = after

    def health(self) -> dict[str, Any]:
        """Return what health says besides."""
        return {"alerts": sum(state.raised for state in self._states.values())}

    def _watched(self) -> list[str]:
        """Return the services that should run: all but those that the declaration switches off."""
        context = self._service.context
        off: set[str] = set()
        if context.declaration.known:
            declared = context.declaration.current.spec.services
            off = {name for name, override in declared.items() if not override.enabled}
        return [name for name in context.rows if name not in off]

    async def _health(self, name: str, call: Call) -> dict[str, Any] | str:
        try:
            if name == NAME:
                own: dict[str, Any] = await self._service.server.methods["health"].handler(call)
                return own
            return await call.request(name, "health", None, dict[str, Any], budget=HEALTH_BUDGET)
        except RpcError as error:
            return error.message

    async def _publish(self, one: Observation, before: AlarmState, now: AlarmState, call: Call) -> bool:
        state, since = ("raised", now.since) if now.raised else ("resolved", before.since)
        if since is None:
            return True
        alert = SystemAlert(
            state="raised" if now.raised else "resolved",
            type=one.type,
            severity=one.alarm.severity,
            service=one.service,
            message=one.message,
            since=since,
        )
        event_id = f"system_alert-{one.type}-{one.service}-{since:%Y%m%dT%H%M%S%f}-{state}"
        try:
            await call.publish_event("system_alert", alert, event_id=event_id)
        except RpcError as error:
            _log.warning("%s is not published yet: %s", event_id, error.message)
            return False
        return True


def create(context: ServiceContext, *, every: float = EVERY) -> Service:
    """Return the service, wired to its runtime."""
    service = Service(NAME, context)
    monitoring = Monitoring(service, Machine(context.config.data_dir), every)
    for handler in (monitoring.collect_system_metrics, monitoring.check_alerts):
        service.rpc(handler.__name__)(handler)
    service.on_health(monitoring.health)
    if context.clock.live:
        service.background(monitoring.watch)
    return service
