"""The command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from devcluster import build as go_build
from devcluster import needs as machine
from devcluster.cluster import Cluster
from devcluster.command import run
from devcluster.config import Level
from devcluster.errors import ClusterError
from devcluster.listing import lines, listing
from devcluster.settings import find
from devcluster.typed import run_app

app = typer.Typer(
    help="A real Kubernetes on this Linux machine, without Docker.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Name = Annotated[
    str | None, typer.Option("--name", help="Which cluster, by default the project's; several run beside each other.")
]
StateDir = Annotated[
    Path | None,
    typer.Option("--state-dir", help="Its folder; by default NAME in ~/.local/state/devcluster."),
]


def main() -> None:
    """Run the command line; an expected error ends with 1 and one message."""
    try:
        sys.exit(run_app(app))
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def say(text: str) -> None:
    """Progress goes to standard error, so that standard output is only what was asked for."""
    print(text, file=sys.stderr, flush=True)


@app.command()
def up(
    *,
    name: Name = None,
    level: Annotated[
        Level, typer.Option(help="control-plane: API server only, no root needed. node: pods run too.")
    ] = Level.NODE,
    controllers: Annotated[
        bool, typer.Option("--controllers", help="Add the controller manager to the level control-plane.")
    ] = False,
    audit_log: Annotated[
        Path | None, typer.Option(help="Let the API server write one JSON line per request to this file.")
    ] = None,
    csi_flag: Annotated[
        list[str] | None,
        typer.Option(help="A test switch of the volume driver, like --csi-flag=--ready-delay=5s; repeatable."),
    ] = None,
    state_dir: StateDir = None,
) -> None:
    """Start a cluster, or what of it does not run. Changes nothing when all of it is up."""
    cluster = Cluster(name, level, state_dir, controllers=controllers, audit_log=audit_log, csi_flags=csi_flag or ())
    cluster.up(say)
    print(f"export KUBECONFIG={cluster.kubeconfig}")


@app.command()
def down(
    name: Name = None,
    purge: Annotated[bool, typer.Option("--purge", help="Delete its objects, volumes and images too.")] = False,
    state_dir: StateDir = None,
) -> None:
    """End a cluster. Its objects, volumes and images stay for the next `up`, unless --purge."""
    Cluster(name, state_dir=state_dir).down(purge=purge, report=say)


@app.command()
def status(name: Name = None, state_dir: StateDir = None) -> None:
    """Say what runs. Ends with 0 when the cluster is ready, else with 3."""
    found = Cluster(name, state_dir=state_dir).status()
    if found.level is None:
        print(f"no cluster {found.name} in {found.state_dir}")
        raise typer.Exit(3)
    print(f"cluster {found.name} ({found.level}) at {found.api_url}: {'ready' if found.ready else 'not ready'}")
    for process, pid in found.processes.items():
        print(f"  {process:24} {'-' if pid is None else pid}")
    if not found.ready:
        raise typer.Exit(3)


@app.command("list")
def list_clusters() -> None:
    """List this user's clusters, and the nodes of others: slot, state folder, and the project that started it last."""
    for line in lines(listing(find())):
        print(line)


@app.command()
def load(
    image: Annotated[str, typer.Argument(help="An image archive, or the name of an image that buildah has.")],
    name: Name = None,
    state_dir: StateDir = None,
) -> None:
    """Put an image into the node."""
    from devcluster.images import archive_of

    cluster = Cluster(name, state_dir=state_dir)
    runtime = cluster.runtime()
    with archive_of(cluster.settings, image) as archive:
        for loaded in runtime.load(archive):
            print(loaded)


@app.command()
def kubeconfig(name: Name = None, state_dir: StateDir = None) -> None:
    """Print the path of the administrator's kubeconfig."""
    cluster = Cluster(name, state_dir=state_dir)
    print(cluster.config.state_dir / "kubeconfig")


@app.command()
def logs(
    process: Annotated[str | None, typer.Argument(help="Which process; all are listed if not given.")] = None,
    name: Name = None,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many lines from the end.")] = 50,
    state_dir: StateDir = None,
) -> None:
    """Show the end of a process's log."""
    cluster = Cluster(name, state_dir=state_dir)
    known = sorted(p.stem for p in (cluster.config.logs).glob("*.log"))
    if process is None:
        for each in known:
            print(f"{each:24} {cluster.log(each)}")
        return
    if process not in known:
        raise ClusterError(f"there is no log of {process!r}; there is one of: {', '.join(known) or 'nothing'}")
    print("\n".join(cluster.log(process).read_text(errors="replace").splitlines()[-lines:]))


@app.command()
def build() -> None:
    """Build the Go programs and print their folder; quick when they are built already."""
    print(go_build.ensure(find(), say))


@app.command()
def needs(
    level: Annotated[Level, typer.Option(help="For which level of cluster.")] = Level.NODE,
    images: Annotated[bool, typer.Option(help="Count what image builds and the project's settings need.")] = True,
    install: Annotated[bool, typer.Option("--install", help="Install what is missing (root, apt).")] = False,
) -> None:
    """Name the Debian packages that are missing here, one a line."""
    packages = machine.PACKAGES_OF_NODE if level is Level.NODE else {}
    if images and level is Level.NODE:
        packages = {**packages, **machine.PACKAGES_OF_IMAGES, **find().packages}
    missing = machine.missing_packages(packages)
    for package in missing:
        print(package, flush=True)
    if install and missing:
        _install(missing)


def _install(packages: list[str]) -> None:
    if os.geteuid() != 0 or not machine.there("apt-get"):
        raise ClusterError(f"only root on a Debian system can install {' '.join(packages)}")
    say(f"installing {' '.join(packages)}")
    run(["apt-get", "update", "-qq"], seconds=300)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive"]
    run([*quiet, "apt-get", "install", "-qq", "--yes", "--no-install-recommends", *packages], seconds=900)


@app.command()
def image(
    name: Name = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the names as one JSON object.")] = False,
    only: Annotated[str | None, typer.Option(help="Only this target of the Dockerfile.")] = None,
    load_into_node: Annotated[bool, typer.Option("--load/--no-load", help="Load them into the node.")] = True,
    state_dir: StateDir = None,
) -> None:
    """Build the project's images from the Dockerfile and load them into the node; quick if nothing changed."""
    from devcluster.images import print_images

    cluster = Cluster(name, state_dir=state_dir)
    print_images(cluster.settings, cluster.runtime() if load_into_node else None, only, as_json=as_json, report=say)
