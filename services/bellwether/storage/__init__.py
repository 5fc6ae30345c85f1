"""Databases with exactly one owner each, and the outbox and inbox that join them to the bus."""
