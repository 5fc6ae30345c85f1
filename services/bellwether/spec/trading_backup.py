"""A backup of a system's volumes in a cluster, as one declared resource."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bellwether.spec.backup import LOCATION_NAME_PATTERN
from bellwether.spec.fields import CLASS_NAME_PATTERN, SYSTEM_NAME_LENGTH, SYSTEM_NAME_PATTERN, Block, cel, rules
from bellwether.spec.schema import AGE, MAP_KEYS, Schema, action_schema, column, condition, definition_of
from bellwether.spec.status import Condition

KIND = "TradingBackup"
PLURAL = "tradingbackups"
SHORT_NAME = "tbackup"
NAME_LENGTH = 63
DECLARATION_LENGTH = 200_000


class TradingBackupSpec(Block):
    """What is to be kept. It cannot be changed: a backup is an action."""

    model_config = rules(cel("self == oldSelf", "a backup cannot be changed: make another one"))
    system: str = Field(
        max_length=SYSTEM_NAME_LENGTH,
        pattern=SYSTEM_NAME_PATTERN,
        description="The TradingSystem, in the same namespace.",
    )
    kind: Literal["full", "incremental"] = Field(
        "full",
        description="Of volume snapshots every one is whole: incremental means the same, and status says so. In a "
        "repository nothing is stored twice; full reads every byte again, there too.",
    )
    drill: bool = Field(
        False,
        description="Whether it is restored for a test once it is complete: to scratch volumes, which a Job reads and "
        "which are taken away again. RestoreVerified says what came of it.",
    )
    location: str | None = Field(
        None,
        max_length=30,
        pattern=LOCATION_NAME_PATTERN,
        description="One of the system's spec.backup.locations; without it the first one of kind volumeSnapshots, and "
        "without any the cluster's default class.",
    )


class VolumeStatus(Block):
    """One volume that has to be kept for the backup to be complete."""

    claim: str = Field(max_length=253, description="The PersistentVolumeClaim.")
    snapshot: str = Field(max_length=253, description="The VolumeSnapshot.")
    content: str = Field("", max_length=253, description="The VolumeSnapshotContent, once it is bound.")
    cut_at: str = Field("", max_length=40, description="Of which instant it is, UTC; empty before.")
    size: str = Field("", max_length=32, description="How much a restore needs.")
    ready: bool = Field(False, description="Whether a volume can be made of it.")


class RepositoryStatus(Block):
    """A backup in a repository, a folder or a bucket: the system's service `backup` makes it."""

    location: str = Field(max_length=30, description="The location's name.")
    where: str = Field(max_length=700, description="The bucket's URL, or the claim and the folder in it.")
    attempts: int = Field(1, ge=1, le=1000, description="How often it was tried.")
    retry_at: str = Field("", max_length=40, description="When it is tried again after a failure that may pass, UTC.")
    id: str = Field("", max_length=40, description="By which it is restored, once it is complete.")
    session: str = Field("", max_length=10, description="The newest session whose book is in it.")
    bytes: int = Field(0, ge=0, le=2**53, description="The size of all its pieces.")
    added_bytes: int = Field(0, ge=0, le=2**53, description="By how much the repository grew.")
    added: str = Field("", max_length=32, description="The same, for people.")


class TradingBackupStatus(Block):
    """How far it is: the volumes that are expected are written here before the first snapshot is made."""

    observed_generation: int = Field(0, ge=0, le=2**53, description="The generation that this status speaks of.")
    conditions: Annotated[list[Condition], Field(max_length=10, json_schema_extra={MAP_KEYS: ["type"]})] = Field(
        default_factory=list,
        description="Complete, Failed, Quiesced; RestoreVerified where it is tested. One of the first two ends it.",
    )
    volumes: Annotated[list[VolumeStatus], Field(max_length=20, json_schema_extra={MAP_KEYS: ["claim"]})] = Field(
        default_factory=list, description="The volumes."
    )
    repository: RepositoryStatus | None = Field(None, description="Of a backup in a repository, instead of volumes.")
    class_name: str = Field(
        "",
        max_length=253,
        pattern=f"^$|{CLASS_NAME_PATTERN}",
        description="The VolumeSnapshotClass; empty: the default.",
    )
    started_at: str = Field("", max_length=40, description="When it began, UTC.")
    held_until: str = Field(
        "", max_length=40, description="Until when no service writes for it, UTC, at the latest; empty: they may."
    )
    not_held: str = Field(
        "", max_length=1000, description="Why its volumes are cut without pods, and not while the services are held."
    )
    held_milliseconds: int = Field(0, ge=0, le=2**31, description="For how long no service wrote for it.")
    quiesced_until: str = Field(
        "", max_length=40, description="Until when the system has no pods for it, UTC, at the latest; empty: not."
    )
    cut_at: str = Field("", max_length=40, description="When every snapshot was cut and the system started again, UTC.")
    verify_started_at: str = Field("", max_length=40, description="When scratch copies began to be read, UTC.")
    verify_ended_at: str = Field(
        "", max_length=40, description="When all that was made to read them was gone, UTC; it may end before that."
    )
    ended_at: str = Field("", max_length=40, description="When it was complete or failed, UTC.")
    drill_started_at: str = Field("", max_length=40, description="When its test began, UTC.")
    drill_ended_at: str = Field(
        "", max_length=40, description="When its test was over and all that was made for it gone, UTC."
    )
    seconds_without_pods: int = Field(0, ge=0, le=2**31, description="For how long the system had no pods for it.")
    seconds: int = Field(0, ge=0, le=2**31, description="How long it took, from its start to its end.")
    size: str = Field("", max_length=32, description="How much a restore of all of it needs.")
    release: str = Field("", max_length=128, description="The release that wrote the volumes.")
    declaration: str = Field(
        "", max_length=DECLARATION_LENGTH, description="The whole TradingSystem, as JSON: for when it is gone."
    )


_COLUMNS = (
    column("System", ".spec.system"),
    column("Location", ".spec.location"),
    column("Complete", condition("Complete"), "Whether every expected volume is kept."),
    column("Reason", condition("Complete", "reason"), "How far it is, or why it failed."),
    column("Cut", ".status.cutAt", kind="date"),
    column("Size", ".status.size"),
    column("Added", ".status.repository.added", "By how much the repository grew."),
    column("Seconds", ".status.seconds", "How long it took.", "integer"),
    column(
        "Without pods", ".status.secondsWithoutPods", "For how many seconds the system had no pods for it.", "integer"
    ),
    column(
        "Held ms", ".status.heldMilliseconds", "For how many milliseconds its services wrote nothing for it.", "integer"
    ),
    column("Restored", condition("RestoreVerified"), "Whether it was restored for a test and found whole."),
    column("Message", condition("Complete", "message"), wide=True),
    AGE,
)


def backup_definition() -> Schema:
    """Return the CustomResourceDefinition of TradingBackup as plain data."""
    names = {"kind": KIND, "plural": PLURAL, "shortNames": [SHORT_NAME]}
    return definition_of(names, _COLUMNS, backup_schema())


def backup_schema() -> Schema:
    """Return the structural schema of a whole TradingBackup."""
    words = f"metadata.name has at most {NAME_LENGTH} characters: snapshots are named by it"
    rule = {"rule": f"self.metadata.name.size() <= {NAME_LENGTH}", "message": words}
    return action_schema(TradingBackupSpec, TradingBackupStatus, "A backup of a system's volumes.", rule)
