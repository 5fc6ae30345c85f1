"""What holds for every test: drawn examples are judged by what they find, never by how busy the machine is."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("bellwether", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bellwether")
