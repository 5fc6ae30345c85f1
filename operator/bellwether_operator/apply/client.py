"""The few calls to the API server that the operator makes, over the Kubernetes client's own connection."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import aiohttp
from kubernetes.aio import client as kubernetes_client
from kubernetes.aio import config as kubernetes_config

from bellwether.render.kubernetes.context import MANAGER
from bellwether_operator import telemetry
from bellwether_operator.observe.kinds import SYSTEMS, Kind

APPLY_PATCH = "application/apply-patch+yaml"
MERGE_PATCH = "application/merge-patch+json"
WHOLE = "application/json"
METADATA_ONLY = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
"""In what form objects are asked for."""
REQUEST_SECONDS = 20
CALLS_AT_ONCE = 24
"""Requests that are under way together, of all systems: each connection takes 0.3 MiB of TLS buffers."""
WATCH_SECONDS = 600
"""After this long the server ends a watch, and it goes on with the next one."""
SILENCE_SECONDS = 90.0
"""A live watch is heard of at least once a minute, by a bookmark; after this long without one it is given up."""
PAGE_BYTES = 4 * 1024 * 1024
"""Of a page with more than one object; where it has more, fewer objects are asked for. Anybody can give large ones our
labels, and what is read is in memory several times over while it is taken apart."""
EVENT_LIMIT = 16 * 1024 * 1024
"""No event of a watch has more bytes: etcd takes objects of 1.5 MiB, each byte of which may take six in JSON."""
EVENTS_AT_MOST = 50
"""Events about one object: the same one again is counted, not made again."""
_UNDECLARED = re.compile(r"\.status\.(\w+)[^:\n]*: field not declared in schema")
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


class _TooLargeError(Exception):
    """A reply has more bytes than are wanted at once."""


@dataclass(frozen=True)
class Listing:
    """Objects of one kind as of a resource version; `following` asks for those that come after, if any."""

    items: list[dict[str, Any]]
    resource_version: int
    following: str = ""
    limit: int = 0
    """How many objects were asked for."""


class Client:
    """Server-side apply, delete, read and list, with plain dicts."""

    def __init__(self, api: Any) -> None:
        self._api = api
        self._calls = asyncio.Semaphore(CALLS_AT_ONCE)

    @classmethod
    async def connect(cls, kubeconfig: str | None = None) -> Client:
        """Return a client with the pod's own account or, outside a cluster, the kubeconfig's."""
        configuration = kubernetes_client.Configuration()
        # Otherwise aiohttp looks into ~/.netrc, in a thread, before each request. kopf asks no environment either.
        configuration.client_session_kwargs = {"trust_env": False}
        configuration.connection_pool_maxsize = 0  # calls are counted here, and watches must not wait for them
        loaders: Any = kubernetes_config  # the library has no types for these
        try:
            loaders.load_incluster_config(client_configuration=configuration)
        except kubernetes_config.ConfigException:
            await loaders.load_kube_config(config_file=kubeconfig, client_configuration=configuration)
        return cls(kubernetes_client.ApiClient(configuration=configuration))

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def apply(self, kind: Kind, manifest: Mapping[str, Any], uid: str | None = None) -> dict[str, Any]:
        """Apply an object server-side as our field manager, and return what it has become; of a Secret, metadata only.

        With a `uid` only this very object is written to. Without one the object may be made, but then it may also be
        one that somebody else made just before.

        Raises:
            ApiError: if the server refuses, or was not reached; a conflict where the object is another or is gone.
        """
        metadata = manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        query = {"fieldManager": MANAGER, "force": "true"}
        return await self._call("PATCH", path, query, of_uid(manifest, uid), APPLY_PATCH, accept=_form(kind))

    async def overwrite(self, kind: Kind, manifest: Mapping[str, Any], uid: str | None = None) -> None:
        """Put our values over an object, whole lists included; what others have in maps stays. As to `uid`, see apply.

        For what server-side apply cannot undo: an entry of a keyed list whose key somebody edited, such as a port's
        number, counts as theirs, and beside ours it would be a duplicate.
        """
        metadata = manifest["metadata"]
        path = kind.path(metadata["namespace"], metadata["name"])
        await self._call("PATCH", path, {"fieldManager": MANAGER}, of_uid(manifest, uid), MERGE_PATCH)

    async def scale(self, kind: Kind, namespace: str, name: str, replicas: int) -> None:
        """Change nothing of a workload but how many pods it is to have."""
        body = {"spec": {"replicas": replicas}}
        await self._call("PATCH", kind.path(namespace, name), {"fieldManager": MANAGER}, body, MERGE_PATCH)

    async def annotate(
        self, kind: Kind, namespace: str, name: str, annotations: Mapping[str, str | None]
    ) -> dict[str, Any]:
        """Write annotations, take those away that are None, and return the object."""
        body = {"metadata": {"annotations": dict(annotations)}}
        return await self._call("PATCH", kind.path(namespace, name), {"fieldManager": MANAGER}, body, MERGE_PATCH)

    async def events_about(self, namespace: str, field: str, value: str) -> list[dict[str, Any]]:
        """Return the newest Events (core/v1) about what has this value in a field such as `involvedObject.uid`."""
        query = {"fieldSelector": f"{field}={value}", "limit": str(EVENTS_AT_MOST)}
        found = await self._call("GET", f"/api/v1/namespaces/{namespace}/events", query)
        return list(found["items"])

    async def apply_status(
        self, namespace: str, name: str, status: Mapping[str, Any], kind: Kind = SYSTEMS
    ) -> dict[str, Any]:
        """Apply the status of a system, or of another object with one, and return the object.

        What an older definition of its kind does not declare is left out: else nothing would be said at all.
        """
        body = {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {"name": name, "namespace": namespace},
            "status": status,
        }
        path, query = kind.path(namespace, name) + "/status", {"fieldManager": MANAGER, "force": "true"}
        try:
            return await self._call("PATCH", path, query, body, APPLY_PATCH)
        except ApiError as error:
            undeclared = _UNDECLARED.search(error.message)
            if undeclared is None or undeclared[1] not in status:
                raise
        # The server names one at a time.
        declared = {each: value for each, value in status.items() if each != undeclared[1]}
        return await self.apply_status(namespace, name, declared, kind)

    async def get(self, kind: Kind, namespace: str, name: str) -> dict[str, Any] | None:
        """Return an object, or None when there is none of that name."""
        try:
            return await self._call("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == _NOT_FOUND:
                return None
            raise

    async def knows(self, kind: Kind, namespace: str) -> bool:
        """Return whether the API server serves a kind: of one that it does, it says the name of what is not there."""
        try:
            await self._call("GET", kind.path(namespace, "bellwether-asks-whether-this-kind-is-known"))
        except ApiError as error:
            if error.status != _NOT_FOUND:
                raise
            return "bellwether-asks" in error.message
        return True

    async def page(
        self, kind: Kind, namespace: str | None, selector: str, limit: int, following: str = "", *, whole: bool = True
    ) -> Listing:
        """Return a part of the objects of a kind in a namespace, or everywhere; or, of each, only the metadata.

        It has `limit` objects at the most, and fewer where these are large.
        """
        query = {"labelSelector": selector, "continue": following}
        query = {name: text for name, text in query.items() if text}
        while True:
            most = PAGE_BYTES if limit > 1 else None
            accept = WHOLE if whole else METADATA_ONLY
            try:
                found = await self._call(
                    "GET", kind.path(namespace), query | {"limit": str(limit)}, accept=accept, most=most
                )
            except _TooLargeError:
                limit = max(1, limit // 8)
                continue
            metadata = found["metadata"]
            return Listing(found["items"], int(metadata["resourceVersion"]), metadata.get("continue", ""), limit)

    async def watch(
        self, kind: Kind, namespace: str | None, selector: str, since: int
    ) -> AsyncGenerator[dict[str, Any], None]:
        """Yield what happens to the objects of a kind after a resource version, until the server ends the watch.

        Of kinds whose content is no part of the picture only the metadata comes.
        """
        accept = WHOLE if kind.stateful else METADATA_ONLY
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "labelSelector": selector,
            "resourceVersion": str(since),
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        limits = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_SECONDS, sock_read=SILENCE_SECONDS)
        try:
            response = await self._send("GET", kind.path(namespace), query, limits, {"Accept": accept})
            with contextlib.closing(response):
                if response.status >= 400:
                    raise _refusal(response, _answer(await response.read()))
                while line := await response.content.readline(max_line_length=EVENT_LIMIT):
                    yield json.loads(line)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _unreachable(error) from error

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

    async def identify(self, kind: Kind, namespace: str, name: str) -> dict[str, Any]:
        """Return the metadata of an object whose content we have no right to read.

        The right to patch is enough: the patch is empty, is not carried out, and only metadata is asked for.
        """
        path, query = kind.path(namespace, name), {"fieldManager": MANAGER, "dryRun": "All"}
        return await self._call("PATCH", path, query, {}, MERGE_PATCH, accept=METADATA_ONLY)

    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        *,
        accept: str = WHOLE,
        most: int | None = None,
    ) -> dict[str, Any]:
        try:
            async with self._calls:
                limits = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
                headers = {"Accept": accept, "Content-Type": content_type}
                response = await self._send(method, path, query or {}, limits, headers, body=body)
                with contextlib.closing(response):
                    text = await response.read() if most is None else await _read(response, most)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            telemetry.API_REQUESTS.labels(method, "unreachable").inc()
            raise _unreachable(error) from error
        telemetry.API_REQUESTS.labels(method, str(response.status)).inc()
        answer = _answer(text)
        if response.status >= 400:
            raise _refusal(response, answer)
        return answer

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        limits: aiohttp.ClientTimeout,
        headers: Mapping[str, str],
        *,
        body: Mapping[str, Any] | None = None,
    ) -> aiohttp.ClientResponse:
        # Not compressed: a few bytes on the wire could be many in memory.
        headers = {**headers, "Accept-Encoding": "identity", "User-Agent": "bellwether-operator"}
        await self._api.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        url = self._api.configuration.host + path + (f"?{urlencode(query)}" if query else "")
        found = await self._api.rest_client.request(method, url, headers=headers, body=body, _request_timeout=limits)
        response: aiohttp.ClientResponse = found.response
        return response


def of_uid(manifest: Mapping[str, Any], uid: str | None) -> Mapping[str, Any]:
    """Return an object with the uid of the one that it may be written to, if any."""
    return manifest if uid is None else {**manifest, "metadata": {**manifest["metadata"], "uid": uid}}


async def _read(response: aiohttp.ClientResponse, most: int) -> bytes:
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > most:
            raise _TooLargeError
    return bytes(found)


def _form(kind: Kind) -> str:
    return WHOLE if kind.observed else METADATA_ONLY


def _answer(text: bytes) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(text)
    except ValueError:
        return {"message": text[:200].decode(errors="replace")}
    return answer


def _refusal(response: aiohttp.ClientResponse, answer: Mapping[str, Any]) -> ApiError:
    causes = (answer.get("details") or {}).get("causes") or ()
    if any(each.get("field") == "metadata.uid" for each in causes):
        # The server calls the uid a field that cannot be changed; where the object is gone it says Conflict itself.
        return ApiError(_CONFLICT, "Conflict", "it is another object by now")
    return ApiError(response.status, str(answer.get("reason", "")), str(answer.get("message", response.reason)))


def _unreachable(error: Exception) -> ApiError:
    return ApiError(0, "Unreachable", f"the API server was not reached: {str(error) or type(error).__name__}")
