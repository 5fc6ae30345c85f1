from functools import partial
from pathlib import Path

import pytest

from devcluster import Cluster, build
from devcluster.config import Level

_write_text = Path.write_text


@pytest.fixture(autouse=True)
def records_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def nothing(*_: object, **__: object) -> None:
        """Leave keys and processes out."""

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(build, "ensure", lambda *_: tmp_path / "programs")
    monkeypatch.setattr(Cluster, "_write_files", nothing)
    monkeypatch.setattr(Cluster, "_start", nothing)


def _write_half_and_be_killed(path: Path, text: str) -> int:
    """Write as a process does that is killed while it writes the record of a cluster."""
    if not path.name.startswith("cluster.json"):
        return _write_text(path, text)
    _write_text(path, text[: len(text) // 2])
    raise KeyboardInterrupt


def test_an_up_that_is_killed_while_it_writes_the_record_leaves_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    some = partial(Cluster, "some", Level.CONTROL_PLANE)
    some().up()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", _write_half_and_be_killed)
        with pytest.raises(KeyboardInterrupt):
            some(controllers=True).up()
    assert not some().config.controllers
    some(controllers=True).up()
    assert some().config.controllers


def test_a_first_up_that_is_killed_while_it_writes_the_record_can_be_purged(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster("some", Level.CONTROL_PLANE)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", _write_half_and_be_killed)
        with pytest.raises(KeyboardInterrupt):
            cluster.up()
    cluster.down(purge=True)
    assert not cluster.state_dir.exists()


def test_a_cluster_that_only_its_folder_names_has_the_name_that_it_was_made_with(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    Cluster("some", Level.CONTROL_PLANE, folder).up()
    assert Cluster(state_dir=folder).name == "some"
    assert Cluster(state_dir=folder).status().name == "some"
