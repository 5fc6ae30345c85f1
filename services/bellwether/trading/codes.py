"""The codes with which an order is refused or cancelled; the table in the documentation is made from this enum."""

from __future__ import annotations

from enum import Enum


class Code(Enum):
    """Why there was no order, or why an order was not filled: the code and what it means."""

    NO_REAL_PRICE = "there is no real price of the symbol, so neither a size nor a limit can be computed"
    NOT_FOR_TRADING = "the prediction was made for looking at, never for an order"
    TRADING_OFF = "trading.mode is off"
    HALTED = "orders are stopped: by trading.halted in the declaration or by a halt that nobody resumed"
    UNKNOWN_SYMBOL = "the symbol is not declared, so no position in it is opened; what is held of it can be sold"
    DATA_STALE = "the symbol's newest bar is older than the one that can be expected, so no position is opened on it"
    QUALITY_UNKNOWN = "nothing was measured of the quality of the symbol's data, so no position is opened on it"
    QUALITY_TOO_LOW = "the quality score of the symbol's data is below quality.minScore, so no position is opened on it"
    NEWS_VETO = "the news about the symbol is negative, confident and fresh (sentiment.veto), so no position is opened"
    PREDICTION_EXPIRED = "the instant lies after the prediction's valid_until"
    MODEL_EXPIRED = "the model behind the prediction has expired by the session of the order, so no position is opened"
    INPUTS_UNLIKE_TRAINING = (
        "the prediction's inputs are further from the model's training rows than trading.risk.maxNovelty allows, or it "
        "is not known how far, so no position is opened"
    )
    EXIT_RULE_OFF = "trading.exit.onSell is false: a SELL prediction closes nothing"
    NOTHING_TO_SELL = "the symbol is not held; short positions are not allowed"
    MORE_THAN_HELD = "the order sells more than is held; short positions are not allowed"
    ALREADY_HELD = "the symbol is held already: a second BUY prediction adds nothing"
    ALREADY_QUEUED = "an order of the same side is queued for the symbol"
    QUANTITY_TOO_SMALL = "the sizing rule, or the order, gives less than one whole share"
    ORDERS_PER_SESSION_EXCEEDED = "trading.risk.maxOrdersPerSession is used up: no position is opened"
    DAILY_LOSS_EXCEEDED = (
        "equity fell by trading.risk.maxDailyLoss over the newest closed session, or since its close: no position is "
        "opened until the next close"
    )
    VOLUME_FULL = "the ledger's volume is nearly full: no position is opened, so that the ledger can still be written"
    DRAWDOWN_EXCEEDED = (
        "equity is trading.risk.maxDrawdown below its highest close: no position is opened; at a close it halts trading"
    )
    PRICE_OUT_OF_BAND = (
        "the price lies further than trading.risk.priceBand from the close that the order was sized by: bad data, or "
        "news that the prediction did not know"
    )
    TURNOVER_EXCEEDED = "trading.risk.maxTurnoverPerSession is used up: no position is opened"
    GROSS_EXPOSURE_EXCEEDED = (
        "positions and queued purchases together would be worth more than trading.risk.maxGrossExposure"
    )
    POSITION_VALUE_EXCEEDED = (
        "the position would be worth more than trading.risk.maxPositionValue; a prediction's order is made smaller "
        "first, and refused where not even one share fits"
    )
    INSUFFICIENT_CASH = (
        "cash does not pay for the shares and the commission; a prediction's order is made smaller first, and refused "
        "where not even one share is paid for"
    )
    NO_OPENING_PRICE = "the symbol had no opening price in the session the order was for"
    NOT_APPROVED = "trading.approval is required, and nobody approved the order before its session opened"
    CANCELLED_BY_HAND = "somebody cancelled the order before it was filled"
    BROKER_CANCELLED = "the broker ended the order: it was cancelled there, or less of it could be filled"
    BROKER_UNRECONCILED = (
        "the broker's position in the symbol is not the ledger's, or the outcome of an order is unknown: nothing is "
        "traded in it until sync_positions finds that they agree"
    )
    ORDER_EXPIRED = "the session the order was for is over; it is never filled late"


def code_table() -> str:
    """Return the codes as a Markdown table."""
    lines = ["| code | meaning |", "|---|---|"]
    lines += [f"| `{code.name}` | {code.value} |" for code in Code]
    return "\n".join(lines) + "\n"
