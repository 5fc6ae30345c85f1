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
async def test_the_operator_hears_at_once_how_far_that_of_a_tradingbackup_is(standing: Opened) -> None:
    body = {"type": "full", "location": "far", "attempt": 2}
    found = await standing.http.put("/v1/backups/0b4a9c", json=body)
    assert (found.status_code, found.json()["state"], found.json()["step"]) == (200, "running", "copy")
    assert (await standing.http.put("/v1/backups/0b4a9c", json={"type": "full"})).status_code == 422


@IN_MODULES_LOOP
async def test_what_no_backup_can_be_is_refused_in_words(standing: Opened) -> None:
    reply = await standing.http.post("/v1/backups", json={"type": "differential"})
    assert reply.status_code == 422
    assert "type: Input should be 'full', 'incremental' or 'auto'" in reply.text


@IN_MODULES_LOOP
async def test_a_restore_in_place_is_asked_for_and_the_operator_says_that_it_is_over(standing: Opened) -> None:
    asked = await standing.http.post("/v1/restores", json={"backup_id": "20261126T213000Z"})
    assert (asked.status_code, asked.json()["status"], asked.json()["location"]) == (200, "restore_requested", "far")
    assert asked.json()["at"].endswith("Z"), "status.restore writes it so"
    ended = await standing.http.delete("/v1/restores/20261127T220000Z")
    assert (ended.status_code, ended.json()) == (200, {"id": "20261127T220000Z"})
    for body in ({}, {"backup_id": "--help"}, {"backup_id": "20261126T213000Z", "location": "No Name"}):
        assert (await standing.http.post("/v1/restores", json=body)).status_code == 422
    assert (await standing.http.delete("/v1/restores/x")).status_code == 422
