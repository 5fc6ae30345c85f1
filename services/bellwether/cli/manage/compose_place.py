"""A system that docker compose (or podman compose) runs on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from bellwether.cli.client import CommandError, in_words
from bellwether.cli.manage.places import On, Part, gateway_here
from bellwether.cli.manage.programs import lines_of, run
from bellwether.local.files import RunError
from bellwether.render.parts import SYSTEM
from bellwether.topology import SERVICES
from bellwether.wiring import start_order

FILE = "compose.yaml"
UP_SECONDS = 900.0


def files_below(root: Path) -> list[Path]:
    """Return the compose files that deploy wrote."""
    return sorted(root.glob(f"*-compose/{FILE}"))


def engine() -> list[str]:
    """Return the beginning of a compose command.

    Raises:
        CommandError: if this machine has no engine.
    """
    for program in ("docker", "podman"):
        asked = [program, "compose", "version"]
        if shutil.which(program) and subprocess.run(asked, capture_output=True, check=False).returncode == 0:
            return asked[:2]
    raise CommandError("neither `docker compose` nor `podman compose` works here: --on compose needs one of them")


class ComposePlace:
    """The containers of one compose file."""

    on = On.compose

    def __init__(self, file: Path) -> None:
        self._file = file
        self._command = [*engine(), "-f", str(file)]
        self.title = f"the containers of {file}"
        document: dict[str, Any] = yaml.safe_load(file.read_text())
        self._names = list(document["services"])

    def parts(self) -> list[Part]:
        """Return every container."""
        states = {one.get("Service"): one for one in _objects(run([*self._command, "ps", "-a", "--format", "json"]))}
        # They are written in start order.
        return [_part(name, states.get(name)) for name in self._names]

    def start(self, part: str) -> None:
        """Start a container and wait until it is healthy."""
        run([*self._command, "up", "-d", "--wait", part], seconds=UP_SECONDS)

    def stop(self, part: str) -> None:
        """Stop a container."""
        run([*self._command, "stop", part])

    def restart(self, part: str) -> None:
        """Restart a container."""
        run([*self._command, "restart", part])

    def logs(self, parts: Sequence[str], lines: int, *, follow: bool) -> Iterator[str]:
        """Return lines of the containers' logs."""
        options = ["--no-color", "--no-log-prefix", "--tail", str(lines), *(["-f"] if follow else [])]
        return lines_of([*self._command, "logs", *options, *parts])

    def gateway(self) -> tuple[str, str]:
        """Return the published address, and the token."""
        return gateway_here(self._file.parent / "keys" / "gateway.token")

    def undeploy(self) -> str:
        """Remove the containers; data and keys are kept."""
        run([*self._command, "down"])
        return f"data and keys are kept in {self._file.parent}"


def _objects(text: str) -> list[dict[str, Any]]:
    """Return the objects of an answer: one a line, or one list, as releases of compose differ."""
    stripped = text.strip()
    if stripped.startswith("["):
        return list(json.loads(stripped))
    return [json.loads(line) for line in stripped.splitlines() if line.startswith("{")]


def _part(name: str, found: dict[str, Any] | None) -> Part:
    services = tuple(start_order()) if name == SYSTEM else (name,) if name in SERVICES else ()
    if found is None:
        return Part(name, services, "stopped")
    state, health = str(found.get("State", "unknown")), str(found.get("Health", ""))
    if state == "exited":
        code = found.get("ExitCode", 0)
        return Part(name, services, "failed" if code else "stopped", detail=f"ended with {code}")
    waiting = state == "running" and health in ("starting", "unhealthy")
    return Part(name, services, "starting" if waiting else state, detail=health)


def deploy(file: Path, root: Path, name: str, image: str) -> list[str]:
    """Write the compose file and bring it up, healthy; return in words what was done.

    Raises:
        CommandError: if there is no engine, it refused, or the file is wrong.
    """
    from bellwether.local.rendering import render_compose

    command = engine()
    directory = root / f"{name}-compose"
    directory.parent.mkdir(parents=True, exist_ok=True)
    with in_words(RunError):
        text = render_compose(file, directory, image, None)
    target = directory / FILE
    target.write_text(text)
    run([*command, "-f", str(target), "up", "-d", "--wait", "--remove-orphans"], seconds=UP_SECONDS)
    return [f"up from {target}"]
