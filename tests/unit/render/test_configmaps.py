from __future__ import annotations

import json

from bellwether.render.kubernetes import RenderContext
from bellwether.render.kubernetes.configmaps import declaration, nats_config, start_value_annotations
from bellwether.runtime.declaration import parse_declaration

from .conftest import UID, build


def test_the_start_value_is_the_whole_declaration_with_what_a_person_wrote_at_a_default() -> None:
    text = declaration(build(rollout={"policy": "WhenClosed"}))["data"]["system.json"]
    found = json.loads(text)
    assert found["metadata"] == {"name": "demo", "namespace": "trading", "uid": UID, "generation": 3}
    assert found["spec"]["rollout"] == {"policy": "WhenClosed", "protectSession": True}
    assert "rollout" in found["defaults"] or "rollout.policy" in found["defaults"]
    assert parse_declaration(text.encode()) == build()


def test_the_start_value_keeps_its_name_and_can_be_rewritten() -> None:
    before, after = declaration(build()), declaration(build(symbols=["IBM"]))
    assert before["metadata"]["name"] == after["metadata"]["name"] == "demo-declaration"
    assert before["data"] != after["data"]
    assert "immutable" not in before


def test_what_is_read_at_the_start_only_marks_the_pods() -> None:
    csv = {"provider": "csv", "csv": {"directory": "bars"}}
    other = {"provider": "csv", "csv": {"directory": "more"}}
    assert start_value_annotations(build(data=csv)) != start_value_annotations(build(data=other))
    assert start_value_annotations(build()) == start_value_annotations(build(symbols=["IBM"]))


def test_nats_conf_is_immutable_and_named_by_its_content(context: RenderContext) -> None:
    replay = nats_config(build(), context)
    live = nats_config(build(data={"provider": "yahoo"}, clock={"mode": "live"}), context)
    assert replay["immutable"] is True
    assert replay["metadata"]["name"].startswith("demo-nats-")
    assert replay["metadata"]["name"] != live["metadata"]["name"]
    assert "sync_interval: always" in live["data"]["nats.conf"]
    assert "sync_interval: always" not in replay["data"]["nats.conf"]
    assert nats_config(build(symbols=["IBM"]), context) == replay


def test_jetstream_keeps_no_more_than_its_volume_holds(context: RenderContext) -> None:
    small = nats_config(build(storage={"size": "400Mi"}), context)["data"]["nats.conf"]
    assert f"max_file_store: {300 * 1024 * 1024}" in small
