"""The processes of a cluster as a function of its configuration: which, with what arguments, when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from devcluster.config import NODE_NAME, ClusterConfig


class Phase(IntEnum):
    """When a process starts; processes of one phase start together and stop in reverse."""

    FOUNDATION = 0
    """At once."""
    API = 1
    """When the API server answers."""
    STORAGE = 2
    """When the snapshot types are there."""


@dataclass(frozen=True)
class Process:
    """One process: its name (also of its log), its command line, and how it starts and ends."""

    name: str
    argv: tuple[str, ...]
    phase: Phase
    follows: str | None = None
    """A process without which it ends: it is started again whenever that one is."""


def processes(config: ClusterConfig) -> list[Process]:
    """Every process of the cluster, in the order of their start."""
    plan = [_etcd(config), _apiserver(config)]
    if config.is_node:
        plan.append(_containerd(config))
    if config.runs_controllers:
        plan.append(_controllers(config))
    if config.is_node:
        plan += [_scheduler(config), _kubelet(config), _proxy(config), _coredns(config)]
        plan += _storage(config)
    if not config.is_node:
        return plan
    enter = ("nsenter", f"--net=/run/netns/{config.netns}")
    return [replace(p, argv=(*enter, *p.argv)) for p in plan]


def to_start(plan: Sequence[Process], running: Mapping[str, tuple[str, ...]]) -> list[Process]:
    """What of the plan does not run as planned: it is missing, has other arguments, or follows such a one.

    `running` holds the command line of each process that runs, by name.
    """
    names = {p.name for p in plan if running.get(p.name) != p.argv}
    return [p for p in plan if p.name in names or p.follows in names]


def _kubernetes(config: ClusterConfig, program: str, *arguments: str) -> tuple[str, ...]:
    return str(config.devcluster), program, *arguments


def _etcd(config: ClusterConfig) -> Process:
    client = f"http://127.0.0.1:{config.etcd_port}"
    peer = f"http://127.0.0.1:{config.etcd_peer_port}"
    argv = _kubernetes(
        config,
        "etcd",
        f"--data-dir={config.state_dir / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    )
    return Process("etcd", argv, Phase.FOUNDATION)


def _apiserver(config: ClusterConfig) -> Process:
    pki = config.pki
    flags = [
        f"--etcd-servers=http://127.0.0.1:{config.etcd_port}",
        f"--bind-address={config.api_host}",
        f"--secure-port={config.api_port}",
        f"--advertise-address={config.addresses.node}",
        f"--service-cluster-ip-range={config.addresses.services}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'admin.crt'}",
        f"--kubelet-client-key={pki / 'admin.key'}",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged=true",
    ]
    if not config.is_node:  # nobody inside could reach it, so the Service gets no endpoint
        flags.append("--endpoint-reconciler-type=none")
    if config.audit_log is not None:
        flags += [
            f"--audit-log-path={config.audit_log}",
            "--audit-log-maxsize=0",  # one file: whoever reads it remembers how far
            f"--audit-policy-file={config.state_dir / 'conf' / 'audit.yaml'}",
        ]
    return Process("kube-apiserver", _kubernetes(config, "kube-apiserver", *flags), Phase.FOUNDATION)


def _containerd(config: ClusterConfig) -> Process:
    argv = ("containerd", "--config", str(config.state_dir / "conf" / "containerd.toml"))
    return Process("containerd", argv, Phase.FOUNDATION)


def _controllers(config: ClusterConfig) -> Process:
    pki = config.pki
    flags = [
        f"--kubeconfig={config.user_kubeconfig('kube-controller-manager')}",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        "--bind-address=127.0.0.1",
        f"--secure-port={config.controllers_port}",
        "--use-service-account-credentials",
        "--leader-elect=false",
    ]
    if config.is_node:
        flags += ["--allocate-node-cidrs", f"--cluster-cidr={config.addresses.pods}"]
    argv = _kubernetes(config, "kube-controller-manager", *flags)
    return Process("kube-controller-manager", argv, Phase.API)


def _scheduler(config: ClusterConfig) -> Process:
    argv = _kubernetes(
        config,
        "kube-scheduler",
        f"--kubeconfig={config.user_kubeconfig('kube-scheduler')}",
        f"--tls-cert-file={config.pki / 'apiserver.crt'}",
        f"--tls-private-key-file={config.pki / 'apiserver.key'}",
        "--leader-elect=false",
    )
    return Process("kube-scheduler", argv, Phase.API)


def _kubelet(config: ClusterConfig) -> Process:
    argv = _kubernetes(
        config,
        "kubelet",
        f"--config={config.state_dir / 'conf' / 'kubelet.yaml'}",
        f"--kubeconfig={config.user_kubeconfig('kubelet')}",
        f"--root-dir={config.kubelet_root}",
        f"--cert-dir={config.pki}",
        f"--hostname-override={NODE_NAME}",
        f"--node-ip={config.addresses.node}",
    )
    return Process("kubelet", argv, Phase.API)


def _proxy(config: ClusterConfig) -> Process:
    argv = _kubernetes(
        config,
        "kube-proxy",
        f"--kubeconfig={config.user_kubeconfig('kube-proxy')}",
        "--proxy-mode=nftables",
        f"--cluster-cidr={config.addresses.pods}",
        f"--hostname-override={NODE_NAME}",
        # 0 leaves the machine's connection tracking settings alone: they are not ours to change
        "--conntrack-max-per-core=0",
        "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0",
        "--conntrack-tcp-timeout-close-wait=0",
    )
    return Process("kube-proxy", argv, Phase.API)


def _coredns(config: ClusterConfig) -> Process:
    argv = _kubernetes(config, "coredns", "-conf", str(config.state_dir / "conf" / "Corefile"))
    return Process("coredns", argv, Phase.API)


def _storage(config: ClusterConfig) -> list[Process]:
    kubeconfig = f"--kubeconfig={config.kubeconfig}"
    address = f"--csi-address={config.csi_socket}"
    driver = (
        str(config.programs / "csidir"),
        f"--root={config.state_dir / 'volumes'}",
        f"--node={NODE_NAME}",
        f"--driver={config.csi_driver}",
        f"--socket={config.csi_socket}",
        f"--registration={config.kubelet_root / 'plugins_registry' / 'csidir.sock'}",
        *config.csi_flags,
    )
    provisioner = (str(config.programs / "csi-provisioner"), address, kubeconfig, "--feature-gates=Topology=false")
    resizer = (str(config.programs / "csi-resizer"), address, kubeconfig, "--handle-volume-inuse-error=false")
    snapshotter = (str(config.programs / "csi-snapshotter"), address, kubeconfig)
    controller = (str(config.programs / "snapshot-controller"), kubeconfig)
    return [
        Process("csidir", driver, Phase.API),
        Process("csi-provisioner", provisioner, Phase.STORAGE, follows="csidir"),
        Process("csi-resizer", resizer, Phase.STORAGE, follows="csidir"),
        Process("csi-snapshotter", snapshotter, Phase.STORAGE, follows="csidir"),
        Process("snapshot-controller", controller, Phase.STORAGE),
    ]
