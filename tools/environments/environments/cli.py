"""`make up` and `make down`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from devcluster.command import run
from devcluster.errors import ClusterError
from devcluster.typed import run_app
from environments import install, publish
from environments.choose import WrongChoiceError, choose
from environments.clusters import Environment, environment
from environments.machine import ROOT, facts

app = typer.Typer(
    help="Bring the whole system up where this machine can run it, and take it down again.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
SAMPLE = ROOT / "manifests" / "samples" / "replay.yaml"
NAMESPACE = "default"
STATE = ROOT / ".bellwether"


def main() -> None:
    """Run the command line; an expected error ends with 1 and one message."""
    try:
        sys.exit(run_app(app))
    except (ClusterError, WrongChoiceError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def say(text: str) -> None:
    """Print progress at once."""
    print(text, flush=True)


@app.command()
def up(
    manifest: Annotated[Path, typer.Argument(help="The TradingSystem to apply.")] = SAMPLE,
) -> None:
    """Start a cluster, install the operator, apply the sample, wait until it is Ready."""
    choice = choose(facts(), os.environ)
    say(f"environment: {choice.kind} ({choice.why})")
    if choice.kind == "local":
        _local_up(manifest)
        return
    env = environment(choice)
    env.up(say)
    images = env.images(say)
    install.install_chart(env, images, say)
    say(install.apply(env, manifest, NAMESPACE))
    system = _name_of(env, manifest)
    install.wait_ready(env, system, NAMESPACE, say)
    _what_next(env, system)


def _name_of(env: Environment, manifest: Path) -> str:
    found = run([*env.kubectl(), "create", "--dry-run=client", "-f", str(manifest), "-o", "json"])
    name: str = json.loads(found)["metadata"]["name"]
    return name


def _what_next(env: Environment, system: str) -> None:
    say("")
    say(run([*env.kubectl(), "-n", NAMESPACE, "get", "tradingsystem", system]).rstrip())
    url = env.service_url(NAMESPACE, f"{system}-gateway", 8080)
    say("")
    if url is None:
        say(f"Dashboard and API: kubectl port-forward service/{system}-gateway 8080, then http://127.0.0.1:8080")
    else:
        say(f"Dashboard and API: {url}")
    shown = r"{.data.halt}"
    secret = f"kubectl get secret {system}-gateway-token -o jsonpath='{shown}' | base64 -d"
    say(f"The page asks for a token once; one that may look and halt: {secret}")
    say("Next, type:")
    for line in env.hints():
        say(f"  {line}")
    say("  kubectl get tsys")
    for command in ("status", "positions", "trace --last", 'halt --reason "looking at it"'):
        say(f"  .venv/bin/bellwether {command} --system {system}")
    say("  make down")


@app.command()
def images(
    registry: Annotated[
        str, typer.Option(help="Where to push, such as registry.example/trading; empty: nowhere.")
    ] = "",
    tag: Annotated[str, typer.Option(help="The tag; else the chart's appVersion.")] = "",
) -> None:
    """Build both images with Docker or Podman, push them, and say how they are installed."""
    made = publish.images(registry, tag or publish.app_version(), say)
    say("")
    say(publish.installing(made))


@app.command()
def down() -> None:
    """End what `up` started."""
    _local_down()
    choice = choose(facts(), os.environ)
    if choice.kind != "local":
        environment(choice).down(say)
    say("down")


def _pid_file() -> Path:
    return STATE / "up.pid"


def _local_up(manifest: Path) -> None:
    """Run the system in the background on this machine, without Kubernetes."""
    say("no cluster is possible here: running the local system instead")
    if _local_pid() is not None:
        say("it runs already; .venv/bin/bellwether status shows it")
        return
    STATE.mkdir(exist_ok=True)
    log = STATE / "up.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bellwether", "run", str(manifest)],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    _pid_file().write_text(str(process.pid))
    deadline = time.monotonic() + install.READY_SECONDS
    while "predict" not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ClusterError(f"the local system did not come up: see {log}\n{log.read_text()[-2000:]}")
        time.sleep(0.2)
    say(log.read_text().rstrip())
    say("Next, type:\n  .venv/bin/bellwether status\n  .venv/bin/bellwether trace --last\n  make down")


def _local_pid() -> int | None:
    """The id of the local system's process, if it runs."""
    try:
        pid = int(_pid_file().read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes() if sys.platform == "linux" else b"bellwether"
        os.kill(pid, 0)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    return pid if b"bellwether" in command else None


def _local_down() -> None:
    pid = _local_pid()
    if pid is None:
        return
    os.kill(pid, signal.SIGINT)
    deadline = time.monotonic() + 60
    while _local_pid() is not None:
        if time.monotonic() > deadline:
            raise ClusterError(f"the local system (process {pid}) did not end within 60 s")
        time.sleep(0.1)
    _pid_file().unlink()
