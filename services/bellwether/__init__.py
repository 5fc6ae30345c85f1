"""Bellwether: a stock-trading system as one declared Kubernetes resource."""
