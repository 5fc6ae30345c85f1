"""`bellwether bridge redis`: the events of a system on the channels of the old one."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from bellwether.cli.client import CommandError, ReachableClient, in_words, trusted
from bellwether.cli.options import GatewayAccess, say, talks
from bellwether.migrate.channels import OldMessage, old_message, stream_messages

if TYPE_CHECKING:
    import redis as redis_package

app = typer.Typer(no_args_is_help=True, help="Hand events on to the bus of the old system.")
SILENCE_SECONDS = 45.0
"""The gateway says that it is there every 15 s."""
REDIS_SECONDS = 5.0
_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)


@app.callback()
def _a_group() -> None:
    """Keep `redis` a command of its own, though it is the only one."""


@app.command()
@talks
def redis(
    access: GatewayAccess,
    redis: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL", help="redis://HOST:6379/0 or rediss://...; else BELLWETHER_REDIS_URL."),
    ] = None,
) -> None:
    """Publish every event on the old Redis channel `trading:PRIORITY:TYPE`, until it is ended.

        bellwether bridge redis --redis redis://127.0.0.1:6379/0

    A password belongs into BELLWETHER_REDIS_URL: arguments can be read by others.
    What happens while the gateway or Redis is unreachable is lost to Redis, as
    its channels keep nothing; the system itself misses no event for it.
    """
    address = redis or os.environ.get("BELLWETHER_REDIS_URL")
    if address is None:
        raise CommandError("--redis is missing: write redis://HOST:6379/0, or set BELLWETHER_REDIS_URL")
    with in_words(RefusedError):
        _Bridge(access.client, _connect(address), _shown(address)).run()


def _shown(address: str) -> str:
    """Return an address without user and password."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _connect(address: str) -> redis_package.Redis:
    try:
        import redis as package
    except ImportError:
        raise CommandError(
            "the package redis is not installed: pip install --require-hashes -r requirements/bridge.txt"
        ) from None
    try:
        return package.Redis.from_url(address, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
    except ValueError as error:
        raise CommandError(f"--redis {_shown(address)}: {error}") from error


class RefusedError(Exception):
    """Redis or the gateway refuses what the bridge asks of it: trying again does not help."""


class _Bridge:
    """Reads the gateway's stream and publishes what it says; waits longer after each failure, 15 s at most."""

    def __init__(self, client: ReachableClient, redis: redis_package.Redis, shown: str) -> None:
        self._client = client
        self._redis = redis
        self._shown = shown
        self._failures = 0

    def run(self) -> None:
        import httpx

        while True:
            try:
                with self._client.reached() as (url, token):
                    self._stream(url, token)
                self._wait(f"the stream of {url} ended")
            except (httpx.TransportError, CommandError) as error:
                self._wait(f"the gateway: {error}")

    def _stream(self, url: str, token: str | None) -> None:
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        patience = httpx.Timeout(SILENCE_SECONDS)
        with (
            httpx.Client(trust_env=False, verify=trusted(url), timeout=patience) as http,
            http.stream("GET", f"{url}/v1/events", headers=headers) as reply,
        ):
            if reply.status_code in (401, 403):
                raise RefusedError(f"the gateway refuses the token (status {reply.status_code}): name it with --token")
            if reply.status_code != 200:
                raise CommandError(f"it answered with status {reply.status_code}")
            say(f"bridging {url} to {self._shown}")
            self._failures = 0
            for name, data in stream_messages(reply.iter_lines()):
                self._hand_on(name, data)

    def _hand_on(self, name: str, data: dict[str, Any]) -> None:
        if name == "missed":
            say(f"{data.get('messages')} messages were lost: they came faster than Redis took them")
        message = old_message(name, data)
        if message is not None:
            self._publish(message)

    def _publish(self, message: OldMessage) -> None:
        """Publish a message; it is tried again until Redis is reachable, and the gateway keeps what comes meanwhile."""
        import redis

        while True:
            try:
                self._redis.publish(message.channel, message.body)
            except (redis.ConnectionError, redis.TimeoutError) as error:
                self._wait(f"{self._shown}: {error}")
            except redis.RedisError as error:
                # A wrong password or a command that is not allowed does not mend itself.
                raise RefusedError(f"{self._shown}: {error}") from error
            else:
                self._failures = 0
                return

    def _wait(self, why: str) -> None:
        seconds = _WAITS[min(self._failures, len(_WAITS) - 1)]
        self._failures += 1
        say(f"{why}; trying again in {seconds:g} s")
        time.sleep(seconds)
