"""Where every command begins.

Commands that stay in memory for long (`serve`, `run`, `nats`, `bootstrap`), the replay and what Jobs run are parsed by
argparse, so that their process never loads the libraries that only draw tables.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

PROCESS_COMMANDS = (
    "serve",
    "bootstrap",
    "nats",
    "adopt",
    "fill",
    "restore-volumes",
    "look",
    "run",
    "replay",
    "execute-slot",
    "train-target",
    "replay-variant",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 failed, 2 wrongly typed, 130 interrupted."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments is None and given[:1] == ["replay"]:
            from bellwether.cli.large_heap import begin_again_with_large_heap

            begin_again_with_large_heap()
        if given and given[0] in PROCESS_COMMANDS:
            from bellwether.local.commands import run_command

            return run_command(given)
        from bellwether.cli.app import run_app

        return run_app(given)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
