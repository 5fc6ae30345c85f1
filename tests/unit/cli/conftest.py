from __future__ import annotations

from unit.gateway.conftest import gateway, standing

__all__ = ["gateway", "standing"]
