"""What a session report is made of, and the report. Money as decimals in the declared currency, instants in UTC."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Literal

import msgspec

from bellwether.messages.prediction import Action
from bellwether.messages.quality import DataQualityReport
from bellwether.messages.trading import EquityPoint, Order, Position, Refusal


class GetSessionDecisions(msgspec.Struct, frozen=True):
    """Ask what was decided in the first of these slots that decided anything, and what earlier decisions came to."""

    session: date
    slots: list[str]
    sessions: int = 250
    """Over how many of the newest sessions with outcomes the decisions are judged, 1 to 5000; 0 judges none."""


class UsedHeadline(msgspec.Struct, frozen=True):
    """A headline that a decision was made with."""

    title: str
    source: str
    score: float


class SessionDecision(msgspec.Struct, frozen=True):
    """One decision, without its features."""

    prediction_id: str
    symbol: str
    timestamp: datetime
    action: Action
    probability: float
    base_rate: float
    buy_threshold: float
    current_price: float
    bar_session: date | None
    model_name: str
    model_version: str
    horizon_sessions: int
    may_trade: bool
    fallbacks: list[str]
    quality_score: float | None
    quality_issues: list[str]
    sentiment_score: float | None
    news_confidence: float | None
    headlines: list[UsedHeadline]
    """The newest five; empty without news."""


class RealisedDecision(msgspec.Struct, frozen=True):
    """A decision whose horizon ended with the session, and whether the close had risen."""

    prediction_id: str
    symbol: str
    action: Action
    probability: float
    base_rate: float
    rose: bool


class OutcomeDay(msgspec.Struct, frozen=True):
    """The outcomes of one session, of decisions of the batch that may trade."""

    session: date
    decisions: int
    rose: int
    buys: int
    buys_rose: int
    sells: int
    sells_rose: int
    brier: float
    """Sum of the squared differences between probability and outcome."""
    base_brier: float


class CalibrationBin(msgspec.Struct, frozen=True):
    """Decisions of about the same probability: their mean probability, and how many rose."""

    low: float
    decisions: int
    probability: float
    rose: int


class SessionDecisions(msgspec.Struct, frozen=True):
    """What was decided for a session and what came of earlier decisions."""

    decisions: list[SessionDecision]
    settled: list[RealisedDecision]
    days: list[OutcomeDay]
    """Oldest first."""
    bins: list[CalibrationBin]
    """Over the same days, by probability in steps of 0.05."""


class GetSessionBook(msgspec.Struct, frozen=True):
    """Ask what the trader did for a session: with orders for it, and with all else between two instants."""

    session: date
    since: datetime
    """Not included."""
    until: datetime


class MetDecision(msgspec.Struct, frozen=True):
    """What the trader made of a decision; `code` is that of the guard that refused it."""

    prediction_id: str
    symbol: str
    outcome: Literal["order", "refused", "ignored"]
    order_id: str | None
    code: str | None
    value: str | None
    limit: str | None
    at: datetime


class Idle(msgspec.Struct, frozen=True):
    """For how many closed sessions there was no order, and how often each reason was met since the last one.

    A reason is the code of a guard, or HOLD: the prediction asked for no order.
    """

    sessions: int
    reasons: dict[str, int]


class SessionBook(msgspec.Struct, frozen=True):
    """What the trader did for a session, and the account at its close."""

    currency: str
    initial_cash: Decimal
    orders: list[Order]
    refusals: list[Refusal]
    met: list[MetDecision]
    close: EquityPoint | None
    """None: the session is not closed in the ledger yet."""
    before: EquityPoint | None
    """The account at the close before; None: there is none."""
    realised: Decimal
    commission: Decimal
    positions: list[Position]
    halts: list[str]
    idle: Idle
    meanings: dict[str, str]
    """In words, every code of these refusals and reasons."""


class SlotEnd(msgspec.Struct, frozen=True):
    """One slot of the session and how it ended; `status` is `not run` where nothing is known of it."""

    name: str
    task: str
    due: datetime
    status: Literal["not run", "running", "completed", "failed", "missed"]
    error: str | None = None


class SessionRows(msgspec.Struct, frozen=True):
    """All that a session report is composed from. Kept beside it, so that it can be composed again."""

    system: str
    calendar: str
    session: date
    open: datetime
    close: datetime
    as_of: datetime
    symbols: list[str]
    slots: list[SlotEnd]
    failures: dict[str, str]
    """Symbols that could not be predicted in the batch that may trade, and why."""
    decided: SessionDecisions
    book: SessionBook
    quality: DataQualityReport


class ReportedPrediction(msgspec.Struct, frozen=True):
    """What was predicted of one symbol and what became of it, in words."""

    symbol: str
    became: str
    prediction_id: str | None = None
    action: Action | None = None
    probability: float | None = None
    base_rate: float | None = None
    buy_threshold: float | None = None
    price: float | None = None
    bar_session: date | None = None
    model: str = ""
    missing: list[str] = []


class ReportedRefusal(msgspec.Struct, frozen=True):
    """One refusal, with the guard's code in words."""

    symbol: str
    code: str
    meaning: str
    value: str
    limit: str
    stage: str
    at: datetime


