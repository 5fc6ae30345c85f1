"""What the operator is given at its start: read once, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MINIMUM_SEED_BYTES = 32


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names it and says what would be right."""


@dataclass(frozen=True)
class Settings:
    """The operator's settings."""

    services_image: str
    """The services' image, `repository:tag`."""
    installation_seed: bytes
    """Secret of the installation, from which every system's keys are derived."""
    watch_namespaces: tuple[str, ...] = ()
    """Namespaces to look after; none means all."""
    kubeconfig: str | None = None
    """Outside a cluster: the file that says where the API server is; none means the usual place."""
    image_pull_policy: str = "IfNotPresent"
    services_log_level: str = "info"
    log_level: str = "INFO"
    http_host: str = "0.0.0.0"  # noqa: S104 (probes come from the node)
    http_port: int = 8080
    """Port of /livez, /readyz and /metrics; 0 takes any free one."""
    gateway_url: str = "http://{name}-gateway.{namespace}.svc:8080"
    """Where a system's gateway answers, with {name} and {namespace}."""
    gateway_period: float = 15.0
    """Seconds between two looks at a gateway, jittered."""
    resync: float = 600.0
    """Seconds after which a system is looked at even when nothing happened, jittered."""

    rollout_deadline: float = 600.0
    """Seconds that new pods may take to become ready before what ran before is put back; a minute at most with a fault
    that does not go by itself."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: naming the variable, its value and what would be right.
        """
        return cls(
            services_image=_required(environ, "SERVICES_IMAGE", "repository:tag of the services' image"),
            installation_seed=_seed(environ),
            watch_namespaces=tuple(
                name.strip() for name in environ.get("WATCH_NAMESPACES", "").split(",") if name.strip()
            ),
            kubeconfig=environ.get("KUBECONFIG") or None,
            image_pull_policy=_one_of(environ, "IMAGE_PULL_POLICY", ("IfNotPresent", "Always", "Never")),
            services_log_level=environ.get("SERVICES_LOG_LEVEL", cls.services_log_level),
            log_level=_one_of(environ, "LOG_LEVEL", ("INFO", "DEBUG", "WARNING", "ERROR")),
            http_port=int(_number(environ, "HTTP_PORT", cls.http_port, 0, 65535)),
            gateway_url=environ.get("GATEWAY_URL", cls.gateway_url),
            gateway_period=_number(environ, "GATEWAY_PERIOD_SECONDS", cls.gateway_period, 0.05, 3600),
            resync=_number(environ, "RESYNC_SECONDS", cls.resync, 1, 86400),
            rollout_deadline=_number(environ, "ROLLOUT_DEADLINE_SECONDS", cls.rollout_deadline, 1, 86400),
        )


def _required(environ: Mapping[str, str], name: str, meaning: str) -> str:
    value = environ.get(name, "")
    if not value:
        raise SettingsError(f"{name} is not set: it is the {meaning}")
    return value


def _seed(environ: Mapping[str, str]) -> bytes:
    path = _required(environ, "INSTALLATION_SEED_FILE", "file that holds the installation's seed")
    try:
        seed = Path(path).read_bytes().strip()
    except OSError as error:
        raise SettingsError(f"INSTALLATION_SEED_FILE={path!r} cannot be read: {error.strerror}") from error
    if len(seed) < MINIMUM_SEED_BYTES:
        found = f"INSTALLATION_SEED_FILE={path!r} has {len(seed)} bytes"
        raise SettingsError(f"{found}: at least {MINIMUM_SEED_BYTES} random ones are needed")
    return seed


def _one_of(environ: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = environ.get(name, allowed[0])
    found = {each.lower(): each for each in allowed}.get(value.lower())
    if found is None:
        raise SettingsError(f"{name}={value!r}: must be one of {', '.join(allowed)}")
    return found


def _number(environ: Mapping[str, str], name: str, default: float, low: float, high: float) -> float:
    value = environ.get(name)
    if value is None:
        return default
    try:
        number = float(value)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise SettingsError(f"{name}={value!r}: must be a number from {low:g} to {high:g}")
    return number
