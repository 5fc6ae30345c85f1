"""Fields that we and somebody else keep putting back: after some rounds ours gives way for a while. Pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from bellwether_operator.observe.kinds import ChildKey

REPAIRS = 3
"""So often is a field put back within the window; when it is changed once more, it is left."""
WINDOW = timedelta(minutes=10)
FIELDS = 256
"""So many fields are remembered; those put back longest ago are forgotten first."""


@dataclass(frozen=True)
class Fight:
    """A field that somebody else changes as often as we put it back."""

    key: ChildKey
    path: str
    count: int
    """How often it was put back, as far as that is remembered."""
    until: datetime
    """Until when its object is left as it is."""

    @property
    def words(self) -> str:
        """What happens to whom and until when."""
        return (
            f"{self.key.kind} {self.key.name}: {self.path} was put back {self.count} times in "
            f"{WINDOW.total_seconds() / 60:g} minutes and changed by someone else each time; it is left as it is until "
            f"{self.until:%Y-%m-%dT%H:%M:%SZ}"
        )


class Fights:
    """What is remembered of the repairs of one system; when lost, a fight takes some rounds to be seen again.

    Times are aware and in UTC. One that lies in the future, since the clock was set back, no longer counts.
    """

    def __init__(self) -> None:
        self._repairs: dict[tuple[ChildKey, str], deque[datetime]] = {}

    def note(self, key: ChildKey, path: str, now: datetime) -> None:
        """Note that a field of a child was put back now."""
        before = self._repairs.pop((key, path), ())  # taken out, so that it comes last in the order
        counted = (each for each in before if _counts(each, now))
        self._repairs[key, path] = deque((*counted, now), maxlen=REPAIRS + 1)
        if len(self._repairs) > FIELDS:
            del self._repairs[next(iter(self._repairs))]

    def backed_off(self, key: ChildKey, now: datetime) -> Fight | None:
        """Return the fight because of which a child is left as it is now: of several, the one that ends last.

        It ends when nothing was put back for the length of the window; then everything is as if it had not been.
        """
        fights = [
            Fight(key, path, len(times), times[-1] + WINDOW)
            for (child, path), times in self._repairs.items()
            if child == key and len(times) >= REPAIRS and _counts(times[-1], now)
        ]
        return max(fights, key=lambda each: each.until, default=None)


def _counts(time: datetime, now: datetime) -> bool:
    return time <= now < time + WINDOW
