from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from bellwether.runtime.machine import Group, Machine, group_paths, read_group

MIB = 1 << 20
POD_2 = {
    "/proc/self/cgroup": "0::/\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "/sys/fs/cgroup/memory.max": f"{192 * MIB}\n",
    "/sys/fs/cgroup/memory.current": f"{170 * MIB}\n",
    "/sys/fs/cgroup/memory.stat": f"anon {90 * MIB}\ninactive_file {26 * MIB}\nactive_file 0\n",
    "/sys/fs/cgroup/cpu.max": "50000 100000\n",
    "/sys/fs/cgroup/cpu.stat": "usage_usec 12500000\nuser_usec 1\n",
}
POD_1 = {
    "/proc/self/cgroup": "4:memory:/kubepods/pod1/abc\n3:cpu,cpuacct:/kubepods/pod1/abc\n1:name=systemd:/\n0::/\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{192 * MIB}\n",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{170 * MIB}\n",
    "/sys/fs/cgroup/memory/memory.stat": f"cache 5\ninactive_file 1\ntotal_inactive_file {26 * MIB}\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/cpuacct/cpuacct.usage": "12500000000\n",
}
HOST_2 = {
    "/proc/self/cgroup": "0::/user.slice/session.scope\n",
    "/sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "/sys/fs/cgroup/user.slice/session.scope/memory.max": "max\n",
    "/sys/fs/cgroup/user.slice/session.scope/memory.current": f"{170 * MIB}\n",
    "/sys/fs/cgroup/user.slice/session.scope/cpu.max": "max 100000\n",
    "/sys/fs/cgroup/user.slice/session.scope/cpu.stat": "usage_usec 12500000\n",
    "/sys/fs/cgroup/cpu.stat": "usage_usec 99000000\n",
}
HOST_1 = {
    "/proc/self/cgroup": "4:memory:/\n2:cpuacct:/\n1:cpu:/\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    "/sys/fs/cgroup/memory/memory.usage_in_bytes": f"{170 * MIB}\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
    "/sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "/sys/fs/cgroup/cpuacct/cpuacct.usage": "12500000000\n",
}


@pytest.mark.parametrize("files", [POD_2, POD_1], ids=["version 2", "version 1"])
def test_a_container_is_measured_by_its_limits(files: Mapping[str, str]) -> None:
    found = read_group(files.get)
    assert found == Group(144 * MIB, 192 * MIB, 12.5, 0.5)
    assert found.memory_percent == 75.0


@pytest.mark.parametrize("files", [HOST_2, HOST_1, {}], ids=["version 2", "version 1", "none"])
def test_without_limits_it_is_no_container(files: Mapping[str, str]) -> None:
    found = read_group(files.get)
    assert not found.limited
    assert found.memory_percent is None


def test_the_limit_of_a_slice_above_counts_with_what_the_slice_uses() -> None:
    above = "/sys/fs/cgroup/user.slice"
    files = HOST_2 | {
        f"{above}/memory.max": f"{400 * MIB}",
        f"{above}/memory.current": f"{100 * MIB}",
        f"{above}/cpu.max": "200000 100000",
        f"{above}/cpu.stat": "usage_usec 20000000",
    }
    assert read_group(files.get) == Group(100 * MIB, 400 * MIB, 20.0, 2.0)


def test_a_limit_above_the_machine_s_memory_is_none() -> None:
    assert read_group(POD_2.get, machine_bytes=128 * MIB) == Group(None, None, 12.5, 0.5)


def test_damaged_files_are_unknown() -> None:
    files = POD_2 | {"/sys/fs/cgroup/memory.current": "", "/sys/fs/cgroup/cpu.stat": "usage_usec many\n"}
    found = read_group(files.get)
    assert (found.memory_bytes, found.memory_percent, found.cpu_seconds) == (None, None, None)
    assert group_paths("nonsense\n4:memory\n") == {}


def test_cpu_is_the_share_of_the_limit_since_the_look_before_and_unknown_at_first(tmp_path: Path) -> None:
    files, now = dict(POD_2), [100.0]
    machine = Machine(tmp_path, files.get, lambda: now[0])
    first = machine.figures()
    assert (first.scope, first.cpu_percent, first.memory_percent) == ("container", None, 75.0)
    files["/sys/fs/cgroup/cpu.stat"] = "usage_usec 14500000\n"
    now[0] += 10.0
    # 2 s of CPU in 10 s, of half a core.
    assert machine.figures().cpu_percent == 40.0
    assert machine.figures().cpu_percent == 40.0


def test_a_machine_without_limits_is_measured_as_a_whole(tmp_path: Path) -> None:
    found = Machine(tmp_path, HOST_2.get).figures()
    assert found.scope == "host"
    assert found.memory_percent is not None
    assert 0 < found.memory_percent < 100
    assert found.disk_usage is not None


def test_a_disk_that_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert Machine(tmp_path / "gone", POD_2.get).figures().disk_usage is None
