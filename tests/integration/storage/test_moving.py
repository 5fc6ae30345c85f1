"""A move on real folders and databases: complete, interrupted at any line, run again, and refused."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bellwether.render.kubernetes.moves import PROFILES, Profile, holdings
from bellwether.storage import folders, moving
from bellwether.storage.moving import WORK, FutileMove, MoveError, Order, move

pytestmark = pytest.mark.integration

DATABASES = tuple(name for held in holdings("compact").values() for name in held.databases)
Tree = dict[str, tuple[bytes, int]]


@pytest.fixture
def volumes(tmp_path: Path) -> Path:
    """Return a folder with the volumes of both profiles; those of compact hold a system, those of standard nothing."""
    made = tmp_path / "made"
    for profile in PROFILES:
        for component in holdings(profile):
            (made / profile / component).mkdir(parents=True)
    write_system(made / "compact" / "system", "a")
    return made


def write_system(root: Path, what: str, rows: int = 200) -> None:
    """Write all that a compact volume holds; `what` tells it apart."""
    for name in DATABASES:
        leave_open(root / name, what, rows)
    stream = root / "nats" / "jetstream" / "$G" / "streams" / "EVENTS"
    (stream / "obs").mkdir(parents=True, exist_ok=True)
    (stream / "msgs").mkdir(exist_ok=True)
    (stream / "msgs" / "1.blk").write_bytes(what.encode() * 70_000)
    registry = root / "ml-model" / "registry"
    registry.mkdir(parents=True, exist_ok=True)
    (registry / "serving-direction-lr.json").write_text(what)


def leave_open(path: Path, what: str, rows: int) -> None:
    """Write rows to a database as a process that is killed does: its last transactions are in the log beside it."""
    script = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "db.execute('PRAGMA journal_mode = WAL')\n"
        "db.execute('CREATE TABLE IF NOT EXISTS notes (text TEXT)')\n"
        "db.executemany('INSERT INTO notes VALUES (?)', [(sys.argv[2],)] * int(sys.argv[3]))\n"
        "os._exit(0)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(path), what, str(rows)], check=True)
    assert path.with_name(f"{path.name}-wal").stat().st_size


def notes(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT text, count(*) FROM notes GROUP BY text").fetchall())


def order(volumes: Path, number: int = 1, source: Profile = "compact", target: Profile = "standard") -> Order:
    return Order(number, source, target, volumes / source, volumes / target)


def tree(root: Path) -> Tree:
    """Return all files below a folder by path: content and mode; the locks of moves left out."""
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mode)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def stamped(root: Path) -> dict[str, tuple[int, int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        state = path.lstat()
        found[str(path)] = (state.st_mtime_ns, state.st_ino, path.read_bytes() if path.is_file() else b"")
    return found


def without_work(found: Tree) -> Tree:
    return {path: content for path, content in found.items() if WORK not in path}


def test_everything_a_component_needs_is_in_its_volume_and_back_again(volumes: Path) -> None:
    before = stamped(volumes / "compact")
    whole = tree(volumes / "compact" / "system")
    move(order(volumes))
    assert stamped(volumes / "compact") == before
    moved = without_work(tree(volumes / "standard"))
    assert {path.split("/")[0] for path in moved} == set(holdings("standard"))
    assert set(moved) == {
        f"{component}/{path}"
        for component, held in holdings("standard").items()
        for path in whole
        if not path.endswith("-shm")
        and (path.startswith(tuple(f"{name}/" for name in held.folders)) or path.startswith(held.databases or "?"))
    }
    assert (volumes / "standard/nats/nats/jetstream/$G/streams/EVENTS/obs").is_dir()
    shutil.copytree(volumes / "standard", volumes / "read")
    assert notes(volumes / "read/paper-trading/ledger.db") == {"a": 200}
    move(order(volumes, 2, "standard", "compact"))
    back = without_work(tree(volumes / "compact" / "system"))
    assert back == {path: content for path, content in whole.items() if not path.endswith("-shm")}


def test_what_an_older_layout_left_is_replaced_and_never_joined_to_the_new(volumes: Path) -> None:
    move(order(volumes))
    # The services of standard work on, and end in good order.
    for component, held in holdings("standard").items():
        for name in held.databases:
            with closing(sqlite3.connect(volumes / "standard" / component / name)) as db:
                db.execute("INSERT INTO notes VALUES ('later')")
                db.commit()
            assert not (volumes / "standard" / component / f"{name}-wal").exists()
    (volumes / "standard/nats/nats/jetstream/$G/streams/EVENTS/msgs/1.blk").unlink()
    assert (volumes / "compact/system/ledger.db-wal").exists()
    move(order(volumes, 2, "standard", "compact"))
    assert not (volumes / "compact/system/nats/jetstream/$G/streams/EVENTS/msgs/1.blk").exists()
    for name in DATABASES:
        assert not list((volumes / "compact/system").glob(f"{name}-*"))
        assert notes(volumes / "compact/system" / name) == {"a": 200, "later": 1}
    assert not list((volumes / "compact/system" / WORK / "before-2").iterdir())


def test_what_nobody_has_a_later_state_of_is_kept_until_the_next_move(volumes: Path) -> None:
    (volumes / "standard/paper-trading/ledger.db").write_bytes(b"of a time before moves were known")
    kept = volumes / "standard/paper-trading" / WORK / "before-1/ledger.db"
    move(order(volumes))
    assert kept.read_bytes() == b"of a time before moves were known"
    # Given up before it came into force, and begun anew: still there.
    write_system(volumes / "compact/system", "b", rows=1)
    move(order(volumes))
    assert kept.read_bytes() == b"of a time before moves were known"
    assert notes(volumes / "standard/paper-trading/ledger.db") == {"a": 200, "b": 1}
    move(order(volumes, 2, "standard", "compact"))
    move(order(volumes, 3))
    assert not kept.exists()


def test_a_move_that_is_done_changes_nothing_when_it_is_run_again(volumes: Path) -> None:
    move(order(volumes))
    leave_open(volumes / "standard/paper-trading/ledger.db", "traded since", 3)
    before = stamped(volumes)
    move(order(volumes))
    after = stamped(volumes)
    assert {path for path in after if after[path] != before.get(path)} <= {
        str(volumes / "standard" / component / WORK / "lock") for component in holdings("standard")
    }


def test_a_move_that_was_given_up_copies_again_when_its_source_went_on(volumes: Path) -> None:
    move(order(volumes))
    write_system(volumes / "compact/system", "b", rows=5)
    move(order(volumes))
    for component, held in holdings("standard").items():
        for name in held.databases:
            assert notes(volumes / "standard" / component / name) == {"a": 200, "b": 5}
    assert without_work(tree(volumes / "standard"))["nats/nats/jetstream/$G/streams/EVENTS/msgs/1.blk"][0][:1] == b"b"


# Killed


def lines_of(run: Callable[[], None], kill_at: int = 0) -> int:
    """Run in a child process; kill it at the so many-th line of the code of moves; return how many lines it ran.

    Returns 0 when the child was killed, and raises when it failed.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        count = 0
        own = {moving.__file__, folders.__file__}

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal count
            if frame.f_code.co_filename not in own:
                return None
            if event == "line":
                count += 1
                if count == kill_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        try:
            run()
        except BaseException as error:
            os.write(writing, repr(error).encode())
            os._exit(1)
        sys.settrace(None)
        os.write(writing, str(count).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        words = told.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return 0
    assert os.WEXITSTATUS(status) == 0, words
    return int(words)


@pytest.fixture
def second_move(volumes: Path) -> Path:
    """Return volumes before a move back: both profiles hold something, and the target's is older."""
    for name in DATABASES[1:]:
        for left in (volumes / "compact/system").glob(f"{name}*"):
            left.unlink()
    block = volumes / "compact/system/nats/jetstream/$G/streams/EVENTS/msgs/1.blk"
    block.write_bytes(b"a" * 5000)
    move(order(volumes))
    leave_open(volumes / "standard/market-data/bars.db", "later", 2)
    (volumes / "standard/ml-model/ml-model/registry/new.onnx").write_bytes(b"new")
    return volumes


def test_killed_at_any_line_and_run_again_it_comes_to_the_same_end(second_move: Path, tmp_path: Path) -> None:
    expected = tmp_path / "expected"
    shutil.copytree(second_move, expected)
    lines = lines_of(lambda: move(order(expected, 2, "standard", "compact")))
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    print(f"seed {seed}: {lines} lines")
    points = sorted(chance.sample(range(1, lines + 1), 150))
    for first in points:
        trial = tmp_path / "trial"
        shutil.copytree(second_move, trial)
        source = tree(trial / "standard")
        again = order(trial, 2, "standard", "compact")
        killed = [first]
        assert lines_of(lambda: move(again), first) == 0  # noqa: B023 (run at once)
        if chance.random() < 0.5:
            killed.append(chance.randint(1, lines))
            lines_of(lambda: move(again), killed[1])  # noqa: B023
        move(again)
        assert tree(trial / "compact") == tree(expected / "compact"), f"killed at {killed} of {lines}"
        assert tree(trial / "standard") == source, f"killed at {killed} of {lines}"
        shutil.rmtree(trial)


def test_two_at_once_wait_for_each_other(volumes: Path) -> None:
    command = [
        sys.executable, "-m", "bellwether", "move", "--number", "1", "--from", "compact", "--to", "standard",
        "--source", str(volumes / "compact"), "--target", str(volumes / "standard"),
    ]  # fmt: skip
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert notes(volumes / "standard/paper-trading/ledger.db") == {"a": 200}


# Refused


@contextmanager
def opened(database: Path) -> Iterator[None]:
    script = "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]); db.execute('SELECT 1 FROM notes'); print('open')"
    command = [sys.executable, "-c", f"{script}; sys.stdout.flush(); sys.stdin.read()", str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield
        process.kill()


@pytest.mark.parametrize("where", ["compact/system", "standard/paper-trading"])
def test_an_open_database_is_refused(volumes: Path, where: str) -> None:
    leave_open(volumes / where / "ledger.db", "x", 1)
    with opened(volumes / where / "ledger.db"):
        before = without_work(tree(volumes))
        with pytest.raises(MoveError, match=rf"{where}/ledger.db is open: its service has to end first"):
            move(order(volumes))
        assert without_work(tree(volumes)) == before
    move(order(volumes))


def test_a_source_that_changes_meanwhile_is_refused_and_the_target_left_alone(
    volumes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(source: Path, target: Path, told: Callable[[int], None]) -> str:
        found = folders.copy_file(source, target, told)
        if source.name == "1.blk":
            with source.open("ab") as file:
                file.write(b"one more message")
        return found

    monkeypatch.setattr("bellwether.storage.moving.copy_file", slow)
    with pytest.raises(MoveError, match=r"system/nats changed while it was copied: what writes it has to end first"):
        move(order(volumes))
    assert without_work(tree(volumes / "standard")) == {}


def test_a_copy_that_does_not_read_back_is_refused(volumes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bellwether.storage.moving.digest_of", lambda _: "0" * 64)
    with pytest.raises(MoveError, match=r"does not read back as it was written: the volume of \S+ is damaged"):
        move(order(volumes))
    assert without_work(tree(volumes / "standard")) == {}


def of_a_size(capacity: int) -> Callable[[Path], int]:
    """Return what a volume of so many bytes still takes."""
    return lambda root: capacity - sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def test_what_does_not_fit_is_refused_before_anything_is_written(volumes: Path) -> None:
    words = r"the volume of .*paper-trading.* has 3.0 MiB free and needs \d+\.\d MiB: let spec.storage.size be larger"
    with pytest.raises(MoveError, match=words):
        move(order(volumes), free=lambda _: 3 * 2**20)
    assert without_work(tree(volumes / "standard")) == {}


def test_an_older_state_makes_room_when_there_is_too_little(volumes: Path) -> None:
    move(order(volumes))
    size = sum(path.stat().st_size for path in (volumes / "compact").rglob("*") if path.is_file())
    move(order(volumes, 2, "standard", "compact"), free=of_a_size(size + moving.RESERVE_BYTES + 300_000))
    assert notes(volumes / "compact/system/ledger.db") == {"a": 200}


def test_what_nobody_has_a_later_state_of_makes_no_room(volumes: Path) -> None:
    (volumes / "standard/nats/nats").mkdir()
    (volumes / "standard/nats/nats/old").write_bytes(b"x" * 3_000_000)
    with pytest.raises(MoveError, match=r"let spec\.storage\.size be larger"):
        move(order(volumes), free=of_a_size(3_500_000 + moving.RESERVE_BYTES))
    assert (volumes / "standard/nats/nats/old").stat().st_size == 3_000_000


@pytest.mark.parametrize("number", [1, 2])
def test_a_move_from_stale_volumes_to_later_ones_is_refused(volumes: Path, number: int) -> None:
    move(order(volumes))
    move(order(volumes, 2, "standard", "compact"))
    # As if the annotations of the claims were lost, and standard were taken for what is in force.
    words = (
        rf"the volume of system \(.*\) was filled by move 2, this is move 1|was filled by move 1, this is move {number}"
    )
    with pytest.raises(FutileMove, match=words):
        move(order(volumes, 1, "standard", "compact"))
    with pytest.raises(FutileMove, match=r"was filled by move 2, this is move \d: set the annotation"):
        move(order(volumes, number))


def test_a_database_whose_volume_was_lost_is_not_replaced_by_nothing(volumes: Path) -> None:
    move(order(volumes))
    move(order(volumes, 2, "standard", "compact"))
    move(order(volumes, 3))
    # The claim of one component is lost and made anew; the other volumes still say that they came from compact.
    shutil.rmtree(volumes / "standard/paper-trading")
    (volumes / "standard/paper-trading").mkdir()
    before = without_work(tree(volumes))
    words = (
        r"ledger\.db is missing in the volume of paper-trading \(.*standard/paper-trading\), and the volume of system"
    )
    with pytest.raises(FutileMove, match=words):
        move(order(volumes, 4, "standard", "compact"))
    assert without_work(tree(volumes)) == before
    # Put back from what compact has of it, it is copied as any other.
    for left in (volumes / "compact/system").glob("ledger.db*"):
        shutil.copy2(left, volumes / "standard/paper-trading")
    move(order(volumes, 4, "standard", "compact"))
    shutil.copytree(volumes / "compact/system", volumes / "read")
    assert notes(volumes / "read/ledger.db") == {"a": 200}


def test_a_source_lost_while_a_move_was_interrupted_is_missed_in_what_was_set_aside(
    volumes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(order(volumes))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("bellwether.storage.moving._put_in_place", full)
        with pytest.raises(MoveError, match="No space left on device"):
            move(order(volumes, 2, "standard", "compact"))
    kept = volumes / "compact/system" / WORK / "before-2/ledger.db"
    whole = kept.read_bytes()
    (volumes / "standard/paper-trading/ledger.db").unlink()
    with pytest.raises(FutileMove, match=r"ledger\.db is missing in the volume of paper-trading"):
        move(order(volumes, 2, "standard", "compact"))
    assert kept.read_bytes() == whole


@pytest.mark.parametrize("tight", [False, True], ids=["room enough", "little room"])
def test_only_what_its_own_volume_has_a_later_state_of_is_erased(volumes: Path, tight: bool) -> None:
    move(order(volumes))
    # Two volumes are lost; the services of the first have begun a new database, in the other there is nothing.
    lost = volumes / "standard/paper-trading", volumes / "standard/ml-model"
    for root in lost:
        shutil.rmtree(root)
        root.mkdir()
    leave_open(lost[0] / "ledger.db", "anew", 1)
    before = without_work(tree(volumes / "compact/system"))
    size = sum(path.stat().st_size for path in (volumes / "compact").rglob("*") if path.is_file())
    capacity = size + moving.RESERVE_BYTES + (600_000 if tight else 50_000_000)
    move(order(volumes, 2, "standard", "compact"), free=of_a_size(capacity))
    kept = tree(volumes / "compact/system" / WORK / "before-2")
    assert {path: found for path, found in kept.items() if not path.endswith("-shm")} == {
        path: found
        for path, found in before.items()
        if path.startswith(("ledger.db", "ml-model/")) and "-shm" not in path
    }
    assert notes(volumes / "compact/system/ledger.db") == {"anew": 1}


def test_a_link_is_refused_by_name(volumes: Path) -> None:
    (volumes / "compact/system/ml-model/link").symlink_to("/etc/passwd")
    with pytest.raises(MoveError, match=r"system/ml-model/link is neither a file nor a folder"):
        move(order(volumes))


def test_a_volume_that_is_not_mounted_is_named(volumes: Path) -> None:
    (volumes / "standard/market-data").rmdir()
    with pytest.raises(FutileMove, match=r"standard/market-data is not a folder: .* market-data has to be mounted"):
        move(order(volumes))


def test_a_damaged_marker_is_named(volumes: Path) -> None:
    move(order(volumes))
    marker = volumes / "standard/market-data" / WORK / "moved-in.json"
    marker.write_text("[]")
    with pytest.raises(FutileMove, match=r"moved-in.json is damaged .*: remove it if you know what the volume holds"):
        move(order(volumes))


# The command


def typed(volumes: Path, *words: str) -> tuple[int, list[dict[str, str]], str]:
    """Run the command; return its exit code, its log, and what it said that is no log."""
    folder = ["--source", str(volumes / "compact"), "--target", str(volumes / "standard")]
    command = [sys.executable, "-m", "bellwether", "move", *words, *folder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stderr.splitlines()
    log = [json.loads(line) for line in lines if line.startswith("{")]
    return done.returncode, log, "\n".join(line for line in lines if not line.startswith("{"))


def test_the_command_tells_its_progress_in_json_lines(volumes: Path) -> None:
    code, log, rest = typed(volumes, "--number", "1", "--from", "compact", "--to", "standard")
    assert (code, rest) == (0, "")
    said = [line["msg"] for line in log]
    assert said[-1] == "move 1 from compact to standard is done"
    assert any(line.startswith("copied ") for line in said)
    assert {line["service"] for line in log} == {"move"}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--number", "0", "--from", "compact", "--to", "standard"], 1, "error: --number 0: the first move is 1"),
        (["--number", "1", "--from", "ha", "--to", "standard"], 1, "error: --from 'ha': name compact or standard"),
        (["--number", "1", "--from", "compact", "--to", "compact"], 1, "error: --to 'compact': name standard"),
    ],
)
def test_what_is_wrongly_typed_is_told_in_words(volumes: Path, words: list[str], code: int, told: str) -> None:
    assert typed(volumes, *words) == (code, [], told)


def test_the_exit_code_says_whether_trying_again_helps(volumes: Path) -> None:
    move(order(volumes))
    leave_open(volumes / "compact/system/ledger.db", "x", 1)
    with opened(volumes / "compact/system/ledger.db"):
        code, log, _ = typed(volumes, "--number", "1", "--from", "compact", "--to", "standard")
    assert (code, log[-1]["level"]) == (1, "error")
    move(order(volumes, 2, "standard", "compact"))
    code, log, _ = typed(volumes, "--number", "1", "--from", "compact", "--to", "standard")
    assert (code, log[-1]["level"]) == (3, "error")
