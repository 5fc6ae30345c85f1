"""The part of the declaration about backups: when, where to, how long they are kept, how they are proven."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from bellwether.spec.fields import (
    CLASS_NAME_PATTERN,
    OBJECT_NAME_PATTERN,
    SYSTEM_NAME_LENGTH,
    SYSTEM_NAME_PATTERN,
    Block,
    Day,
    Duration,
    Offset,
    cel,
    rules,
)

LOCATION_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
Weekday: TypeAlias = Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
AGE_PATTERN = r"^[1-9][0-9]{0,3}d$"
PASSWORD, ACCESS_KEY, SECRET_KEY = "password", "accessKey", "secretKey"
SECRET_ENTRIES = {"folder": (PASSWORD,), "s3": (PASSWORD, ACCESS_KEY, SECRET_KEY)}
"""What the secret of a location of a kind has to hold."""


class BackupSecretRef(Block):
    """A Secret of the same namespace; on one machine a file of that name that only its owner can read."""

    name: str = Field(
        max_length=253,
        pattern=OBJECT_NAME_PATTERN,
        description="The Secret's name. Its entries: `password` of the repository; for kind s3 also `accessKey` and "
        "`secretKey`. Keep a second copy elsewhere: without the password no backup can be read.",
    )


class BackupLocation(Block):
    """A place that backups are kept in."""

    model_config = rules(
        cel(
            "self.kind == 'folder' ? has(self.path) && !has(self.url) : !has(self.path) && !has(self.volumeClaim)",
            "kind folder needs path and takes no url; the other kinds take neither path nor volumeClaim",
        ),
        cel("self.kind == 's3' ? has(self.url) : !has(self.url)", "kind s3 needs url, the other kinds take none"),
        cel(
            "self.kind == 'volumeSnapshots' ? !has(self.secretRef) : has(self.secretRef)",
            "kinds folder and s3 need secretRef, with the repository's password; kind volumeSnapshots takes none",
        ),
        cel(
            "self.kind == 'volumeSnapshots' || !has(self.className)",
            "className is for kind volumeSnapshots",
            ".className",
        ),
    )
    name: str = Field(max_length=30, pattern=LOCATION_NAME_PATTERN, description="What it is called.")
    kind: Literal["folder", "s3", "volumeSnapshots"] = Field(
        description="folder: an encrypted repository in a folder; s3: one in a bucket; volumeSnapshots: snapshots of "
        "the volumes, in a cluster only."
    )
    path: str | None = Field(
        None,
        min_length=1,
        max_length=400,
        pattern=r"^[^\x00-\x1f\x7f]+$",
        description="Of kind folder: on one machine a path, relative to the resource's file, best on another disk; in "
        "a cluster a path inside the volume of `volumeClaim`.",
    )
    volume_claim: str | None = Field(
        None,
        max_length=253,
        pattern=OBJECT_NAME_PATTERN,
        description="Of kind folder in a cluster: the PersistentVolumeClaim in the same namespace.",
    )
    url: str | None = Field(
        None,
        max_length=400,
        pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?/[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-._A-Za-z0-9]+)*$",
        description="Of kind s3: server and bucket, and a prefix where several systems share it, such as "
        "https://s3.example/trading/replay.",
    )
    class_name: str | None = Field(
        None,
        max_length=253,
        pattern=CLASS_NAME_PATTERN,
        description="Of kind volumeSnapshots: the VolumeSnapshotClass; without it, the cluster's default.",
    )
    secret_ref: BackupSecretRef | None = Field(None, description="Where password and credentials are.")

    @property
    def where(self) -> str:
        """Which repository it is: the bucket's URL, or the claim and the folder in it."""
        return self.url or f"{self.volume_claim}:{self.path}"


class BackupSchedule(Block):
    """When a backup is made by itself: once for each session of the exchange."""

    offset: Offset = Field("30m", description="After the session's close, such as 30m.")
    useful_until: Duration = Field(
        "12h", description="How long after it was due a missed backup is still caught up; later it is reported missed."
    )
    full_every: int = Field(
        7, ge=1, le=366, description="Every which backup is a full one, all of it read again; 1: each."
    )


class BackupRetention(Block):
    """How long backups are kept. The newest one that was verified always is."""

    count: int = Field(30, ge=1, le=1000, description="How many of the newest are kept at most.")
    age: str = Field("90d", max_length=5, pattern=AGE_PATTERN, description="How old one may become, in days.")


