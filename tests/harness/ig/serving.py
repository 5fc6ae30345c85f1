"""What each kind of request does to the account it is made on, and what it is answered."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from harness.https_proxy import Broken, Head, Reply, as_json
from harness.ig import answers
from harness.ig.account import Account, Deal, Ticket
from harness.ig.markets import Market
from harness.ig.routes import Asked

if TYPE_CHECKING:
    from harness.ig.standin import StandIn

OFFSET = 10
"""The account's time zone, in hours before UTC: dates of the activity are in it."""
_REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,30}$")
_ALL_ACTIVITY = 500
_DAY = timedelta(days=1)


def refusal(status: int, code: str) -> Reply:
    """Return IG's form of an error."""
    return as_json(status, {"errorCode": code})


@dataclass
class Session:
    """A login: its tokens, and the account that it is on."""

    account_id: str
    token: str
    account_token: str
    used: datetime

    def over(self, now: datetime, lasts: float) -> bool:
        """Whether the tokens are too old; every use makes them last again."""
        if lasts and (now - self.used).total_seconds() > lasts:
            return True
        self.used = now
        return False


class Question(NamedTuple):
    """One request, with whom it comes from."""

    account: Account
    name: str
    body: dict[str, Any]
    query: dict[str, str]
    session: Session
    now: datetime


class Invalid(Exception):
    """A request that IG refuses before any deal is made, with its error code."""


