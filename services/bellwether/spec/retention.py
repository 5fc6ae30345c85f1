"""What is kept, and how long."""

from __future__ import annotations

from pydantic import Field

from bellwether.spec.fields import Block, Days, cel


class Retention(Block):
    """How long a live system keeps what it no longer needs. A replay keeps everything."""

    decisions: Days = Field(
        "1825d",
        description="Decisions, by the time that they were made. Those that an order or a position names always stay.",
    )
    traces: Days = Field("90d", description="Traces without an order; all of them are bounded by size, too.")
    outbox: Days = Field("7d", description="Events that were published, in the store that they came from.")
    inbox: Days = Field(
        "30d",
        description="Which events had their effect. Events are kept for 7 days and could come again until then.",
        json_schema_extra={
            "x-kubernetes-validations": [
                cel("!self.matches('^[1-7]d$')", "at least 8d: an event that comes again would have its effect twice")
            ]
        },
    )
