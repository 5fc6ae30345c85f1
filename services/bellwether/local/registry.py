"""The services that can be started in this program, by name, and running them as a process's environment says.

Their modules are loaded only when they are.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar

from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.logs import configure_logs
from bellwether.runtime.process import serve
from bellwether.runtime.service import Service
from bellwether.topology import SERVICES
from bellwether.wiring import start_order

Factory = Callable[[ServiceContext], Service]

MODULES: Mapping[str, str] = MappingProxyType(
    {
        "market-data": "bellwether.market_data.service",
        "data-quality": "bellwether.quality.service",
        "sentiment": "bellwether.sentiment.service",
        "ml-model": "bellwether.models.service",
        "ml-training": "bellwether.models.training",
        "prediction": "bellwether.prediction.service",
        "paper-trading": "bellwether.trading.service",
        "scheduler": "bellwether.scheduling.service",
        "backup": "bellwether.backups.service",
        "monitoring": "bellwether.monitoring.service",
        "gateway": "bellwether.gateway.service",
    }
)
"""Per service the module whose `create(context)` makes it."""


class UnknownService(ValueError):
    """A service was named that does not exist; the message lists those that do."""


def named_services(text: str) -> list[str]:
    """Return services in their start order from `all` or a list such as `market-data,ml-model`.

    Raises:
        UnknownService: naming what is not a service.
    """
    wanted = {part.strip() for part in text.split(",") if part.strip()}
    if wanted == {"all"}:
        return start_order()
    unknown = sorted(wanted - set(SERVICES))
    if unknown or not wanted:
        raise UnknownService(
            f"{', '.join(unknown) or '(nothing)'} is not a service: name {', '.join(start_order())}, or all"
        )
    return [name for name in start_order() if name in wanted]


def registry(names: Iterable[str], **settings: Any) -> dict[str, Factory]:
    """Return the factories of some services; `gateway=...` hands settings to the gateway's.

    Raises:
        UnknownService: naming what is not a service.
    """
    found: dict[str, Factory] = {}
    for name in names:
        if name not in MODULES:
            words = "has no module in MODULES" if name in SERVICES else f"is not a service: name {', '.join(MODULES)}"
            raise UnknownService(f"{name} {words}")
        create: Callable[..., Service] = importlib.import_module(MODULES[name]).create
        given = settings.get(name)
        found[name] = partial(create, settings=given) if given is not None else create
    return found


T = TypeVar("T")


def run_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the fastest event loop there is."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def serve_named(services: str, environ: Mapping[str, str]) -> int:
    """Run services until SIGTERM; return 0 after a clean end.

    Raises:
        UnknownService, ValueError, TokenError, StartRefused, StoreError, OSError: why they cannot start.
    """
    names = named_services(services)
    config = ProcessConfig.from_environment(environ)
    configure_logs(names[0] if len(names) == 1 else "process", config.log_level)
    settings: dict[str, Any] = {}
    if "gateway" in names:
        from bellwether.gateway.settings import GatewaySettings

        settings["gateway"] = GatewaySettings.from_environment(environ)
    run_loop(serve(config, registry(names, **settings)))
    return 0
