"""How long the end-to-end tests wait for what, in seconds: at least five times what each takes, in one place."""

SYSTEM_READY = 240.0
FIRST_FILLS = 120.0
CHILD_PUT_RIGHT = 60.0
LIVE_FIELD_ACKNOWLEDGED = 60.0
POD_BACK = 180.0
REPLAY_COMPLETE = 600.0
BACKTEST_DONE = 600.0
ALL_GONE = 120.0
OPERATOR_STOPPED = 60.0
AS_DECLARED = 180.0
OPERATOR_BACK = 120.0
SECRET_WRITTEN_AGAIN = 150.0
SLOT_DONE = 180.0
HALT_FORCED = 120.0
NOTIFIED = 300.0
"""Monitoring looks every 30 s."""
CAUSE_NAMED = 300.0
GONE_BACK = 600.0
BACKED_UP = 480.0
STORED = 600.0
"""restic derives its key from the password in each of a dozen commands, which a busy machine takes long for."""
MODEL_MADE = 600.0
