"""Systems in every state that a status tells apart, each as the operator would see it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

from bellwether.market.sessions import Session
from bellwether.render.kubernetes.context import Period
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES
from bellwether_operator.gateway_view import Bars, GatewayView, Refusal, Safety, ServedModel, Slots
from bellwether_operator.report.finding import Reason
from bellwether_operator.report.observation import BackupNews, BackupsSeen, Observation, TaskRow, Workload
from bellwether_operator.report.pods import Cause
from bellwether_operator.report.status import status

NOW = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
"""A Monday noon in Sydney: a session is open."""
CLOSE = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
OPEN = datetime(2026, 11, 22, 23, 0, tzinfo=UTC)
UNDER_WAY = Session(date(2026, 11, 23), OPEN, CLOSE, irregular=False)
NEXT = Session(
    date(2026, 11, 24), datetime(2026, 11, 23, 23, tzinfo=UTC), datetime(2026, 11, 24, 5, tzinfo=UTC), irregular=False
)
NEWEST = date(2026, 11, 20)
"""The session whose bars are the newest ones that can be there."""
HELD = "StatefulSet demo: image: v1 -> v2"
WAITS = "release v2 waits for backup demo-20261127213000"
UPGRADE = {"to": "v2", "since": "2026-11-27T21:30:00Z"}
SYMBOLS = ("CBA.AX", "BHP.AX")
REPLAYED: Mapping[str, Any] = {"clock": {"mode": "replay", "from": "2009-01-02"}, "data": {"provider": "replay"}}

CAUSES = (
    Reason.CONTAINER_NOT_STARTED,
    Reason.CRASH_LOOP,
    Reason.IMAGE_NOT_PULLED,
    Reason.OOM_KILLED,
    Reason.POD_REFUSED,
    Reason.QUOTA_EXCEEDED,
    Reason.STORAGE_CLASS_MISSING,
    Reason.UNSCHEDULABLE,
    Reason.VOLUME_NOT_MADE,
)
"""The reasons why pods do not run."""

Kstatus = Literal["Current", "InProgress", "Failed"]
Health = Literal["Healthy", "Progressing", "Degraded", "Suspended"]


def declared(generation: int = 2, **spec: Any) -> TradingSystem:
    """Return a system on the Australian exchange that trades on paper."""
    document = {
        "metadata": {"name": "demo", "namespace": "trading", "uid": "uid-1", "generation": generation},
        "spec": {"symbols": list(SYMBOLS), "trading": {"mode": "simulated"}, **spec},
    }
    return TradingSystem.model_validate(document)


def view(generation: int = 2, **changes: Any) -> GatewayView:
    """Return the word of a gateway by which all is well."""
    well = GatewayView(
        at=0.0,
        generation=generation,
        acknowledged=dict.fromkeys(SERVICES, generation),
        ready=dict.fromkeys(SERVICES, True),
        safety=Safety(safe=True),
        data=tuple(Bars(symbol, fresh=True, last_session=NEWEST) for symbol in SYMBOLS),
        models=(ServedModel("direction-lr", None, gated=True),),
        slots=Slots(OPEN),
    )
    return replace(well, **changes)


WELL = Observation(
    workloads=(Workload("system", 1, ready=True),),
    view=view(),
    release="v1",
    gateway="http://gw",
    period=Period(UNDER_WAY, (), NEXT, CLOSE),
    tasks=(TaskRow("morning_analysis", OPEN),),
)


def seen(**changes: Any) -> Observation:
    """Return what a pass finds out about a system that is well, apart from these changes."""
    return replace(WELL, **changes)


def refused(*refusals: Refusal) -> Observation:
    """Return what a pass finds out when the trader would refuse orders for these reasons."""
    return seen(view=view(safety=Safety(safe=False, refusals=refusals)))


@dataclass(frozen=True)
class Scene:
    """A system in one state, what its conditions are to say, and what programs are to read from them."""

    expected: Mapping[str, tuple[str, str]]
    seen: Observation = WELL
    kstatus: Kstatus = "Current"
    health: Health = "Healthy"
    spec: Mapping[str, Any] = field(default_factory=dict)
    generation: int = 2
    before: Scene | None = None
    now: datetime = NOW

    def status(self) -> dict[str, Any]:
        """Return the status, folded after that of the scene before."""
        previous = {} if self.before is None else self.before.status()
        system = None if self.seen.invalid is not None else declared(self.generation, **self.spec)
        # As the API server keeps it: plain JSON.
        found = status(system, self.generation, self.seen, previous, self.now)
        plain: dict[str, Any] = json.loads(json.dumps(found))
        return plain

    def resource(self) -> dict[str, Any]:
        """Return the resource with its status, as the API server gives it."""
        return {
            "apiVersion": "bellwether.dev/v1alpha1",
            "kind": "TradingSystem",
            "metadata": {"name": "demo", "namespace": "trading", "generation": self.generation},
            "status": self.status(),
        }

    def conditions(self) -> dict[str, tuple[str, str]]:
        """Return status and reason by the condition's type."""
        return {each["type"]: (each["status"], each["reason"]) for each in self.status()["conditions"]}


