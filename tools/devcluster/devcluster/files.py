"""The configuration files of a cluster as text: path below the state folder -> content."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from devcluster.config import ClusterConfig

PROCESS_USERS = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy")


def config_files(config: ClusterConfig, cni_programs: str = "/usr/lib/cni") -> dict[str, str]:
    """Every file that a process of this cluster reads, keys aside.

    `cni_programs` is the folder with the programs of the network plugins.
    """
    files: dict[str, str] = {}
    if config.runs_controllers:
        files |= {f"conf/{user}.kubeconfig": _process_kubeconfig(config, user) for user in PROCESS_USERS}
    if config.audit_log is not None:
        files["conf/audit.yaml"] = _json(_audit_policy())
    if config.is_node:
        files["conf/containerd.toml"] = _containerd(config, cni_programs)
        files["conf/cni/10-pods.conflist"] = _json(_pod_network(config))
        files["conf/kubelet.yaml"] = _json(_kubelet(config))
        files["conf/Corefile"] = _corefile(config)
        files["conf/resolv.conf"] = f"nameserver {config.addresses.dns}\n"
    return files


def admin_kubeconfig(config: ClusterConfig, pems: Mapping[str, bytes]) -> str:
    """The administrator's kubeconfig with its keys inside, so that it can be copied elsewhere."""

    def encoded(name: str) -> str:
        return base64.b64encode(pems[name]).decode()

    cluster = {"server": config.api_url, "certificate-authority-data": encoded("ca.crt")}
    user = {"client-certificate-data": encoded("admin.crt"), "client-key-data": encoded("admin.key")}
    return _json(_kubeconfig(config.name, cluster, user))


def _json(value: object) -> str:
    # JSON is YAML too, and needs no library here
    return json.dumps(value, indent=2) + "\n"


def _kubeconfig(name: str, cluster: dict[str, str], user: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }


def _process_kubeconfig(config: ClusterConfig, user: str) -> str:
    cluster = {"server": config.api_url, "certificate-authority": str(config.pki / "ca.crt")}
    keys = {
        "client-certificate": str(config.pki / f"{user}.crt"),
        "client-key": str(config.pki / f"{user}.key"),
    }
    return _json(_kubeconfig(config.name, cluster, keys))


def _audit_policy() -> dict[str, Any]:
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata"}],
    }


def _containerd(config: ClusterConfig, cni_programs: str) -> str:
    base = config.state_dir / "containerd"
    # restrict_oom_score_adj: without CAP_SYS_RESOURCE no sandbox would start otherwise.
    # netns_mounts_under_state_dir: so that `down` finds every namespace below this cluster's folder.
    return f"""\
version = 2
root = "{base / "root"}"
state = "{base / "state"}"

[grpc]
  address = "{config.containerd_socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{base / "opt"}"

[plugins."io.containerd.grpc.v1.cri"]
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  sandbox_image = "{config.pause_image}"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_programs}"
    conf_dir = "{config.state_dir / "conf" / "cni"}"
"""


def _pod_network(config: ClusterConfig) -> dict[str, Any]:
    leases = {
        "type": "host-local",
        "dataDir": str(config.state_dir / "cni"),
        "ranges": [[{"subnet": str(config.addresses.pods_on_node)}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    bridge = {"type": "bridge", "bridge": "cni0", "isGateway": True, "hairpinMode": True, "ipam": leases}
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": config.pod_network_name, "plugins": [bridge, portmap]}


def _kubelet(config: ClusterConfig) -> dict[str, Any]:
    pki, state = config.pki, config.state_dir
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{config.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{config.containerd_socket}",
        "clusterDNS": [str(config.addresses.dns)],
        "clusterDomain": "cluster.local",
        "resolvConf": str(state / "conf" / "resolv.conf"),
        "podLogsDir": str(state / "podlogs"),
        "volumePluginDir": str(state / "volplugins"),
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        # images are loaded by hand and come from nowhere else, so none may be collected
        "imageGCHighThresholdPercent": 100,
        "serializeImagePulls": False,
        "tlsCertFile": str(pki / "kubelet.crt"),
        "tlsPrivateKeyFile": str(pki / "kubelet.key"),
    }


def _corefile(config: ClusterConfig) -> str:
    pki = config.pki
    return f"""\
.:53 {{
    errors
    health :8181
    ready :8182
    cache 5
    kubernetes cluster.local {{
        endpoint {config.api_url}
        tls {pki / "admin.crt"} {pki / "admin.key"} {pki / "ca.crt"}
    }}
}}
"""
