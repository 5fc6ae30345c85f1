"""Backups asked for at the gateway."""

from __future__ import annotations

from unit.gateway.conftest import IN_MODULES_LOOP, Opened


@IN_MODULES_LOOP
async def test_one_is_made_and_listed_by_the_service(standing: Opened) -> None:
    made = await standing.http.post("/v1/backups", json={"type": "full"})
    assert (made.status_code, made.json()["status"]) == (200, "complete")
    asked = [method for method, _ in standing.seen.calls]
    assert asked.count("create_backup") == 1
    assert (await standing.http.get("/v1/backups")).json()["backups"] == []


@IN_MODULES_LOOP
async def test_what_no_backup_can_be_is_refused_in_words(standing: Opened) -> None:
    reply = await standing.http.post("/v1/backups", json={"type": "differential"})
    assert reply.status_code == 422
    assert "type: Input should be 'full', 'incremental' or 'auto'" in reply.text
