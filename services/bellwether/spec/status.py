"""The status of a `TradingSystem`: what the operator last saw."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bellwether.spec.fields import SIZE_PATTERN, Block, Day, Instant


class Condition(Block):
    """One observed aspect of the system, in the form of metav1.Condition."""

    type: str = Field(max_length=64, description="The aspect.")
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(max_length=64, description="A machine's word for why.")
    message: str = Field("", max_length=2000, description="Why, in words for a person.")
    last_transition_time: str = Field(
        max_length=40, description="When the status last changed, UTC.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int = Field(0, ge=0, le=2**53, description="The generation of the resource it speaks of.")


class ServiceStatus(Block):
    """What was seen of one service."""

    name: str = Field(max_length=64, description="The service.")
    ready: bool = Field(description="Subscribed, and its store is open.")
    generation: int = Field(0, ge=0, le=2**53, description="The generation of the declaration that it acknowledged.")


class SessionStatus(Block):
    """The session under way or, when closed, the next one; none of it in a replay."""

    state: Literal["Open", "Closed"] = Field(description="Whether the exchange trades now.")
    date: Day = Field(description="The day of the session, at the exchange.")
    opens: Instant = Field(description="When it opens or opened, UTC.")
    closes: Instant = Field(description="When it closes, UTC.")
    irregular: bool = Field(False, description="Whether its hours are not the usual ones, or an override made it.")


class TaskStatus(Block):
    """When a task runs, ran, and did not run though it was due; all UTC."""

    name: str = Field(max_length=64, description="The task.")
    next: Instant | None = Field(None, description="When it is due next.")
    last: Instant | None = Field(None, description="When the newest slot was due that was done.")
    missed: Instant | None = Field(
        None, description="When the newest slot was due that was not done while it was useful."
    )


class BackupsStatus(Block):
    """Backups by schedule, in a cluster; all UTC."""

    since: Instant = Field(description="Since when they are made.")
    made: Day | None = Field(None, description="The session of the newest one that was made, at the exchange.")
    next: Instant | None = Field(None, description="When the next one is due.")


class UpgradeStatus(Block):
    """A new release that is preceded by a backup."""

    to: str = Field(max_length=128, description="The new release.")
    since: Instant = Field(description="Since when it waits for the backup, UTC; the backup is named by this.")


class RestoreStatus(Block):
    """The restore in place that was asked for last; all UTC."""

    backup: str = Field(max_length=16, description="The backup, in a repository.")
    location: str = Field(max_length=30, description="The location that it is in.")
    requested: Instant = Field(description="When it was asked for; it goes by this.")
    started: Instant = Field(description="Since when it is carried out.")
    step: Literal["Stopping", "Restoring", "Starting", "Ended"] = Field(
        description="Stopping: until there are no pods. Restoring: a Job checks the backup and exchanges what the "
        "volumes hold. Starting: until the pods are ready, halted."
    )
    outcome: Literal["", "Restored", "Refused"] = Field(
        "", description="Refused: what was there is as it was; the message says why."
    )
    message: str = Field("", max_length=1000, description="How far it is, or what came of it, in words.")
    ended: Instant | None = Field(None, description="When it was over.")


class TradingSystemStatus(Block):
    """What the operator last saw: instants and transitions only."""

    observed_generation: int = Field(0, ge=0, le=2**53, description="The generation that this status speaks of.")
    conditions: Annotated[
        list[Condition], Field(max_length=20, json_schema_extra={"x-kubernetes-list-map-keys": ["type"]})
    ] = Field(default_factory=list, description="Conditions; Ready sums them up.")
    services: Annotated[
        list[ServiceStatus], Field(max_length=20, json_schema_extra={"x-kubernetes-list-map-keys": ["name"]})
    ] = Field(default_factory=list, description="The services.")
    session: SessionStatus | None = Field(None, description="The session under way, or the next one.")
    tasks: Annotated[
        list[TaskStatus], Field(max_length=16, json_schema_extra={"x-kubernetes-list-map-keys": ["name"]})
    ] = Field(default_factory=list, description="The tasks.")
    backups: BackupsStatus | None = Field(None, description="Backups by schedule.")
    upgrade: UpgradeStatus | None = Field(None, description="The new release that is preceded by a backup.")
    restore: RestoreStatus | None = Field(None, description="The restore in place that was asked for last.")
    halts: list[Annotated[str, Field(max_length=300)]] = Field(
        default_factory=list, max_length=20, description="What stops orders now, one line per source."
    )
    gateway: str = Field("", max_length=300, description="Where the dashboard and the API answer inside the cluster.")
    release: str = Field("", max_length=128, description="The version of the services that runs.")
    volume_size: str | None = Field(
        None,
        pattern=SIZE_PATTERN,
        max_length=8,
        description="The size that the largest volume has or is growing to; `spec.storage.size` cannot be less.",
    )
