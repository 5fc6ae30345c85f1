import subprocess
from pathlib import Path

import pytest


def _run(*argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=120, check=False)


def test_fire_times_follow_the_zone_across_a_change_of_the_clock(programs: Path) -> None:
    cronfire = str(programs / "cronfire")
    found = _run(cronfire, "30 9 * * *", "Australia/Sydney", "2026-04-03T22:30:00Z", "2026-04-05T23:30:00Z")
    assert found.stdout.split() == ["2026-04-04T23:30:00Z", "2026-04-05T23:30:00Z"]


def test_many_schedules_are_answered_in_one_run(programs: Path) -> None:
    line = "0 0 1 1 *\tUTC\t2025-12-31T00:00:00Z\t2027-01-01T00:00:00Z"
    never = "0 0 30 2 *\tUTC\t2025-12-31T00:00:00Z\t2027-01-01T00:00:00Z"
    found = _run(str(programs / "cronfire"), "-", stdin=f"{line}\n{never}\n")
    assert found.stdout == "2026-01-01T00:00:00Z 2027-01-01T00:00:00Z\n\n"


def test_a_schedule_that_is_none_is_refused(programs: Path) -> None:
    found = _run(str(programs / "cronfire"), "61 * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z")
    assert found.returncode == 1
    assert "above maximum" in found.stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnode: []\n", "field node not found"),
        ("kind: Clutter\napiVersion: kind.x-k8s.io/v1alpha4\n", 'kind is "Clutter"'),
    ],
)
def test_a_kind_configuration_with_a_wrong_word_is_refused(
    programs: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "kind.yaml"
    file.write_text(text)
    found = _run(str(programs / "kindconfig"), str(file))
    assert found.returncode == 1
    assert complaint in found.stderr
