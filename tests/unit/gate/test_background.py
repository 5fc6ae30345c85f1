import subprocess
from pathlib import Path

from gate.background import command, group

LOOK = ["sh", "-c", "nice; cat /proc/self/cgroup"]


def looked(members: Path | None) -> list[str]:
    done = subprocess.run(command(LOOK, members), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_command_is_polite_and_a_member_where_a_group_can_be_made() -> None:
    with group() as members:
        niceness, *groups = looked(members)
        assert int(niceness) >= 10
        assert any("bellwether-tests-" in each for each in groups) is (members is not None)
    assert members is None or not members.parent.exists()


def test_where_no_group_can_be_made_a_command_is_polite_all_the_same(tmp_path: Path) -> None:
    with group(roots=(tmp_path / "none", tmp_path)) as members:
        assert members is None
        assert int(looked(members)[0]) >= 10
    assert list(tmp_path.iterdir()) == []
