"""A declared system as systemd units for one machine. Pure.

Nothing here is secret: the keys are files of their own, which the units load as credentials.
"""

from bellwether.render.systemd.files import Installation, render
from bellwether.render.systemd.layout import MACHINE, Layout, of_person

__all__ = ["MACHINE", "Installation", "Layout", "of_person", "render"]
