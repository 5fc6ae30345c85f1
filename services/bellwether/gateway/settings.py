"""The settings of the gateway."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bellwether.gateway.auth import read_token
from bellwether.gateway.feed import WATCHERS
from bellwether.gateway.traces import DEFAULT_LIMIT_BYTES
from bellwether.runtime.config import number

PORT = 8080


@dataclass(frozen=True)
class GatewaySettings:
    """Where it listens, who may change something, and how many traces it keeps."""

    host: str = "0.0.0.0"  # noqa: S104 (a Service and an ingress reach it)
    port: int = PORT
    """0 takes any free one."""
    token: str | None = None
    """It opens everything, and others follow from it; None: nobody is let in, unless the declaration opens reads."""
    trace_bytes: int = DEFAULT_LIMIT_BYTES
    streams: int = WATCHERS
    """How many event streams it has open at once."""
    trace_keep_ratio: float = 1.0
    """Share of traces without order, refusal or error that are kept, 0 to 1."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> GatewaySettings:
        """Read `BELLWETHER_GATEWAY_*` variables; what is not set keeps its default.

        Raises:
            ValueError: naming the variable, its value and what would be right.
            TokenError: if the token file cannot be used.
        """
        token_file = environ.get("BELLWETHER_GATEWAY_TOKEN_FILE", "")
        return cls(
            host=environ.get("BELLWETHER_GATEWAY_HOST", cls.host),
            port=int(number(environ, "BELLWETHER_GATEWAY_PORT", cls.port, 0, 65535)),
            token=read_token(Path(token_file)) if token_file else None,
            trace_bytes=int(number(environ, "BELLWETHER_TRACE_BYTES", cls.trace_bytes, 1_000_000, 1e12)),
            trace_keep_ratio=number(environ, "BELLWETHER_TRACE_KEEP_RATIO", cls.trace_keep_ratio, 0, 1),
        )
