"""The units of a system under systemd on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bellwether.cli.client import CommandError, in_words
from bellwether.cli.manage.log_lines import shown
from bellwether.cli.manage.places import On, Part, gateway_here
from bellwether.cli.manage.programs import lines_of, run
from bellwether.local.files import RunError
from bellwether.render import parts as rendered
from bellwether.render.nats import BOOTSTRAP
from bellwether.render.systemd import MACHINE, Layout, of_person, units
from bellwether.runtime.declaration import parse_declaration
from bellwether.spec.models import TradingSystem

_SHOWN = ("ActiveState", "SubState", "Result", "MainPID", "MemoryCurrent", "StateChangeTimestamp", "NRestarts")
_STATES = {"active": "running", "activating": "starting", "deactivating": "stopping", "inactive": "stopped"}
_NOT_SET = 2**64 - 1
"""What systemd says where it does not know a figure."""
_GIVEN_UP = 2
"""A unit that systemd has started again so often while it was to come up is reported as failed."""
_LOOK_SECONDS = 0.5
_FAULT = re.compile(r"^(?!.*, ignoring:).*(error|fatal)", re.IGNORECASE)
"""A line that may say why a unit ended: not one of what systemd itself could not do and ignores."""


class SystemdPlace:
    """The units that `bellwether deploy --on systemd` or a copy of the rendered files put on this machine."""

    on = On.systemd

    def __init__(self, root: Path = Path("/"), layout: Layout = MACHINE) -> None:
        self._root = root
        self._layout = layout
        self._systemctl = _systemctl(layout)
        self._system = _declared(root, layout)
        whose = "the systemd units" if layout.user else "your own systemd units"
        self.title = f"{whose} of {self._system.metadata.name}"

    def parts(self) -> list[Part]:
        """Return every unit's process."""
        return self.look()[0]

    def look(self) -> tuple[list[Part], Part | None]:
        """Return every unit's process, and the first that systemd gave up on or started again and again."""
        parts, failed = [], None
        for name, services, properties in self._shown():
            parts.append(_part(name, services, properties))
            given_up = properties.get("ActiveState") == "failed" or int(properties.get("NRestarts") or 0) >= _GIVEN_UP
            failed = failed or (parts[-1] if given_up else None)
        return parts, failed

    def _shown(self) -> list[tuple[str, tuple[str, ...], dict[str, str]]]:
        """Return each unit's part, its services and its properties, in start order."""
        found: list[tuple[str, tuple[str, ...]]] = [(rendered.NATS, ()), (BOOTSTRAP, ())]
        found += [(one.name, one.services) for one in rendered.parts(self._system)]
        if rendered.scheduled_backups(self._system):
            found.append((units.SCHEDULED_BACKUP, ()))
        names = [_unit_of(name) for name, _ in found]
        # Of several units systemctl shows one after the other, with an empty line between.
        blocks = run([*self._systemctl, "show", *names, f"--property={','.join(_SHOWN)}"]).strip().split("\n\n")
        shown = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]
        return [(*part, properties) for part, properties in zip(found, shown, strict=True)]

    def failure_of(self, part: Part) -> str:
        """Return in words that a unit does not come up, with what it said last."""
        said = [shown(line) for line in self.logs([part.name], 50, follow=False)]
        last = next((line for line in reversed(said) if _FAULT.match(line)), said[-1] if said else "it said nothing")
        detail = f" ({part.detail})" if part.detail else ""
        return (
            f"{units.unit_name(part.name)} does not come up{detail}: {last}\n"
            f"  All it said: bellwether logs --on systemd -s {part.name}"
        )

    def start(self, part: str) -> None:
        """Start a unit; `Type=notify` makes this wait until it is ready."""
        self._begin("start", part)

    def stop(self, part: str) -> None:
        """Stop a unit."""
        run([*self._systemctl, "stop", _unit_of(part)])

    def restart(self, part: str) -> None:
        """Restart a unit."""
        self._begin("restart", part)

    def _begin(self, verb: str, part: str) -> None:
        """Start or restart a unit, however often it was started in the last minutes: a person asks for it."""
        run([*self._systemctl, "reset-failed", _unit_of(part)])
        run([*self._systemctl, verb, _unit_of(part)], seconds=units.BOOTSTRAP_SECONDS)

    def logs(self, parts: Sequence[str], lines: int, *, follow: bool) -> Iterator[str]:
        """Return lines of the journal."""
        chosen = [word for name in parts for word in ("-u", units.unit_name(name))]
        whose = [] if self._layout.user else ["--user"]
        options = ["-n", str(lines), "-o", "cat", "--no-pager", *(["-f"] if follow else [])]
        return lines_of(["journalctl", *whose, *chosen, *options])

    def gateway(self) -> tuple[str, str]:
        """Return address and token; the token is for root where the units are the machine's."""
        return gateway_here(_at(self._root, self._layout.keys) / "gateway.token")

    def undeploy(self) -> str:
        """Stop and remove the units and the configuration; data and keys are kept."""
        folder = _at(self._root, self._layout.units)
        files = [
            path
            for pattern in ("trading-*.service", "trading-*.socket", "trading-*.timer")
            for path in folder.glob(pattern)
        ]
        run([*self._systemctl, "disable", units.TARGET])
        # The target alone would not wait for those that it stops.
        run([*self._systemctl, "stop", units.TARGET, *(path.name for path in files)])
        for path in files:
            path.unlink()
        layout = self._layout
        others = [f"{layout.units}/{units.TARGET}", layout.declaration, layout.nats]
        if layout.user:
            others += ["/etc/sysusers.d/trading.conf", "/etc/tmpfiles.d/trading.conf"]
        for name in others:
            _at(self._root, name).unlink(missing_ok=True)
        run([*self._systemctl, "daemon-reload"])
        return f"data is kept in {layout.data}, keys in {layout.keys}, the identity in {layout.rendered}"


