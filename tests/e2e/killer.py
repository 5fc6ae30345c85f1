"""Killing or stopping a process in the cluster for good: no signal that it could answer, no grace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from e2e.lab import Lab

NAMESPACE = "default"
NAME = "e2e-killer"
_USER = 65532
"""Whose processes may be signalled: those of the same user, which the operator's and the systems' are."""
_SEND = """
import os, pathlib, signal, sys
name, uid, word = sys.argv[1:]
sent = 0
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        groups = (process / "cgroup").read_text().replace("_", "-")
        words = (process / "cmdline").read_bytes().split(bytes(1))
    except OSError:
        continue
    if f"pod{uid}" in groups and word.encode() in words:
        os.kill(int(process.name), signal.Signals[name])
        sent += 1
print(sent)
"""


@dataclass(frozen=True)
class Killer:
    """A pod that sees the node's processes."""

    lab: Lab

    def kill(self, pod_uid: str, word: str) -> int:
        """Send SIGKILL to the processes of one pod that have this word on their command line; return their number."""
        return self._send("SIGKILL", pod_uid, word)

    def stop(self, pod_uid: str, word: str) -> int:
        """Have these processes do nothing from now on, though they are there: SIGSTOP; return their number."""
        return self._send("SIGSTOP", pod_uid, word)

    def _send(self, name: str, pod_uid: str, word: str) -> int:
        run = ["exec", "-n", NAMESPACE, NAME, "--", "python", "-c", _SEND, name, pod_uid, word]
        return int(self.lab.kubectl(*run))


@contextmanager
def killer(lab: Lab) -> Iterator[Killer]:
    """Yield a killer; it needs a namespace that lets pods see the node's processes."""
    security = {"runAsUser": _USER, "runAsGroup": _USER, "runAsNonRoot": True}
    container = {"name": "killer", "image": lab.images.services, "imagePullPolicy": "IfNotPresent"}
    lab.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "hostPID": True,
                "terminationGracePeriodSeconds": 0,
                "securityContext": security,
                "containers": [{**container, "command": ["python", "-c", "import signal; signal.pause()"]}],
            },
        }
    )
    try:
        lab.kubectl("-n", NAMESPACE, "wait", f"pod/{NAME}", "--for=condition=Ready", "--timeout=60s")
        yield Killer(lab)
    finally:
        lab.kubectl("-n", NAMESPACE, "delete", "pod", NAME, "--ignore-not-found", "--timeout=60s")
