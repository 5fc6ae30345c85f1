"""Sends one notice to one channel: a signed webhook, a mail, or a push message. Its errors hold no secret."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bellwether.monitoring.book import Notice
from bellwether.spec.notifications import Notification

SECONDS = 15.0
SIGNATURE_HEADER = "Bellwether-Signature"
ID_HEADER = "Bellwether-Id"
_LONGEST_SECRET = 8 * 1024
_PRIORITY = {"info": 2, "warning": 3, "critical": 5}
_TAGS = {"raised": "rotating_light", "resolved": "white_check_mark", "report": "bar_chart", "test": "wave"}


class DeliveryFailed(Exception):
    """A notice did not arrive; the message says why, without any secret."""


@dataclass(frozen=True)
class Ways:
    """How hosts are reached, and where secrets are."""

    system: str
    secrets: Path | None = None
    """The folder with a folder for each Secret, and in there a file for each entry."""
    proxy: str | None = None
    ca_bundle: Path | None = None
    seconds: float = SECONDS


def signature(key: str, timestamp: int, body: bytes) -> str:
    """Return the header that a receiver checks: `t=<seconds>,v1=<hex HMAC-SHA256 of "seconds.body">`."""
    signed = hmac.new(key.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={signed}"


_PLACE = re.compile(r"\{(\w+)\}")


def facts(system: str, notice: Notice) -> dict[str, str]:
    """Return what a template may name."""
    return {
        "system": system,
        "severity": notice.severity,
        "state": notice.state,
        "type": notice.type,
        "service": notice.service,
        "message": notice.message,
        "since": f"{notice.since:%Y-%m-%d %H:%M} UTC",
    }


def line(channel: Notification, system: str, notice: Notice) -> str:
    """Return the text of a channel's template, as one line."""
    known = facts(system, notice)
    filled = _PLACE.sub(lambda found: known.get(found.group(1), found.group(0)), channel.template)
    return " ".join(filled.split())


def letter(channel: Notification, system: str, notice: Notice) -> str:
    """Return the text of a mail."""
    known = facts(system, notice)
    head = line(channel, system, notice)
    rows = [f"{name}: {known[name]}" for name in ("system", "type", "service", "severity", "state", "since")]
    details = [notice.details, ""] if notice.details else []
    return "\n".join([head, "", *details, *rows, f"id: {notice.id}", ""])


def document(channel: Notification, system: str, notice: Notice) -> dict[str, Any]:
    """Return the body of a webhook; `text` is what chat programs show."""
    return {
        "id": f"{notice.id}.{channel.name}",
        "notification": channel.name,
        "text": line(channel, system, notice),
        **facts(system, notice),
        "details": notice.details,
        "since": f"{notice.since:%Y-%m-%dT%H:%M:%SZ}",
        "timestamp": f"{notice.at:%Y-%m-%dT%H:%M:%SZ}",
    }


async def send(channel: Notification, notice: Notice, ways: Ways) -> None:
    """Send a notice.

    Raises:
        DeliveryFailed: saying why it is not known to have arrived.
    """
    try:
        async with asyncio.timeout(ways.seconds):
            if channel.kind == "email":
                await asyncio.to_thread(_mail, channel, notice, ways)
            elif channel.kind == "ntfy":
                await _ntfy(channel, notice, ways)
            else:
                await _webhook(channel, notice, ways)
    except TimeoutError:
        raise DeliveryFailed(f"no answer within {ways.seconds:g} s") from None


def _secret(channel: Notification, entry: str, ways: Ways) -> str | None:
    """Return an entry of the channel's Secret; None where it has none, or there is no Secret."""
    if channel.secret_ref is None:
        return None
    name = channel.secret_ref.name
    if ways.secrets is None:
        raise DeliveryFailed(f"secret {name}: there is no folder of secrets; set BELLWETHER_NOTIFY_SECRETS")
    folder = ways.secrets / name
    if not folder.is_dir() or not any(folder.iterdir()):
        raise DeliveryFailed(f"secret {name} is not there, or empty: it needs the entries that its kind names")
    try:
        with (folder / entry).open("rb") as file:
            return file.read(_LONGEST_SECRET).decode().strip() or None
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise DeliveryFailed(f"secret {name}: entry {entry} cannot be read ({type(error).__name__})") from None


