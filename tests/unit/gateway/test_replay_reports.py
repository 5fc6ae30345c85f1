"""Reports of replays over HTTP: put together, unpacked, closed to everything outside, and named when they are gone."""

from __future__ import annotations

import pytest

from .conftest import IN_MODULES_LOOP, Opened


@IN_MODULES_LOOP
@pytest.mark.parametrize("path", ["/reports/replays/sizes", "/reports/replays/sizes/1"])
async def test_a_page_is_whole_and_may_ask_nobody_for_anything(standing: Opened, path: str) -> None:
    reply = await standing.http.get(path)
    assert (reply.status_code, reply.text) == (200, "<!doctype html><title>Replay of banks</title>")
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script-src" not in policy
    assert (await standing.stranger.get(path)).status_code == 401


@IN_MODULES_LOOP
async def test_figures_and_names_are_for_programs(standing: Opened) -> None:
    assert (await standing.http.get("/v1/replays/sizes/0")).json() == {"version": 1}
    listed = (await standing.http.get("/v1/replays")).json()
    assert listed == {"replays": [{"replay": "sizes", "uid": "0d2f6c1e-aaaa", "variants": [0, 1]}]}


@IN_MODULES_LOOP
@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/reports/replays/other", 404, "there is no report of variant 0 of the replay other"),
        ("/reports/replays/short", 502, "index.html of short is not whole"),
        ("/reports/replays/sizes/one", 422, "index"),
    ],
)
async def test_what_is_not_there_or_not_whole_is_reported(standing: Opened, path: str, status: int, words: str) -> None:
    reply = await standing.http.get(path)
    assert reply.status_code == status
    assert words in reply.text


@IN_MODULES_LOOP
async def test_the_operator_says_which_replays_are_left(standing: Opened) -> None:
    reply = await standing.http.put("/v1/replays", json={"uids": ["0d2f6c1e-bbbb"]})
    assert reply.json()["replays"] == [{"replay": "left", "uid": "0d2f6c1e-bbbb", "variants": [0]}]
    wrong = await standing.http.put("/v1/replays", json={"uid": 7})
    assert (wrong.status_code, "the uids of the replays that exist" in wrong.text) == (422, True)
    assert (await standing.stranger.put("/v1/replays", json={"uids": []})).status_code == 401
