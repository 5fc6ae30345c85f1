"""What cannot be listed or watched at present, by namespace: logged when it begins and when it is over."""

from __future__ import annotations

import logging

from bellwether_operator import telemetry

log = logging.getLogger(__name__)


class Troubles:
    """The failures of each watched namespace; None stands for all namespaces."""

    def __init__(self) -> None:
        self._of: dict[str | None, dict[str, str]] = {}

    def note(self, namespace: str | None, what: str, words: str) -> None:
        """Note that something failed; it is logged unless it failed in the same way before."""
        known = self._of.setdefault(namespace, {})
        if known.get(what) != words:
            log.warning("%s: %s: %s", _name(namespace), what, words)
        known[what] = words
        telemetry.NAMESPACE_FAILING.labels(_name(namespace)).set(1)

    def clear(self, namespace: str | None, what: str) -> bool:
        """Note that something works; return whether the namespace failed before and does not any more."""
        known = self._of.get(namespace, {})
        if known.pop(what, None) is None or known:
            return False
        del self._of[namespace]
        log.info("%s: all can be listed and watched again", _name(namespace))
        telemetry.NAMESPACE_FAILING.labels(_name(namespace)).set(0)
        return True

    def words(self) -> str:
        """Return one line for each namespace that fails, with one of its failures."""
        found = []
        for namespace, known in self._of.items():
            what, words = next(iter(known.items()))
            found.append(f"{_name(namespace)}: {what}: {words}\n")
        return "".join(sorted(found))


def _name(namespace: str | None) -> str:
    return "all namespaces" if namespace is None else f"namespace {namespace}"
