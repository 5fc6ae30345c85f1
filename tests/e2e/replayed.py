"""Looking at a replay in a cluster, and comparing it with the same one that nobody disturbed."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from e2e.lab import System, replay_system


def status(system: System) -> dict[str, Any]:
    """Return what the gateway says of a system."""
    with system.gateway() as client:
        found: dict[str, Any] = client.get("/v1/status").raise_for_status().json()
    return found


def session_under_way(system: System) -> str:
    """Return the day of the session that is replayed now; empty while the scheduler does not say."""
    return str((status(system)["replay"] or {}).get("session") or "")


def sessions_done(system: System) -> int:
    """Return how many sessions were closed; 0 while the scheduler does not say."""
    return int((status(system)["replay"] or {}).get("sessions_done", 0))


def replay_step(system: System) -> int:
    """Return the step the conductor is at; 0 while the scheduler does not say."""
    return int((status(system)["replay"] or {}).get("step", 0))


def all_orders(system: System) -> list[dict[str, Any]]:
    """Return the orders of a system, up to 500."""
    with system.gateway() as client:
        orders: list[dict[str, Any]] = (
            client.get("/v1/orders", params={"limit": 500}).raise_for_status().json()["orders"]
        )
    return orders


def is_complete(system: System) -> bool:
    """Whether the last session was replayed."""
    return bool((status(system)["replay"] or {}).get("state") == "complete")


def essence(orders: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return what of orders must be equal whatever was done to the system."""
    keys = ("order_id", "prediction_id", "symbol", "side", "quantity", "status", "session", "fill_price", "commission")
    return sorted(tuple(order[key] for key in keys) for order in orders)


def undisturbed(system: System, folder: Path, to: str = "") -> list[dict[str, Any]]:
    """Return the orders of the same replay in one process, over the in-process bus, with nothing killed.

    It ends where the system's own does, or on an earlier day.
    """
    document = replay_system(system.name, system.namespace)
    document["spec"] = system.resource()["spec"]
    document["spec"]["clock"] |= {"pace": "0s", **({"to": to} if to else {})}
    file = folder / "system.yaml"
    file.write_text(yaml.safe_dump(document))
    command = [sys.executable, "-m", "bellwether", "replay", str(file), "--data", str(folder / "data")]
    subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    (ledger,) = (folder / "data").rglob("ledger.db")
    with sqlite3.connect(ledger) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute("select * from orders")]
