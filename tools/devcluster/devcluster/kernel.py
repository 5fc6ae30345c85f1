"""Mounts and cgroups of a cluster: finding them and taking them away."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from devcluster.command import succeeds

_CGROUPS = Path("/sys/fs/cgroup")


def mounts_below(folder: Path, mountinfo: str) -> list[str]:
    """The mount points at or below a folder, the deepest and latest first (pure).

    `mountinfo` is the text of /proc/self/mountinfo, which writes a blank as \\040.
    """
    points = [line.split()[4].replace("\\040", " ") for line in mountinfo.splitlines() if line]
    below = [p for p in points if p == str(folder) or p.startswith(f"{folder}/")]
    return below[::-1]


def unmount_below(folder: Path) -> list[str]:
    """Unmount everything at or below a folder; returns what could not be unmounted."""
    for _ in range(3):  # a lazily detached mount may have covered another one
        points = mounts_below(folder.resolve(), Path("/proc/self/mountinfo").read_text())
        if not points:
            return []
        for point in points:
            if not succeeds(["umount", point]):
                succeeds(["umount", "--lazy", point])
    return mounts_below(folder.resolve(), Path("/proc/self/mountinfo").read_text())


def _hierarchies() -> list[Path]:
    if (_CGROUPS / "cgroup.controllers").exists():
        return [_CGROUPS]
    return [p for p in _CGROUPS.iterdir() if p.is_dir() and not p.is_symlink()]


def create_cgroup(name: str) -> None:
    """Make a cgroup in every hierarchy, with all processors and memory nodes where those are asked for."""
    for hierarchy in _hierarchies():
        group = hierarchy / name
        if group.exists():
            continue
        if hierarchy == _CGROUPS:  # version 2: children get only the controllers that the parent passes on
            for controller in (hierarchy / "cgroup.controllers").read_text().split():
                with contextlib.suppress(OSError):
                    (hierarchy / "cgroup.subtree_control").write_text(f"+{controller}")
        group.mkdir()
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / setting).exists() and hierarchy != _CGROUPS:
                (group / setting).write_text((hierarchy / setting).read_text())


def kill_cgroup(name: str) -> None:
    """End every process in a cgroup and below it, then remove it. It must be this cluster's own."""
    groups = [h / name for h in _hierarchies() if (h / name).is_dir()]
    deadline = time.monotonic() + 10
    while (pids := _members(groups)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for group in groups:
        _remove_tree(group, deadline)


def _members(groups: list[Path]) -> set[int]:
    pids: set[int] = set()
    for group in groups:
        for file in group.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):
                pids.update(int(line) for line in file.read_text().split())
    return pids - {0}


def _remove_tree(group: Path, deadline: float) -> None:
    folders = sorted((Path(root) for root, _, _ in os.walk(group)), key=lambda p: len(p.parts), reverse=True)
    for folder in folders:
        while True:
            try:
                folder.rmdir()
            except FileNotFoundError:
                break
            except OSError:  # the kernel still counts a process that has just ended
                if time.monotonic() > deadline:
                    return
                time.sleep(0.02)
            else:
                break
