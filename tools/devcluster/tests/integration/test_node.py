import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import Cluster
from devcluster.processes import ProcessTable
from devcluster.runtime import single_file_image
from devcluster.settings import find
from devcluster.testing import leftovers
from devcluster.waiting import wait_for

IMAGE = "localhost/test/cronfire:dev"

POD = """
apiVersion: v1
kind: Pod
metadata: {name: printer}
spec:
  restartPolicy: Never
  securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
  containers:
  - name: main
    image: localhost/test/cronfire:dev
    imagePullPolicy: Never
    args: ["0 12 * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    resources: {limits: {memory: 64Mi}}
"""

VOLUME = f"""
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {{name: data}}
spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}
---
apiVersion: v1
kind: Pod
metadata: {{name: holder}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: localhost/{find().prefix}/pause:dev
    imagePullPolicy: Never
    volumeMounts: [{{name: data, mountPath: /data}}]
  volumes: [{{name: data, persistentVolumeClaim: {{claimName: data}}}}]
"""

SNAPSHOT = """
apiVersion: snapshot.storage.k8s.io/v1
kind: VolumeSnapshot
metadata: {name: then}
spec: {source: {persistentVolumeClaimName: data}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: restored}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Gi}}
  dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: then}
"""


@pytest.fixture(scope="module")
def node(folder: Path, programs: Path) -> Iterator[Cluster]:
    cluster = Cluster("test-node", "node", folder / "node")
    cluster.up()
    yield cluster
    cluster.down(purge=True)


def _apply(cluster: Cluster, text: str) -> None:
    cluster.kubectl("apply", "-f", "-", stdin=text)


def _wait(cluster: Cluster, what: str, condition: str) -> None:
    cluster.kubectl("wait", what, f"--for={condition}", "--timeout=180s", seconds=190)


def _folder_of(cluster: Cluster, claim: str) -> Path:
    volume = cluster.kubectl("get", "pvc", claim, "-o", "jsonpath={.spec.volumeName}")
    handle = cluster.kubectl("get", "pv", volume, "-o", "jsonpath={.spec.csi.volumeHandle}")
    return cluster.state_dir / "volumes" / "volumes" / handle / "data"


def test_a_loaded_image_runs_as_a_restricted_pod_and_its_log_is_read(node: Cluster, programs: Path) -> None:
    archive = node.state_dir / "image.tar"
    archive.write_bytes(single_file_image(IMAGE, "cronfire", (programs / "cronfire").read_bytes()))
    assert node.runtime().load(archive) == [IMAGE]
    _apply(node, POD)
    _wait(node, "pod/printer", "jsonpath={.status.phase}=Succeeded")
    assert node.kubectl("logs", "printer") == "2026-01-01T12:00:00Z\n"


def test_a_volume_is_mounted_grows_and_comes_back_from_a_snapshot(node: Cluster) -> None:
    _apply(node, VOLUME)
    _wait(node, "pod/holder", "condition=Ready")
    (_folder_of(node, "data") / "ledger").write_text("first")
    _apply(node, SNAPSHOT)
    _wait(node, "pvc/restored", "jsonpath={.status.phase}=Bound")
    (_folder_of(node, "data") / "ledger").write_text("second")
    assert (_folder_of(node, "restored") / "ledger").read_text() == "first"
    node.kubectl("patch", "pvc", "data", "-p", '{"spec":{"resources":{"requests":{"storage":"2Gi"}}}}')
    _wait(node, "pvc/data", "jsonpath={.status.capacity.storage}=2Gi")


def test_cluster_addresses_answer_on_the_machine(node: Cluster) -> None:
    address = f"https://{node.config.addresses.kubernetes}:443"
    version = json.loads(node.kubectl("--server", address, "get", "--raw", "/version"))
    assert version["gitVersion"].startswith("v1.")


def test_up_starts_again_only_what_died(node: Cluster) -> None:
    before = node.status().processes
    table = ProcessTable(node.state_dir / "run" / "processes", node.state_dir / "log")
    table.running()["kube-scheduler"].send(signal.SIGKILL)
    wait_for("the scheduler is gone", lambda: "kube-scheduler" not in table.running(), 60)
    assert not node.status().ready
    node.up()
    after = node.status().processes
    assert [name for name in before if before[name] != after[name]] == ["kube-scheduler"]


def test_a_switch_of_the_volume_driver_restarts_only_what_hangs_on_it(node: Cluster) -> None:
    before = node.status().processes
    slow = Cluster(node.name, "node", node.state_dir, csi_flags=["--ready-delay=1s"])
    slow.up()
    after = slow.status().processes
    changed = [name for name in before if before[name] != after[name]]
    assert changed == ["csidir", "csi-provisioner", "csi-resizer", "csi-snapshotter"]

    _apply(slow, _renamed(VOLUME + "---" + SNAPSHOT))
    _wait(slow, "volumesnapshot/then-slow", "jsonpath={.status.readyToUse}=true")
    _wait(slow, "pvc/restored-slow", "jsonpath={.status.phase}=Bound")
    _wait(slow, "pod/holder-slow", "condition=Ready")
    node.up()
    # The kubelet takes one driver out of its list when it sees that its socket is gone, and then the other one in.
    wait_for("the node is ready with its former driver", lambda: node.status().ready, 180)


def _renamed(text: str) -> str:
    for name in ("data", "holder", "then", "restored"):
        text = re.sub(rf"(name|Name): {name}\b", rf"\1: {name}-slow", text)
    return text


def test_a_second_node_runs_beside_and_both_leave_nothing(node: Cluster, folder: Path) -> None:
    other = Cluster("test-second", "node", folder / "second")
    try:
        other.up()
        _apply(other, VOLUME)
        _wait(other, "pod/holder", "condition=Ready")
        assert other.config.api_url != node.config.api_url
        assert node.status().ready
    finally:
        config = other.config
        other.down(purge=True)
    assert leftovers(config) == []
    assert not other.state_dir.exists()

    node.down()
    assert leftovers(node.config) == []
    node.up()
    assert IMAGE in node.runtime().images()
    wait_for("the pod runs again", _restarted(node), 180)


def _restarted(node: Cluster) -> Callable[[], bool]:
    """Whether the volume is mounted again: the status of a pod outlives a stop of the node."""
    volume = node.kubectl("get", "pvc", "data", "-o", "jsonpath={.spec.volumeName}")
    return lambda: f"{volume}/mount" in Path("/proc/mounts").read_text()
