"""Stable addresses of NATS and of whatever people reach over HTTP, and the account of the pods."""

from __future__ import annotations

from bellwether.render.kubernetes.context import NATS, SYSTEM, Manifest, child_name, metadata, selector
from bellwether.spec.models import TradingSystem
from bellwether.topology import NATS_PORT, SERVICES


def component_of(system: TradingSystem, service: str) -> str:
    """Return the component whose pod runs a service (or NATS): the whole system in the compact profile."""
    return SYSTEM if system.spec.profile == "compact" else service


def _service(system: TradingSystem, component: str, port_name: str, port: int) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(system, component, child_name(system, component)),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(system, component_of(system, component)),
            "ports": [{"name": port_name, "port": port, "protocol": "TCP", "targetPort": port_name}],
        },
    }


def nats(system: TradingSystem) -> Manifest:
    """Return the address of NATS: with a cluster IP, since a name that resolves to a pod would outlive the pod."""
    return _service(system, NATS, "nats", NATS_PORT)


def http(system: TradingSystem) -> list[Manifest]:
    """Return the addresses of the services that have an HTTP port."""
    return [_service(system, row.name, "http", row.http_port) for row in SERVICES.values() if row.http_port is not None]


def service_account(system: TradingSystem) -> Manifest:
    """Return the account."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(system, SYSTEM, child_name(system, SYSTEM)),
        "automountServiceAccountToken": False,
    }
