"""The measuring side's connection to the API server: writes, counts, and watches that note when something was seen."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import ssl
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
import yaml

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
PAGE = 500
Raw = dict[str, Any]
Value = TypeVar("Value")


@contextlib.asynccontextmanager
async def connected(kubeconfig: Path | None = None) -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """Return a session with the rights that a kubeconfig gives by certificate, and the API server's address."""
    path = kubeconfig or Path(os.environ["KUBECONFIG"])
    document = yaml.safe_load(path.read_text())
    cluster, user = document["clusters"][0]["cluster"], document["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.NamedTemporaryFile() as pem:
        for name in ("client-certificate-data", "client-key-data"):
            pem.write(base64.b64decode(user[name]) + b"\n")
        pem.flush()
        context.load_cert_chain(pem.name)
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=2**20) as session:
        yield session, cluster["server"]


class Api:
    """What the measurement asks of the API server."""

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self._server = server

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Raw:
        """Return the answer.

        Raises:
            RuntimeError: when the server refuses.
        """
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type}
        async with self._session.request(method, self._server + path, data=data, headers=headers) as answer:
            text = await answer.text()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path} was answered with {answer.status}: {text[:300]}")
            found: Raw = json.loads(text)
            return found

    async def patch(self, path: str, change: Any) -> Raw:
        """Merge a change into an object."""
        return await self.call("PATCH", path, change, MERGE)

    async def list(self, path: str, selector: str = "") -> list[Raw]:
        """Return all objects of a collection, fetched page by page."""
        found: list[Raw] = []
        following = ""
        while True:
            query = f"?limit={PAGE}&labelSelector={selector}" + (f"&continue={following}" if following else "")
            answer = await self.call("GET", path + query)
            found += answer["items"]
            following = answer["metadata"].get("continue", "")
            if not following:
                return found

    async def count(self, path: str) -> int:
        """Return how many objects a collection has, without fetching them."""
        answer = await self.call("GET", f"{path}?limit=1")
        return len(answer["items"]) + int(answer["metadata"].get("remainingItemCount", 0))

    @contextlib.asynccontextmanager
    async def watch(self, path: str, fold: Callable[[Raw], Value | None]) -> AsyncIterator[Watched[Value]]:
        """Watch a collection from now on while the block lasts; what is there already is reported first."""
        watched = Watched(fold)
        task = asyncio.create_task(self._follow(path, watched))
        task.add_done_callback(watched.end)
        try:
            yield watched
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def served(self, path: str, seconds: float) -> None:
        """Return when a collection is served: a definition is established just before its objects are."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await self.count(path)
                except RuntimeError:
                    await asyncio.sleep(0.1)
                else:
                    return

    async def _follow(self, path: str, watched: Watched[Any]) -> None:
        """Follow a collection, and again when the server ends the watch: it does so with one who reads too slowly."""
        url = f"{self._server}{path}?watch=true"
        while True:
            async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=None)) as answer:
                if answer.status >= 400:
                    raise RuntimeError(f"watching {path} was answered with {answer.status}: {await answer.text()}")
                async for line in answer.content:
                    now = time.monotonic()
                    event = json.loads(line)
                    if event["type"] in {"ADDED", "MODIFIED"}:
                        watched.take(event["object"], now)


class Watched(Generic[Value]):
    """What a watch has shown: of each object, by name, the folded value and when it was first seen with it."""

    def __init__(self, fold: Callable[[Raw], Value | None]) -> None:
        self._fold = fold
        self._seen: dict[str, tuple[Value, float]] = {}
        self._late: dict[str, Callable[[Value], bool]] = {}
        self._complete = asyncio.Event()
        self._ended = ""

    def end(self, task: asyncio.Task[None]) -> None:
        """Note that the watch is over: nothing more will be seen."""
        problem = None if task.cancelled() else task.exception()
        self._ended = f"the watch ended: {problem!r}"
        self._complete.set()

    def take(self, raw: Raw, now: float) -> None:
        """Note an object as it is at a time of the monotonic clock."""
        value = self._fold(raw)
        name = raw["metadata"]["name"]
        if value is None or self._seen.get(name, (None, 0.0))[0] == value:
            return
        self._seen[name] = (value, now)
        good = self._late.get(name)
        if good is not None and good(value):
            del self._late[name]
            if not self._late:
                self._complete.set()

    def value(self, name: str) -> Value | None:
        """Return the value last seen, None without one."""
        found = self._seen.get(name)
        return None if found is None else found[0]

    async def until(self, what: str, wanted: Mapping[str, Callable[[Value], bool]], seconds: float) -> float:
        """Return when, on the monotonic clock, the last of these objects was first seen with a value that will do.

        One wait at a time.

        Raises:
            RuntimeError: naming one that is late, when it takes longer.
        """
        self._late = {
            name: good for name, good in wanted.items() if (seen := self._seen.get(name)) is None or not good(seen[0])
        }
        self._complete.clear()
        try:
            async with asyncio.timeout(seconds):
                if self._late and not self._ended:
                    await self._complete.wait()
        except TimeoutError:
            name = next(iter(self._late))
            raise RuntimeError(
                f"{what}: not within {seconds:.0f} s for {len(self._late)} of {len(wanted)}, "
                f"such as {name}, last seen as {self.value(name)!r}"
            ) from None
        if self._late:
            raise RuntimeError(f"{what}: {self._ended}")
        return max(self._seen[name][1] for name in wanted)
