"""Stands in for the gateways of all systems: takes every declaration, and says that every service has it.

`python -m bench.operator_gateway PORT`: a process of its own, since no kubelet runs the systems' pods.
"""

from __future__ import annotations

import sys

from aiohttp import web

from bellwether.topology import SERVICES


def application() -> web.Application:
    """Return the server; a system that delivered nothing yet is at generation 0."""
    generations: dict[tuple[str, str], int] = {}

    def key(request: web.Request) -> tuple[str, str]:
        return request.match_info["namespace"], request.match_info["name"]

    async def status(request: web.Request) -> web.Response:
        generation = generations.get(key(request), 0)
        services = [{"name": name, "ready": True, "generation": generation} for name in SERVICES]
        return web.json_response({"generation": generation, "services": services, "halts": []})

    async def take(request: web.Request) -> web.Response:
        generation = int((await request.json())["generation"])
        generations[key(request)] = generation
        return web.json_response({"generation": generation, "acknowledged": dict.fromkeys(SERVICES, generation)})

    found = web.Application()
    root = "/{namespace}/{name}/v1"
    found.add_routes([web.get(f"{root}/status", status), web.put(f"{root}/declaration", take)])
    return found


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
