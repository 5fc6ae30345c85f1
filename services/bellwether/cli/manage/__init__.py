"""The service manager: start, stop, restart, look at and deploy a system, wherever it runs."""
