"""The objects that a new node gets: cluster DNS, storage class, snapshot class."""

from __future__ import annotations

from typing import Any

from devcluster.config import STORAGE_CLASS, ClusterConfig

SNAPSHOT_CRDS = ("volumesnapshotclasses", "volumesnapshotcontents", "volumesnapshots")


def base_objects(config: ClusterConfig) -> list[dict[str, Any]]:
    """What needs no custom type."""
    ports = [{"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "dns-tcp", "port": 53, "protocol": "TCP"}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}},
        "spec": {"clusterIP": str(config.addresses.dns), "ports": ports},
    }
    # CoreDNS is a process of the node, not a pod, so the Service has no selector to find it by
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": "kube-dns",
            "namespace": "kube-system",
            "labels": {"kubernetes.io/service-name": "kube-dns"},
        },
        "addressType": "IPv4",
        "ports": ports,
        "endpoints": [{"addresses": [str(config.addresses.node)], "conditions": {"ready": True}}],
    }
    driver = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "CSIDriver",
        "metadata": {"name": config.csi_driver},
        "spec": {"attachRequired": False, "fsGroupPolicy": "File", "podInfoOnMount": False},
    }
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": STORAGE_CLASS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": config.csi_driver,
        "reclaimPolicy": "Delete",
        "allowVolumeExpansion": True,
        "volumeBindingMode": "Immediate",
    }
    return [service, endpoints, driver, storage_class]


def snapshot_objects(config: ClusterConfig) -> list[dict[str, Any]]:
    """What needs the snapshot types."""
    return [
        {
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"snapshot.storage.kubernetes.io/is-default-class": "true"},
            },
            "driver": config.csi_driver,
            "deletionPolicy": "Delete",
        }
    ]
