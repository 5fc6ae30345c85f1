"""The ServiceAccount of a system's pods: it has no rights, and its token is not mounted."""

from __future__ import annotations

from bellwether.render.kubernetes.context import Manifest
from bellwether.render.kubernetes.names import SYSTEM, child_name, metadata
from bellwether.spec.models import TradingSystem


def service_account(system: TradingSystem) -> Manifest:
    """Return the account."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(system, SYSTEM, child_name(system, SYSTEM)),
        "automountServiceAccountToken": False,
    }
