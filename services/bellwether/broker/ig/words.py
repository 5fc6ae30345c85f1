"""IG's codes in words: errors of requests, reasons of rejections, states of a market. Pure."""

from __future__ import annotations

EQUITY = "unauthorised.access.to.equity.exception"
EQUITY_WORDS = (
    "IG gives this account no share data. Demo accounts often have none: ask IG to switch shares on for the API, or "
    "use another account"
)
_ERRORS = {
    "error.security.invalid-details": "IG does not know this identifier and password",
    "error.security.api-key-invalid": "IG does not know this API key; a demo account needs a key of its own",
    "error.security.api-key-missing": "the API key is missing",
    "error.security.api-key-disabled": "the API key is switched off in the account's settings",
    "error.public-api.failure.kyc.required": "IG wants the account's owner to confirm who they are: log in on its site",
    "error.public-api.failure.encryption.required": "IG wants an encrypted password for this account; that is not "
    "supported",
    "error.public-api.exceeded-api-key-allowance": "the allowance of the API key is used up",
    "error.public-api.exceeded-account-allowance": "the account's allowance of requests is used up",
    "error.public-api.exceeded-account-trading-allowance": "the account's allowance of orders is used up",
    "error.switch.invalid-accountId": "the login has no account of this accountId",
    "error.service.marketdata.instrument.epic.unavailable": "IG has no market of this epic",
    "error.confirms.deal-not-found": "IG has no confirmation of this order",
    EQUITY: EQUITY_WORDS,
}
EXPIRED = frozenset(
    {
        "error.security.client-token-invalid",
        "error.security.client-token-missing",
        "error.security.account-token-invalid",
        "error.security.account-token-missing",
        "error.security.oauth-token-invalid",
    }
)
"""Errors that a new login cures."""
STATUSES = {
    "TRADEABLE": "open for orders",
    "CLOSED": "closed",
    "EDITS_ONLY": "closed, orders can only be changed",
    "OFFLINE": "offline",
    "ON_AUCTION": "in an auction",
    "ON_AUCTION_NO_EDITS": "in an auction",
    "SUSPENDED": "suspended",
}
_REASONS = {
    "MARKET_CLOSED": "the market is closed",
    "MARKET_CLOSED_WITH_EDITS": "the market is closed for new orders",
    "MARKET_OFFLINE": "the market is offline",
    "MARKET_PHONE_ONLY": "the market is traded by phone only",
    "INSUFFICIENT_FUNDS": "the account has not enough money for the margin",
    "MARGIN_ERROR": "the account has not enough money for the margin",
    "MINIMUM_ORDER_SIZE_ERROR": "the order is smaller than the market's minimum",
    "ORDER_SIZE_CANNOT_BE_FILLED": "there are not enough shares on offer, and the order is for all or nothing",
    "INSTRUMENT_NOT_TRADEABLE_IN_THIS_CURRENCY": "the market is traded in another currency",
    "INSTRUMENT_NOT_FOUND": "IG has no market of this epic",
    "MARKET_ORDERS_NOT_ALLOWED_ON_INSTRUMENT": "the market takes no market orders",
    "MARKET_NOT_BORROWABLE": "the share cannot be borrowed",
    "POSITION_NOT_AVAILABLE_TO_CLOSE": "there is no position to close",
    "CLOSING_ONLY_TRADES_ACCEPTED_ON_THIS_MARKET": "positions in this market can only be closed",
    "EXCEEDS_HOLDING": "more would be sold than is held",
}


def is_allowance(code: str) -> bool:
    """Whether an error says that an allowance is used up."""
    return "exceeded-" in code and code.endswith("-allowance")


def error_words(code: str) -> str:
    """Return what an error code means."""
    return _ERRORS.get(code, "IG refuses the request")


def reason_words(reason: str) -> str:
    """Return what the reason of a rejection means; empty for one that is not known here."""
    return _REASONS.get(reason, "")


def status_words(status: str) -> str:
    """Return what a market's status means."""
    return STATUSES.get(status, status)
