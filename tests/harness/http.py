"""HTTP to servers of this process."""

from __future__ import annotations

import ssl

import httpx

from harness.until import DEADLINE

NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts no certificate: to load the usual ones takes longer than most tests, and nothing here is HTTPS."""


def plain(port: int, token: str | None = None) -> httpx.AsyncClient:
    """Return a client of a server on this machine, without TLS or a proxy; it shows a token where there is one."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    base = f"http://127.0.0.1:{port}"
    return httpx.AsyncClient(base_url=base, headers=headers, trust_env=False, verify=NOBODY, timeout=DEADLINE)