ALL_WELL = {
    "Ready": ("True", "Ready"),
    "Reconciling": ("False", "Settled"),
    "Stalled": ("False", "Progressing"),
    "Accepted": ("True", "Accepted"),
    "Available": ("True", "PodsReady"),
    "MessagingReady": ("True", "NatsReady"),
    "CalendarCurrent": ("True", "Current"),
    "DataFresh": ("True", "Fresh"),
    "ModelsCurrent": ("True", "Served"),
    "SafeToTrade": ("True", "Safe"),
    "BackupHealthy": ("Unknown", "NoBackups"),
    "RestoreVerified": ("Unknown", "NoBackups"),
    "RolloutPending": ("False", "NothingHeld"),
    "Contested": ("False", "NotContested"),
}
READY = Scene(ALL_WELL)
_HELD = seen(held=(HELD,), held_until=CLOSE)
_STANDARD = (Workload("nats", 0, ready=True), *(Workload(name, 1, ready=True) for name in SERVICES))
_UNFIT = {"market": {"overrides": [{"date": "2026-12-25", "close": "12:00"}]}}
_UNSAID = dict.fromkeys(("DataFresh", "ModelsCurrent", "SafeToTrade"), ("Unknown", "GatewayUnreachable"))
_INVALID = dict.fromkeys(ALL_WELL, ("Unknown", "Invalid"))


