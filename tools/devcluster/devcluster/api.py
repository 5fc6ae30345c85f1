"""Reading from the API server, without a library: enough to see what is ready."""

from __future__ import annotations

import http.client
import json
import ssl
from typing import Any

from devcluster.config import ClusterConfig


class ApiReader:
    """GET requests with the administrator's certificate."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._context = ssl.create_default_context(cafile=str(config.pki / "ca.crt"))
        self._context.load_cert_chain(config.pki / "admin.crt", config.pki / "admin.key")

    def text(self, path: str) -> str | None:
        """The body, or None when there is no answer with status 200."""
        connection = http.client.HTTPSConnection(
            self._config.api_host, self._config.api_port, timeout=5, context=self._context
        )
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read().decode()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return body if response.status == 200 else None

    def json(self, path: str) -> Any | None:
        """The body read as JSON, or None."""
        body = self.text(path)
        return None if body is None else json.loads(body)

    def ready(self) -> bool:
        """Whether the API server says that it is ready."""
        return self.text("/readyz") is not None

    def condition(self, path: str, kind: str) -> bool:
        """Whether an object has a condition of this type with status True."""
        found = self.json(path)
        conditions = found.get("status", {}).get("conditions", []) if found else []
        return any(c["type"] == kind and c["status"] == "True" for c in conditions)
