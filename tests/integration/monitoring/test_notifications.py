"""Notifications over a real nats-server, to an HTTP receiver and a mail server of this process."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from bellwether.messages.monitoring import AlarmReading, Notifications, SentTestMessages
from bellwether.messages.reporting import GetReport, ListReports, ReportLine, Reports, StoredReport
from bellwether.monitoring import book, notifier
from bellwether.monitoring.book import OWED, PAUSES, AlertBook
from bellwether.monitoring.service import create as monitoring
from bellwether.naming import MONITORING_BUCKET, MONITORING_KEY
from bellwether.reporting.session import compose
from bellwether.runtime.call import Call
from bellwether.runtime.clock import Clock, LiveClock
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.errors import RpcError
from bellwether.runtime.service import Service
from bellwether.service_row import ServiceRow
from bellwether.topology import SERVICES
from harness.authority import make_authority
from harness.clock import Present
from harness.nats import NatsServer, nats_server
from harness.receivers import HttpReceiver, MailReceiver
from harness.replayed import until as answered
from harness.system import System, running
from harness.until import DEADLINE, until
from integration.trading.peers import declaration
from unit.reporting.rows import rows

pytestmark = pytest.mark.integration

ROWS: dict[str, ServiceRow] = {
    "monitoring": SERVICES["monitoring"],
    "market-data": ServiceRow("market-data", "is ill or well"),
    "scheduler": ServiceRow("scheduler", "has a report", serves=("list_reports", "get_report")),
}
KEY, PASSWORD = "a key of tests only", "a password of tests only"
FULL = AlarmReading("volume_filling", "warning", "the volume is 90 % full")
STOPPED = AlarmReading("trading_halted", "critical", "orders are halted: made up")


@dataclass
class Stage:
    """A system whose market-data has the current alarms, and its receivers."""

    folder: Path
    server: NatsServer
    hook: HttpReceiver
    mail: MailReceiver
    alarms: list[AlarmReading] = field(default_factory=list)
    channels: list[dict[str, Any]] = field(default_factory=list)
    clock: Clock = field(default_factory=LiveClock)

    def patient(self, context: ServiceContext) -> Service:
        """Return the service that is ill."""
        service = Service("market-data", context)
        service.on_alarms(lambda: list(self.alarms))
        return service

    def scheduler(self, context: ServiceContext) -> Service:
        """Return the service that has a report of today."""
        service = Service("scheduler", context)
        report = msgspec.structs.replace(compose(rows()), as_of=datetime.now(UTC))

        @service.rpc("list_reports")
        async def list_reports(request: ListReports, call: Call) -> Reports:
            line = ReportLine(report.session, "live", report.as_of, report.summary, "")
            return Reports([line], 1)

        @service.rpc("get_report")
        async def get_report(request: GetReport, call: Call) -> StoredReport:
            return StoredReport(report, "live", "")

        return service

    def monitoring(self, context: ServiceContext) -> Service:
        """Return monitoring that looks all the time."""
        context.config = replace(
            context.config, system="made-up", notify_secrets=self.folder / "secrets", ca_bundle=self.folder / "ca.pem"
        )
        return monitoring(context, every=0.05)

    @contextlib.asynccontextmanager
    async def system(self) -> AsyncIterator[System]:
        """Run both services."""
        builds = {"market-data": self.patient, "scheduler": self.scheduler, "monitoring": self.monitoring}
        options: dict[str, Any] = {"data_dir": self.folder, "clock": self.clock, "rows": ROWS}
        declared = declaration(symbols=["AAPL"], notifications=self.channels)
        async with running(builds, declaration=declared, connect=self.server.connect, **options) as system:
            yield system

    async def delivered(self, system: System) -> None:
        """Return once nothing is owed, as it is stored: a receiver has a message before its sender knows of it."""
        bus = system.services["monitoring"].context.bus

        async def nothing_owed() -> bool:
            found = await bus.kv_get(MONITORING_BUCKET, MONITORING_KEY)
            assert found is not None
            notices = msgspec.json.decode(found[0], type=AlertBook).notices
            return not any(one.status in OWED for notice in notices for one in notice.deliveries.values())

        await answered(nothing_owed, DEADLINE)

    def reported(self) -> list[tuple[str, str]]:
        """Return what the webhook got: type and state."""
        return [(one["type"], one["state"]) for one in self.hook.documents]

    def mailed(self) -> list[str]:
        """Return the subjects of the mails."""
        return [str(one["Subject"]) for one in self.mail.mails]


@pytest.fixture
async def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Stage]:
    monkeypatch.setattr(book, "PAUSES", (0.05,))
    _, tls = make_authority(tmp_path, ["localhost"])
    for secret, entry, value in (("hook", "key", KEY), ("mail", "username", "me"), ("mail", "password", PASSWORD)):
        (tmp_path / "secrets" / secret).mkdir(parents=True, exist_ok=True)
        (tmp_path / "secrets" / secret / entry).write_text(value + "\n")
    hook, mail = HttpReceiver(), MailReceiver(tls, "me", PASSWORD)
    email = {"host": "localhost", "port": mail.port, "from": "bellwether@test.example", "to": ["me@test.example"]}
    async with nats_server(tmp_path / "nats", ROWS) as server:
        found = Stage(tmp_path, server, hook, mail)
        found.channels = [
            {"name": "hook", "kind": "webhook", "url": hook.url, "secretRef": {"name": "hook"}},
            {"name": "mail", "kind": "email", "email": email, "secretRef": {"name": "mail"}},
        ]
        await hook.start()
        await mail.start()
        yield found
        await hook.stop()
        await mail.stop()


def counted(read: Callable[[], list[Any]], number: int) -> Callable[[], bool]:
    """Return whether as many were notified."""
    return lambda: len(read()) >= number


async def test_raised_and_resolved_come_once_each_signed_and_by_mail(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with stage.system() as system:
        stage.alarms = [FULL]
        await until(counted(stage.reported, 1))
        await until(counted(stage.mailed, 1))
        stage.alarms = []
        await until(counted(stage.reported, 2))
        await until(counted(stage.mailed, 2))
        await stage.delivered(system)
        found: Notifications = await system.call("monitoring", "list_notifications", None, Notifications)
    assert stage.reported() == [("volume_filling", "raised"), ("volume_filling", "resolved")]
    assert stage.mailed() == [
        "[made-up] warning raised: the volume is 90 % full",
        "[made-up] warning resolved: market-data: volume filling is over",
    ]
    for headers, body in stage.hook.taken:
        stamp, _, given = headers["bellwether-signature"].partition(",v1=")
        expected = hmac.new(KEY.encode(), f"{stamp[2:]}.".encode() + body, hashlib.sha256).hexdigest()
        assert given == expected
    assert {one.state: one.deliveries for one in found.notices} == {
        state: {"hook": "delivered", "mail": "delivered"} for state in ("raised", "resolved")
    }
    assert KEY not in caplog.text
    assert PASSWORD not in caplog.text


async def test_both_come_after_the_receivers_were_unreachable_and_after_a_restart(stage: Stage) -> None:
    await stage.hook.stop()
    await stage.mail.stop()

    def away(found: Notifications) -> bool:
        return bool(found.channels) and all(one.owed >= 2 and one.failing for one in found.channels)

    stage.alarms = [FULL]
    async with stage.system() as system:

        async def noted(enough: Callable[[Notifications], bool]) -> None:
            async with asyncio.timeout(DEADLINE):
                # What is owed sets no event.
                while not enough(await system.call("monitoring", "list_notifications", None, Notifications)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)

        await noted(lambda found: bool(found.notices))
        stage.alarms = []
        await noted(away)
        # That both fail is an alarm, too.
        alerts = await system.call("monitoring", "check_alerts", None)
        assert {"notification_failing"} == {one["type"] for one in alerts["alerts"]}
    assert (stage.reported(), stage.mailed()) == ([], [])
    async with stage.system() as system:
        await stage.hook.start()
        await stage.mail.start()
        await until(counted(lambda: [one for one in stage.reported() if one[0] == "volume_filling"], 2))
        await until(counted(lambda: [one for one in stage.mailed() if "volume" in one], 2))
        await stage.delivered(system)
    stage.alarms = [STOPPED]
    async with stage.system():
        # What is sent again would be sent before what is new.
        await until(lambda: ("trading_halted", "raised") in stage.reported())
        await until(counted(lambda: [one for one in stage.mailed() if "made up" in one], 1))
    reported = [state for kind, state in stage.reported() if kind == "volume_filling"]
    assert reported == ["raised", "resolved"]
    assert [one.split(":")[0] for one in stage.mailed() if "volume" in one] == [
        "[made-up] warning raised",
        "[made-up] warning resolved",
    ]


async def test_both_come_at_once_when_the_receivers_take_a_message_after_ten_minutes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "PAUSES", PAUSES)
    # The clock is moved by hand, so the notifier looks at it all the time.
    monkeypatch.setattr(notifier, "LOOK_SECONDS", 0.02)
    stage.clock = present = Present(datetime.now(UTC))
    await stage.hook.stop()
    await stage.mail.stop()
    async with stage.system() as system:

        async def attempts(kind: str) -> list[int]:
            found = await system.services["monitoring"].context.bus.kv_get(MONITORING_BUCKET, MONITORING_KEY)
            assert found is not None
            notices = msgspec.json.decode(found[0], type=AlertBook).notices
            return [one.attempts for notice in notices if notice.type == kind for one in notice.deliveries.values()]

        stage.alarms = [FULL]
        for tries, pause in enumerate([5, 15, 60, 180, 340], 1):

            async def tried(tries: int = tries) -> bool:
                # Both, and the one that comes as the second is owed is not due: raised is first.
                return (await attempts("volume_filling"))[:2] == [tries] * 2

            await answered(tried, DEADLINE)
            stage.alarms = []
            present.instant += timedelta(seconds=pause)

        async def is_over() -> bool:
            return len(await attempts("volume_filling")) == 4

        await answered(is_over, DEADLINE)
        await stage.hook.start()
        await stage.mail.start()
        # The next try is due in minutes.
        assert (stage.reported(), stage.mailed()) == ([], [])
        sent: SentTestMessages = await system.call("monitoring", "test_notification", None, SentTestMessages)
        assert [one.delivered for one in sent.results] == [True, True]
        await stage.delivered(system)
    filling = [state for kind, state in stage.reported() if kind == "volume_filling"]
    assert filling == ["raised", "resolved"]
    assert [one.split(":")[0] for one in stage.mailed() if "volume" in one] == [
        "[made-up] warning raised",
        "[made-up] warning resolved",
    ]


async def test_in_quiet_hours_only_what_is_critical_comes(stage: Stage) -> None:
    there = datetime.now(UTC).astimezone(ZoneInfo("America/New_York"))
    around = [f"{there + timedelta(hours=hours):%H:%M}" for hours in (-2, 2)]
    quiet = {"quietHours": dict(zip(("from", "to"), around, strict=True))}
    stage.channels[0] |= quiet
    async with stage.system() as system:
        stage.alarms = [FULL]
        # The mail has no quiet hours: when it is there, the webhook has been passed over.
        await until(counted(stage.mailed, 1))
        stage.alarms = [FULL, STOPPED]
        await until(counted(stage.mailed, 2))
        await until(counted(stage.reported, 1))
        found: Notifications = await system.call("monitoring", "list_notifications", None, Notifications)
    assert stage.reported() == [("trading_halted", "raised")]
    assert [one.held for one in found.channels] == [1, 0]


async def test_a_session_report_is_sent_once_to_who_wants_information(stage: Stage) -> None:
    stage.channels[1] |= {"minSeverity": "info"}
    async with stage.system() as system:
        await until(counted(stage.mailed, 1))
        await stage.delivered(system)
    stage.alarms = [FULL]
    async with stage.system():
        await until(counted(stage.mailed, 2))
        await until(counted(stage.reported, 1))
    assert [one.split(":")[0] for one in stage.mailed()] == ["[made-up] info report", "[made-up] warning raised"]
    assert "Account at the close" in stage.mail.mails[0].get_payload()
    assert stage.reported() == [("volume_filling", "raised")]


async def test_a_test_message_says_what_is_wrong_with_each_channel(stage: Stage) -> None:
    stage.channels += [
        {"name": "gone", "kind": "webhook", "secretRef": {"name": "nowhere"}},
        {"name": "push", "kind": "ntfy", "url": f"{stage.hook.url}/my-topic"},
    ]
    (stage.folder / "secrets" / "mail" / "password").write_text("wrong")
    async with stage.system() as system:
        found: SentTestMessages = await system.call("monitoring", "test_notification", None, SentTestMessages)
        with pytest.raises(RpcError, match="declared are hook, mail, gone, push"):
            await system.call("monitoring", "test_notification", {"name": "nobody"}, SentTestMessages)
    said = {one.name: one.error or "" for one in found.results}
    assert said["hook"] == said["push"] == ""
    assert "535" in said["mail"]
    assert said["gone"].startswith("secret nowhere is not there")
    push = next(one for one in stage.hook.documents if "topic" in one)
    assert (push["topic"], push["message"]) == (
        "my-topic",
        "[made-up] info test: this is a test message; nothing is wrong",
    )
