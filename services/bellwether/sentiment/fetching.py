"""Fetches a feed within limits of size and time, from public hosts only."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import httpx

from bellwether.sentiment.csv_news import NewsError

MOST_REDIRECTS = 5
_TRANSLATED = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("2002::/16"))
"""Addresses that lead to an IPv4 address, which may be a private one."""


class Fetched(NamedTuple):
    """A feed's bytes, and the type that its server gives them."""

    body: bytes
    content_type: str


@dataclass(frozen=True)
class Reach:
    """How hosts outside are reached, and how much and how long is read."""

    proxy: str | None = None
    ca_bundle: Path | None = None
    most_bytes: int = 2 * 1024 * 1024
    seconds: float = 15.0


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, not of this machine, cluster or local network."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if any(found in network for network in _TRANSLATED):
            return False
    return found.is_global and not found.is_multicast


async def fetch(url: str, reach: Reach, *, private: bool = False) -> Fetched:
    """Return what a URL holds. Redirects are followed to public hosts only, whatever `private` allows for the first.

    Raises:
        NewsError: saying what is wrong: the host, the answer, its size, the time.
    """
    try:
        async with asyncio.timeout(reach.seconds):
            return await _fetch(url, reach, private=private)
    except TimeoutError as error:
        raise NewsError(f"no complete answer in {reach.seconds:g} s") from error
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise NewsError(f"it cannot be fetched: {str(error)[:200] or type(error).__name__}") from error


async def _fetch(url: str, reach: Reach, *, private: bool) -> Fetched:
    verify = ssl.create_default_context(cafile=str(reach.ca_bundle)) if reach.ca_bundle else True
    asked = httpx.URL(url)
    async with httpx.AsyncClient(proxy=reach.proxy, verify=verify, trust_env=False, timeout=reach.seconds) as client:
        for hop in range(MOST_REDIRECTS + 1):
            request = await _request(client, asked, reach, private=private and hop == 0)
            answer = await client.send(request, stream=True)
            try:
                if answer.is_redirect:
                    asked = asked.join(answer.headers["location"])
                    continue
                if answer.status_code != httpx.codes.OK:
                    raise NewsError(f"the answer is {answer.status_code}, not 200")
                return Fetched(await _body(answer, reach.most_bytes), answer.headers.get("content-type", "")[:100])
            finally:
                await answer.aclose()
    raise NewsError(f"more than {MOST_REDIRECTS} redirects")


async def _request(client: httpx.AsyncClient, url: httpx.URL, reach: Reach, *, private: bool) -> httpx.Request:
    """Return the request to the address that was checked, so that no second look-up can give another one."""
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise NewsError("it leads to an address that is not plain http or https")
    headers = {"Accept-Encoding": "identity", "User-Agent": "bellwether"}
    if reach.proxy is not None:
        _refuse(url.host, [url.host] if _is_address(url.host) else [], private=private)
        return client.build_request("GET", url, headers=headers)
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    _refuse(url.host, addresses, private=private)
    headers["Host"] = url.netloc.decode("ascii")
    extensions = {"sni_hostname": url.raw_host.decode("ascii")} if url.scheme == "https" else {}
    return client.build_request("GET", url.copy_with(host=addresses[0]), headers=headers, extensions=extensions)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _refuse(host: str, addresses: Iterable[str], *, private: bool) -> None:
    inner = [address for address in addresses if not is_public(address)]
    if inner and not private:
        raise NewsError(f"host {host} has the address {inner[0]}, which is not public (a feed may be private: true)")


async def _body(answer: httpx.Response, most: int) -> bytes:
    if answer.headers.get("content-encoding", "identity") != "identity":
        raise NewsError("the answer is compressed, though that was not asked for")
    parts, size = [], 0
    async for part in answer.aiter_raw():
        size += len(part)
        if size > most:
            raise NewsError(f"it is longer than {most} bytes")
        parts.append(part)
    return b"".join(parts)
