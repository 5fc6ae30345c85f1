"""The odd ways of IG, each of which can be turned on while the stand-in runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args, get_origin, get_type_hints

Allowance = Literal["", "api-key", "account", "account-trading"]
Login = Literal["", "invalid-details", "api-key-invalid", "kyc-required", "encryption-required"]
Confirm = Literal["", "lost", "405", "500"]
Activity = Literal["", "no-closes", "none"]
Post = Literal["", "not-taken-500", "taken-500", "taken-broken", "not-taken-broken", "taken-401"]
Broken = Literal["", "connect", "headers", "body"]


@dataclass(frozen=True)
class Switches:
    """What is odd now; everything is off by default. A kind of request is a name of `routes.KINDS`."""

    allowance: Allowance = ""
    """403 error.public-api.exceeded-...-allowance: on every request, or for account-trading on orders."""
    per_minute: int = 0
    """From so many requests of one minute on, error.public-api.exceeded-account-allowance; 0: never."""
    login: Login = ""
    """How POST /session is refused."""
    tokens_last: float = 0.0
    """Seconds after which a session's tokens are refused; 0: never."""
    weekend: bool = False
    """All tokens are dropped, and nobody can log in."""
    maintenance: bool = False
    """503 and a page in HTML, in place of every answer."""
    status: str = ""
    """Status of all markets in place of their own: CLOSED, EDITS_ONLY, OFFLINE, ON_AUCTION, SUSPENDED, TRADEABLE."""
    equity_refused: bool = False
    """403 unauthorised.access.to.equity.exception on markets: the account has no share data."""
    available: int = -1
    """So many shares can be had for one order; -1: any number."""
    reject: str = ""
    """The reason with which every order is rejected, in a confirm."""
    post: Post = ""
    """An order's answer: a broken connection, 500 or 401, with the order taken or not."""
    confirm: Confirm = ""
    """Confirms: lost (404), 405 or 500, though the order was executed."""
    confirm_after: int = 0
    """So many times 404 comes first for each reference."""
    closing_names_opening: bool = False
    """A closing confirm names the opening deal as its own."""
    activity: Activity = ""
    """The activity lacks closes, or everything."""
    activity_delay: float = 0.0
    """Seconds after which a deal appears in the activity."""
    hold: tuple[str, ...] = ()
    """Kinds of requests whose answer waits, with the effect done, until they are taken out here."""
    slow: float = 0.0
    """Seconds that each answer takes."""
    broken: Broken = ""
    """Where each connection breaks off."""
    kinds: tuple[str, ...] = ()
    """The kinds of requests that `slow`, `broken`, `maintenance` and `allowance` hold for; none: all."""

    def holds(self, kind: str) -> bool:
        """Whether the switches on answers hold for a kind of request."""
        return not self.kinds or kind in self.kinds

    def changed(self, values: Mapping[str, Any]) -> Switches:
        """Return these switches with others in place of some.

        Raises:
            ValueError: naming a switch that there is not, or a value that it cannot have.
        """
        hints = get_type_hints(Switches)
        known = {field.name for field in fields(self)}
        given: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise ValueError(f"there is no switch {name!r}; there are {', '.join(sorted(known))}")
            hint = hints[name]
            if get_origin(hint) is Literal:
                if value not in get_args(hint):
                    raise ValueError(f"switch {name}: {value!r} is none of {get_args(hint)}")
            elif get_origin(hint) is tuple:
                if not isinstance(value, list | tuple):
                    raise ValueError(f"switch {name}: {value!r} is no list")
                value = tuple(value)  # noqa: PLW2901
            elif type(value) is not hint and not (hint is float and type(value) is int):
                raise ValueError(f"switch {name}: {value!r} is not of type {hint.__name__}")
            given[name] = value
        return replace(self, **given)
