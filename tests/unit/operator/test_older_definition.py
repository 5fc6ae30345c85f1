"""A definition of TradingSystem older than the operator: nothing is done by what it does not keep of a status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bellwether_operator.gateway_view import RestoreAsked
from harness.statuses import NOW
from unit.operator.test_passes import AFTER_IT, KEY, UID, Server, World

ASKED = RestoreAsked("20261123T005900Z", "20261120T060005Z", "far", NOW, UID)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def older(monkeypatch: pytest.MonkeyPatch, *dropped: str) -> None:
    apply_status = Server.apply_status

    async def applied(self: Server, namespace: str, name: str, status: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in status.items() if name not in dropped}
        return await apply_status(self, namespace, name, kept)

    monkeypatch.setattr(Server, "apply_status", applied)


async def settled(world: World) -> list[str]:
    """Make passes until the time asks for none at once; return what the last one wrote."""
    for _ in range(5):
        world.memory.next_at = None
        written = await world.run()
        if not world.due_at_once:
            return written
    pytest.fail(f"passes without a pause: {written}")


async def test_a_restore_that_the_status_does_not_keep_is_not_started_and_what_is_missing_is_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.come_up()
    assert world.memory.view is not None
    world.memory.view = replace(world.memory.view, restore=ASKED)
    with monkeypatch.context() as patched:
        older(patched, "restore")
        assert not [each for each in await settled(world) if each.startswith(("Event", "StatefulSet", "Job"))]
        assert world.condition("Ready")[0] == "True"
        assert "status.restore is not kept: apply the definition of TradingSystem" in world.message("Accepted")
        assert world.replicas() == 1
        assert not (await world.reconciler.run(KEY, world.memory)).all_ready, "it is looked at again only after long"
    # The definition is applied.
    await settled(world)
    assert world.server.cache.systems[KEY]["status"]["restore"]["step"] == "Stopping"
    assert "is not kept" not in world.message("Accepted")
    assert world.replicas() == 0


async def test_a_release_whose_wait_the_status_does_not_keep_waits_without_passes_on_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, backup={"locations": [{"name": "snap", "kind": "volumeSnapshots"}]})
    world.at = AFTER_IT
    await world.come_up()
    none_is_made = SimpleNamespace(named=lambda *_: None)
    monkeypatch.setattr(world.reconciler._releasing, "_backups", none_is_made)
    older(monkeypatch, "upgrade")
    world.server.declare(2, version="2", backup={"locations": [{"name": "snap", "kind": "volumeSnapshots"}]})
    world.hear(2)
    await settled(world)
    assert world.condition("RolloutPending")[0] == "True"
    assert "status.upgrade is not kept: apply the definition of TradingSystem" in world.message("Accepted")
