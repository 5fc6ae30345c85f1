"""A replay begins again with its heap in large pages where that changes anything; to others it is the same process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bellwether.cli.large_heap import LARGE_PAGES, VARIABLE, wants_large_heap

MADVISE = "always [madvise] never"
BEGIN = """
import os, sys
from bellwether.cli.large_heap import begin_again_with_large_heap
begin_again_with_large_heap()
began_with = open("/proc/self/environ").read().count("GLIBC_TUNABLES=glibc.malloc.hugetlb=1")
print(os.getpid(), began_with, "GLIBC_TUNABLES" in os.environ, sys.argv[1:], sys.stdin.read())
raise SystemExit(7)
"""


@pytest.mark.parametrize("libc", ["glibc 2.35", "glibc 2.36", "glibc 3.0"])
def test_it_is_wanted_where_glibc_knows_it_and_the_kernel_is_to_be_asked(libc: str) -> None:
    assert wants_large_heap({}, libc, MADVISE)


@pytest.mark.parametrize(
    ("environ", "libc", "pages"),
    [
        ({VARIABLE: "glibc.malloc.check=3"}, "glibc 2.36", MADVISE),
        ({VARIABLE: ""}, "glibc 2.36", MADVISE),
        ({}, "glibc 2.34", MADVISE),
        ({}, "musl 1.2", MADVISE),
        ({}, "", MADVISE),
        ({}, "glibc 2.36", "[always] madvise never"),
        ({}, "glibc 2.36", "always madvise [never]"),
        ({}, "glibc 2.36", ""),
    ],
)
def test_it_is_not_wanted_where_the_user_has_set_others_or_it_does_nothing(
    environ: dict[str, str], libc: str, pages: str
) -> None:
    assert not wants_large_heap(environ, libc, pages)


def test_it_is_the_same_process_with_its_arguments_and_input_and_its_children_are_as_before() -> None:
    unset = {name: value for name, value in os.environ.items() if name != VARIABLE}
    command = [sys.executable, "-c", BEGIN, "--to", "a day"]
    with subprocess.Popen(command, env=unset, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate("typed")
    pages = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    wanted = pages.exists() and wants_large_heap({}, os.confstr("CS_GNU_LIBC_VERSION") or "", pages.read_text())
    assert said == f"{process.pid} {int(wanted)} False ['--to', 'a day'] typed\n"
    assert process.returncode == 7


def test_a_user_s_own_setting_stays() -> None:
    own = {**os.environ, VARIABLE: "glibc.malloc.perturb=0"}
    code = BEGIN.replace("print(", "print(os.environ['GLIBC_TUNABLES']) or print(")
    done = subprocess.run([sys.executable, "-c", code], env=own, input="", capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[0] == "glibc.malloc.perturb=0"
    assert LARGE_PAGES not in done.stdout
