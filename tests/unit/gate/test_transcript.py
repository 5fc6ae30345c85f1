from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gate.transcript import KEPT, Transcript

NOW = datetime(2026, 12, 1, tzinfo=UTC)


def test_what_is_said_is_printed_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Transcript(tmp_path / "runs", NOW) as transcript:
        transcript.say("FAILED tests/test_it.py::test_that")
        # Also when the run is killed after it.
        assert transcript.path.read_text() == "FAILED tests/test_it.py::test_that\n"
    assert capsys.readouterr().out == transcript.path.read_text()


def test_the_oldest_runs_go(tmp_path: Path) -> None:
    made = []
    for number in range(KEPT + 3):
        with Transcript(tmp_path, NOW + timedelta(minutes=number)) as transcript:
            made.append(transcript.path)
    assert sorted(tmp_path.iterdir()) == made[-KEPT:]
