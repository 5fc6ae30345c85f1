import json
from pathlib import Path

import pytest

from devcluster.addresses import SLOTS
from devcluster.errors import ClusterError
from devcluster.slots import Holder, SlotTable, choose


def _no_one(_: int) -> None:
    return None


def _but(*held: int) -> Holder:
    return lambda slot: "a neighbour" if slot in held else None


def test_the_lowest_slot_that_no_one_has() -> None:
    assert choose({"/a": 0, "/c": 2}, "/b", None, _no_one) == 1


def test_a_slot_that_the_machine_uses_otherwise_is_passed_over() -> None:
    assert choose({}, "/a", None, _but(0, 1, 2, 3, 4)) == 5


def test_a_cluster_keeps_its_slot() -> None:
    assert choose({"/a": 7}, "/a", 7, _no_one) == 7
    assert choose({"/a": 7}, "/a", None, _no_one) == 7
    assert choose({}, "/a", 7, _no_one) == 7


def test_a_slot_lost_to_a_cluster_of_the_same_table_is_an_error_not_a_new_slot() -> None:
    with pytest.raises(ClusterError, match=r"the cluster in /b has the addresses that the cluster in /a .*\(slot 7\)"):
        choose({"/b": 7}, "/a", 7, _no_one)


@pytest.mark.parametrize("table", [{"/a": 7}, {}])
def test_a_slot_lost_to_one_that_the_table_does_not_know_is_an_error_too(table: dict[str, int]) -> None:
    with pytest.raises(ClusterError, match=r"a neighbour has the addresses .*; take that away, or this one with `down"):
        choose(table, "/a", 7, _but(7))


def test_a_cluster_that_no_keys_bind_takes_another_slot_instead() -> None:
    assert choose({"/a": 7, "/b": 0}, "/a", None, _but(1, 7)) == 2


def test_all_slots_taken_says_what_to_do() -> None:
    table = {f"/{slot}": slot for slot in range(SLOTS)}
    with pytest.raises(ClusterError, match=f"all {SLOTS} address ranges are in use; `list` names"):
        choose(table, "/new", None, _no_one)


def test_the_table_remembers_and_forgets(tmp_path: Path) -> None:
    table = SlotTable(tmp_path / "home")
    one, two = tmp_path / "one", tmp_path / "two"
    assert [table.take(one, None, _no_one), table.take(two, None, _no_one), table.take(one, None, _no_one)] == [0, 1, 0]
    table.release(one)
    assert table.take(tmp_path / "three", None, _no_one) == 0


def test_a_folder_through_a_link_is_the_folder_itself(tmp_path: Path) -> None:
    table = SlotTable(tmp_path / "home")
    folder, through = tmp_path / "real" / "one", tmp_path / "link" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(folder.parent)
    assert table.take(through, None, _but(0)) == 1
    assert table.rows() == {str(folder): 1}
    assert [table.take(folder, 1, _no_one), table.take(through, 1, _no_one)] == [1, 1]
    table.release(through)
    assert table.rows() == {}


def test_a_row_that_names_a_folder_through_a_link_is_read(tmp_path: Path) -> None:
    folder, through = tmp_path / "one", tmp_path / "link"
    folder.mkdir()
    through.symlink_to(folder)
    (tmp_path / "slots.json").write_text(json.dumps({str(through): 4}))
    table = SlotTable(tmp_path)
    assert table.take(folder, 4, _no_one) == 4
    table.release(folder)
    assert table.rows() == {}


def test_a_cluster_whose_folder_is_gone_has_no_slot(tmp_path: Path) -> None:
    table = SlotTable(tmp_path / "home")
    assert table.take(tmp_path / "one", None, _no_one) == 0
    (tmp_path / "one").rmdir()
    assert table.take(tmp_path / "two", None, _no_one) == 0
