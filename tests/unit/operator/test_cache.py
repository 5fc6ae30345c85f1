from __future__ import annotations

from typing import Any

from bellwether_operator.observe.cache import Cache, ChildKey, SystemKey
from bellwether_operator.observe.kinds import BY_NAME, SYSTEMS

DEMO = SystemKey("trading", "demo")
KEY = ChildKey("Service", "trading", "demo-nats")


def child(version: int, uid: str = "c1", name: str = "demo-nats", **metadata: Any) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "bellwether", "app.kubernetes.io/instance": "demo"}
    found = {"name": name, "namespace": "trading", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": found | metadata, "spec": {}}


def system(version: int, uid: str = "s1") -> dict[str, Any]:
    return {
        "metadata": {"name": "demo", "namespace": "trading", "uid": uid, "resourceVersion": str(version)},
        "spec": {},
    }


def test_an_older_event_does_not_undo_what_a_reply_said() -> None:
    cache = Cache()
    assert cache.take_child(child(9), "Service") == DEMO
    assert cache.take_child(child(7), "Service") is None
    assert cache.take_child(child(9), "Service") is None
    assert cache.children[KEY].resource_version == 9


def test_the_deletion_of_a_predecessor_does_not_remove_its_successor() -> None:
    cache = Cache()
    cache.take_child(child(5, "old"), "Service")
    cache.take_child(child(9, "new"), "Service")
    assert cache.drop_child(child(8, "old"), "Service") is None
    assert cache.drop_child(child(10, "new"), "Service") == DEMO
    assert cache.children_of(DEMO) == []


def test_a_list_finds_what_the_watches_missed() -> None:
    cache = Cache()
    cache.take_child(child(3), "Service")
    cache.take_child(child(4, "c2", "demo-gateway"), "Service")
    cache.take_child(child(20, "c3", "demo-new"), "Service")
    assert cache.replace_children([child(4, "c2", "demo-gateway")], "Service", 10) == {DEMO}
    assert [each.key.name for each in cache.children_of(DEMO)] == ["demo-gateway", "demo-new"]
    assert cache.replace_children([child(4, "c2", "demo-gateway")], "Service", 10) == set()


def test_what_a_list_brought_is_compared_as_it_came() -> None:
    cache = Cache()
    listed = child(3) | {"spec": {"ports": [{"name": "nats", "port": 4222}], "selector": {"app": "größer"}}}
    cache.replace_children([listed], "Service", 10)
    known = cache.children[KEY]
    assert known.body is not None
    assert known.body["spec"] == listed["spec"]
    assert known.body["kind"] == "Service"
    known.body = None
    cache.replace_children([listed], "Service", 10)
    assert known.body is None


def test_a_system_read_from_the_picture_is_the_reader_s_own() -> None:
    cache = Cache()
    cache.take_system(system(5))
    cache.systems[DEMO]["spec"]["symbols"] = ["AAPL"]
    assert cache.systems[DEMO] == system(5)
    assert list(cache.systems) == [DEMO]


def test_systems_are_taken_by_version_and_dropped_by_identity() -> None:
    cache = Cache()
    assert cache.take_system(system(5))
    assert not cache.take_system(system(5))
    assert cache.take_system(system(9, "s2"))
    assert cache.drop_system(system(8, "s1")) is None
    assert cache.drop_system(system(10, "s2")) == DEMO
    cache.take_system(system(5))
    assert cache.replace_systems([], 6) == {DEMO}
    assert cache.systems == {}


def test_an_edit_that_shows_in_the_reply_to_a_status_is_news_still_when_its_event_comes() -> None:
    cache = Cache()
    cache.take_system(system(5))
    edited = system(6) | {"spec": {"trading": {"halted": True}}}
    cache.take_reply(edited | {"metadata": edited["metadata"] | {"resourceVersion": "7"}, "status": {"halts": []}})
    assert cache.systems[DEMO]["spec"] == {}
    assert cache.take_system(edited)
    assert cache.systems[DEMO]["spec"] == {"trading": {"halted": True}}


def test_the_event_of_our_own_status_is_no_news() -> None:
    cache = Cache()
    cache.take_system(system(5))
    written = system(6) | {"status": {"observedGeneration": 1}}
    written["metadata"]["managedFields"] = [{"manager": "bellwether"}]
    cache.take_reply(written)
    assert cache.systems[DEMO]["status"] == {"observedGeneration": 1}
    assert not cache.take_system(written)


def test_an_owner_counts_before_labels() -> None:
    cache = Cache()
    owners = [
        {
            "apiVersion": "bellwether.dev/v1alpha1",
            "kind": "TradingSystem",
            "name": "other",
            "uid": "s9",
            "controller": True,
        }
    ]
    assert cache.take_child(child(1, ownerReferences=owners), "Service") == SystemKey("trading", "other")
    assert cache.children[KEY].belongs_to("s9")
    assert not cache.children[KEY].belongs_to("s1")


def test_paths_of_the_api() -> None:
    assert SYSTEMS.path("trading", "demo") == "/apis/bellwether.dev/v1alpha1/namespaces/trading/tradingsystems/demo"
    assert BY_NAME["Service"].path(None) == "/api/v1/services"
    assert BY_NAME["StatefulSet"].path("trading") == "/apis/apps/v1/namespaces/trading/statefulsets"
