import json
import sys
from pathlib import Path

import pytest

from devcluster import Cluster, ClusterError, claims, cli
from devcluster.listing import Listed, lines, listing, strangers
from devcluster.settings import find
from devcluster.slots import SlotTable

RECORD = {"level": "node", "programs": "/programs", "controllers": False, "audit_log": None, "csi_flags": []}
WHOLE = {**RECORD, "name": "whole", "slot": 1}


def test_nodes_that_the_table_does_not_know_are_found_by_their_links() -> None:
    links = {"eth0": "", "dc0": "/state/known", "dc3": "/state/other", "dc4": "", "dc-00000000": "/state/other"}
    assert strangers(links, ["/state/known"]) == [
        Listed("-", "node", 3, "other", "/state/other"),
        Listed("-", "node", 4, "other", "unknown"),
    ]


def test_a_cluster_of_a_clone_that_is_gone_is_shown_with_the_command_that_deletes_it() -> None:
    kept = Listed("some", "node", 0, "running", "/state/some", "/src/a")
    left = Listed("e2e-1", "node", 1, "stopped", "/state/e2e-1", "/src/b", project_is_gone=True)
    shown = lines([kept, left, Listed("-", "node", 3, "other", "/state/other")])
    assert [line.split()[0] for line in shown] == ["some", "e2e-1", "-"]
    assert shown[0].endswith("slot 0   running  /state/some  from /src/a")
    assert shown[1].endswith("/src/b, which is gone: `python -m devcluster down --purge --state-dir /state/e2e-1`")
    assert shown[2].endswith("slot 3   other    /state/other")


def test_list_reads_the_table_and_the_record_of_each_cluster(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    projects = {"here": str(tmp_path), "gone": str(tmp_path / "deleted"), "old": None, "new": None}
    for slot, (name, project) in enumerate(projects.items()):
        folder = find().state_home / name
        assert SlotTable(find().state_home).take(folder, slot, lambda _: None) == slot
        record = {**RECORD, "name": name, "slot": slot, **({"project": project} if project else {})}
        if name != "new":
            (folder / "cluster.json").write_text(json.dumps(record))
    monkeypatch.setattr(sys, "argv", ["devcluster", "list"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code in (0, None)
    here, gone, old, new = (line for line in capsys.readouterr().out.splitlines() if str(tmp_path) in line)
    assert here.split()[:5] == ["here", "node", "slot", "0", "stopped"]
    assert here.endswith(f"{find().state_home / 'here'}  from {tmp_path}")
    assert "which is gone" in gone
    assert old.endswith(str(find().state_home / "old"))
    assert new.split()[:2] == ["-", "-"]


@pytest.mark.parametrize("record", ["", '{"name": "bro', "[]", '{"name": "of-an-older-release", "level": "node"}'])
def test_a_record_that_cannot_be_read_is_shown_as_broken_among_the_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, record: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(claims, "links", dict)
    for slot, (name, text) in enumerate({"broken": record, "whole": json.dumps(WHOLE)}.items()):
        SlotTable(find().state_home).take(find().state_home / name, slot, lambda _: None)
        (find().state_home / name / "cluster.json").write_text(text)
    assert [(each.name, each.slot, each.state) for each in listing(find())] == [
        ("-", 0, "broken"),
        ("whole", 1, "stopped"),
    ]
    with pytest.raises(ClusterError, match=r"broken/cluster.json cannot be read .*; delete it: the next `up` writes"):
        Cluster("broken").status()
