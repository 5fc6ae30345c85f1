"""Killing or stopping a process in the cluster for good: no signal that it could answer, no grace."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from e2e import waits
from e2e.lab import Lab

NAMESPACE = "default"
_USER = 65532
"""Whose processes may be signalled: those of the same user, which the operator's and the systems' are."""
_SEND = """
import os, pathlib, signal, sys
name, uid, word, when = sys.argv[1:]
found = []
for process in pathlib.Path("/proc").glob("[0-9]*"):
    try:
        groups = (process / "cgroup").read_text().replace("_", "-")
        words = (process / "cmdline").read_bytes().split(bytes(1))
    except OSError:
        continue
    if f"pod{uid}" in groups and word.encode() in words:
        found.append(int(process.name))
print(len(found), flush=True)
if when == "now" or sys.stdin.readline():
    for each in found:
        os.kill(each, signal.Signals[name])
    print("sent", flush=True)
"""
"""Finds processes, says how many they are, and sends them a signal: now, or when a line asks for it."""


@dataclass(frozen=True)
class Killer:
    """A pod that sees the node's processes."""

    lab: Lab
    name: str

    def kill(self, pod_uid: str, word: str) -> int:
        """Send SIGKILL to the processes of one pod that have this word on their command line; return their number."""
        return self._send("SIGKILL", pod_uid, word)

    def stop(self, pod_uid: str, word: str) -> int:
        """Have these processes do nothing from now on, though they are there: SIGSTOP; return their number."""
        return self._send("SIGSTOP", pod_uid, word)

    @contextmanager
    def aimed(self, pod_uid: str, word: str) -> Iterator[Callable[[], int]]:
        """Yield what kills the one process of a pod that has this word on its command line, and returns their number.

        It is found beforehand, so that the kill takes no longer than a line takes to get there.
        """
        command = [*self.lab.env.kubectl(), *self._sender("SIGKILL", pod_uid, word, "later", "-i")]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
            assert sender.stdin is not None
            assert sender.stdout is not None
            assert sender.stdout.readline() == "1\n", f"not one process of pod {pod_uid} has the word {word}"

            def kill() -> int:
                assert sender.stdin is not None
                assert sender.stdout is not None
                sender.stdin.write("\n")
                sender.stdin.flush()
                assert sender.stdout.readline() == "sent\n"
                return 1

            yield kill

    def _send(self, name: str, pod_uid: str, word: str) -> int:
        return int(self.lab.kubectl(*self._sender(name, pod_uid, word, "now")).split()[0])

    def _sender(self, name: str, pod_uid: str, word: str, when: str, *options: str) -> list[str]:
        return ["exec", *options, "-n", NAMESPACE, self.name, "--", "python", "-c", _SEND, name, pod_uid, word, when]


@contextmanager
def killer(lab: Lab) -> Iterator[Killer]:
    """Yield a killer; it needs a namespace that lets pods see the node's processes."""
    name = f"killer-of-{lab.release.name}"
    security = {"runAsUser": _USER, "runAsGroup": _USER, "runAsNonRoot": True}
    container = {"name": "killer", "image": lab.images.services, "imagePullPolicy": "IfNotPresent"}
    lab.apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "hostPID": True,
                "terminationGracePeriodSeconds": 0,
                "securityContext": security,
                "containers": [{**container, "command": ["python", "-c", "import signal; signal.pause()"]}],
            },
        }
    )
    try:
        lab.kubectl("-n", NAMESPACE, "wait", f"pod/{name}", "--for=condition=Ready", f"--timeout={waits.POD_BACK:.0f}s")
        yield Killer(lab, name)
    finally:
        lab.kubectl("-n", NAMESPACE, "delete", "pod", name, "--ignore-not-found", f"--timeout={waits.ALL_GONE:.0f}s")
