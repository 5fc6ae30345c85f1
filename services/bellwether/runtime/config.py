"""The settings of a process: read once at the edge, never in the middle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

HEALTH_PORT = 8081


@dataclass(frozen=True)
class ProcessConfig:
    """The settings of one process."""

    system: str = "local"
    """Name of the system it belongs to."""
    uid: str = "local"
    """Identity of the system, part of each message id."""
    data_dir: Path = Path("data")
    """Where the stores of its services are."""
    nats_url: str = "nats://127.0.0.1:4222"
    keys_dir: Path | None = None
    """Folder of `<service>.nk` seeds; none: the server asks for no key."""
    declaration: Path | None = None
    """The declaration to start from, until the bus has a newer one."""
    health_host: str = "0.0.0.0"  # noqa: S104 (probes come from the node)
    health_port: int = HEALTH_PORT
    """Port of /livez, /readyz and /metrics; 0 takes any free one."""
    log_level: str = "info"
    sampling: float = 1.0
    """Share of traces that are kept, 0 to 1."""
    grace: float = 25.0
    """Seconds from the signal to the end; below the 30 s after which a supervisor kills."""
    group_commit: bool = False
    """Replay in one process: stores commit at each finished step instead of at each transaction."""
    complete_data: bool = False
    """Whether all data are there at the start, as for a replay that a person waits for: what is missing never comes."""
    own_schedule: bool = False
    """Whether the scheduler fires due slots itself; in a cluster CronJobs do."""
    version: str = "dev"
    csv_root: Path | None = None
    """The folder that data.csv.directory lies in, where that is a volume's; none: it is a path of this machine."""
    news_root: Path | None = None
    """The folder that sentiment.csv.file lies in, where that is a volume's; none: it is a path of this machine."""
    proxy: str | None = None
    """The HTTP proxy through which hosts outside are asked."""
    ca_bundle: Path | None = None
    """Certificates that are trusted for that in place of the usual ones."""
    notify_secrets: Path | None = None
    """The folder of the Secrets of notifications: NAME/ENTRY is a file."""
    ig_credentials: Path | None = None
    """The account at IG: a JSON file, or a folder with a file for each entry, as a Secret is mounted."""
    backs_up: bool = False
    """Whether its service `backup` makes backups of what the services hand over, as in a cluster."""
    notify_socket: str = ""
    """The service manager's socket, notified when the process is ready and when it stops; empty: there is none."""

    sockets_dir: Path | None = None
    """Where callers of the old system find a Unix socket per service; none: there are no such sockets."""
    sockets_group: str | None = None
    """The group that may use them; none: their owner's."""

    @property
    def run_folder(self) -> Path | None:
        """The folder of the local run whose process this is; None: it is of units, containers or a cluster."""
        root = self.data_dir.absolute().parent
        return root if (root / "identity.json").exists() and self.data_dir.name == "data" else None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> ProcessConfig:
        """Read `BELLWETHER_*` variables; what is not set keeps its default.

        Raises:
            ValueError: naming the variable, its value and what would be right.
        """

        def text(name: str, default: str) -> str:
            return environ.get(f"BELLWETHER_{name}", default)

        def path(name: str) -> Path | None:
            value = text(name, "")
            return Path(value) if value else None

        return cls(
            system=text("SYSTEM", cls.system),
            uid=text("UID", cls.uid),
            data_dir=Path(text("DATA_DIR", str(cls.data_dir))),
            nats_url=text("NATS_URL", cls.nats_url),
            keys_dir=path("KEYS_DIR"),
            declaration=path("DECLARATION"),
            health_host=text("HEALTH_HOST", cls.health_host),
            health_port=int(number(environ, "BELLWETHER_HEALTH_PORT", cls.health_port, 0, 65535)),
            log_level=text("LOG_LEVEL", cls.log_level),
            sampling=number(environ, "BELLWETHER_SAMPLING", cls.sampling, 0, 1),
            grace=number(environ, "BELLWETHER_GRACE", cls.grace, 1, 3600),
            own_schedule=text("OWN_SCHEDULE", "false").lower() in ("1", "true", "yes"),
            version=text("VERSION", cls.version),
            csv_root=path("CSV_ROOT"),
            news_root=path("NEWS_ROOT"),
            proxy=text("PROXY", "") or None,
            ca_bundle=path("CA_BUNDLE"),
            notify_secrets=path("NOTIFY_SECRETS"),
            ig_credentials=path("IG_CREDENTIALS"),
            backs_up=bool(text("BACKUP_CLAIMS", "")),
            # Not ours: systemd's name for it.
            sockets_dir=path("SOCKETS_DIR"),
            sockets_group=text("SOCKETS_GROUP", "") or None,
            notify_socket=environ.get("NOTIFY_SOCKET", ""),
        )


def number(environ: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    """Return a variable as a number; raises ValueError for one that is none, or not between `low` and `high`."""
    value = environ.get(name)
    if value is None:
        return default
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise ValueError(f"{name}={value!r}: must be a number from {low:g} to {high:g}")
    return number
