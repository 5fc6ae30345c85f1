"""A declared system as one compose file, for development. Pure.

Nothing here is secret: the keys are files that the compose file names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bellwether.render import parts
from bellwether.render.kubernetes.configmaps import store_bytes
from bellwether.render.nats import BOOTSTRAP, nats_conf
from bellwether.spec.models import TradingSystem
from bellwether.topology import NATS_MONITOR_PORT, NATS_PORT, SERVICES

DATA = "/data"
CONFIGURATION = "/etc/bellwether"
SECRETS = "/run/secrets"
NATS_URL = f"nats://{parts.NATS}:{NATS_PORT}"
LABEL_GENERATION = "bellwether.dev/generation"
DECLARATION_FILE = "system.json"
NATS_FILE = "nats.conf"
TASKS = 50
_HEALTH = {"interval": "5s", "timeout": "5s", "retries": 6, "start_period": "300s"}
"""In the first five minutes a check that fails counts for nothing: a first start makes a model."""
_STREAMS_MADE = {BOOTSTRAP: {"condition": "service_completed_successfully"}}


@dataclass(frozen=True)
class Installation:
    """Of the machine, what the declaration does not say."""

    image: str
    directory: str
    """The folder that holds the keys, the configuration and the data, as an absolute path."""
    version: str
    user: str
    """`uid:gid` of whoever owns that folder: a file that is mounted as a secret keeps its owner and mode."""


def compose(system: TradingSystem, on: Installation) -> dict[str, Any]:
    """Return the compose file as plain data.

    Raises:
        ValueError: if the declaration asks for what its containers do not do.
    """
    if parts.scheduled_backups(system):
        raise ValueError("spec.backup.schedule: nothing makes backups under compose; leave it out, or use systemd")
    services = {parts.NATS: _nats(system, on), BOOTSTRAP: _bootstrap(system, on)}
    seeds = ["bootstrap.nk"]
    for part in parts.parts(system):
        services[part.name] = _service(system, part, on)
        seeds += parts.secret_files(system, part)
    # A compose program starts no container again because the content of a file has changed.
    labels = {LABEL_GENERATION: str(system.metadata.generation)}
    found = {
        "name": system.metadata.name,
        "services": {name: {**one, "labels": labels} for name, one in services.items()},
        "configs": {
            "declaration": {"file": f"{on.directory}/{DECLARATION_FILE}"},
            "nats": {"file": f"{on.directory}/{NATS_FILE}"},
        },
        "secrets": {name: {"file": f"{on.directory}/keys/{name}"} for name in sorted(seeds)},
    }
    return {key: _literal(value) for key, value in found.items()}


def nats_text(system: TradingSystem, public_keys: Mapping[str, str]) -> str:
    """Return the configuration of NATS in its container."""
    return nats_conf(
        public_keys, store_directory=DATA, always_sync=system.spec.clock.mode == "live", max_store=store_bytes(system)
    )


def _nats(system: TradingSystem, on: Installation) -> dict[str, Any]:
    return {
        **_container(on, parts.nats_memory_limit(system)),
        "command": ["nats", "--config", f"{CONFIGURATION}/{NATS_FILE}"],
        "environment": {"GOMEMLIMIT": parts.go_memory_limit(system)},
        "configs": [_config("nats", NATS_FILE)],
        "volumes": [_folder(on, parts.NATS)],
        "healthcheck": _health(f"http://127.0.0.1:{NATS_MONITOR_PORT}/healthz?js-enabled-only=true"),
    }


def _bootstrap(system: TradingSystem, on: Installation) -> dict[str, Any]:
    """Return the container that makes streams and consumers, and ends."""
    return {
        **_container(on, parts.SMALL_MEBIBYTES),
        "restart": "no",
        "command": parts.bootstrap_arguments(system),
        "environment": parts.bootstrap_environment(SECRETS, NATS_URL),
        "secrets": [_secret("bootstrap.nk")],
        "depends_on": {parts.NATS: {"condition": "service_healthy"}},
    }


def _service(system: TradingSystem, part: parts.Part, on: Installation) -> dict[str, Any]:
    places = parts.Places(DATA, f"{CONFIGURATION}/{DECLARATION_FILE}", SECRETS, NATS_URL, "0.0.0.0")  # noqa: S104 (published on loopback)
    found: dict[str, Any] = {
        **_container(on, parts.memory_limit(system, part)),
        "command": ["serve", "--services", part.argument],
        "environment": parts.environment(system, part, places, on.version),
        "configs": [_config("declaration", DECLARATION_FILE)],
        "secrets": [_secret(name) for name in parts.secret_files(system, part)],
        "volumes": [_folder(on, part.name)],
        "healthcheck": _health(f"http://127.0.0.1:{part.health_port}/readyz"),
        "depends_on": {**_STREAMS_MADE, **{name: {"condition": "service_healthy"} for name in part.after}},
    }
    ports = [SERVICES[name].http_port for name in part.services]
    published = [f"127.0.0.1:{port}:{port}" for port in ports if port is not None]
    if published:
        found["ports"] = published
    csv = parts.csv_folder(system)
    if csv is not None and "market-data" in part.services:
        found["volumes"].append({"type": "bind", "source": csv, "target": csv, "read_only": True})
    news = parts.news_folder(system)
    if news is not None and "sentiment" in part.services and news != csv:
        # The folder, because a file that is replaced would stay what it was in the container.
        found["volumes"].append({"type": "bind", "source": news, "target": news, "read_only": True})
    if "BELLWETHER_NOTIFY_SECRETS" in found["environment"]:
        source = f"{on.directory}/notify"
        found["volumes"].append({"type": "bind", "source": source, "target": parts.NOTIFY_SECRETS, "read_only": True})
    return found


def _container(on: Installation, memory_mebibytes: int) -> dict[str, Any]:
    """Return what is the same for all: restricted, bounded, and started again when it ends."""
    limits = {"cpus": "1.0", "memory": f"{memory_mebibytes}M", "pids": TASKS}
    return {
        "image": on.image,
        "user": on.user,
        "restart": "unless-stopped",
        "stop_grace_period": "30s",
        "read_only": True,
        "tmpfs": ["/tmp"],  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "deploy": {"resources": {"limits": limits}},
    }


def _health(url: str) -> dict[str, Any]:
    """Return a check by the interpreter of the image, which has no other program that can ask over HTTP."""
    code = f"import urllib.request; urllib.request.urlopen({url!r}, timeout=4)"
    return {"test": ["CMD", "python", "-c", code], **_HEALTH}


def _config(source: str, name: str) -> dict[str, str]:
    return {"source": source, "target": f"{CONFIGURATION}/{name}"}


def _secret(name: str) -> dict[str, str]:
    return {"source": name, "target": name}


def _folder(on: Installation, part: str) -> dict[str, Any]:
    return {"type": "bind", "source": f"{on.directory}/data/{part}", "target": DATA}


def _literal(value: Any) -> Any:
    """Return plain data in which no `$` begins a variable of compose."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        return {key: _literal(one) for key, one in value.items()}
    return [_literal(one) for one in value] if isinstance(value, list) else value


__all__ = ["Installation", "compose", "nats_text"]