def _fridays() -> list[Weekday]:
    return ["Fri"]


class BackupDrill(Block):
    """When the newest backup is restored into a scratch folder and compared, to prove that it can be."""

    weekdays: Annotated[
        list[Weekday], Field(min_length=1, max_length=7, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = Field(default_factory=_fridays, description="The sessions of which weekdays end with a drill.")


class RestoredVolume(Block):
    """A volume that is made from a snapshot."""

    component: str = Field(
        max_length=40,
        pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$",
        description="`system` in profile compact; in profile standard `nats` or the service.",
    )
    snapshot: str = Field(max_length=253, pattern=OBJECT_NAME_PATTERN, description="The VolumeSnapshot.")


def _by(key: str) -> dict[str, Any]:
    """Return what tells the entries of a list apart."""
    return {"x-kubernetes-list-map-keys": [key]}


class RestoreFrom(Block):
    """What a new system's volumes are made from."""

    model_config = rules(
        cel(
            "(has(self.backup) ? 1 : 0) + (has(self.snapshots) ? 1 : 0) + (has(self.repository) ? 1 : 0) == 1",
            "name either backup or snapshots or repository: what the volumes are made from",
        ),
        cel(
            "has(self.repository) ? has(self.system) && has(self.id) != has(self.session) : "
            "!has(self.system) && !has(self.id) && !has(self.session)",
            "repository needs system, and either id or session; the others take none of them",
        ),
        cel(
            "!has(self.repository) || self.repository.kind == 's3' || has(self.repository.volumeClaim)",
            "in a cluster a repository is of kind s3, or of kind folder with volumeClaim",
            ".repository",
        ),
        cel("self == oldSelf", "restoreFrom cannot be changed: volumes are made from it once; make a new system"),
    )
    backup: str | None = Field(
        None,
        max_length=63,
        pattern=OBJECT_NAME_PATTERN,
        description="A complete TradingBackup of the same namespace, be it of this system's name or another's.",
    )
    snapshots: (
        Annotated[list[RestoredVolume], Field(min_length=1, max_length=20, json_schema_extra=_by("component"))] | None
    ) = Field(
        None,
        description="VolumeSnapshots of the same namespace, for when the TradingBackup is gone: they can be made from "
        "the handles of the contents that are left.",
    )
    repository: BackupLocation | None = Field(
        None,
        description="A folder or a bucket that backups of a system are in, as its spec.backup.locations says; the "
        "Secret, and the claim of a folder, have to be in this namespace.",
    )
    system: str | None = Field(
        None,
        max_length=SYSTEM_NAME_LENGTH,
        pattern=SYSTEM_NAME_PATTERN,
        description="With repository: the name of the system whose backup it is.",
    )
    id: str | None = Field(
        None, max_length=16, pattern=r"^[0-9]{8}T[0-9]{6}Z$", description="With repository: the backup."
    )
    session: Day | None = Field(None, description="With repository: the newest good backup of this session.")

    def __str__(self) -> str:
        """Return what people call it."""
        if self.backup is not None:
            return f"backup {self.backup}"
        if self.repository is not None:
            which = f"backup {self.id}" if self.id is not None else f"the backup of session {self.session}"
            return f"{which} of {self.system} in {self.repository.where}"
        return f"snapshots {', '.join(each.snapshot for each in self.snapshots or ())}"


class Backup(Block):
    """Backups of what the system keeps: databases, streams, models and the declaration."""

    schedule: BackupSchedule | None = Field(
        None, description="When one is made by itself; without it, only when somebody asks."
    )
    locations: Annotated[list[BackupLocation], Field(min_length=1, max_length=4, json_schema_extra=_by("name"))] = (
        Field(description="Where to; each backup goes to all of them.")
    )
    retention: BackupRetention = Field(default_factory=BackupRetention, description="How long they are kept.")
    drill: BackupDrill | None = Field(None, description="When one is restored for a test; without it, when asked.")
    before_upgrade: Duration = Field(
        "15m",
        description="How long a new release waits, in a cluster, for a backup that is made before it, such as 15m; 0s: "
        "none is made. It goes to the location of kind volumeSnapshots, else to the first that pods reach.",
    )

    @property
    def repositories_in_cluster(self) -> list[BackupLocation]:
        """The locations that are repositories which pods can reach: a folder needs the claim that it is on."""
        return [one for one in self.locations if one.kind == "s3" or one.volume_claim is not None]
