import base64
import json
import tomllib
from ipaddress import ip_address, ip_network

import yaml

from devcluster.config import Level
from devcluster.files import admin_kubeconfig, config_files
from devcluster.manifests import base_objects, snapshot_objects
from devcluster.testing import config


def test_containerd_keeps_everything_below_the_state_folder() -> None:
    settings = tomllib.loads(config_files(config())["conf/containerd.toml"])
    paths = [settings["root"], settings["state"], settings["grpc"]["address"]]
    paths.append(settings["plugins"]["io.containerd.internal.v1.opt"]["path"])
    assert all(path.startswith("/state/some/") for path in paths)
    assert settings["plugins"]["io.containerd.grpc.v1.cri"]["netns_mounts_under_state_dir"] is True


def test_pods_get_addresses_of_the_clusters_own_range() -> None:
    network = json.loads(config_files(config())["conf/cni/10-pods.conflist"])
    assert network["name"] == "devcluster-cfe54c80"
    assert network["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.103.0.0/24"}]]


def test_kubelet_keeps_pods_in_the_clusters_own_cgroup() -> None:
    kubelet = yaml.safe_load(config_files(config())["conf/kubelet.yaml"])
    assert kubelet["cgroupRoot"] == "/devcluster-cfe54c80"
    assert kubelet["clusterDNS"] == ["10.208.48.10"]


def test_a_control_plane_needs_no_files_but_its_keys() -> None:
    assert config_files(config(Level.CONTROL_PLANE)) == {}


def test_the_administrators_kubeconfig_holds_its_keys() -> None:
    pems = {name: name.encode() for name in ("ca.crt", "admin.crt", "admin.key")}
    found = yaml.safe_load(admin_kubeconfig(config(), pems))
    assert found["clusters"][0]["cluster"]["server"] == "https://10.200.3.2:6443"
    assert base64.b64decode(found["users"][0]["user"]["client-key-data"]) == b"admin.key"


def test_cluster_dns_has_an_address_of_the_service_range() -> None:
    objects = {f"{o['kind']}/{o['metadata']['name']}": o for o in base_objects(config()) + snapshot_objects(config())}
    address = objects["Service/kube-dns"]["spec"]["clusterIP"]
    assert ip_address(address) in ip_network("10.208.48.0/20")
    assert objects["EndpointSlice/kube-dns"]["endpoints"][0]["addresses"] == ["10.200.3.2"]
    classes = [objects["StorageClass/hostdir"], objects["VolumeSnapshotClass/hostdir"]]
    assert classes[0]["provisioner"] == classes[1]["driver"]