class ReportedOrder(msgspec.Struct, frozen=True):
    """An order for the session, or one made in it for a later one."""

    order_id: str
    symbol: str
    side: str
    quantity: Decimal
    status: str
    session: date
    reason: str
    prediction_id: str | None = None
    price: Decimal | None = None
    commission: Decimal | None = None
    refusal: str | None = None
    reduction: str | None = None
    filled_quantity: Decimal | None = None


class ReportedAccount(msgspec.Struct, frozen=True):
    """The account at the close; the changes are since the close before and since the start, as fractions too."""

    currency: str
    closed: bool
    """False: the ledger has not closed the session, the figures are those of the close before."""
    equity: Decimal
    cash: Decimal
    positions_value: Decimal
    change: Decimal | None
    change_rate: float | None
    since_start: Decimal
    since_start_rate: float | None
    realised: Decimal
    commission: Decimal


class IntervalValue(msgspec.Struct, frozen=True):
    """A figure with its 95 % interval; `undefined` says why where there is none."""

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    undefined: str = ""


class Judgement(msgspec.Struct, frozen=True):
    """How decisions of the batch that may trade fared, beside what the share of rises alone would have given."""

    sessions: int
    decisions: int
    signals: int
    """Those that were not HOLD."""
    hits: int
    """BUY signals after which the close rose, and SELL signals after which it did not."""
    hit_rate: IntervalValue
    base_hit_rate: float | None
    """What the same number of BUY and SELL signals would have hit at the share of rises of these sessions."""
    difference: IntervalValue
    rise_rate: IntervalValue
    brier: float | None
    base_brier: float | None
    bins: list[CalibrationBin]


class ReportedQuality(msgspec.Struct, frozen=True):
    """The quality of one symbol's bars; a score of None is unknown, not 0."""

    symbol: str
    score: float | None
    says: str


class ReportedNews(msgspec.Struct, frozen=True):
    """The news that a decision was made with."""

    symbol: str
    score: float
    confidence: float
    headlines: list[UsedHeadline]


class ReportedReason(msgspec.Struct, frozen=True):
    """A reason for which there was no order, in words, and how often it was met."""

    code: str
    meaning: str
    count: int


class SessionReport(msgspec.Struct, frozen=True):
    """What happened in a session. Later versions only add fields with defaults, so that old reports stay readable."""

    version: int
    system: str
    calendar: str
    session: date
    open: datetime
    close: datetime
    as_of: datetime
    summary: str
    slots: list[SlotEnd]
    predictions: list[ReportedPrediction]
    refusals: list[ReportedRefusal]
    orders: list[ReportedOrder]
    account: ReportedAccount
    positions: list[Position]
    halts: list[str]
    settled: list[RealisedDecision]
    judgement: Judgement
    quality_score: float | None
    quality: list[ReportedQuality]
    news: list[ReportedNews]
    idle_sessions: int
    idle_reasons: list[ReportedReason]


class GetReport(msgspec.Struct, frozen=True):
    """Ask for the report of a session, or the newest; with `verify` it is composed again from its rows."""

    session: date | None = None
    verify: bool = False


class StoredReport(msgspec.Struct, frozen=True):
    """A report as it was stored, and the sha256 of its canonical bytes."""

    report: SessionReport
    run: str
    sha256: str
    equal: bool | None = None
    """Whether composing it again gave the same bytes; None: that was not asked for."""


class ListReports(msgspec.Struct, frozen=True):
    """Ask for the sessions that have a report, newest first."""

    limit: int = 50


class ReportLine(msgspec.Struct, frozen=True):
    """One report in one line."""

    session: date
    run: str
    as_of: datetime
    summary: str
    sha256: str


class Reports(msgspec.Struct, frozen=True):
    """Reports, newest first, and how many there are."""

    reports: list[ReportLine]
    total: int
