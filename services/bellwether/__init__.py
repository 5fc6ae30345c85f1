"""Bellwether: a stock-trading system as one declared Kubernetes resource."""

__version__ = "0.1.0"
