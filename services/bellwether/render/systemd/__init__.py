"""A declared system as systemd units for one machine. Pure.

Nothing here is secret: the keys are files of their own, which the units load as credentials.
"""

from bellwether.render.systemd.files import CONFIGURATION, KEYS, UNITS, Installation, render

__all__ = ["CONFIGURATION", "KEYS", "UNITS", "Installation", "render"]
