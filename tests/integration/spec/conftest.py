from harness.cluster import control_plane

__all__ = ["control_plane"]
