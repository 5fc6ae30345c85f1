"""Where the system runs for a demonstration or an end-to-end test: kind, the embedded cluster, or a given one."""
