"""Stands in for the gateways of all systems: takes every declaration, and says that every service has it.

`python -m bench.operator_gateway PORT`: a process of its own, since no kubelet runs the systems' pods. What it says of
bars, models, safety and slots is of a real answer's size, and the same at every look.
"""

from __future__ import annotations

import sys
from typing import Any

import yaml
from aiohttp import web

from bellwether.topology import SERVICES
from environments.machine import ROOT

SAMPLE = ROOT / "manifests" / "samples" / "asx-banks.yaml"
SESSIONS = ("2026-11-20", "2026-11-19", "2026-11-18", "2026-11-17", "2026-11-16", "2026-11-13", "2026-11-12")
NEVER = "2999-01-01T00:00:00Z"
"""When the systems first started: so no slot of today is owed, whenever the measurement runs."""


def application() -> web.Application:
    """Return the server; a system that delivered nothing yet is at generation 0."""
    generations: dict[tuple[str, str], int] = {}
    rest = _rest(yaml.safe_load(SAMPLE.read_text())["spec"])

    def key(request: web.Request) -> tuple[str, str]:
        return request.match_info["namespace"], request.match_info["name"]

    async def status(request: web.Request) -> web.Response:
        generation = generations.get(key(request), 0)
        services = [{"name": name, "ready": True, "generation": generation} for name in SERVICES]
        return web.json_response({"generation": generation, "services": services, **rest})

    async def take(request: web.Request) -> web.Response:
        generation = int((await request.json())["generation"])
        generations[key(request)] = generation
        return web.json_response({"generation": generation, "acknowledged": dict.fromkeys(SERVICES, generation)})

    found = web.Application()
    root = "/{namespace}/{name}/v1"
    found.add_routes([web.get(f"{root}/status", status), web.put(f"{root}/declaration", take)])
    return found


def _rest(spec: dict[str, Any]) -> dict[str, Any]:
    """Return what a gateway says besides: a row per share, and a job per task and session of nine days."""
    jobs = [
        {
            "name": f"{task['name']}-{session.replace('-', '')}",
            "task": task["name"],
            "session": session,
            "due": f"{session}T00:00:00Z",
            "status": "completed",
        }
        for session in SESSIONS
        for task in spec["tasks"]
    ]
    return {
        "halts": [],
        "safety": {"safe": True, "refusals": []},
        "data": [
            {"symbol": name, "fresh": True, "last_session": SESSIONS[0], "problem": ""} for name in spec["symbols"]
        ],
        "models": [{"model_name": "direction-lr", "symbol": name, "gated": True} for name in spec["symbols"]],
        "slots": {"since": NEVER, "jobs": jobs},
        "replay": None,
    }


if __name__ == "__main__":
    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)
