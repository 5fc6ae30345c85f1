from __future__ import annotations

from unit.gateway.conftest import gateway

__all__ = ["gateway"]
