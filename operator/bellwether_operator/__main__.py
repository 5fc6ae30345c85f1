"""`python -m bellwether_operator`: run the operator with settings from the environment."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from bellwether_operator.main import serve
from bellwether_operator.settings import Settings, SettingsError
from bellwether_operator.telemetry import configure_logs


def main() -> int:
    """Run until asked to stop; return the exit code."""
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        print(f"bellwether-operator: {error}", file=sys.stderr)
        return 2
    configure_logs(settings.log_level)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
