"""The alarms that people are notified of: one table of what each means and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from bellwether.messages.monitoring import AlarmReading


@dataclass(frozen=True)
class AlarmKind:
    """One type of alarm: its usual severity, what it means, and what to do."""

    severity: Literal["warning", "critical"]
    meaning: str
    todo: str


FILLING_PERCENT = 85.0
"""How full a volume is when people are notified of it."""
FULL_PERCENT = 92.0
"""From here on no position is opened: what is left is for the ledger, orders that close, and backups."""

ALARMS: Mapping[str, AlarmKind] = {
    "service_unhealthy": AlarmKind(
        "critical",
        "A service gave no answer, or said that it is not well, at two looks in a row (30 s apart).",
        "`bellwether status` gives its last error, its log the rest. While a service on the trading path is "
        "unreachable no order is made; what was due is caught up when it is back.",
    ),
    "memory_high": AlarmKind(
        "warning",
        "The machine or a container uses more than 80 % of its memory. At 100 % the kernel ends the largest process.",
        "`bellwether health` shows who uses it. In a cluster raise `services.NAME.memory`.",
    ),
    "volume_filling": AlarmKind(
        "warning",
        "A volume with databases is 85 % full. At 92 % no position is opened any more (critical), so that the ledger "
        "can still be written.",
        "Raise `storage.size` where the class lets volumes grow, or shorten `retention`.",
    ),
    "outbox_lag": AlarmKind(
        "warning",
        "Events are committed but could not be published for a minute: NATS is unreachable or refuses them.",
        "Look at the log of NATS and at its volume. Nothing is lost: they are published in order when it is back.",
    ),
    "dead_letters": AlarmKind(
        "warning",
        "Events were given up after their last attempt, or were too large to be published.",
        "`bellwether dead-letters list` and `show` say why. Mend the cause, then `replay` them, or `drop` them.",
    ),
    "jetstream_filling": AlarmKind(
        "warning",
        "A stream uses more than 90 % of what it may keep. Then its oldest events go, read or not.",
        "See to it that every service runs, or raise `storage.size`.",
    ),
    "notification_failing": AlarmKind(
        "critical",
        "A notification could not be delivered at three tries.",
        "`bellwether notify --test NAME` says why: the address, its Secret, the way out of the cluster.",
    ),
    "trading_halted": AlarmKind(
        "critical",
        "Orders are halted, by the declaration, a person, or the risk limits.",
        "`bellwether status` names each source; `bellwether resume --reason ...` opens what is not declared.",
    ),
    "ledger_out_of_balance": AlarmKind(
        "critical",
        "The ledger's postings do not add up to zero.",
        "Halt, keep the volume, and run `GET /v1/ledger/check`: it names the first event that does not add up.",
    ),
    "positions_unreconciled": AlarmKind(
        "critical",
        "The broker's position in a symbol is not the ledger's, or what became of an order is unknown; the symbol is "
        "blocked.",
        "Look at the account at the broker, then `bellwether reconcile`. No order is made to mend it.",
    ),
    "broker_unreachable": AlarmKind(
        "critical",
        "The broker did not answer for five minutes, and a session is open or opens within an hour.",
        "`bellwether ig check FILE` says what is wrong: credentials, the network, or IG. Orders wait and none is sent "
        "twice; the account is reconciled when it answers again.",
    ),
    "backup_due": AlarmKind(
        "warning",
        "The last scheduled backup failed, or the newest complete one is older than a long week-end.",
        "`bellwether backup list` has the reason; mend it, then `bellwether backup create`.",
    ),
    "drill_due": AlarmKind(
        "warning",
        "The last declared restore drill failed, or none has proven a backup for two weeks.",
        "`bellwether backup drill` says what differs. Until it passes do not count on these backups.",
    ),
    "no_orders": AlarmKind(
        "warning",
        "Trading is on, and there was no order for 20 sessions, not even a refused one.",
        "`bellwether why SYMBOL` shows where the way from bars to order ends.",
    ),
    "orders_await_approval": AlarmKind(
        "warning",
        "Orders wait until somebody approves them (`trading.approval: required`), and expire when their session opens.",
        "`bellwether orders` names them; `bellwether approve ORDER` or `bellwether cancel ORDER`.",
    ),
    "buy_rate_high": AlarmKind(
        "warning",
        "More of a batch that may trade is BUY than `predictions.buyRateAlert` allows.",
        "One-sided signals hint at a model or data gone wrong: look at `bellwether decisions` and `GET /v1/quality`.",
    ),
    "sell_rate_high": AlarmKind(
        "warning",
        "More of a batch that may trade is SELL than `predictions.sellRateAlert` allows.",
        "As for buy_rate_high.",
    ),
    "predictions_failing": AlarmKind(
        "warning",
        "More than a fifth of the recent predictions failed.",
        "`bellwether status` gives prediction's last error; each failed symbol is in its log.",
    ),
    "data_quality_low": AlarmKind(
        "warning",
        "The overall quality score of the bars is below `quality.minScore`.",
        "`GET /v1/quality` names the rule and the symbol. Nothing is opened on poor data until it is better.",
    ),
    "data_stale": AlarmKind(
        "warning",
        "The newest complete session's bar is missing for some symbols, longer than the source takes.",
        "The message says why. `DataFresh` in `kubectl describe tsys NAME` and health of market-data say more.",
    ),
    "model_missing": AlarmKind(
        "warning",
        "The declared model does not serve, so nothing is predicted.",
        "The message says what ml-model is doing; a model that cannot be trained names the reason in its log.",
    ),
    "model_expired": AlarmKind(
        "warning",
        "A model that serves expires within two weeks; once it has expired (critical) it answers nothing, so decisions "
        "are HOLD and no position is opened.",
        "Train it again: `bellwether models system train`, or declare `training.everySessions`.",
    ),
    "model_worse_live": AlarmKind(
        "warning",
        "A model's live outcomes are worse than the base rate by more than luck explains. With demote as "
        "`training.demotion.mode` the version before serves again; where there is none (critical), decisions are HOLD.",
        "`bellwether models system show VERSION` shows its live record. Train another one and promote it, or promote "
        "this one again by hand: then it is judged by what comes from that day on.",
    ),
    "slot_missed": AlarmKind(
        "warning",
        "A task was due and could not run while it was useful; it is over when the task runs next.",
        "`bellwether status` and `kubectl describe tsys NAME` say when; look at what was unreachable then.",
    ),
}


def alarm(
    kind: str, message: str, *, severity: Literal["warning", "critical"] | None = None, unknown: bool = False
) -> AlarmReading:
    """Return what a service says of itself: an alarm of the table, with what it is about.

    Raises:
        KeyError: for a type that is not in the table.
    """
    return AlarmReading(kind, severity or ALARMS[kind].severity, message, unknown)
