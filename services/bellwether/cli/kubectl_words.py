"""What kubectl says when it fails, as one line for a person. Pure."""

from __future__ import annotations

import re

# kubectl's client library logs each try before kubectl itself says what is wrong: `E1130 07:16:16.655665 27078 ...`.
_LOGGED = re.compile(r"^[IWEF]\d{4} \d\d:\d\d:\d\d\.\d+ ")
_NO_CONTEXT = "current-context must exist"
# `kubectl apply` asks for the schema first, and wraps what is wrong in advice about that.
_SCHEMA = re.compile(r"^error validating .*?failed to download openapi: (.*?)(; if you choose to ignore .*)?$")
_NOT_REACHED = (
    "was refused",
    "connection refused",
    "unable to connect",
    "i/o timeout",
    "no such host",
    "did you specify the right host",
)


def said(text: str) -> str:
    """Return the last line that kubectl meant for a person; empty where there is none."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not _LOGGED.match(line)]
    words = lines[-1].removeprefix("error: ") if lines else ""
    wrapped = _SCHEMA.match(words)
    return wrapped.group(1) if wrapped else words


def not_reached(words: str) -> bool:
    """Whether it says that no API server answers."""
    return any(one in words.lower() for one in _NOT_REACHED)


def failure(text: str, code: int) -> str:
    """Return why a call failed, from what it wrote and its exit code."""
    words = said(text) or f"kubectl ended with {code}"
    if _NO_CONTEXT in words:
        return "kubectl has no current context, so no cluster is known: set KUBECONFIG, or name one with --context"
    if not_reached(words):
        end = "" if words.endswith(("?", ".")) else "."
        return f"the cluster does not answer: {words}{end} Look at KUBECONFIG and --context"
    return words