class Desk:
    """The stand-in's answers to requests that passed the door."""

    def __init__(self, world: StandIn) -> None:
        self._world = world
        self._tokens = itertools.count(1)
        self._confirms: dict[str, int] = {}

    def login(self, body: dict[str, Any], now: datetime) -> Reply:
        """Answer POST /session."""
        from harness.ig.standin import PASSWORD, USERNAME

        switches = self._world.switches
        if switches.weekend:
            return refusal(503, "error.service.unavailable")
        if switches.login == "kyc-required":
            return refusal(403, "error.public-api.failure.kyc.required")
        if switches.login == "encryption-required":
            return refusal(403, "error.public-api.failure.encryption.required")
        if switches.login == "api-key-invalid":
            return refusal(403, "error.security.api-key-invalid")
        if switches.login or (body.get("identifier"), body.get("password")) != (USERNAME, PASSWORD):
            return refusal(401, "error.security.invalid-details")
        preferred = next(iter(self._world.accounts))
        session = Session(preferred, f"cst-{next(self._tokens)}-{'x' * 40}", self._account_token(), now)
        self._world.sessions[session.token] = session
        headers = {"CST": session.token, "X-SECURITY-TOKEN": session.account_token}
        found = answers.login(self._world.accounts[preferred], list(self._world.accounts), OFFSET)
        return as_json(200, found, headers)

    def _account_token(self) -> str:
        return f"account-{next(self._tokens)}-{'y' * 40}"

    def answer(self, asked: Asked, head: Head, body: dict[str, Any], session: Session, now: datetime) -> Reply:
        """Answer a request that has a valid session."""
        account = self._world.accounts[session.account_id]
        query = {name: values[-1] for name, values in parse_qs(urlsplit(head.target).query).items()}
        try:
            reply: Reply = getattr(self, f"_{asked.kind}")(Question(account, asked.name, body, query, session, now))
        except Invalid as error:
            return refusal(400, str(error))
        return reply

    # Session and account

    def _session(self, q: Question) -> Reply:
        headers = {}
        if q.query.get("fetchSessionTokens") == "true":
            headers = {"CST": q.session.token, "X-SECURITY-TOKEN": q.session.account_token}
        return as_json(200, answers.session(q.account, OFFSET), headers)

    def _switch(self, q: Question) -> Reply:
        wanted = q.body.get("accountId")
        if wanted == q.account.account_id:
            return refusal(412, "error.switch.accountId-must-be-different")
        if wanted not in self._world.accounts:
            return refusal(400, "error.switch.invalid-accountId")
        q.session.account_id = wanted
        q.session.account_token = self._account_token()
        found = {
            "trailingStopsEnabled": False,
            "dealingEnabled": True,
            "hasActiveDemoAccounts": True,
            "hasActiveLiveAccounts": False,
        }
        return as_json(200, found, {"X-SECURITY-TOKEN": q.session.account_token})

    def _logout(self, q: Question) -> Reply:
        self._world.sessions.pop(q.session.token, None)
        return Reply(204)

    def _accounts(self, q: Question) -> Reply:
        return as_json(200, answers.accounts(list(self._world.accounts.values())))

    def _application(self, q: Question) -> Reply:
        from harness.ig.standin import API_KEY

        return as_json(200, answers.applications(API_KEY))

    # Markets

    def _status(self, market: Market) -> str:
        return self._world.switches.status or market.status

    def _market(self, q: Question) -> Reply:
        if self._world.switches.equity_refused:
            return refusal(403, "unauthorised.access.to.equity.exception")
        market = self._world.markets.get(q.name)
        if market is None:
            return refusal(404, "error.service.marketdata.instrument.epic.unavailable")
        return as_json(200, answers.market(market, self._status(market), q.now))

    def _markets(self, q: Question) -> Reply:
        if self._world.switches.equity_refused:
            return refusal(403, "unauthorised.access.to.equity.exception")
        epics = [epic for epic in q.query.get("epics", "").split(",") if epic]
        known = [self._world.markets[epic] for epic in epics if epic in self._world.markets]
        return as_json(200, answers.markets([(one, self._status(one)) for one in known], q.now))

    # Positions and orders

    def _positions(self, q: Question) -> Reply:
        rows = []
        for one in q.account.positions.values():
            market = self._world.markets[one.epic]
            rows.append(answers.position(one, market, self._status(market), q.now, OFFSET))
        return as_json(200, {"positions": rows})

    def _position(self, q: Question) -> Reply:
        one = q.account.positions.get(q.name)
        if one is None:
            return refusal(404, "error.position.notfound")
        market = self._world.markets[one.epic]
        return as_json(200, answers.position(one, market, self._status(market), q.now, OFFSET))

    def _open(self, q: Question) -> Reply:
        ticket = Ticket(
            reference=_reference(q.body),
            epic=_text(q.body, "epic"),
            direction=_choice(q.body, "direction", "BUY", "SELL"),
            size=_size(q.body),
            currency=_text(q.body, "currencyCode"),
            force_open=_flag(q.body, "forceOpen"),
            order_type=_choice(q.body, "orderType", "MARKET", "LIMIT", "QUOTE"),
            time_in_force=_choice({"timeInForce": "EXECUTE_AND_ELIMINATE"} | q.body, "timeInForce", *_IN_FORCE),
            stop_distance=None if q.body.get("stopDistance") is None else Decimal(str(q.body["stopDistance"])),
        )
        if ticket.order_type == "MARKET" and (q.body.get("level") is not None or q.body.get("quoteId") is not None):
            raise Invalid("validation.not-null.request")
        if (
            q.body.get("limitDistance") is not None or q.body.get("stopDistance") is not None
        ) and not ticket.force_open:
            raise Invalid("validation.constraint.forceOpen-required")
        _text(q.body, "expiry")
        return self._taken(q.account, ticket, q.now)

    def _close(self, q: Question) -> Reply:
        deal_id, epic = q.body.get("dealId"), q.body.get("epic")
        if (deal_id is None) == (epic is None):
            raise Invalid("validation.mutual-exclusive-value.request")
        if deal_id is not None:
            position = q.account.positions.get(str(deal_id))
            if position is None:
                raise Invalid("error.service.marketdata.position.notional.details.null.error")
            epic = position.epic
        ticket = Ticket(
            reference=f"own{len(q.account.deals) + 1:09d}",
            epic=str(epic),
            direction=_choice(q.body, "direction", "BUY", "SELL"),
            size=_size(q.body),
            currency=self._world.markets[str(epic)].currency,
            order_type=_choice(q.body, "orderType", "MARKET", "LIMIT", "QUOTE"),
            time_in_force=_choice({"timeInForce": "EXECUTE_AND_ELIMINATE"} | q.body, "timeInForce", *_IN_FORCE),
            only_deal=None if deal_id is None else str(deal_id),
            closes_only=True,
        )
        return self._taken(q.account, ticket, q.now)

    def _amend(self, q: Question) -> Reply:
        if q.name not in q.account.positions:
            raise Invalid("error.service.marketdata.position.notional.details.null.error")
        # Stops and limits are not kept: the account closes nothing by itself.
        return as_json(200, {"dealReference": q.account.positions[q.name].reference})

    def _taken(self, account: Account, ticket: Ticket, now: datetime) -> Reply:
        switches = self._world.switches
        if switches.post == "not-taken-500":
            return refusal(500, "error.public-api.failure")
        if switches.post == "not-taken-broken":
            raise Broken
        market = self._world.markets.get(ticket.epic)
        status = "OFFLINE" if market is None else self._status(market)
        account.execute(ticket, now, status=status, available=switches.available, reject=switches.reject)
        if switches.post == "taken-500":
            return refusal(500, "error.public-api.failure")
        if switches.post == "taken-401":
            return refusal(401, "error.security.client-token-invalid")
        if switches.post == "taken-broken":
            raise Broken
        return as_json(200, {"dealReference": ticket.reference})

    def _confirm(self, q: Question) -> Reply:
        switches = self._world.switches
        if switches.confirm == "405":
            return refusal(405, "method.not.allowed")
        if switches.confirm == "500":
            return refusal(500, "error.public-api.failure")
        asked = self._confirms[q.name] = self._confirms.get(q.name, 0) + 1
        deals = [deal for deal in q.account.deals if deal.ticket.reference == q.name]
        if not deals or switches.confirm == "lost" or asked <= switches.confirm_after:
            return refusal(404, "error.confirms.deal-not-found")
        return as_json(200, answers.confirm(deals[-1], names_opening=switches.closing_names_opening))

    def _workingorders(self, q: Question) -> Reply:
        rows = []
        for one in q.account.working.values():
            market = self._world.markets[one.epic]
            rows.append(answers.working(one, market, self._status(market), q.now, OFFSET))
        return as_json(200, {"workingOrders": rows})

    def _place(self, q: Question) -> Reply:
        kind = _choice(q.body, "type", "LIMIT", "STOP")
        in_force = _choice(q.body, "timeInForce", "GOOD_TILL_CANCELLED", "GOOD_TILL_DATE")
        if q.body.get("level") is None:
            raise Invalid("validation.null-not-allowed.request.level")
        if in_force == "GOOD_TILL_DATE" and not q.body.get("goodTillDate"):
            raise Invalid("validation.null-not-allowed.request.goodTillDate")
        ticket = Ticket(
            reference=_reference(q.body),
            epic=_text(q.body, "epic"),
            direction=_choice(q.body, "direction", "BUY", "SELL"),
            size=_size(q.body),
            currency=_text(q.body, "currencyCode"),
            order_type=kind,
            level=Decimal(str(q.body["level"])),
        )
        q.account.rest(ticket, kind, q.body.get("goodTillDate"), q.now)
        return as_json(200, {"dealReference": ticket.reference})

    def _cancel(self, q: Question) -> Reply:
        reference = f"own{len(q.account.deals) + 1:09d}"
        if q.account.withdraw(q.name, reference, q.now) is None:
            raise Invalid("error.service.otc.working-order.not-found")
        return as_json(200, {"dealReference": reference})

    # History

    def _activity(self, q: Question) -> Reply:
        size = int(q.query.get("pageSize", "50"))
        if not 10 <= size <= _ALL_ACTIVITY:
            raise Invalid("error.history.activity.invalid-page-size")
        switches = self._world.switches
        since = _instant(q.query.get("from"), q.now - _DAY)
        until = _instant(q.query.get("to"), q.now + timedelta(hours=OFFSET))

        def shown(deal: Deal) -> bool:
            local = deal.at + timedelta(hours=OFFSET)
            late = (q.now - deal.at).total_seconds() < switches.activity_delay
            missing = switches.activity == "none" or (switches.activity == "no-closes" and deal.closes)
            return since <= local.replace(microsecond=0) <= until and not late and not missing

        deals = sorted((deal for deal in q.account.deals if shown(deal)), key=lambda one: -one.number)
        if "dealId" in q.query:
            deals = [deal for deal in deals if deal.deal_id == q.query["dealId"]]
        detailed = q.query.get("detailed") == "true"
        rows = [
            answers.activity(deal, self._world.markets.get(deal.ticket.epic), detailed=detailed, offset=OFFSET)
            for deal in deals[:size]
        ]
        following = None
        if len(deals) > size:
            last = deals[size].at + timedelta(hours=OFFSET)
            following = (
                f"/history/activity?version=3&from={since:%Y-%m-%dT%H:%M:%S}&to={last:%Y-%m-%dT%H:%M:%S}"
                f"&detailed={str(detailed).lower()}&pageSize={size}"
            )
        return as_json(200, answers.activities(rows, len(rows), following))

    def _transactions(self, q: Question) -> Reply:
        wanted = {"ALL": None, "ALL_DEAL": ("TRADE",), "DEPOSIT": ("DEPO",), "WITHDRAWAL": ("WITH",)}
        kind = q.query.get("type", "ALL")
        if kind not in wanted:
            raise Invalid("error.history.transactions.invalid-type")
        kinds = wanted[kind]
        since = _instant(q.query.get("from"), q.now - _DAY)
        until = _instant(q.query.get("to"), q.now + timedelta(hours=OFFSET))
        found = [
            one
            for one in reversed(q.account.movements)
            if (kinds is None or one.kind in kinds)
            and since <= (one.at + timedelta(hours=OFFSET)).replace(microsecond=0) <= until
        ]
        size, page = int(q.query.get("pageSize", "20")), int(q.query.get("pageNumber", "1"))
        shown = found if size == 0 else found[(page - 1) * size : page * size]
        rows = [answers.transaction(one, q.account.currency, OFFSET) for one in shown]
        return as_json(200, answers.transactions(rows, page, size, len(found)))


