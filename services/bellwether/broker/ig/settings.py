"""What the declaration says of an account at IG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from bellwether.spec.fields import parse_duration
from bellwether.spec.models import TradingSystemSpec


@dataclass(frozen=True)
class Settings:
    """What the declaration says of the account; `instruments` gives epic and shares per contract by symbol."""

    currency: str
    instruments: Mapping[str, tuple[str, int]]
    time_in_force: str = "FILL_OR_KILL"
    lookup_window: timedelta = timedelta(minutes=2)

    def instrument(self, symbol: str) -> tuple[str, int]:
        """Return epic and shares per contract; of a symbol without an epic, no epic and one share."""
        return self.instruments.get(symbol, ("", 1))

    def lot_of(self, epic: str, default: int) -> int:
        """Return the shares per contract of an epic; the default for one that is not declared."""
        return next((lot for one, lot in self.instruments.values() if one == epic), default)


def settings_of(spec: TradingSystemSpec) -> Settings:
    """Return what a declaration says of the account."""
    trading = spec.trading
    return Settings(
        currency=trading.currency,
        instruments={symbol: (one.epic, one.lot_size) for symbol, one in trading.instruments.items()},
        time_in_force=trading.ig.time_in_force,
        lookup_window=parse_duration(trading.ig.lookup_window),
    )
