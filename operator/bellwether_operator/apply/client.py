"""The few calls to the API server that the operator makes, over the Kubernetes client's own connection."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from bellwether.render.kubernetes.names import MANAGER
from bellwether_operator import telemetry
from bellwether_operator.observe.kinds import SYSTEMS, Kind

APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
REQUEST_SECONDS = 20
_CONFLICT = 409
_NOT_FOUND = 404
_TOO_MANY = 429
_INVALID = 422
_SERVER_ERROR = 500


class ApiError(Exception):
    """The API server refused or failed: its status and its own words; status 0 when it was not reached."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message

    @property
    def invalid(self) -> bool:
        """Whether the object that the request would have made breaks a rule of its kind."""
        return self.status == _INVALID

    @property
    def transient(self) -> bool:
        """Whether trying again soon may help without anybody changing anything."""
        return self.status in {0, _CONFLICT, _TOO_MANY} or self.status >= _SERVER_ERROR


@dataclass(frozen=True)
class Listing:
    """Objects of one kind as of a resource version."""

    items: list[dict[str, Any]]
    resource_version: int


class Client:
    """Server-side apply, delete, read and list, with plain dicts."""

    def __init__(self, api: Any) -> None:
        self._api = api

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Client:
        """Return a client with the pod's own account or, outside a cluster, the kubeconfig's."""
        configuration = kubernetes_client.Configuration()
        loaders: Any = kubernetes_config  # the library has no types for these
        try:
            loaders.load_incluster_config(client_configuration=configuration)
        except kubernetes_config.ConfigException:
            await loaders.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
        return cls(kubernetes_client.ApiClient(configuration=configuration))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], *, force: bool = True) -> dict[str, Any]:
        """Apply an object server-side as our field manager, and return what it has become.

        Raises:
            ApiError: if the server refuses, or was not reached.

        """
        metadata = manifest["metadata"]
        query = {"fieldManager": MANAGER, "force": "true" if force else "false"}
        return await self._call(
            "PATCH", kind.path(metadata["namespace"], metadata["name"]), query, manifest, APPLY_PATCH
        )

    async def overwrite(self, kind: Kind, manifest: Mapping[str, Any]) -> None:
        """Put our values over an object, whole lists included; what others have in maps stays.

        For what server-side apply cannot undo: an entry of a keyed list whose key somebody edited, such as a port's
        number, counts as theirs, and beside ours it would be a duplicate.
        """
        metadata = manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        await self._call("PATCH", path, {"fieldManager": MANAGER}, manifest, MERGE_PATCH)

    async def apply_status(self, namespace: str, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        """Apply a system's status, and return the system."""
        body = {
            "apiVersion": SYSTEMS.api_version,
            "kind": SYSTEMS.kind,
            "metadata": {"name": name, "namespace": namespace},
            "status": status,
        }
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._call("PATCH", SYSTEMS.path(namespace, name) + "/status", query, body, APPLY_PATCH)

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None when there is none of that name."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def list(self, kind: Kind, namespace: str | None, label_selector: str = "") -> Listing:
        """Return all objects of a kind in a namespace, or everywhere."""
        query = {"labelSelector": label_selector} if label_selector else {}
        found = await self._call("GET", kind.path(namespace), query)
        return Listing(found["items"], int(found["metadata"]["resourceVersion"]))

    async def delete(self, kind: Kind, namespace: str, name: str, uid: str) -> None:
        """Delete this very object; that it is gone already, or is another one by now, is no error."""
        body = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        try:
            await self._call("DELETE", kind.path(namespace, name), {}, body)
        except ApiError as error:
            if error.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    async def create(self, path: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create an object, and return it."""
        return await self._call("POST", path, {}, manifest)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> dict[str, Any]:
        headers = {"Accept": "application/json", "Content-Type": content_type, "User-Agent": "bellwether-operator"}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self._api.rest_client.request(
                method, url, headers=headers, body=body, _request_timeout=REQUEST_SECONDS
            )
            text = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            telemetry.API_REQUESTS.labels(method, "unreachable").inc()
            raise ApiError(
                0, "Unreachable", f"the API server was not reached: {error or type(error).__name__}"
            ) from error
        telemetry.API_REQUESTS.labels(method, str(response.status)).inc()
        try:
            answer = json.loads(text)
        except ValueError:
            answer = {"message": text[:200].decode(errors="replace")}
        if response.status >= 400:
            raise ApiError(response.status, str(answer.get("reason", "")), str(answer.get("message", response.reason)))
        found: dict[str, Any] = answer
        return found
