"""`bellwether serve`: services of one process, as its environment says."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from bellwether.local.registry import named_services, registry
from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.logs import configure_logs
from bellwether.runtime.process import serve

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
