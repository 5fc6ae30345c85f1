"""A pod in a system's namespace that takes webhooks and mails, and that can be stopped."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e import waits
from e2e.lab import Lab, Object

NAME = "receiver"
KEY = "what signs the webhooks of this test"
HTTP, SMTP = 8090, 2525
HOOK, QUIET, MAIL = "hook", "quiet", "mail"
"""The notifications: two webhooks, of which one has quiet hours, and a mail without any."""
SERVE = """
import asyncio, json, sys
from email import message_from_bytes
from email.policy import default
def note(**what):
    sys.stdout.write(json.dumps(what) + chr(10))
    sys.stdout.flush()
async def http(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode()
    first, *lines = head.splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers["content-length"]))
    known, signature = headers["bellwether-id"], headers.get("bellwether-signature")
    note(to=first.split()[1].strip("/"), id=known, signature=signature, body=body.decode())
    writer.write(b"HTTP/1.1 204 x\\r\\nConnection: close\\r\\n\\r\\n")
    await writer.drain()
    writer.close()
async def smtp(reader, writer):
    async def say(line):
        writer.write(line + b"\\r\\n")
        await writer.drain()
    await say(b"220 mail.test")
    while line := await reader.readline():
        word = line[:4].upper()
        if word == b"DATA":
            await say(b"354 go on")
            message = message_from_bytes(await reader.readuntil(b"\\r\\n.\\r\\n"), policy=default)
            note(to="mail", id=message["Message-ID"], body=str(message["Subject"]))
        await say(b"221 bye" if word == b"QUIT" else b"250 yes")
        if word == b"QUIT":
            break
    writer.close()
def failed(loop, context):
    if not isinstance(context.get("exception"), (ConnectionError, EOFError)):  # a probe's, which only connects
        loop.default_exception_handler(context)
async def main():
    asyncio.get_running_loop().set_exception_handler(failed)
    servers = [await asyncio.start_server(http, "0.0.0.0", 8090), await asyncio.start_server(smtp, "0.0.0.0", 2525)]
    await asyncio.gather(*(server.serve_forever() for server in servers))
asyncio.run(main())
"""


def notifications(namespace: str, quiet: tuple[str, str]) -> list[Object]:
    """Return the declaration of all three; `quiet` are two times of the day at the exchange."""
    url = f"http://{NAME}.{namespace}.svc:{HTTP}"
    return [
        {"name": HOOK, "kind": "webhook", "url": f"{url}/{HOOK}", "secretRef": {"name": NAME}},
        {
            "name": QUIET,
            "kind": "webhook",
            "url": f"{url}/{QUIET}",
            "quietHours": dict(zip(("from", "to"), quiet, strict=True)),
        },
        {
            "name": MAIL,
            "kind": "email",
            "email": {
                "host": f"{NAME}.{namespace}.svc",
                "port": SMTP,
                "security": "none",
                "from": "bellwether@example.com",
                "to": ["me@example.com"],
            },
            "template": "{severity}|{type}|{state}",
        },
    ]


@dataclass
class Receivers:
    """The pod, and what it has taken, also before it was stopped."""

    lab: Lab
    namespace: str
    _before: list[dict[str, Any]] = field(default_factory=list)

    def prepare(self) -> None:
        """Make the Service that leads to the pod, and the Secret that signs."""
        metadata = {"name": NAME, "namespace": self.namespace}
        ports = [{"name": name, "port": port} for name, port in (("http", HTTP), ("smtp", SMTP))]
        self.lab.apply(
            {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": KEY}},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {"selector": {"app": NAME}, "ports": ports},
            },
        )

    def start(self) -> None:
        """Start the pod; return when it is ready."""
        container = {
            "name": NAME,
            "image": self.lab.images.services,
            "imagePullPolicy": "IfNotPresent",
            "command": ["python", "-c", SERVE],
            "readinessProbe": {"tcpSocket": {"port": SMTP}, "periodSeconds": 1},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
        spec = {
            "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        }
        metadata = {"name": NAME, "namespace": self.namespace, "labels": {"app": NAME}}
        self.lab.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        kubectl = ("-n", self.namespace, "wait", f"pod/{NAME}", "--for=condition=Ready")
        self.lab.kubectl(*kubectl, f"--timeout={waits.POD_BACK:.0f}s")

    def stop(self) -> None:
        """End the pod, so that connections are refused."""
        self._before += self._logged()
        # By force the pod would be gone before its process is, which might take one message more, read by nobody.
        self.lab.kubectl("-n", self.namespace, "delete", "pod", NAME, "--grace-period=1")

    def _logged(self) -> list[dict[str, Any]]:
        lines = self.lab.kubectl("-n", self.namespace, "logs", NAME).splitlines()
        # Anything else is a fault of the receiver itself, for whoever reads its log.
        return [json.loads(line) for line in lines if line.startswith("{")]

    def taken(self, name: str) -> list[tuple[str, str, str]]:
        """Return severity, type and state of what came to a channel, in order; a bad signature is an error.

        A message whose answer came too late is sent again with the same id, and counts once.
        """
        found = []
        for one in {(one["to"], one["id"]): one for one in [*self._before, *self._logged()]}.values():
            if one["to"] == name == MAIL:
                severity, kind, state = one["body"].split("|")
                found.append((severity, kind, state))
            elif one["to"] == name:
                check_signature(one["signature"], one["body"], signed=name == HOOK)
                body = json.loads(one["body"])
                found.append((body["severity"], body["type"], body["state"]))
        return found

    def states(self, name: str, kind: str) -> Sequence[str]:
        """Return the states of one type of alarm that came to a channel, in order."""
        return [state for _, of, state in self.taken(name) if of == kind]


def check_signature(header: str | None, body: str, *, signed: bool) -> None:
    """Compare a webhook's signature with the key."""
    if not signed:
        assert header is None
        return
    assert header is not None
    stamp, _, given = header.partition(",v1=")
    assert given == hmac.new(KEY.encode(), f"{stamp[2:]}.{body}".encode(), hashlib.sha256).hexdigest()
