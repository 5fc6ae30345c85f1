"""The processes of a system outside of a cluster: which services each runs, what it is given, and what it may use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import PurePosixPath

from bellwether.render.kubernetes.configmaps import declaration_document, store_bytes
from bellwether.render.kubernetes.containers import asks_outside, compact_resources, resources_of, trades_at_ig
from bellwether.render.nats import BOOTSTRAP
from bellwether.spec.models import TradingSystem
from bellwether.topology import HEALTH_PORT, SERVICES
from bellwether.wiring import start_order

SYSTEM = "system"
"""The part that runs all services of the compact profile."""
NATS = "nats"
GATEWAY = "gateway"
NOTIFIER = "monitoring"
NOTIFY_SECRETS = "/etc/bellwether/notify"
"""The folder of the Secrets of notifications, a folder for each: of this machine, and of the container."""
TOKEN_FILE = "gateway.token"  # noqa: S105
BROKER_FILE = "ig.json"
"""The account at IG, among the keys: whoever renders puts it there."""
SMALL_MEBIBYTES = 512
LARGE_MEBIBYTES = 1024


@dataclass(frozen=True)
class Part:
    """One process: its name, its services in start order, and the parts that it starts after."""

    name: str
    services: tuple[str, ...]
    after: tuple[str, ...]
    health_port: int

    @property
    def argument(self) -> str:
        """What `bellwether serve --services` is given."""
        return "all" if self.name == SYSTEM else ",".join(self.services)

    @property
    def key_files(self) -> tuple[str, ...]:
        """The files of its keys: a NATS seed per service, and the gateway's token."""
        seeds = tuple(f"{name}.nk" for name in self.services)
        return (*seeds, TOKEN_FILE) if GATEWAY in self.services else seeds


@dataclass(frozen=True)
class Places:
    """Where a part finds what is its own."""

    data: str
    declaration: str
    keys: str
    nats_url: str
    http_host: str


def parts(system: TradingSystem) -> list[Part]:
    """Return the processes that run the services, in start order; each has a health port of its own."""
    if system.spec.profile == "compact":
        return [Part(SYSTEM, tuple(start_order()), (), HEALTH_PORT)]
    off = {str(name) for name, override in system.spec.services.items() if not override.enabled}
    names = [name for name in start_order() if name not in off]
    return [
        Part(name, (name,), tuple(one for one in SERVICES[name].requires if one in names), HEALTH_PORT + number)
        for number, name in enumerate(names)
    ]


def memory_limit(system: TradingSystem, part: Part) -> int:
    """Return a part's memory limit in mebibytes: 512, or 1024 where it asks for more, or what it asks for beyond."""
    asked = compact_resources(system) if part.name == SYSTEM else resources_of(system, part.name)
    return _limit(asked.memory_mebibytes)


def nats_memory_limit(system: TradingSystem) -> int:
    """Return the memory limit of NATS in mebibytes."""
    return _limit(resources_of(system, NATS).memory_mebibytes)


def _limit(asked: int) -> int:
    return next((size for size in (SMALL_MEBIBYTES, LARGE_MEBIBYTES) if asked <= size), asked)


def leaves_the_machine(system: TradingSystem, part: Part) -> bool:
    """Whether a part talks to other machines: those do that ask Yahoo or feeds, notify people, or trade at IG."""
    return asks_outside(system, part.services)


def secret_files(system: TradingSystem, part: Part) -> tuple[str, ...]:
    """Return the files of a part's keys, and that of the account at IG where the part trades there."""
    return (*part.key_files, BROKER_FILE) if trades_at_ig(system, part.services) else part.key_files


def environment(system: TradingSystem, part: Part, places: Places, version: str) -> dict[str, str]:
    """Return the variables of a part's process."""
    found = {
        "BELLWETHER_DATA_DIR": places.data,
        "BELLWETHER_DECLARATION": places.declaration,
        "BELLWETHER_HEALTH_HOST": "127.0.0.1",
        "BELLWETHER_HEALTH_PORT": str(part.health_port),
        "BELLWETHER_KEYS_DIR": places.keys,
        "BELLWETHER_NATS_URL": places.nats_url,
        "BELLWETHER_OWN_SCHEDULE": "true",
        "BELLWETHER_SYSTEM": system.metadata.name,
        "BELLWETHER_UID": system.metadata.uid,
        "BELLWETHER_VERSION": system.spec.version or version,
        "HOME": "/tmp",  # noqa: S108
        "MKL_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if GATEWAY in part.services:
        found["BELLWETHER_GATEWAY_HOST"] = places.http_host
        found["BELLWETHER_GATEWAY_TOKEN_FILE"] = f"{places.keys}/{TOKEN_FILE}"
    if NOTIFIER in part.services and any(one.secret_ref is not None for one in system.spec.notifications):
        found["BELLWETHER_NOTIFY_SECRETS"] = NOTIFY_SECRETS
    if trades_at_ig(system, part.services):
        found["BELLWETHER_IG_CREDENTIALS"] = f"{places.keys}/{BROKER_FILE}"
    if leaves_the_machine(system, part) and system.spec.network.proxy is not None:
        found["BELLWETHER_PROXY"] = system.spec.network.proxy
    return dict(sorted(found.items()))


def go_memory_limit(system: TradingSystem) -> str:
    """Return the GOMEMLIMIT of NATS: from there on it collects garbage harder, before its limit ends it."""
    return f"{nats_memory_limit(system) * 4 // 5}MiB"


def bootstrap_environment(keys: str, nats_url: str) -> dict[str, str]:
    """Return the variables of the bootstrap that makes the streams."""
    return {"BELLWETHER_KEYS_DIR": keys, "BELLWETHER_NATS_URL": nats_url}


def bootstrap_arguments(system: TradingSystem) -> list[str]:
    """Return what makes the streams, after the program's name."""
    return [BOOTSTRAP, "--max-store", str(store_bytes(system))]


def declaration_text(system: TradingSystem) -> str:
    """Return the start value of the declaration as processes read it."""
    return json.dumps(declaration_document(system), sort_keys=True, indent=1) + "\n"


def scheduled_backups(system: TradingSystem) -> bool:
    """Whether backups are to be made by themselves."""
    backup = system.spec.backup
    return backup is not None and backup.schedule is not None and system.spec.clock.mode == "live"


def csv_folder(system: TradingSystem) -> str | None:
    """Return the folder of this machine that bars are read from, where they come from files."""
    data = system.spec.data
    return data.csv.directory if data.provider == "csv" and data.csv is not None else None


def news_folder(system: TradingSystem) -> str | None:
    """Return the folder of this machine that holds the file of news, where news comes from one."""
    news = system.spec.sentiment
    return str(PurePosixPath(news.csv.file).parent) if news.provider == "csv" and news.csv is not None else None
