"""Runs check, unit, integration and e2e; the cluster's programs and images are built beside the first two.

All that it says is kept in a file that it names first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from devcluster.errors import ClusterError
from devcluster.typed import Parser
from environments.choose import Choice, WrongChoiceError, choose
from environments.clusters import Current
from environments.machine import ROOT, facts
from gate import plan, record
from gate.imports import Imports
from gate.record import PARTS
from gate.steps import Say, report, run_beside
from gate.transcript import Transcript

BUILD = "python -m devcluster build"
NEEDED = {
    "embedded": f"python -m devcluster needs --install && {BUILD} && python -m devcluster image --no-load",
    "kind": BUILD,
    "current": BUILD,
}
"""What is built beforehand. On any Linux the control planes of the integration tests are ours."""


def main() -> int:
    """Run all steps; 0 when every one of them ended with 0."""
    Parser(prog="python -m gate", description=__doc__).parse_args()
    with Transcript(record.record_file().parent / "runs") as transcript:
        transcript.say(f"all of this output is kept in {transcript.path}")
        return _run(transcript.say)


def _run(say: Say) -> int:
    began = time.monotonic()
    found = facts()
    try:
        choice = choose(found, os.environ)
        if choice.kind == "current":
            Current().confirm()
    except (ClusterError, WrongChoiceError) as error:
        say(f"error: {error}")
        return 1
    has_planes = found.is_linux and choice.kind in NEEDED
    say(f"cluster for the tests: {choice.kind} ({choice.why})")
    stages = [plan.quick()]
    with tempfile.TemporaryFile() as log:
        preparation = _prepare(NEEDED[choice.kind], log, say) if has_planes else None
        run_beside(stages[0], os.environ, say)
        if preparation is not None and not _finish(preparation, log, say):
            return 1
    prints = _fingerprints(choice)
    passed = record.passes(record.record_file())
    unchanged = {part.name: passed[prints[part.name]] for part in PARTS if prints[part.name] in passed}
    without = [test for part in PARTS if part.name in unchanged for test in part.tests]
    cores = os.cpu_count() or 1
    stages += plan.slow(has_planes=has_planes, has_node=choice.kind != "local", cores=cores, without=without)
    for rows in stages[1:]:
        run_beside(rows, os.environ, say)
    steps = [step for rows in stages for row in rows for step in row]
    left_out = plan.left_out(unchanged, record.record_file(), has_planes=has_planes, choice=choice)
    say("\n" + "\n".join(report(steps, left_out, time.monotonic() - began)))
    if any(step.code != 0 for step in steps):
        return 1
    if choice.kind != "local":  # else not all of their tests ran
        after = _fingerprints(choice)
        ran = [part.name for part in PARTS if part.name not in unchanged]
        record.write_passes(record.record_file(), [prints[name] for name in ran if prints[name] == after[name]])
    return 0


def _fingerprints(choice: Choice) -> dict[str, str]:
    imports, tools = Imports(ROOT), record.toolchain(choice.kind)
    return {part.name: record.fingerprint(part, ROOT, imports, tools) for part in PARTS}


def _prepare(script: str, log: IO[bytes], say: Say) -> subprocess.Popen[bytes]:
    """Start building what the clusters need: packages, programs, images."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    say("building the cluster's programs and images beside the first tests")
    return subprocess.Popen(["bash", "-c", script], stdout=log, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)


def _finish(preparation: subprocess.Popen[bytes], log: IO[bytes], say: Say) -> bool:
    """Wait for the build; say every minute that it goes on."""
    while True:
        try:
            code = preparation.wait(timeout=60)
            break
        except subprocess.TimeoutExpired:
            say("still building the cluster's programs and images")
    if code != 0:
        log.seek(0)
        say(log.read().decode(errors="replace")[-8000:])
        say("error: what the cluster needs could not be built")
    return code == 0


if __name__ == "__main__":
    sys.exit(main())
