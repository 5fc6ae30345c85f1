from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bellwether_operator.observe.cache import GONE_SECONDS, Cache, ChildList, SystemList
from bellwether_operator.observe.kinds import BODY_LIMIT, BY_NAME, SYSTEMS, ChildKey, SystemKey

DEMO = SystemKey("trading", "demo")
KEY = ChildKey("Service", "trading", "demo-nats")


def child(version: int, uid: str = "c1", name: str = "demo-nats", **metadata: Any) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/managed-by": "bellwether",
        "app.kubernetes.io/instance": "demo",
        "bellwether.dev/system-uid": "s1",
    }
    found = {"name": name, "namespace": "trading", "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"metadata": found | {"ownerReferences": [controller("TradingSystem", "demo", "s1")]} | metadata, "spec": {}}


def controller(kind: str, name: str, uid: str = "x") -> dict[str, Any]:
    version = "bellwether.dev/v1alpha1" if kind == "TradingSystem" else "batch/v1"
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": True}


def system(version: int, uid: str = "s1") -> dict[str, Any]:
    return {
        "metadata": {"name": "demo", "namespace": "trading", "uid": uid, "resourceVersion": str(version)},
        "spec": {},
    }


def taken(listing: SystemList | ChildList, listed: Sequence[dict[str, Any]], version: int) -> set[SystemKey]:
    """Take a full list as of a resource version; return the systems of which anything was not known."""
    for raw in listed:
        listing.take(raw)
    listing.end(version)
    return listing.news


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
    assert taken(cache.list_children("Service"), [child(4, "c2", "demo-gateway")], 10) == {DEMO}
    assert [each.key.name for each in cache.children_of(DEMO)] == ["demo-gateway", "demo-new"]
    assert taken(cache.list_children("Service"), [child(4, "c2", "demo-gateway")], 10) == set()


def test_what_a_list_brought_is_compared_as_it_came() -> None:
    cache = Cache()
    cache.take_system(system(1))
    listed = child(3) | {"spec": {"ports": [{"name": "nats", "port": 4222}], "selector": {"app": "größer"}}}
    taken(cache.list_children("Service"), [listed], 10)
    known = cache.children[KEY]
    assert known.body is not None
    assert known.body["spec"] == listed["spec"]
    assert known.body["kind"] == "Service"
    known.body = None
    taken(cache.list_children("Service"), [listed], 10)
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
    cache.take_system(system(5, "s3"))
    assert taken(cache.list_systems(), [], 6) == {DEMO}
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


def test_a_system_whose_deletion_was_seen_is_not_brought_back_by_what_is_older() -> None:
    cache = Cache()
    cache.take_system(system(5))
    listing = cache.list_systems()
    assert cache.drop_system(system(8)) == DEMO
    listing.take(system(5))
    listing.end(7)
    cache.take_reply(system(7))
    assert not cache.take_system(system(6))
    assert listing.news == set()
    assert list(cache.systems) == []
    assert cache.take_system(system(9, "successor"))


def test_what_a_list_found_to_be_gone_stays_gone_for_an_older_list() -> None:
    cache = Cache()
    cache.take_system(system(5))
    cache.take_child(child(5), "Service")
    older_systems, older_children = cache.list_systems(), cache.list_children("Service")
    taken(cache.list_systems(), [], 9)
    taken(cache.list_children("Service"), [], 9)
    older_systems.take(system(5))
    older_children.take(child(5))
    assert (list(cache.systems), list(cache.children)) == ([], [])


def test_a_reply_that_comes_after_the_deletion_brings_no_child_back() -> None:
    cache = Cache()
    cache.take_child(child(5), "Service")
    cache.drop_child(child(8), "Service")
    assert cache.take_child(child(7), "Service") is None
    assert cache.children == {}


def test_a_child_that_was_deleted_before_it_was_ever_seen_is_not_taken() -> None:
    cache = Cache()
    assert cache.drop_child(child(8), "Service") is None
    assert cache.take_child(child(7), "Service") is None
    assert cache.children == {}


def test_a_child_that_lost_its_labels_is_back_when_it_has_them_again() -> None:
    cache = Cache()
    cache.take_child(child(5), "Service")
    cache.drop_child(child(8), "Service")
    assert cache.take_child(child(9), "Service") == DEMO
    assert cache.children[KEY].resource_version == 9


def test_what_has_been_gone_for_long_takes_no_room() -> None:
    now = [0.0]
    cache = Cache(lambda: now[0])
    cache.drop_child(child(8), "Service")
    now[0] = GONE_SECONDS - 1
    cache.drop_child(child(9, "c2"), "Service")
    assert cache.gone.covers(child(8)["metadata"])
    now[0] = GONE_SECONDS + 1
    cache.list_systems()
    assert not cache.gone.covers(child(8)["metadata"])
    assert cache.gone.covers(child(9, "c2")["metadata"])


def test_only_the_body_of_a_system_s_own_child_is_kept_and_only_while_there_is_the_system() -> None:
    cache = Cache()
    cache.see_child(child(3), "Service")
    assert cache.children[KEY].unread
    cache.take_system(system(5, "another"))
    cache.see_child(child(6), "Service")
    assert cache.children[KEY].unread
    cache.take_system(system(7))
    cache.see_child(child(8), "Service")
    assert cache.children[KEY].body is not None
    cache.drop_system(system(9))
    assert cache.children[KEY].unread


def test_a_body_beyond_the_limit_is_not_kept_until_a_reply_brings_it_to_be_compared() -> None:
    cache = Cache()
    cache.take_system(system(1))
    large = child(3) | {"data": {"more": "x" * BODY_LIMIT}}
    assert cache.see_child(large, "Service") == DEMO
    assert cache.children[KEY].unread
    taken(cache.list_children("Service"), [large], 4)
    assert cache.children[KEY].unread
    cache.take_child(large, "Service")
    known = cache.children[KEY].body
    assert known is not None
    assert known["data"] == large["data"]


@pytest.mark.parametrize(
    ("kind", "owners", "kept"),
    [
        ("ConfigMap", [], False),
        ("ConfigMap", [controller("TradingSystem", "demo", "s1")], True),
        ("ConfigMap", [controller("CronJob", "nightly")], False),
        ("PersistentVolumeClaim", [], True),
        ("PersistentVolumeClaim", [controller("CronJob", "nightly")], False),
        ("Job", [], False),
        ("Job", [controller("CronJob", "demo-evening")], True),
    ],
)
def test_what_has_our_labels_and_no_owner_of_ours_is_not_kept(
    kind: str, owners: list[dict[str, Any]], kept: bool
) -> None:
    cache, labels = Cache(), child(3)["metadata"]["labels"] | {"bellwether.dev/task": "evening"}
    raw = child(3, labels=labels, ownerReferences=owners)
    assert (cache.see_child(raw, kind) is not None) is kept
    assert (list(cache.children) != []) is kept
    cache.drop_child(child(4, labels=labels, ownerReferences=owners), kind)
    assert cache.gone.covers(raw["metadata"]) is kept


def test_a_child_that_lost_its_owner_is_news_and_is_looked_up_again() -> None:
    cache = Cache()
    cache.see_child(child(3), "Service")
    assert cache.see_child(child(3, ownerReferences=[]), "Service") is None
    assert cache.see_child(child(5, ownerReferences=[]), "Service") == DEMO
    assert cache.children_of(DEMO) == []


def test_of_metadata_alone_nothing_is_taken_for_the_content() -> None:
    cache = Cache()
    cache.take_system(system(1))
    assert cache.see_child(child(3), "Service", whole=False) == DEMO
    assert cache.children[KEY].unread
    cache.take_child(child(3), "Service")
    cache.see_child(child(3), "Service", whole=False)
    assert not cache.children[KEY].unread