def _part(name: str, services: tuple[str, ...], properties: dict[str, str]) -> Part:
    """Return a unit's process from the unit's properties."""
    state = _STATES.get(properties.get("ActiveState", ""), properties.get("ActiveState", "unknown"))
    pid, memory = int(properties.get("MainPID") or 0), properties.get("MemoryCurrent", "")
    mebibytes = int(memory) / 2**20 if memory.isdigit() and int(memory) != _NOT_SET else None
    restarts = int(properties.get("NRestarts") or 0)
    why = properties.get("Result", "")
    detail = [] if why in ("", "success") else [why]
    if restarts:
        detail.append(f"restarted {restarts} times")
    return Part(
        name, services, state, pid or None, mebibytes, properties.get("StateChangeTimestamp") or None, ", ".join(detail)
    )


def _unit_of(part: str) -> str:
    """Return the unit that stands for a part when it is started, stopped or shown."""
    return units.BACKUP_TIMER if part == units.SCHEDULED_BACKUP else units.unit_name(part)


def _at(root: Path, path: str) -> Path:
    return root / path.removeprefix("/")


def _systemctl(layout: Layout) -> list[str]:
    return ["systemctl"] if layout.user else ["systemctl", "--user"]


def persons() -> Layout:
    """Return where this person's own units lie."""
    return of_person(str(Path.home()))


def _declared(root: Path, layout: Layout) -> TradingSystem:
    path = _at(root, layout.declaration)
    try:
        return parse_declaration(path.read_bytes())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise CommandError(f"{path}: {error}") from error


def deployed(root: Path = Path("/"), layout: Layout = MACHINE) -> bool:
    """Whether there are units of a system on this machine."""
    return (_at(root, layout.units) / units.TARGET).exists()


