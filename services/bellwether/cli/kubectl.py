"""Reading a cluster through the kubectl on PATH; nothing is ever changed here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from bellwether.cli.client import CommandError, kubectl_command
from bellwether.cli.kubectl_words import not_reached, said

ANSWER_SECONDS = 40


class Refused(CommandError):
    """The API server answered, and refused; the message is its own."""

    @property
    def forbidden(self) -> bool:
        """Whether this person may not ask for it."""
        return "(Forbidden)" in str(self) or "is forbidden" in str(self)


class Kubectl:
    """What may be read with kubectl; the cluster is the one of KUBECONFIG and the context, as usual."""

    def __init__(self, context: str | None, namespace: str | None) -> None:
        self._command = kubectl_command(context)
        self.namespace = namespace or self._namespace_of_context()

    def _namespace_of_context(self) -> str:
        try:
            return self._run("config", "view", "--minify", "-o", "jsonpath={..namespace}").strip() or "default"
        except Refused as error:
            raise CommandError(
                f"kubectl has no context to take the namespace from: {error}. Say --namespace; look at KUBECONFIG and "
                "--context"
            ) from error

    def get(self, kind: str, name: str) -> Any:
        """Return an object, or None when there is none of that name."""
        text = self._run("get", kind, name, "--ignore-not-found", "-o", "json", f"--namespace={self.namespace}")
        return json.loads(text) if text.strip() else None

    def labelled(self, kinds: Sequence[str], labels: Mapping[str, str], *, everywhere: bool = False) -> list[Any]:
        """Return the objects of some kinds with these labels, in the namespace or everywhere."""
        selector = ",".join(f"{name}={value}" for name, value in sorted(labels.items()))
        where = "--all-namespaces" if everywhere else f"--namespace={self.namespace}"
        return _items(self._run("get", ",".join(kinds), "-l", selector, "-o", "json", where))

    def named(self, names: Sequence[tuple[str, str]]) -> list[Any]:
        """Return those of these objects (kind and name) that are there."""
        if not names:
            return []
        wanted = [f"{kind}/{name}" for kind, name in names]
        return _items(self._run("get", *wanted, "--ignore-not-found", "-o", "json", f"--namespace={self.namespace}"))

    def result_of_apply(self, document: Mapping[str, Any]) -> Any:
        """Return what `kubectl apply` of this document would store, without storing it."""
        arguments = ("apply", "--dry-run=server", "-f", "-", "-o", "json", f"--namespace={self.namespace}")
        return json.loads(self._run(*arguments, stdin=json.dumps(document)))

    def _run(self, *arguments: str, stdin: str | None = None) -> str:
        # Not with --request-timeout: with it kubectl no longer takes up the service account of its pod.
        command = [*self._command, *arguments]
        try:
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise _unreachable(f"no answer within {ANSWER_SECONDS} s") from error
        if done.returncode == 0:
            return done.stdout
        last = said(done.stderr)
        if not_reached(last):
            raise _unreachable(last)
        raise Refused(done.stderr.strip().removeprefix("error: ") or f"kubectl ended with {done.returncode}")


def _unreachable(said: str) -> CommandError:
    return CommandError(f"the cluster does not answer: {said}. Look at KUBECONFIG and --context")


def _items(text: str) -> list[Any]:
    """Return the objects of an answer, which is one object when one was asked for."""
    if not text.strip():
        return []
    found = json.loads(text)
    return list(found["items"]) if str(found["kind"]).endswith("List") else [found]
