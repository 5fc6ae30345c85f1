from __future__ import annotations

import pytest

from bellwether.render.keys import derive_seed, gateway_token, public_key
from bellwether.render.nats import nats_conf, role_permissions, service_permissions
from bellwether.topology import SERVICES

SEED = b"installation seed of this test"


def test_keys_are_a_function_of_seed_system_identity_and_generation() -> None:
    key = derive_seed(SEED, "uid", "prediction")
    assert key == derive_seed(SEED, "uid", "prediction")
    assert public_key(key).startswith("U")
    others = [
        derive_seed(SEED + b"x", "uid", "prediction"),
        derive_seed(SEED, "uid2", "prediction"),
        derive_seed(SEED, "uid", "predictio"),
        derive_seed(SEED, "uid", "prediction", 2),
    ]
    assert len({key, *others}) == 5
    assert gateway_token(SEED, "uid") != gateway_token(SEED, "uid", 2)
    assert len(gateway_token(SEED, "uid")) == 43


def test_a_short_seed_and_a_generation_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="has 3 bytes: at least 16 needed"):
        derive_seed(b"abc", "uid", "prediction")
    with pytest.raises(ValueError, match="key generation 0: the first is 1"):
        derive_seed(SEED, "uid", "prediction", 0)
    with pytest.raises(ValueError, match="begins with SU"):
        public_key("SA")


def test_a_service_may_call_publish_and_hear_what_its_row_says() -> None:
    found = service_permissions("paper-trading")
    assert "bw.rpc.market-data.get_opening_prices" in found.publish
    assert "bw.event.high.order_filled" in found.publish
    assert "bw.dead.paper-trading.order_filled" in found.publish
    assert "$JS.API.CONSUMER.MSG.NEXT.EVENTS.paper-trading-high" in found.publish
    assert not [one for one in found.publish if one.startswith(("bw.rpc.ml-model", "bw.event.high.prediction"))]
    assert found.subscribe == (
        "$KV.declaration.current",
        "_INBOX_paper-trading.>",
        "bw.rpc.paper-trading.* paper-trading",
    )


def test_an_event_may_be_published_with_the_priorities_of_its_row_only() -> None:
    found = {one for one in service_permissions("monitoring").publish if one.endswith(".system_alert")}
    assert found == {"bw.event.urgent.system_alert", "bw.event.high.system_alert", "bw.dead.monitoring.system_alert"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_manages_streams_or_listens_to_others(name: str) -> None:
    found = service_permissions(name)
    managing = ("$JS.API.STREAM", "$JS.API.CONSUMER.CREATE", "$JS.API.CONSUMER.DELETE", "$JS.API.>")
    # monitoring looks at how full the streams are, and is the one who takes dead letters out.
    allowed = {
        "$JS.API.STREAM.INFO.EVENTS",
        "$JS.API.STREAM.INFO.DEAD",
        "$JS.API.STREAM.MSG.GET.DEAD",
        "$JS.API.STREAM.MSG.DELETE.DEAD",
    }
    # backup copies them, and changes none.
    copies = {"$JS.API.STREAM.NAMES", "$JS.API.STREAM.SNAPSHOT.*"}
    expected = {"monitoring": allowed, "backup": copies}.get(name, set())
    assert {one for one in found.publish if one.startswith(managing)} == expected
    assert not [one for one in found.subscribe if one in (">", "_INBOX.>", "bw.rpc.>")]


def test_only_the_gateway_writes_the_declaration_and_hears_traces() -> None:
    writers = [name for name in SERVICES if "$KV.declaration.current" in service_permissions(name).publish]
    hearers = [name for name in SERVICES if "bw.trace.>" in service_permissions(name).subscribe]
    assert (writers, hearers) == (["gateway"], ["gateway"])


def test_bootstrap_does_nothing_but_the_streams_and_the_cli_nothing_but_calls() -> None:
    roles = role_permissions()
    assert roles["bootstrap"].publish == ("$JS.API.>", "$JS.SNAPSHOT.>")
    assert roles["cli"].publish == ("bw.rpc.*.*",)


def test_a_job_asks_for_its_slot_and_can_do_nothing_else() -> None:
    assert role_permissions()["job"] == (("bw.rpc.scheduler.execute_slot",), ("_INBOX_job.>",))
    asked = ("finish_target", "get_artifact", "get_snapshot", "list_orders", "put_artifact")
    assert role_permissions()["training-job"] == (
        tuple(f"bw.rpc.ml-model.{method}" for method in asked),
        ("_INBOX_training-job.>",),
    )


def test_the_configuration_names_every_identity_and_the_way_to_disk() -> None:
    keys = {name: public_key(derive_seed(SEED, "uid", name)) for name in (*SERVICES, "bootstrap", "cli", "job")}
    text = nats_conf(keys, store_directory="/data/nats", always_sync=True)
    assert text == nats_conf(dict(reversed(keys.items())), store_directory="/data/nats", always_sync=True)
    assert all(f"nkey: {key}" in text for key in keys.values())
    assert "sync_interval: always" in text
    assert "sync_interval: 2m" in nats_conf(keys, store_directory="/data/nats", always_sync=False)
    with pytest.raises(ValueError, match="identity 'stranger'"):
        nats_conf({"stranger": "U"}, store_directory="/", always_sync=True)
