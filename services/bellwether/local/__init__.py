"""Processes: the services of one process, the local run with its own NATS, and a replay without one."""
