"""The floor of what kopf can do: an operator with one handler that applies one ConfigMap for each change, as a process.

`python -m bench.operator_floor`: the API server is where KUBECONFIG says. It has no cache, no drift repair, no status
and no pruning; what ours takes beyond it is the price of those.
"""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import aiohttp
import kopf

GROUP = "bench.bellwether.dev"
VERSION = "v1"
PLURAL = "floors"
KIND = "Floor"
DEFINITION: dict[str, Any] = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": f"{PLURAL}.{GROUP}"},
    "spec": {
        "group": GROUP,
        "scope": "Namespaced",
        "names": {"kind": KIND, "plural": PLURAL, "singular": KIND.lower()},
        "versions": [
            {
                "name": VERSION,
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {"spec": {"type": "object", "properties": {"value": {"type": "integer"}}}},
                    }
                },
            }
        ],
    },
}


def child(namespace: str, name: str, value: int) -> dict[str, Any]:
    """Return the one child: a ConfigMap of the resource's name that carries its value."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace},
        "data": {"value": str(value)},
    }


def registry(connection: dict[str, Any]) -> kopf.OperatorRegistry:
    """Return the handlers; `connection` is filled by the login: `session` and `server`."""
    found = kopf.OperatorRegistry()

    @kopf.on.startup(registry=found)
    def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True

    @kopf.on.login(registry=found)
    def login(**kwargs: Any) -> Any:
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=found)
    async def changed(type: str | None, namespace: str | None, name: str | None, spec: kopf.Spec, **_: Any) -> None:
        if type == "DELETED" or namespace is None or name is None:
            return
        path = f"/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager=floor&force=true"
        body = json.dumps(child(namespace, name, spec.get("value", 0)))
        headers = {"Content-Type": "application/apply-patch+yaml"}
        session: aiohttp.ClientSession = connection["session"]
        async with session.patch(connection["server"] + path, data=body, headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()

    return found


async def main() -> None:
    """Run until SIGTERM."""
    from bench.operator_api import connected

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with connected() as (session, server):
        connection = {"session": session, "server": server}
        await kopf.operator(registry=registry(connection), standalone=True, clusterwide=True, stop_flag=stop)


if __name__ == "__main__":
    asyncio.run(main())