def _url(channel: Notification, ways: Ways) -> str:
    url = channel.url or _secret(channel, "url", ways)
    if url is None:
        raise DeliveryFailed("there is no url: neither declared nor an entry of its secret")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise DeliveryFailed("the url is not one: it must begin with https:// or http://")
    return url


def is_near(host: str) -> bool:
    """Whether a host is in the cluster or the local network, so that no proxy leads to it."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".svc", ".local", ".internal"))


async def _post(url: str, body: bytes, headers: dict[str, str], ways: Ways) -> None:
    import ssl

    import httpx

    host = urlsplit(url).hostname or ""
    proxy = None if is_near(host) else ways.proxy
    verify = ssl.create_default_context(cafile=str(ways.ca_bundle)) if ways.ca_bundle else True
    try:
        async with httpx.AsyncClient(proxy=proxy, verify=verify, trust_env=False, timeout=ways.seconds) as client:
            answer = await client.post(url, content=body, headers={"User-Agent": "bellwether", **headers})
    except httpx.HTTPError as error:
        raise DeliveryFailed(f"{host} cannot be reached: {type(error).__name__}") from None
    except (httpx.InvalidURL, OSError, ValueError) as error:
        raise DeliveryFailed(f"the url cannot be used: {type(error).__name__}") from None
    if not answer.is_success:
        raise DeliveryFailed(f"{host} answered {answer.status_code}")


async def _webhook(channel: Notification, notice: Notice, ways: Ways) -> None:
    body = json.dumps(document(channel, ways.system, notice), separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", ID_HEADER: f"{notice.id}.{channel.name}"}
    key = _secret(channel, "key", ways)
    if key is not None:
        headers[SIGNATURE_HEADER] = signature(key, int(time.time()), body)
    await _post(_url(channel, ways), body, headers, ways)


async def _ntfy(channel: Notification, notice: Notice, ways: Ways) -> None:
    server, _, topic = _url(channel, ways).rpartition("/")
    title = f"{ways.system}: {notice.severity} {notice.state}"
    text = line(channel, ways.system, notice)
    priority = 2 if notice.state == "resolved" else _PRIORITY[notice.severity]
    body = {"topic": topic, "title": title, "message": text, "priority": priority, "tags": [_TAGS[notice.state]]}
    headers = {"Content-Type": "application/json"}
    token = _secret(channel, "token", ways)
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    await _post(f"{server}/", json.dumps(body).encode(), headers, ways)


def _mail(channel: Notification, notice: Notice, ways: Ways) -> None:
    import smtplib
    import ssl
    from email.message import EmailMessage
    from email.utils import format_datetime

    email = channel.email
    if email is None:
        raise DeliveryFailed("kind email has no settings")
    user, password = _secret(channel, "username", ways), _secret(channel, "password", ways)
    if user is not None and email.security == "none":
        raise DeliveryFailed("a password is not sent over a connection without encryption: use starttls or tls")
    message = EmailMessage()
    message["From"], message["To"] = email.from_, ", ".join(email.to)
    message["Subject"] = line(channel, ways.system, notice)[:200]
    message["Date"] = format_datetime(notice.at)
    message["Message-ID"] = f"<{notice.id}.{channel.name}@{ways.system}.bellwether>"
    message.set_content(letter(channel, ways.system, notice))
    trust = ssl.create_default_context(cafile=str(ways.ca_bundle) if ways.ca_bundle else None)
    try:
        # A name of its own: the machine's full name may take a look-up that hangs.
        named: dict[str, Any] = {"local_hostname": "bellwether", "timeout": ways.seconds}
        with (
            smtplib.SMTP_SSL(email.host, email.port, context=trust, **named)
            if email.security == "tls"
            else smtplib.SMTP(email.host, email.port, **named)
        ) as server:
            if email.security == "starttls":
                server.starttls(context=trust)
            if user is not None:
                server.login(user, password or "")
            refused = server.send_message(message)
    except smtplib.SMTPResponseException as error:
        # Its text may repeat what was sent.
        raise DeliveryFailed(f"{email.host} answered {error.smtp_code} ({type(error).__name__})") from None
    except (smtplib.SMTPException, OSError) as error:
        raise DeliveryFailed(f"{email.host}:{email.port} cannot be used: {type(error).__name__}") from None
    if refused:
        raise DeliveryFailed(f"{email.host} refused {len(refused)} of {len(email.to)} addresses")