def deploy(
    file: Path, home: str, say: Callable[[str], None], root: Path = Path("/"), layout: Layout = MACHINE
) -> list[str]:
    """Put units, configuration and keys in place and start what is new or changed; return in words what was done.

    Returns when every unit is ready; `say` gets what is waited for.

    Raises:
        CommandError: if this machine cannot run them, or the file is wrong.
    """
    from bellwether.local.rendering import render_systemd

    if layout.user and os.geteuid() != 0:
        raise CommandError(
            "deploy --on systemd writes to /etc: run it as root (sudo), or with --user for units of your own"
        )
    program = Path(home) / "venv" / "bin" / "python"
    if not program.exists():
        raise CommandError(
            f"--home {home}: {program} is not there. Install the program where units can read it, from a checkout:\n"
            f"  make wheel && python3 -m venv {home}/venv && {home}/venv/bin/pip install dist/bellwether-*.whl"
        )
    tree = _at(root, layout.rendered)
    tree.parent.mkdir(parents=True, exist_ok=True)
    with in_words(RunError):
        names = render_systemd(file, tree, home, layout)
    changed = [one for top in sorted(tree.iterdir()) if top.is_dir() for one in _copy(tree, top, root)]
    systemctl = _systemctl(layout)
    folder = _at(root, layout.units)
    # Timers and sockets first: one that is still there would start its service again.
    gone = sorted(
        (one for one in folder.glob("trading-*.*") if one.name not in {*names, units.TARGET}),
        key=lambda one: (one.suffix == ".service", one.name),
    )
    for one in gone:
        run([*systemctl, "disable", "--now", one.name])
        one.unlink()
    _make_folders(root, layout, names)
    run([*systemctl, "daemon-reload"])
    run([*systemctl, "enable", units.TARGET])
    # A unit that was given up could not be started before its limit has passed; restarts are counted from here.
    run([*systemctl, "reset-failed", *names])
    verb = "restart" if changed else "start"
    _bring_up(SystemdPlace(root, layout), [*systemctl, verb, units.TARGET], say)
    done = [f"{len(names)} units, {len(changed)} files changed"]
    done += [f"removed {one.name}" for one in gone]
    return [*done, f"{verb}ed {units.TARGET}: all units are ready"]


def _make_folders(root: Path, layout: Layout, names: list[str]) -> None:
    """Make the user and the folders of data; a person's own units have no StateDirectory that would."""
    if layout.user:
        run(["systemd-sysusers"])
        run(["systemd-tmpfiles", "--create", "trading.conf"])
        return
    for name in names:
        if name.endswith(".service"):
            part = name.removeprefix("trading-").removesuffix(".service")
            _at(root, layout.of(part)).mkdir(mode=0o700, parents=True, exist_ok=True)


def _bring_up(place: SystemdPlace, command: list[str], say: Callable[[str], None]) -> None:
    """Start or restart the target and return when every unit is ready, telling what it waits for.

    Raises:
        CommandError: naming a unit that does not come up, with its last words.
    """
    end = time.monotonic() + units.BOOTSTRAP_SECONDS
    before: list[str] = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as job:
        try:
            while (code := job.poll()) is None and time.monotonic() < end:
                parts, failed = place.look()
                if failed is not None:
                    raise CommandError(place.failure_of(failed))
                waits = [part.name for part in parts if not part.good]
                if waits and waits != before:
                    say(f"waits for {', '.join(waits)}")
                before = waits
                time.sleep(_LOOK_SECONDS)
        finally:
            if job.poll() is None:
                # The units go on; it is only the waiting that ends.
                job.terminate()
        if code is None:
            raise CommandError(f"not ready within {units.BOOTSTRAP_SECONDS} s: {', '.join(before)}")
        if code != 0:
            said = job.stderr.read().strip() if job.stderr else ""
            raise CommandError(f"{' '.join(command)}: {said or f'ended with {code}'}")


def _copy(tree: Path, top: Path, root: Path) -> list[str]:
    """Copy what differs below a folder of the rendered tree to the machine, with its mode; return the names."""
    changed = []
    for path in sorted(top.rglob("*")):
        goal = root / path.relative_to(tree)
        if path.is_dir():
            if not goal.exists():
                goal.mkdir(parents=True)
                shutil.copymode(path, goal)
        elif not goal.exists() or goal.read_bytes() != path.read_bytes():
            shutil.copy2(path, goal)
            changed.append(str(path.relative_to(tree)))
    return changed
