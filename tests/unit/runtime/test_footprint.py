"""What of a process's mappings may be dropped, and that a process goes on after it was."""

from __future__ import annotations

import subprocess
import sys

from bellwether.runtime.footprint import Mapping, unwritten, unwritten_in_both, use_large_pages, written

_SMAPS = """\
{start:x}-{end:x} {rights} 00001000 fe:00 {inode} {name}
Size:              {kb} kB
Rss:                 512 kB
Anonymous:      {anonymous} kB
VmFlags: rd ex mr mw me
"""


def smaps(*, rights: str = "r-xp", inode: int = 77, anonymous: int = 0, length: int = 1 << 20) -> str:
    start, name = 0x7F0000000000, "/usr/lib/libmodel.so" if inode else ""
    return _SMAPS.format(
        start=start, end=start + length, kb=length // 1024, rights=rights, inode=inode, name=name, anonymous=anonymous
    )


def test_code_and_tables_of_a_file_that_nobody_changed_may_go() -> None:
    assert list(unwritten(smaps() + smaps(rights="r--p"))) == [Mapping(0x7F0000000000, 1 << 20)] * 2


def test_what_holds_a_page_of_its_own_stays() -> None:
    assert list(unwritten(smaps(rights="r--p", anonymous=4))) == []


def test_memory_that_can_be_written_is_shared_or_is_no_files_stays() -> None:
    kept = smaps(rights="rw-p") + smaps(rights="r--s") + smaps(inode=0)
    assert list(unwritten(kept)) == []


def test_a_process_s_own_memory_is_what_is_private_and_written_and_of_no_file() -> None:
    others = smaps(rights="rw-p") + smaps(rights="rw-s", inode=0) + smaps(rights="---p", inode=0)
    assert list(written(others + smaps(rights="rw-p", inode=0))) == [Mapping(0x7F0000000000, 1 << 20)]


def test_what_was_written_is_the_same_in_large_pages() -> None:
    kept = [bytes([number % 256]) * 100_000 for number in range(100)]
    use_large_pages()
    assert kept == [bytes([number % 256]) * 100_000 for number in range(100)]


def test_a_library_that_is_being_loaded_between_two_looks_stays() -> None:
    loading, loaded = smaps(rights="r--p"), smaps(rights="r--p", anonymous=4)
    assert unwritten_in_both(loading, loaded) == set()
    assert unwritten_in_both(loading, loading) == {Mapping(0x7F0000000000, 1 << 20)}


def test_what_is_small_is_not_worth_it() -> None:
    assert list(unwritten(smaps(length=4096))) == []


def test_a_process_works_on_after_it_gave_back() -> None:
    script = (
        "import sys, sqlite3, json, math\n"
        "import numpy\n"
        "from bellwether.runtime.footprint import give_back\n"
        "dropped = give_back()\n"
        "assert dropped > 0 or sys.platform != 'linux', dropped\n"
        "assert give_back() == dropped\n"
        "assert numpy.arange(10).sum() == 45 and numpy.linalg.inv(numpy.eye(3)).trace() == 3\n"
        "assert sqlite3.connect(':memory:').execute('SELECT 1').fetchone() == (1,)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
