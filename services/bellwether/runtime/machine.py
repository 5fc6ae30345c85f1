"""CPU, memory and disk: of the container where there is one with limits, else of the machine.

Only `read_file`, `Machine` and psutil look at the system. The rest works on the text of files, control groups version 1
(one tree for each controller) and version 2 (one tree for all).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import msgspec
import psutil

from bellwether.runtime.clock import monotonic

Read = Callable[[str], str | None]
"""Returns a file's text, or None where there is no such file or it cannot be read."""

ROOT = "/sys/fs/cgroup"
_SHORTEST = 0.2
"""Seconds that CPU use is measured over at least."""


class MachineFigures(msgspec.Struct, frozen=True):
    """Shares in percent; None: not measured. `scope` says of what CPU and memory are."""

    scope: Literal["container", "host"]
    cpu_percent: float | None
    memory_percent: float | None
    disk_usage: float | None


@dataclass(frozen=True)
class Group:
    """What a control group uses and may use; None: unknown, or without a limit."""

    memory_bytes: int | None = None
    """Without the pages of files that can be dropped at once."""
    memory_limit: int | None = None
    cpu_seconds: float | None = None
    cpu_cores: float | None = None

    @property
    def limited(self) -> bool:
        """Whether it has a limit of its own, as a container's has."""
        return self.memory_limit is not None or self.cpu_cores is not None

    @property
    def memory_percent(self) -> float | None:
        """How much of the limit is used; None without a limit."""
        if self.memory_bytes is None or not self.memory_limit:
            return None
        return round(100.0 * self.memory_bytes / self.memory_limit, 1)


def read_file(path: str) -> str | None:
    """Return a file's text, or None."""
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return None


def read_group(read: Read = read_file, *, machine_bytes: int = 1 << 60) -> Group:
    """Return the control group of this process; a memory limit at or above `machine_bytes` is none."""
    paths = group_paths(read("/proc/self/cgroup") or "")
    found = _version_2(read, paths) if read(f"{ROOT}/cgroup.controllers") is not None else _version_1(read, paths)
    if found.memory_limit is None or found.memory_limit < machine_bytes:
        return found
    return Group(None, None, found.cpu_seconds, found.cpu_cores)


def group_paths(text: str) -> dict[str, str]:
    """Return the group of each controller from /proc/self/cgroup; version 2's has the name ""."""
    paths: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.split(":", 2)
        if len(parts) == 3:
            paths.update(dict.fromkeys(parts[1].split(","), parts[2]))
    return paths


def _folders(root: str, path: str) -> Iterator[str]:
    """Give a group's folder and those above it. A container sees its own group as the root, whatever its path says."""
    group = PurePosixPath("/", path)
    for part in (group, *group.parents):
        yield root if part == PurePosixPath("/") else f"{root}{part}"


def _version_2(read: Read, paths: dict[str, str]) -> Group:
    memory: tuple[int | None, int | None] = (None, None)
    cpu: tuple[float | None, float | None] = (None, None)
    for folder in _folders(ROOT, paths.get("", "/")):
        limit = _whole(read(f"{folder}/memory.max"))
        if memory[1] is None and limit is not None:
            memory = (_working(read, folder, "memory.current", "inactive_file"), limit)
        used = _field(read(f"{folder}/cpu.stat"), "usage_usec")
        quota, _, period = (read(f"{folder}/cpu.max") or "").partition(" ")
        cores = _quota(quota, period)
        if used is not None and (cpu[0] is None or (cpu[1] is None and cores is not None)):
            cpu = (used / 1e6, cores)
    return Group(*memory, *cpu)


def _version_1(read: Read, paths: dict[str, str]) -> Group:
    memory: tuple[int | None, int | None] = (None, None)
    cpu: tuple[float | None, float | None] = (None, None)
    for folder in _folders(f"{ROOT}/memory", paths.get("memory", "/")):
        limit = _whole(read(f"{folder}/memory.limit_in_bytes"))
        # The kernel writes a number near the largest for "no limit".
        if memory[1] is None and limit is not None and limit < 1 << 60:
            memory = (_working(read, folder, "memory.usage_in_bytes", "total_inactive_file"), limit)
    usage = zip(
        _folders(f"{ROOT}/cpuacct", paths.get("cpuacct", "/")), _folders(f"{ROOT}/cpu", paths.get("cpu", "/")),
        strict=False,
    )  # fmt: skip
    for counted, limited in usage:
        used = _whole(read(f"{counted}/cpuacct.usage"))
        cores = _quota(read(f"{limited}/cpu.cfs_quota_us") or "", read(f"{limited}/cpu.cfs_period_us") or "")
        if used is not None and (cpu[0] is None or (cpu[1] is None and cores is not None)):
            cpu = (used / 1e9, cores)
    return Group(*memory, *cpu)


def _working(read: Read, folder: str, usage: str, inactive: str) -> int | None:
    used = _whole(read(f"{folder}/{usage}"))
    if used is None:
        return None
    return max(0, used - (_field(read(f"{folder}/memory.stat"), inactive) or 0))


def _whole(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() else None


def _field(text: str | None, name: str) -> int | None:
    for line in (text or "").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return _whole(value)
    return None


def _quota(quota: str, period: str) -> float | None:
    """Return how many cores a quota is; "max" and -1 are none."""
    share, whole = _whole(quota), _whole(period)
    return share / whole if share and whole else None


def volume_percent(folder: Path) -> float | None:
    """Return how full the volume of a folder is, in percent; None where that cannot be read."""
    try:
        return psutil.disk_usage(str(folder)).percent
    except OSError:
        return None


class Machine:
    """Reads the figures. CPU use is that since the look before, so it is unknown just after the start."""

    def __init__(self, folder: Path, read: Read = read_file, now: Callable[[], float] = monotonic) -> None:
        self._folder = folder
        self._read = read
        self._now = now
        self._before: tuple[float, float] | None = None
        self._cpu: float | None = None
        self.figures()

    def figures(self) -> MachineFigures:
        """Return the present figures."""
        memory = psutil.virtual_memory()
        group = read_group(self._read, machine_bytes=memory.total)
        cores, disk = float(os.cpu_count() or 1), volume_percent(self._folder)
        if group.limited:
            self._measure(group.cpu_seconds, group.cpu_cores or cores)
            used = group.memory_percent
            return MachineFigures("container", self._cpu, memory.percent if used is None else used, disk)
        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0)
        self._measure(sum(times[:8]) - idle, cores)
        return MachineFigures("host", self._cpu, memory.percent, disk)

    def _measure(self, seconds: float | None, cores: float) -> None:
        now = self._now()
        if seconds is None:
            self._cpu = None
        elif self._before is None:
            self._before = (now, seconds)
        elif now - self._before[0] >= _SHORTEST:
            self._cpu = round(100.0 * max(0.0, seconds - self._before[1]) / (now - self._before[0]) / cores, 1)
            self._before = (now, seconds)
