"""Which traces are kept, and which go first when room is short. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bellwether.gateway.otlp import Span

ORDER_KEYS = ("order_id", "order.id")
REFUSAL_KEYS = ("refusal",)


@dataclass(frozen=True)
class Marks:
    """What makes a trace worth keeping."""

    has_order: bool = False
    has_refusal: bool = False
    has_error: bool = False

    @property
    def always_kept(self) -> bool:
        """Whether the trace is kept whatever the ratio says."""
        return self.has_order or self.has_refusal or self.has_error


def marks_of(spans: Iterable[Span]) -> Marks:
    """Return what the spans of one trace tell: an order, a refusal, an error."""
    order = refusal = error = False
    for span in spans:
        order = order or _has(span, ORDER_KEYS)
        refusal = refusal or _has(span, REFUSAL_KEYS)
        error = error or span.status == "error"
    return Marks(order, refusal, error)


def _has(span: Span, fragments: tuple[str, ...]) -> bool:
    return any(fragment in key for key, value in span.attributes.items() if value for fragment in fragments)


def sampled(trace_id: str, ratio: float) -> bool:
    """Whether a trace of no special interest is among the share that is kept.

    It depends on the id alone, so that every batch of a trace gets the same answer.
    """
    return int(trace_id[:8], 16) < ratio * 0x1_0000_0000
