"""Network policies, from the topology's edges: nothing comes in or goes out that no edge asks for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from bellwether.render.kubernetes.containers import kept_by
from bellwether.render.kubernetes.context import (
    FILL,
    LABEL_INSTANCE,
    NATS,
    RESTORE,
    SYSTEM,
    Manifest,
    child_name,
    metadata,
    selector,
)
from bellwether.render.kubernetes.services import component_of
from bellwether.render.nats import JOB, TRAINING_JOB
from bellwether.service_row import ServiceRow
from bellwether.spec.backup import BackupLocation
from bellwether.spec.models import TradingSystem
from bellwether.spec.notifications import Notification
from bellwether.topology import HEALTH_PORT, NATS_PORT, SERVICES

_DNS: dict[str, Any] = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def _tcp(port: int) -> list[dict[str, Any]]:
    return [{"port": port, "protocol": "TCP"}]


def _own_pods(system: TradingSystem) -> list[dict[str, Any]]:
    return [{"podSelector": {"matchLabels": {LABEL_INSTANCE: system.metadata.name}}}]


def _outside(system: TradingSystem, rows: list[ServiceRow]) -> list[dict[str, Any]]:
    """Return the ways out of the cluster that the rows name and the declaration really uses."""
    wanted = {host for row in rows for host in row.external}
    edges = [_DNS] if "dns" in wanted else []
    if "yahoo" in wanted and system.spec.asks_yahoo:
        edges.append({"ports": _tcp(_web_port(system.spec.network.proxy))})
    if "ig" in wanted and system.spec.trading.mode == "ig-demo":
        edge = {"ports": _tcp(_web_port(system.spec.network.proxy))}
        edges += [] if edge in edges else [edge]
    news = system.spec.sentiment
    if "feeds" in wanted and news.provider == "feeds":
        proxy = system.spec.network.proxy
        # 443 in any case: feeds redirect to https.
        asked = {443, *(_port_of(feed.url) for feed in news.feeds)} if proxy is None else {_web_port(proxy)}
        edges += [edge for edge in ({"ports": _tcp(port)} for port in sorted(asked)) if edge not in edges]
    if "s3" in wanted:
        urls = [one.url for one in kept_by(system, ["backup"]) if one.url is not None]
        ports = sorted({_port_of(url) for url in urls})
        edges += [edge for edge in ({"ports": _tcp(port)} for port in ports) if edge not in edges]
    if "notify" in wanted:
        receivers = {port for one in system.spec.notifications for port in _notified_on(one, system.spec.network.proxy)}
        edges += [edge for edge in ({"ports": _tcp(port)} for port in sorted(receivers)) if edge not in edges]
    return edges


def _notified_on(channel: Notification, proxy: str | None) -> set[int]:
    """Return the ports that a notification goes to; an address that only its Secret has is taken to be https."""
    if channel.email is not None:
        return {channel.email.port}
    # A receiver inside the cluster is reached past the proxy, so both ports are open.
    own = 443 if channel.url is None else _port_of(channel.url)
    return {own} if proxy is None else {own, _web_port(proxy)}


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _web_port(proxy: str | None) -> int:
    """Return the port on which the world outside is reached: HTTPS, or that of the proxy."""
    if proxy is None:
        return 443
    parts = urlsplit(proxy)
    return parts.port or (443 if parts.scheme == "https" else 80)


def _policy(
    system: TradingSystem, component: str, ingress: list[dict[str, Any]], egress: list[dict[str, Any]]
) -> Manifest:
    spec: dict[str, Any] = {
        "podSelector": {"matchLabels": selector(system, component)},
        "policyTypes": ["Ingress", "Egress"],
    }
    if ingress:
        spec["ingress"] = ingress
    if egress:
        spec["egress"] = egress
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(system, component, child_name(system, component)),
        "spec": spec,
    }


def _open_ingress(rows: list[ServiceRow]) -> list[dict[str, Any]]:
    """Return the ways in that are open to everyone: ports for people, and the one where metrics are collected."""
    ports = [row.http_port for row in rows if row.http_port is not None]
    return [{"ports": _tcp(port)} for port in (*ports, HEALTH_PORT)]


def network_policies(system: TradingSystem) -> list[Manifest]:
    """Return one policy per component; also for the pods of Jobs, which a replay does not have.

    NATS takes connections from the system's own pods only. A port for people is open to everyone, what it answers
    is the gateway's affair; so is the port of metrics, as whoever collects them may be anywhere in the cluster. The
    kubelet's probes come from the node, which no policy keeps out.
    """
    rows = list(SERVICES.values())
    nats_in = {"from": _own_pods(system), "ports": _tcp(NATS_PORT)}
    nats_out = nats_port(selector(system, component_of(system, NATS)))
    jobs = [] if system.spec.clock.mode == "replay" else [_policy(system, JOB, [], [nats_out, _DNS])]
    if system.spec.training.job is not None:
        jobs.append(_policy(system, TRAINING_JOB, [], [nats_out, _DNS]))
    if system.spec.profile == "compact":
        return [_policy(system, SYSTEM, [nats_in, *_open_ingress(rows)], _outside(system, rows)), *jobs]
    policies = [_policy(system, NATS, [nats_in], []), *jobs]
    for row in rows:
        policies.append(_policy(system, row.name, _open_ingress([row]), [nats_out, *_outside(system, [row])]))
    return policies


def fill_policy(system: TradingSystem) -> Manifest:
    """Return the policy of the pod that fills volumes: it reaches the bucket's port and the name service alone."""
    restored = system.spec.restore_from
    return _policy(system, FILL, [], way_to(None if restored is None else restored.repository))


def restore_policy(system: TradingSystem, location: BackupLocation | None) -> Manifest:
    """Return the policy of the pod that restores volumes in place: it reaches the bucket's port and no more."""
    return _policy(system, RESTORE, [], way_to(location))


def way_to(location: BackupLocation | None) -> list[dict[str, Any]]:
    """Return the ways out of a pod that opens one repository: the bucket's port and the name service, else none."""
    url = None if location is None else location.url
    return [] if url is None else [_DNS, {"ports": _tcp(_port_of(url))}]


def nats_port(labels: Mapping[str, str]) -> dict[str, Any]:
    """Return the way out to the pods with these labels, on the port of NATS."""
    return {"to": [{"podSelector": {"matchLabels": dict(labels)}}], "ports": _tcp(NATS_PORT)}


def name_service() -> dict[str, Any]:
    """Return the way out to the cluster's name service."""
    return copy.deepcopy(_DNS)
