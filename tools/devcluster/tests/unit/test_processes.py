import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from devcluster.errors import ClusterError
from devcluster.processes import ProcessTable, Running
from devcluster.waiting import wait_for


@pytest.fixture
def table(tmp_path: Path) -> Iterator[ProcessTable]:
    table = ProcessTable(tmp_path / "run", tmp_path / "log")
    yield table
    table.stop_all(list(table.running().values()), grace=0)


def test_a_started_process_is_known_to_whoever_looks_later(table: ProcessTable, tmp_path: Path) -> None:
    started = table.start("sleeper", ["sleep", "600"], tmp_path)
    later = ProcessTable(tmp_path / "run", tmp_path / "log")
    assert later.running() == {"sleeper": started}
    assert os.getsid(started.pid) == started.pid  # so a closing terminal does not end it


def test_a_stopped_process_is_gone_and_forgotten(table: ProcessTable, tmp_path: Path) -> None:
    started = table.start("sleeper", ["sleep", "600"], tmp_path)
    table.stop(started, grace=5)
    assert not started.alive()
    assert table.running() == {}


def test_a_process_that_ignores_the_request_is_killed(table: ProcessTable, tmp_path: Path) -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 1; done"
    started = table.start("stubborn", ["sh", "-c", script], tmp_path)
    wait_for("it ignores SIGTERM", lambda: "ready" in table.tail("stubborn"), 10)
    table.stop(started, grace=0.1)
    assert not started.alive()


def test_another_process_with_the_same_id_is_left_alone(table: ProcessTable, tmp_path: Path) -> None:
    started = table.start("sleeper", ["sleep", "600"], tmp_path)
    stranger = replace(started, started=started.started - 1)
    assert not stranger.alive()
    stranger.send(signal.SIGKILL)
    assert started.alive()


def _ended(process: Running) -> bool:
    return not process.alive()


def test_output_goes_to_a_log_and_the_log_before_is_kept(table: ProcessTable, tmp_path: Path) -> None:
    for word in ("first", "second"):
        started = table.start("talker", ["sh", "-c", f"echo {word}; echo more >&2"], tmp_path)
        wait_for("it ended", partial(_ended, started), 10)
    assert table.tail("talker") == "second\nmore"
    assert (tmp_path / "log" / "talker.log.old").read_text() == "first\nmore\n"


def test_a_program_that_is_not_there_is_named(table: ProcessTable, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="cannot start ghost: there is no program no-such-program"):
        table.start("ghost", ["no-such-program"], tmp_path)
