"""Commands whose process stays for long: parsed by argparse, so that nothing is loaded that only draws."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from bellwether.local.volume_commands import add_volumes
from bellwether.runtime.terminal import visible
from bellwether.topology import NATS_STORE_BYTES

_FAILED = 1


def run_command(arguments: Sequence[str]) -> int:
    """Run one of the commands that argparse reads; return its exit code. Errors are reported in words.

    It is 3 for what a backup, a repository or a volume has against it, where trying again cannot help.
    """
    from bellwether.backups.errors import FUTILE, BackupError

    if arguments[0] == "nats":
        return _nats(arguments[1:])
    given = _parser().parse_args(list(arguments))
    command: Callable[[argparse.Namespace], int] = given.command
    try:
        return command(given)
    except BackupError as error:
        # On one line: of a pod that failed the last one is reported.
        sys.stderr.write(f"error: {visible(str(error))}\n")
        return FUTILE if error.final else _FAILED
    except Exception as error:
        if not _expected(error):
            raise
        sys.stderr.write(f"error: {visible(str(error), keep=chr(10))}\n")
        return _FAILED


def _expected(error: Exception) -> bool:
    """Whether an error is one that its message explains: those are reported without a traceback."""
    from bellwether.gateway.auth import TokenError
    from bellwether.local.files import RunError
    from bellwether.local.nats import NatsMissing
    from bellwether.runtime.errors import StartRefused
    from bellwether.storage.store import StoreError

    known = (TokenError, NatsMissing, RunError, StartRefused, StoreError, ValueError, TimeoutError, OSError)
    return isinstance(error, known)


class _Parser(argparse.ArgumentParser):
    """One whose errors are one line, as those of the other commands are."""

    def error(self, message: str) -> NoReturn:
        """End with 2."""
        self.exit(2, f"error: {visible(message)} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="bellwether", description="A stock-trading system as one declared resource."
    )
    commands = parser.add_subparsers(required=True)
    serve = commands.add_parser(
        "serve",
        help="run one or several services",
        description="Run one or several services until SIGTERM. BELLWETHER_* variables say where NATS, keys, data and "
        "the declaration are.",
    )
    serve.add_argument("--services", default="all", metavar="A,B", help="names, or all (the default)")
    serve.set_defaults(command=_serve)
    bootstrap = commands.add_parser(
        "bootstrap",
        help="make streams, buckets and consumers",
        description="Make the streams, buckets and consumers that the services need, with the key bootstrap.nk of "
        "BELLWETHER_KEYS_DIR at BELLWETHER_NATS_URL. Doing it again changes nothing.",
    )
    bootstrap.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="how long to try (60)")
    bootstrap.add_argument(
        "--max-store", type=int, default=NATS_STORE_BYTES, metavar="BYTES", help="what JetStream may keep (768 MiB)"
    )
    bootstrap.set_defaults(command=_bootstrap)
    add_volumes(commands)
    _add_execute_slot(commands)
    target = commands.add_parser(
        "train-target",
        help="make one model of an order and upload it as a candidate",
        description="Make the model that JOB_COMPLETION_INDEX says of the order BELLWETHER_ORDER, and upload it to "
        "ml-model as a candidate. A target that is done is skipped. The key is training-job.nk of BELLWETHER_KEYS_DIR. "
        "Ends with 0 when it is done or no model can be made of the history, with 3 where trying again cannot help.",
    )
    target.set_defaults(command=_train_target)
    _add_replay_variant(commands)
    _add_run(commands)
    _add_replay(commands)
    return parser


def _add_replay_variant(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    variant = commands.add_parser(
        "replay-variant",
        help="replay one variant of a TradingReplay and hand in its report",
        description="Replay the variant that JOB_COMPLETION_INDEX says of a plan, hand the report to the scheduler and "
        "write the figures as JSON. The key is replay-job.nk of BELLWETHER_KEYS_DIR. Ends with 3 where trying again "
        "cannot help.",
    )
    variant.add_argument("--plan", type=Path, required=True, metavar="FILE", help="the plan, as the operator froze it")
    variant.add_argument("--write", type=Path, metavar="FILE", help="write the figures here too")
    variant.set_defaults(command=_replay_variant)


def _add_execute_slot(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    slot = commands.add_parser(
        "execute-slot",
        help="have the scheduler run one slot",
        description="Ask the scheduler to run one slot, and wait until it is done. BELLWETHER_SLOT names it, or "
        "BELLWETHER_TASK and BELLWETHER_JOB, the name of a CronJob's Job, which ends in the minute. The key is job.nk "
        "of BELLWETHER_KEYS_DIR. Ends with 0 when the slot is completed, was missed, or is none; with 1 when it gave "
        "up.",
    )
    slot.add_argument("--timeout", type=float, default=900.0, metavar="SECONDS", help="how long to try (900)")
    slot.set_defaults(command=_execute_slot)


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="run a whole system on this machine",
        description="Run the system that FILE declares on this machine: a NATS server, all services and the "
        "dashboard, without Kubernetes. Ctrl-C ends it; run again goes on where it was.",
    )
    run.add_argument("file", type=Path, metavar="FILE", help="a TradingSystem as YAML or JSON")
    run.add_argument(
        "--port", type=int, default=8080, help="of dashboard and API on 127.0.0.1 (8080, or the next free)"
    )
    run.add_argument("--data", type=Path, metavar="DIR", help="where its state is kept (./.bellwether/NAME)")
    run.add_argument("--fresh", action="store_true", help="forget the state of earlier runs first")
    run.add_argument("--verbose", action="store_true", help="write the services' logs to this terminal, not to a file")
    run.add_argument(
        "--restart", action="store_true", help="after a crash start it again, 5 s later, at most 5 times in 5 minutes"
    )
    run.add_argument(
        "--detach", action="store_true", help="go on in the background, with --restart; `bellwether stop` ends it"
    )
    run.set_defaults(command=_run)


def _add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    replay = commands.add_parser(
        "replay",
        help="replay history as fast as it goes",
        description="Replay the history that FILE declares in one process, without NATS, as fast as this machine "
        "goes, and sum it up: decisions, orders, fills, equity beside buy-and-hold.",
    )
    replay.add_argument("file", type=Path, metavar="FILE", help="a TradingSystem with clock.mode replay")
    replay.add_argument("--from", dest="first", metavar="DAY", help="the first day, instead of clock.from")
    replay.add_argument("--to", dest="last", metavar="DAY", help="the last day, instead of clock.to")
    replay.add_argument("--data", type=Path, metavar="DIR", help="keep the databases here (else they are thrown away)")
    replay.add_argument("--sampling", type=float, default=0.0, help="share of decisions that are traced, 0-1 (0)")
    replay.add_argument(
        "--report", type=Path, metavar="DIR", help="write a page (index.html) and its figures (report.json) here"
    )
    replay.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how the sum is written")
    replay.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="PATH=A,B",
        help="replay every combination of these values beside the file as it is, and compare them in one table",
    )
    replay.set_defaults(command=_replay)


def _nats(arguments: Sequence[str]) -> int:
    from bellwether.local.nats import NatsMissing, exec_nats

    if not arguments or arguments[0] in ("-h", "--help"):
        sys.stdout.write(
            "usage: bellwether nats --config FILE [OPTION...]\n\n"
            "Become the nats-server that comes with this package; all options are its own (nats --help-server).\n"
        )
        return 0 if arguments else 2
    try:
        exec_nats(["--help" if one == "--help-server" else one for one in arguments])
    except NatsMissing as error:
        sys.stderr.write(f"error: {error}\n")
        return _FAILED


def _serve(given: argparse.Namespace) -> int:
    from bellwether.local.registry import serve_named

    return serve_named(given.services, os.environ)


def _bootstrap(given: argparse.Namespace) -> int:
    from bellwether.render.nats import BOOTSTRAP
    from bellwether.runtime.bootstrap import bootstrap
    from bellwether.runtime.config import ProcessConfig
    from bellwether.runtime.logs import configure_logs

    config = ProcessConfig.from_environment()
    configure_logs(BOOTSTRAP, config.log_level)
    seed = config.keys_dir / f"{BOOTSTRAP}.nk" if config.keys_dir else None
    asyncio.run(bootstrap(config.nats_url, seed, timeout=given.timeout, max_store=given.max_store))
    return 0


def _execute_slot(given: argparse.Namespace) -> int:
    from bellwether.scheduling.client import run

    return run(timeout=given.timeout)


def _train_target(given: argparse.Namespace) -> int:
    from bellwether.models.job_client import run

    return run()


def _replay_variant(given: argparse.Namespace) -> int:
    from bellwether.local.replay_variant import run

    return run(given.plan, given.write)


def _run(given: argparse.Namespace) -> int:
    if given.detach or given.restart:
        return _run_again(given)
    from bellwether.local.run import run_file

    return run_file(given.file, port=given.port, data=given.data, fresh=given.fresh, verbose=given.verbose)


def _run_again(given: argparse.Namespace) -> int:
    from bellwether.local.detached import Start, start_detached, supervise
    from bellwether.local.files import run_folder

    options = [f"--{name}" for name in ("fresh", "verbose") if getattr(given, name)]
    root = run_folder(given.file, given.data)
    if given.detach:
        start_detached(Start(given.file, given.port), root, options, lambda line: print(line, flush=True))
        return 0
    command = [sys.executable, "-m", "bellwether", "run", str(given.file), "--data", str(root)]
    return supervise([*command, "--port", str(given.port)], options, root, lambda line: print(line, flush=True))


def _replay(given: argparse.Namespace) -> int:
    from bellwether.local.replay import ReplayOptions, replay_file

    options = ReplayOptions(
        given.first, given.last, given.data, given.sampling, as_json=given.output == "json", report=given.report
    )
    if given.vary:
        from bellwether.local.replay_vary import vary_file

        if given.report is not None:
            raise ValueError("--report: with --vary each variant has its page in the folder that --data names")
        return vary_file(given.file, options, given.vary)
    return replay_file(given.file, options)
