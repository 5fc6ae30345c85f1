import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster import Cluster, ClusterError
from devcluster.listing import listing
from devcluster.settings import find
from devcluster.slots import SlotTable
from devcluster.testing import leftovers
from devcluster.waiting import wait_for


@pytest.fixture
def cluster(folder: Path, programs: Path) -> Iterator[Cluster]:
    cluster = Cluster("test-plane", "control-plane", folder / "plane", audit_log=folder / "audit.log")
    yield cluster
    cluster.down(purge=True)


def test_a_control_plane_comes_up_stays_as_it_is_and_goes_without_a_trace(cluster: Cluster) -> None:
    cluster.up()
    processes = cluster.status().processes
    assert cluster.status().ready
    assert _shown(cluster) == "running"
    cluster.up()
    assert cluster.status().processes == processes

    cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")
    config = cluster.config
    cluster.down()
    assert leftovers(config) == []
    assert cluster.status().ready is False
    assert _shown(cluster) == "stopped"
    cluster.up()
    assert cluster.kubectl("get", "configmap", "kept", "-o", "jsonpath={.data.a}") == "b"

    cluster.down(purge=True)
    assert leftovers(config) == []
    assert not cluster.state_dir.exists()


def _shown(cluster: Cluster) -> str:
    """What `list` says of the state of a cluster."""
    (found,) = [each.state for each in listing(find()) if each.state_dir == str(cluster.state_dir)]
    return found


def test_requests_are_written_to_the_audit_log(cluster: Cluster, folder: Path) -> None:
    cluster.up()
    cluster.kubectl("get", "configmaps", "-A")

    def written() -> list[dict[str, Any]]:
        # The last line may be written just now.
        whole = (folder / "audit.log").read_text().rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole]

    def listed() -> bool:
        return any(each["verb"] == "list" and each["objectRef"]["resource"] == "configmaps" for each in written())

    wait_for("the request is in the log", listed, 120)
    assert {each["level"] for each in written()} == {"Metadata"}


def test_controllers_are_added_when_asked_for_and_a_second_cluster_runs_beside(cluster: Cluster, folder: Path) -> None:
    cluster.up()
    other = Cluster("test-other", "control-plane", folder / "other", controllers=True)
    try:
        other.up()
        assert other.config.api_port != cluster.config.api_port
        assert "default" in other.kubectl("get", "serviceaccounts", "-o", "name")
        assert "default" not in cluster.kubectl("get", "serviceaccounts", "-o", "name")
    finally:
        config = other.config
        other.down(purge=True)
    assert leftovers(config) == []
    assert cluster.status().ready


def test_a_control_plane_does_not_start_on_the_ports_of_one_of_another_table(
    cluster: Cluster, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.up()
    cluster.down()
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "home"))
    other = Cluster("test-other", "control-plane", folder / "other")
    SlotTable(find().state_home).take(other.state_dir, cluster.config.slot, lambda _: None)
    try:
        other.up()
        assert other.config.api_port == cluster.config.api_port
        with pytest.raises(ClusterError, match=f"the cluster in {other.state_dir} has the addresses"):
            cluster.up()
        assert set(cluster.status().processes.values()) == {None}
        cluster.down()
        assert other.status().ready
    finally:
        other.down(purge=True)
    cluster.up()
    assert cluster.status().ready


def test_a_cluster_of_another_level_is_not_replaced(cluster: Cluster) -> None:
    cluster.up()
    with pytest.raises(ClusterError, match="test-plane is a control-plane cluster; take it away with"):
        Cluster("test-plane", "node", cluster.state_dir).up()


def test_a_process_that_cannot_start_is_named_with_the_end_of_its_log(cluster: Cluster) -> None:
    cluster.up()
    cluster.down()
    (cluster.state_dir / "pki" / "apiserver.crt").write_text("no certificate")
    with pytest.raises(ClusterError, match=r"kube-apiserver ended before the API server is ready[\s\S]*certificate"):
        cluster.up()
