"""Coming from the old system: what its crontab did, and which tasks replace it."""
