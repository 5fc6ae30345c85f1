"""A real Kubernetes on one Linux machine without Docker: an API server alone, or a whole node."""

from devcluster.cluster import Cluster
from devcluster.config import Level
from devcluster.errors import ClusterError

__all__ = ["Cluster", "ClusterError", "Level"]
