"""Scheduling: slots are claimed once, and a replay is conducted step by step."""
