from pathlib import Path

import pytest

from devcluster.addresses import SLOTS
from devcluster.errors import ClusterError
from devcluster.slots import SlotTable, choose


def _any(_: int) -> bool:
    return True


def test_the_lowest_slot_that_no_one_has() -> None:
    assert choose({"/a": 0, "/c": 2}, "/b", None, _any) == 1


def test_a_slot_that_the_machine_uses_otherwise_is_passed_over() -> None:
    assert choose({}, "/a", None, lambda slot: slot > 4) == 5


def test_a_cluster_keeps_its_slot() -> None:
    assert choose({"/a": 7}, "/a", 7, lambda _: False) == 7
    assert choose({}, "/a", 7, lambda _: False) == 7


def test_a_slot_lost_to_another_cluster_is_an_error_not_a_new_slot() -> None:
    with pytest.raises(ClusterError, match=r"another cluster took the addresses of /a \(slot 7\)"):
        choose({"/b": 7}, "/a", 7, _any)


def test_all_slots_taken_says_what_to_do() -> None:
    table = {f"/{slot}": slot for slot in range(SLOTS)}
    with pytest.raises(ClusterError, match=f"all {SLOTS} address ranges are in use; `down --purge`"):
        choose(table, "/new", None, _any)


def test_the_table_remembers_and_forgets(tmp_path: Path) -> None:
    table = SlotTable(tmp_path / "home")
    one, two = tmp_path / "one", tmp_path / "two"
    assert [table.take(one, None, _any), table.take(two, None, _any), table.take(one, None, _any)] == [0, 1, 0]
    table.release(one)
    assert table.take(tmp_path / "three", None, _any) == 0


def test_a_cluster_whose_folder_is_gone_has_no_slot(tmp_path: Path) -> None:
    table = SlotTable(tmp_path / "home")
    assert table.take(tmp_path / "one", None, _any) == 0
    (tmp_path / "one").rmdir()
    assert table.take(tmp_path / "two", None, _any) == 0
