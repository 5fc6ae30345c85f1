"""The old system's client: calls a service through its Unix socket. Needs nothing but Python.

    from services.base_service import BaseService

    BaseService("test").call_service("prediction", "generate_predictions", symbols=["CBA.AX"])

The folder of the sockets is `spec.compatibility.socketDirectory`; here it is TRADING_SOCKET_DIR, else /tmp.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Generator
from typing import Any

TIMEOUT_SECONDS = 30.0
CONNECT_SECONDS = 5.0


class ServiceError(RuntimeError):
    """A service could not be reached, or answered with an error."""


class Result(dict[str, Any]):
    """What a service answered. Old callers wrote `await service.call_service(...)`, others did not: both work."""

    def __await__(self) -> Generator[Any, None, Result]:
        """Return itself: it is there already."""
        return self
        yield


class BaseService:
    """A caller; `service_name` is its own name, for its messages."""

    def __init__(self, service_name: str, socket_directory: str | None = None) -> None:
        self.service_name = service_name
        self.socket_directory = socket_directory or os.environ.get("TRADING_SOCKET_DIR", "/tmp")  # noqa: S108 (where the old system had them)

    def call_service(self, service: str, method: str, timeout: float = TIMEOUT_SECONDS, **params: Any) -> Result:
        """Return the result of a method of a service.

        Raises:
            ServiceError: with the service's words, or why it cannot be reached.

        """
        path = f"{self.socket_directory}/trading_{service}.sock"
        request = {"method": method, "params": params, "timestamp": time.time()}
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(CONNECT_SECONDS)
                connection.connect(path)
                connection.settimeout(timeout)
                connection.sendall(json.dumps(request).encode())
                chunks = []
                while chunk := connection.recv(65536):
                    chunks.append(chunk)
        except OSError as error:
            raise ServiceError(f"{service} cannot be reached at {path}: {error}") from error
        try:
            reply = json.loads(b"".join(chunks))
        except ValueError as error:
            raise ServiceError(f"{service}.{method}: the reply is no JSON") from error
        if reply["status"] != "success":
            raise ServiceError(f"{service}.{method}: {reply['error']}")
        result = reply["result"]
        return Result(result if isinstance(result, dict) else {"result": result})