_IN_FORCE = ("FILL_OR_KILL", "EXECUTE_AND_ELIMINATE")


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise Invalid(f"validation.null-not-allowed.request.{name}")
    return value


def _choice(body: dict[str, Any], name: str, *allowed: str) -> Any:
    value = _text(body, name)
    if value not in allowed:
        raise Invalid(f"validation.enum.invalid.request.{name}")
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value in (True, "true", "True"):
        return True
    if value in (False, "false", "False"):
        return False
    raise Invalid(f"validation.null-not-allowed.request.{name}")


def _size(body: dict[str, Any]) -> Decimal:
    try:
        size = Decimal(str(body.get("size")))
    except InvalidOperation:
        raise Invalid("validation.null-not-allowed.request.size") from None
    if not size.is_finite() or size <= 0:
        raise Invalid("validation.number.too-low.request.size")
    return size


def _reference(body: dict[str, Any]) -> str:
    value = body.get("dealReference")
    if value is None:
        return f"IG{abs(hash(str(sorted(body.items())))) % 10**12:012d}"
    if not isinstance(value, str) or _REFERENCE.match(value) is None:
        raise Invalid("validation.pattern.invalid.request.dealReference")
    return value


def _instant(text: str | None, default: datetime) -> datetime:
    """Return an instant of a query: it is in the account's time zone, and so is what it is compared with."""
    if not text:
        return default
    return datetime.fromisoformat(text[:19]).replace(tzinfo=default.tzinfo)
