"""The broker as a port, the life of an order at it, and its adapters."""
