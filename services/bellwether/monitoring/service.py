"""monitoring: asks every service how it is, looks at the machine, says what is wrong, and notifies people."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from bellwether.messages import monitoring as messages
from bellwether.messages.fields import from_fields
from bellwether.messages.reporting import GetReport, ListReports, Reports, StoredReport
from bellwether.monitoring import judging
from bellwether.monitoring.book import (
    OWED,
    Entry,
    Notice,
    State,
    channel_states,
    notice_records,
    report_notice,
)
from bellwether.monitoring.letters import Letters
from bellwether.monitoring.notifier import Notifier, Send
from bellwether.naming import DEAD_STREAM, EVENT_STREAM
from bellwether.runtime.alarm import CLEAR, AlarmState, transition
from bellwether.runtime.bus import BusError
from bellwether.runtime.call import Call
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.machine import Machine
from bellwether.runtime.service import Service

HEALTH_BUDGET = 2.0
"""Seconds that every service has for its answer; all are asked at once."""
EVERY = 30.0
"""Seconds between two looks of a live system."""
LOOK_BUDGET = 10.0

REPORT_FRESH = timedelta(days=1)
"""An older report is not sent: it was there before anybody asked for reports."""

_log = logging.getLogger(__name__)


class Monitoring(Collector):
    """The looks at a system, and their figures. Only `watch` changes the alarms; whoever asks changes nothing."""

    def __init__(self, service: Service, machine: Machine, every: float, notifier: Notifier) -> None:
        self._service = service
        self._machine = machine
        self._every = every
        self._notifier = notifier
        self._states: dict[judging.Key, AlarmState] = {}
        self._looked: datetime | None = None
        service.figures.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        """Return the figures of alarms and notices; before the first look there is nothing to show."""
        book = self._notifier.book
        severities = {(one.type, one.service): one.severity for one in book.alarms}
        alarms = GaugeMetricFamily(
            "bellwether_alarms", "1 for each alarm that is raised.", labels=["type", "subject", "severity"]
        )
        for (kind, subject), state in sorted(self._states.items()):
            if state.raised:
                alarms.add_metric([kind, subject, severities.get((kind, subject), "warning")], 1.0)
        yield alarms
        last = GaugeMetricFamily("bellwether_monitoring_last_look_timestamp_seconds", "When monitoring last looked.")
        if self._looked is not None:
            last.add_metric([], self._looked.timestamp())
        yield last
        owed: dict[str, int] = {}
        for notice in book.notices:
            for name, one in notice.deliveries.items():
                owed[name] = owed.get(name, 0) + (one.status in OWED)
        family = GaugeMetricFamily(
            "bellwether_notifications_owed", "Notices that are to be sent.", labels=["notification"]
        )
        for name, count in sorted(owed.items()):
            family.add_metric([name], count)
        yield family

    async def begin(self) -> None:
        """Take up the alarms that were raised when monitoring last ran."""
        if not self._service.context.clock.live:
            return
        await self._notifier.load()
        for one in self._notifier.book.alarms:
            self._states[one.type, one.service] = AlarmState(one.since, 1, raised=True)

    async def collect_system_metrics(self, call: Call) -> messages.SystemMetrics:
        """Return each service's health, the memory and CPU of each process once, and the machine's figures."""
        names = self._watched()
        found = await asyncio.gather(*(self._health(name, call) for name in names))
        services = {name: judging.service_figures(health) for name, health in zip(names, found, strict=True)}
        machine = self._machine.figures()
        each = judging.processes(services)
        return messages.SystemMetrics(
            timestamp=call.as_of,
            services=services,
            system=messages.SystemFigures(
                machine.scope, machine.cpu_percent, machine.memory_percent, machine.disk_usage
            ),
            processes=each,
            memory_usage=round(sum(one.memory_usage or 0.0 for one in each), 1),
            streams=await self._streams(),
        )

    async def _streams(self) -> dict[str, messages.StreamUse]:
        """Return what the streams hold; nothing for one that cannot be asked."""
        found: dict[str, messages.StreamUse] = {}
        for name in (EVENT_STREAM, DEAD_STREAM):
            try:
                held = await self._service.context.bus.stream_figures(name)
            except BusError as error:
                _log.warning("stream %s cannot be asked: %s", name, error)
                continue
            found[name] = messages.StreamUse(held.messages, held.bytes, held.max_bytes or None)
        return found

    async def check_alerts(self, call: Call) -> messages.Alerts:
        """Return what is wrong now."""
        seen = await self._observe(call)
        return messages.Alerts(call.as_of, judging.alerts(judging.judged(self._states, seen, call.as_of), seen))

    async def list_notifications(self, request: messages.ListNotifications, call: Call) -> messages.Notifications:
        """Return the declared notifications and the notices, newest first."""
        book = self._notifier.book
        return messages.Notifications(
            channel_states(book, self._notifier.channels), notice_records(book, request.limit)
        )

    async def test_notification(self, request: messages.SendTestMessage, call: Call) -> messages.SentTestMessages:
        """Send a test message at once, whatever the severity and the hour, and return what became of it."""
        known = {one.name: one for one in self._notifier.channels}
        if request.name is not None and request.name not in known:
            declared = ", ".join(known) or "none"
            raise RpcError("UNKNOWN_NOTIFICATION", f"notification {request.name!r}: declared are {declared}")
        wanted = [one for name, one in known.items() if request.name in (None, name)]
        if not wanted:
            raise RpcError("NO_NOTIFICATIONS", "no notification is declared: add one to spec.notifications")
        words = "this is a test message; nothing is wrong"
        notice_id = f"test-{call.request_id}"
        notice = Notice(notice_id, call.as_of, "test", "test", judging.NAME, "info", words, call.as_of, published=True)
        errors = await asyncio.gather(*(self._notifier.test(one, notice) for one in wanted))
        pairs = zip(wanted, errors, strict=True)
        return messages.SentTestMessages(
            [messages.MessageOutcome(one.name, one.kind, error is None, error) for one, error in pairs]
        )

    async def watch(self) -> None:
        """Look again and again; each alarm that is raised or resolved is published and notified once."""
        while True:
            await asyncio.sleep(self._every)
            await self.look(self._service.call(budget=LOOK_BUDGET))

    async def _observe(self, call: Call) -> list[judging.Observation]:
        metrics = await self.collect_system_metrics(call)
        own = judging.failing_channels(self._notifier.book, self._notifier.channels, self._states)
        return [*judging.observations(metrics), *judging.reported(metrics, self._states), *own]

    async def look(self, call: Call) -> None:
        """Look once. What cannot be stored or published is so at a later look, with the same ids."""
        seen = await self._observe(call)
        after = judging.judged(self._states, seen, call.as_of)
        for one in seen:
            before, now = self._states.get(one.key, CLEAR), after[one.key]
            change = transition(before, now)
            since = now.since if change == "raised" else before.since
            if change is not None and since is not None:
                self._note(one, change == "raised", since, call.as_of)
        self._states, self._looked = after, call.as_of
        await self._take_report(call)
        try:
            await self._notifier.store()
        except BusError as error:
            _log.warning("the alarms are not stored yet: %s", error)
            return
        await self._publish_owed(call)
        with contextlib.suppress(BusError):
            await self._notifier.store()

    def _note(self, one: judging.Observation, raised: bool, since: datetime, at: datetime) -> None:
        book = self._notifier.book
        alarms = [entry for entry in book.alarms if (entry.type, entry.service) != one.key]
        severity = one.alarm.severity
        if raised:
            alarms.append(Entry(one.type, one.service, severity, one.message, since))
        else:
            # It is over at the severity that it was raised with.
            entries = [entry for entry in book.alarms if (entry.type, entry.service) == one.key]
            severity = entries[0].severity if entries and entries[0].severity != "info" else severity
        state: State = "raised" if raised else "resolved"
        self._notifier.book = msgspec.structs.replace(book, alarms=alarms)
        self._notifier.add(
            from_fields(
                Notice,
                one,
                id=f"system_alert-{one.type}-{one.service}-{since:%Y%m%dT%H%M%S%f}-{state}",
                at=at,
                state=state,
                severity=severity,
                since=since,
            )
        )

    async def _take_report(self, call: Call) -> None:
        """Send the newest session report, once, where somebody wants to hear what is only information."""
        if not any(one.min_severity == "info" for one in self._notifier.channels):
            return
        try:
            listed = await call.request("scheduler", "list_reports", ListReports(1), Reports, budget=HEALTH_BUDGET)
            newest = listed.reports[0].session.isoformat() if listed.reports else ""
            if newest <= self._notifier.book.reported:
                return
            found = await call.request("scheduler", "get_report", GetReport(), StoredReport, budget=HEALTH_BUDGET)
        except RpcError as error:
            _log.warning("there is no session report to be had: %s", error.message)
            return
        self._notifier.book = msgspec.structs.replace(self._notifier.book, reported=newest)
        if call.as_of - found.report.as_of < REPORT_FRESH:
            self._notifier.add(report_notice(found.report))

    async def _publish_owed(self, call: Call) -> None:
        """Publish the notices of alarms that are not yet; one that was already is dropped by its id."""
        for notice in [one for one in self._notifier.book.notices if not one.published]:
            alert = from_fields(
                messages.SystemAlert,
                notice,
                state="raised" if notice.state == "raised" else "resolved",
                severity="critical" if notice.severity == "critical" else "warning",
            )
            try:
                priority = "urgent" if alert.severity == "critical" else "high"
                await call.at(notice.at).publish_event("system_alert", alert, event_id=notice.id, priority=priority)
            except RpcError as error:
                _log.warning("%s is not published yet: %s", notice.id, error.message)
                return
            book = self._notifier.book
            done = [
                msgspec.structs.replace(one, published=True) if one.id == notice.id else one for one in book.notices
            ]
            self._notifier.book = msgspec.structs.replace(book, notices=done)

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
            if name == judging.NAME:
                own: dict[str, Any] = await self._service.server.methods["health"].handler(call)
                return own
            return await call.request(name, "health", None, dict[str, Any], budget=HEALTH_BUDGET)
        except RpcError as error:
            return error.message


def create(context: ServiceContext, *, every: float = EVERY, sender: Send | None = None) -> Service:
    """Return the service, wired to its runtime."""
    service = Service(judging.NAME, context)
    notifier = Notifier(context) if sender is None else Notifier(context, sender=sender)
    letters = Letters(context.bus)
    monitoring = Monitoring(service, Machine(context.config.data_dir), every, notifier)
    for handler in (
        monitoring.collect_system_metrics,
        monitoring.check_alerts,
        monitoring.list_notifications,
        monitoring.test_notification,
        letters.list_dead_letters,
        letters.get_dead_letter,
        letters.replay_dead_letter,
        letters.drop_dead_letter,
    ):
        service.rpc(handler.__name__)(handler)
    service.on_health(monitoring.health)
    service.on_start(monitoring.begin)
    service.on_declaration(notifier.declared)
    if context.clock.live:
        service.background(monitoring.watch)
        service.background(notifier.deliver)
    return service
