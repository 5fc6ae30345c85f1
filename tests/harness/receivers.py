"""Receivers of notifications on this machine: an HTTP server and a mail server that can be stopped."""

from __future__ import annotations

import asyncio
import email
import json
import ssl
from dataclasses import dataclass, field
from email.message import Message
from email.policy import default
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from harness.nats import free_port


@dataclass
class HttpReceiver:
    """Takes POSTs; `status` is what it answers with."""

    port: int = field(default_factory=free_port)
    status: int = 200
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    refused: int = 0
    _server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The bodies that it took."""
        return [json.loads(body) for _, body in self.taken]

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Be away: whoever connects is refused."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        headers = {
            name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head.splitlines()[1:])
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        if self.status == 200:
            self.taken.append(({**headers, "": head.splitlines()[0]}, body))
        else:
            self.refused += 1
        writer.write(f"HTTP/1.1 {self.status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@dataclass
class MailReceiver:
    """A mail server with STARTTLS and a password."""

    tls: ssl.SSLContext
    user: str
    password: str
    port: int = field(default_factory=free_port)
    mails: list[Message] = field(default_factory=list)
    _server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", self.port)

    async def stop(self) -> None:
        """Be away."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    def _protocol(self) -> SMTP:
        return SMTP(
            self,
            hostname="mail.test",
            tls_context=self.tls,
            require_starttls=True,
            auth_required=True,
            authenticator=self._authenticate,
            loop=asyncio.get_running_loop(),
        )

    def _authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        good = (data.login, data.password) == (self.user.encode(), self.password.encode())
        return AuthResult(success=good, handled=good)

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        """Take a mail."""
        self.mails.append(email.message_from_bytes(envelope.content or b"", policy=default))  # type: ignore[arg-type]
        return "250 OK"