def _of(reason: str, **others: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return {"Ready": ("False", reason), **others}


SCENES: dict[str, Scene] = {
    "ready": READY,
    "invalid": Scene(
        {
            **_INVALID,
            "Ready": ("False", "Invalid"),
            "Reconciling": ("False", "Invalid"),
            "Stalled": ("True", "Invalid"),
            "Accepted": ("False", "Invalid"),
        },
        Observation(invalid="spec.symbols: too short"),
        "Failed",
        "Degraded",
        before=READY,
    ),
    "an override does not fit": Scene(
        {
            "Ready": ("False", "DoesNotFit"),
            "Reconciling": ("False", "Stalled"),
            "Stalled": ("True", "DoesNotFit"),
            "Accepted": ("False", "DoesNotFit"),
            "CalendarCurrent": ("False", "DoesNotFit"),
        },
        kstatus="Failed",
        health="Degraded",
        spec=_UNFIT,
    ),
    "an override does not fit, so nobody looks": Scene(
        {
            **dict.fromkeys(("Available", "MessagingReady"), ("Unknown", "DoesNotFit")),
            "SafeToTrade": ("True", "Safe"),
        },
        seen(workloads=(), gateway="", period=None, tasks=()),
        "Failed",
        "Degraded",
        spec=_UNFIT,
        before=READY,
    ),
    "a name is taken": Scene(
        _of("NameTaken", Stalled=("True", "NameTaken"), Accepted=("False", "NameTaken")),
        seen(taken=("ConfigMap demo-x exists and it was not made by the operator",)),
        "Failed",
        "Degraded",
    ),
    "a kept volume is another's": Scene(
        _of("BegunOtherwise", Stalled=("True", "BegunOtherwise"), Accepted=("False", "BegunOtherwise")),
        seen(other_declaration=("PersistentVolumeClaim data-demo-0 was created with other values",)),
        "Failed",
        "Degraded",
    ),
    "refused": Scene(
        _of("ApplyRefused", Reconciling=("False", "Stalled"), Stalled=("True", "ApplyRefused")),
        seen(refused=("Service demo-nats: forbidden",)),
        "Failed",
        "Degraded",
    ),
    "nothing there yet": Scene(
        _of(
            "WaitingForNats",
            Available=("False", "WaitingForPods"),
            MessagingReady=("False", "WaitingForNats"),
            Reconciling=("True", "WaitingForGateway"),
            **_UNSAID,
        ),
        seen(workloads=(), view=None, view_pending=True),
        "InProgress",
        "Progressing",
    ),
    "pods start": Scene(
        _of("WaitingForNats", Reconciling=("True", "RollingOut"), Available=("False", "WaitingForPods")),
        seen(workloads=(Workload("system", 1, ready=False),), view=None, view_pending=True),
        "InProgress",
        "Progressing",
    ),
    "one pod of many starts": Scene(
        _of("WaitingForPods", MessagingReady=("True", "NatsReady")),
        seen(workloads=(Workload("nats", 1, ready=True), Workload("gateway", 1, ready=False))),
        "InProgress",
        "Progressing",
        spec={"profile": "standard"},
    ),
    "nats switched off": Scene(
        _of("SwitchedOff", MessagingReady=("False", "SwitchedOff"), Available=("True", "PodsReady")),
        seen(workloads=_STANDARD),
        "InProgress",
        "Degraded",
        spec={"profile": "standard"},
    ),
    "waits for a predecessor": Scene(
        _of("WaitingForPredecessor", Reconciling=("True", "WaitingForPredecessor")),
        seen(waiting=("Service demo-nats: its predecessor is being deleted",)),
        "InProgress",
        "Progressing",
    ),
    "tries again": Scene(
        _of("Retrying", Reconciling=("True", "Retrying")),
        seen(failed=("Service demo-nats: timed out",)),
        "InProgress",
        "Progressing",
    ),
    "no word of the gateway yet": Scene(
        _of("WaitingForGateway", Reconciling=("True", "WaitingForGateway"), **_UNSAID),
        seen(view=None),
        "InProgress",
        "Progressing",
    ),
    "delivering": Scene(
        _of("Delivering", Reconciling=("True", "Delivering")),
        seen(view=view(1)),
        "InProgress",
        "Progressing",
    ),
    "a service is not well": Scene(
        _of("ServicesNotReady", Reconciling=("False", "Settled"), Available=("True", "PodsReady")),
        seen(view=view(ready={"prediction": False})),
        "InProgress",
        "Degraded",
    ),
    "the gateway went silent": Scene(
        {"Ready": ("Unknown", "GatewayUnreachable"), "Reconciling": ("False", "Settled"), **_UNSAID},
        seen(view=None),
        "InProgress",
        "Degraded",
        before=READY,
    ),
    "the operator is new": Scene(ALL_WELL, seen(view=None, view_pending=True), before=READY),
    "held until the close": Scene(
        {
            "Ready": ("True", "Ready"),
            "Reconciling": ("True", "SessionOpen"),
            "RolloutPending": ("True", "SessionOpen"),
        },
        replace(_HELD, view=view(3)),
        "InProgress",
        "Suspended",
        generation=3,
        before=READY,
    ),
    "held for a backup": Scene(
        {
            "Ready": ("True", "Ready"),
            "Reconciling": ("True", "BackupPending"),
            "RolloutPending": ("True", "BackupPending"),
        },
        replace(_HELD, view=view(3), held_until=None, held_for_backup=WAITS, upgrade=UPGRADE),
        "InProgress",
        "Progressing",
        generation=3,
        before=READY,
    ),
    "held for a backup, and never ready before": Scene(
        _of("BackupPending", RolloutPending=("True", "BackupPending")),
        replace(_HELD, held_until=None, held_for_backup=WAITS, upgrade=UPGRADE),
        "InProgress",
        "Progressing",
    ),
    "held, and never ready before": Scene(
        _of("SessionOpen", RolloutPending=("True", "SessionOpen")), _HELD, "InProgress", "Suspended"
    ),
    "contested": Scene(
        _of("Contested", Contested=("True", "Contested"), Reconciling=("True", "Contested")),
        seen(contested=("StatefulSet demo: spec.replicas was changed 4 times",)),
        "InProgress",
        "Progressing",
    ),
    "paused": Scene(
        {**ALL_WELL, "Reconciling": ("False", "Paused")},
        seen(paused_until=CLOSE, paused_reason="storage is being moved"),
        "Current",
        "Suspended",
    ),
    "paused before it was as declared": Scene(
        _of("Paused", Reconciling=("False", "Paused")),
        seen(paused_until=CLOSE, pending=(HELD,)),
        "InProgress",
        "Suspended",
    ),
    "a rollout failed": Scene(
        _of("RolloutFailed", Stalled=("True", "RolloutFailed"), Reconciling=("False", "Stalled")),
        seen(gone_back=("StatefulSet demo did not come up with image: v1 -> v2 (no such image)",)),
        "Failed",
        "Degraded",
        generation=3,
        before=READY,
    ),
    **{
        f"pods do not run: {reason}": Scene(
            _of(reason, Stalled=("True", reason), Reconciling=("False", "Stalled")),
            seen(workloads=(Workload("system", 1, ready=False),), view=None, causes=(Cause(reason, "why"),)),
            "Failed",
            "Degraded",
        )
        for reason in CAUSES
    },
    "stopped by force": Scene(
        _of("HaltForced", Reconciling=("True", "HaltForced"), SafeToTrade=("False", "Halted")),
        seen(forced="the trader did not acknowledge the halt of generation 2: its pods are stopped", view=None),
        "InProgress",
        "Progressing",
        spec={"trading": {"mode": "simulated", "halted": True}},
    ),
    "the calendar ends soon": Scene(
        {"CalendarCurrent": ("False", "HorizonNear"), "Ready": ("True", "Ready")},
        now=datetime(2027, 12, 10, tzinfo=UTC),
    ),
    "the calendar has ended": Scene(
        {"CalendarCurrent": ("False", "HorizonPassed")}, now=datetime(2028, 1, 3, tzinfo=UTC)
    ),
    "stale bars": Scene(
        {"DataFresh": ("False", "Stale"), "Ready": ("True", "Ready")},
        seen(view=view(data=(Bars("CBA.AX", fresh=False, last_session=date(2026, 11, 19), problem="no answer"),))),
    ),
    "bars unsaid": Scene(
        {"DataFresh": ("Unknown", "NotSaid")}, seen(view=view(data=(Bars("CBA.AX", fresh=True, last_session=NEWEST),)))
    ),
    "models unsaid": Scene({"ModelsCurrent": ("Unknown", "NotSaid")}, seen(view=view(models=None))),
    "no model yet": Scene({"ModelsCurrent": ("False", "NoModel")}, seen(view=view(models=()))),
    "an ungated model": Scene(
        {"ModelsCurrent": ("True", "Ungated")},
        seen(view=view(models=(ServedModel("direction-lr", "CBA.AX", False), ServedModel("direction-lr", None, True)))),
    ),
    "a demoted model": Scene(
        {"ModelsCurrent": ("False", "ModelDemoted")},
        seen(view=view(models=(ServedModel("direction-lr", None, True, demoted="live log loss -0.02 better"),))),
    ),
    "an expired model": Scene(
        {"ModelsCurrent": ("False", "ModelExpired"), "SafeToTrade": ("False", "ModelExpired")},
        seen(
            view=view(
                models=(ServedModel("direction-lr", None, True, date(2026, 11, 1)),),
                safety=Safety(
                    False,
                    (Refusal("MODEL_EXPIRED", "2026-11-01", "a model", "Model direction-lr expired on 2026-11-01"),),
                ),
            )
        ),
    ),
    "safety unsaid": Scene({"SafeToTrade": ("Unknown", "NotSaid")}, seen(view=view(safety=Safety(None)))),
    "halted": Scene(
        {"SafeToTrade": ("False", "Halted"), "Ready": ("True", "Ready")},
        refused(Refusal("HALTED", "latch: by hand", "no halt", "Orders are stopped by a halt: by hand")),
    ),
    "trading off": Scene({"SafeToTrade": ("False", "TradingOff")}, spec={"trading": {"mode": "off"}}),
    "no real price": Scene(
        {"SafeToTrade": ("False", "NoRealPrice")},
        refused(Refusal("NO_REAL_PRICE", "0", "more than 0", "There is no real price of CBA.AX")),
    ),
    "positions that differ at the broker": Scene(
        {"SafeToTrade": ("False", "BrokerUnreconciled")},
        refused(Refusal("BROKER_UNRECONCILED", "differs", "agrees", "The broker's position in CBA.AX is another")),
    ),
    "data of poor quality": Scene(
        {"SafeToTrade": ("False", "QualityTooLow")},
        refused(Refusal("QUALITY_TOO_LOW", "55 (untold_split)", "70", "The data of CBA.AX is poor")),
    ),
    "data that was not measured": Scene(
        {"SafeToTrade": ("False", "QualityUnknown")},
        refused(
            Refusal("QUALITY_UNKNOWN", "unknown", "a score of at least 70", "Nothing is known of the data of CBA.AX")
        ),
    ),
    "after a loss": Scene(
        {"SafeToTrade": ("False", "DailyLossExceeded")}, refused(Refusal("DAILY_LOSS_EXCEEDED", "5200", "5000"))
    ),
    "after a fall from the highest close": Scene(
        {"SafeToTrade": ("False", "DrawdownExceeded")}, refused(Refusal("DRAWDOWN_EXCEEDED", "0.21", "0.2"))
    ),
    "a volume that is nearly full": Scene(
        {"SafeToTrade": ("False", "VolumeFull")}, refused(Refusal("VOLUME_FULL", "93 % full", "below 92 %"))
    ),
    "a session that cannot be closed": Scene(
        {"SafeToTrade": ("False", "SessionStuck"), "Ready": ("True", "Ready")},
        refused(
            Refusal("SESSION_STUCK", "INTERNAL", "no error", "the close of session 2026-11-20 has failed since Friday")
        ),
    ),
    "data too old to trade": Scene(
        {"SafeToTrade": ("False", "DataStale")}, refused(Refusal("DATA_STALE", "2026-11-18", "2026-11-20"))
    ),
    "one share too old to trade": Scene(
        {"SafeToTrade": ("True", "SomeRefused")},
        seen(view=view(safety=Safety(True, (Refusal("DATA_STALE", "2026-11-18", "2026-11-20", symbol="CBA.AX"),)))),
    ),
    "refused for a reason of tomorrow": Scene(
        {"SafeToTrade": ("False", "Refused")}, refused(Refusal("MOON_IS_FULL", "full", "new", "The moon is full"))
    ),
    "refused without a reason": Scene({"SafeToTrade": ("False", "Refused")}, refused()),
    "a backup is complete": Scene(
        {"BackupHealthy": ("True", "BackupComplete"), "Ready": ("True", "Ready")},
        seen(backup=BackupNews("friday", True, "all 2 volumes are kept, of 2026-11-20 06:00:00 UTC")),
    ),
    "a backup has failed": Scene(
        {"BackupHealthy": ("False", "BackupFailed"), "Ready": ("True", "Ready")},
        seen(backup=BackupNews("friday", False, "data-demo-0: failed to get snapshot class fast")),
    ),
    "a backup has failed beside a good one": Scene(
        {"BackupHealthy": ("False", "BackupFailed")},
        seen(backup=BackupNews("friday", False, "not cut: data-demo-0", "thursday of 2026-11-19 05:30 UTC")),
    ),
    "a backup is overdue": Scene(
        {"BackupHealthy": ("False", "BackupOverdue"), "Ready": ("True", "Ready")},
        seen(
            backup=BackupNews("thursday", True, "all 2 volumes are kept"),
            backups=BackupsSeen({"since": "2026-11-02T00:00:00Z"}, "the backup of session 2026-11-20 was due"),
        ),
    ),
    "a backup cannot be made": Scene(
        {"BackupHealthy": ("False", "BackupFailed"), "Ready": ("True", "Ready")},
        seen(backups=BackupsSeen(refused="a backup cannot be made: forbidden")),
    ),
    "a backup was restored for a test": Scene(
        {"RestoreVerified": ("True", "Restored")},
        seen(tested=BackupNews("friday", True, "ledger.db 12 rows (0123); 3 files, 100 bytes, read in 0.1 s")),
    ),
    "a backup could not be restored for a test": Scene(
        {"RestoreVerified": ("False", "RestoreFailed"), "Ready": ("True", "Ready")},
        seen(tested=BackupNews("friday", False, "data-demo-0/ledger.db: SQLite finds it damaged")),
    ),
    "it cannot be restored": Scene(
        {
            "Ready": ("False", "RestoreRefused"),
            "Accepted": ("False", "RestoreRefused"),
            "Stalled": ("True", "RestoreRefused"),
        },
        seen(unrestorable="TradingBackup friday is not complete: failed", workloads=(), view=None),
        kstatus="Failed",
        health="Degraded",
    ),
    "it is restored in place": Scene(
        {"Ready": ("False", "Restoring"), "Reconciling": ("True", "Restoring"), "Accepted": ("True", "Accepted")},
        seen(
            restore={
                "backup": "20261120T213000Z",
                "location": "far",
                "requested": "2026-11-23T00:59:00Z",
                "started": "2026-11-23T00:59:02Z",
                "step": "Restoring",
                "outcome": "",
                "message": "a Job checks the backup",
            },
            restoring="backup 20261120T213000Z of far is restored in place: a Job checks the backup",
            workloads=(Workload("system", 0, ready=True),),
            view=None,
        ),
        kstatus="InProgress",
        health="Progressing",
    ),
    "backups are scheduled": Scene(
        {"BackupHealthy": ("Unknown", "NoBackups")},
        seen(backups=BackupsSeen({"since": "2026-11-02T00:00:00Z", "next": "2026-11-23T05:30:00Z"})),
        spec={"backup": {"schedule": {}, "locations": [{"name": "snap", "kind": "volumeSnapshots"}]}},
    ),
    "backups are scheduled where none can be kept": Scene(
        {"BackupHealthy": ("Unknown", "NoBackups")},
        spec={
            "backup": {
                "schedule": {},
                "locations": [
                    {"name": "far", "kind": "s3", "url": "https://s3.example/trading", "secretRef": {"name": "far"}}
                ],
            }
        },
    ),
    "replayed": Scene(
        {"CalendarCurrent": ("True", "ReplayClock"), "DataFresh": ("True", "ReplayClock")},
        seen(view=view(replay="running"), period=Period(), tasks=()),
        spec=REPLAYED,
    ),
    "replay complete": Scene(
        {"CalendarCurrent": ("True", "ReplayComplete"), "DataFresh": ("True", "ReplayComplete")},
        seen(view=view(replay="complete"), period=Period(), tasks=()),
        spec=REPLAYED,
    ),
}
"""By what is the matter."""
