"""Runs, whatever the record says, the tests that `make test` may leave out; `make soak` begins with it."""

from __future__ import annotations

import os
import sys

from devcluster.typed import Parser
from environments.choose import choose
from environments.machine import facts
from gate.plan import E2E, INTEGRATION
from gate.record import PARTS
from gate.steps import Step, pytest, run

KILLED = "tests/integration/operator/test_killed.py"
MORE_KILLS = {"BELLWETHER_KILL_ROUNDS": "20"}


def main() -> int:
    """Run them; 0 when all passed."""
    Parser(prog="python -m gate.always", description=__doc__).parse_args()
    tests = [test for part in PARTS for test in part.tests]
    integration = [each for each in tests if each.startswith(INTEGRATION)]
    steps = [Step("integration", pytest("-n", "2", "--dist", "loadfile", KILLED, *integration), MORE_KILLS)]
    if choose(facts(), os.environ).kind != "local":
        steps.append(Step("e2e", pytest(*(each for each in tests if each.startswith(E2E)))))
    for step in steps:
        run(step, os.environ)
    return max(step.code for step in steps)


if __name__ == "__main__":
    sys.exit(main())
