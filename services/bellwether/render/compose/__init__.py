"""A declared system as one compose file, for development. Pure.

Nothing here is secret: the keys are files that the compose file names.
"""

from bellwether.render.compose.document import Installation, compose, nats_text

__all__ = ["Installation", "compose", "nats_text"]
