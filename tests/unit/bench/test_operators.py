import asyncio
from typing import Any

import pytest
from aiohttp import web

from bellwether.render.kubernetes import RenderContext, derive_keyring, render
from bellwether.spec.models import TradingSystem
from bellwether_operator.gateway import GatewayClient
from bellwether_operator.observe.kinds import SystemKey
from bench import operator_floor, operator_gateway
from bench.operator_api import Watched
from bench.operator_figures import Measured, Plan, Round, figures, how, percentile
from bench.operator_sides import Counters, Size, counters, floor, ours, ready_status
from bench.operators import each

METRICS = """\
# TYPE bellwether_operator_passes counter
bellwether_operator_passes_total{outcome="changed"} 3.0
bellwether_operator_passes_total{outcome="nothing"} 4.0
# TYPE bellwether_operator_api_requests counter
bellwether_operator_api_requests_total{code="200",method="GET"} 11.0
bellwether_operator_api_requests_total{code="200",method="PATCH"} 5.0
bellwether_operator_api_requests_total{code="201",method="POST"} 1.0
bellwether_operator_api_requests_created{code="201",method="POST"} 1.7e9
"""


def measured(seconds: float, mebibytes: float) -> Measured:
    edits = [seconds] * 98 + [2 * seconds, 3 * seconds]
    sizes = [Size(mebibytes, mebibytes - 10), Size(mebibytes + 5, mebibytes - 8)]
    return Measured(edits, storms=[1.0, 3.0], taken=[0.5, 1.0], started=2.0, cpu=100 * seconds, rest=0.03, sizes=sizes)


def at(systems: int) -> Round:
    return Round(
        systems,
        children=12,
        ours=measured(0.04, 150),
        floor=measured(0.01, 75),
        repairs=[0.1] * 99 + [0.7],
        idle=Counters(passes=50, calls=100, writes=0),
        edited=Counters(passes=200, calls=350, writes=300),
    )


def test_a_percentile_is_a_measured_value_that_the_share_does_not_exceed() -> None:
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([float(n) for n in range(1, 102)], 0.99) == 100.0
    assert percentile([7.0], 0.01) == 7.0


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0.0), ([1.0], 1.5)])
def test_a_percentile_of_nothing_is_refused(values: list[float], share: float) -> None:
    with pytest.raises(ValueError, match="0 < share <= 1"):
        percentile(values, share)


def test_rows_hold_targets_where_they_were_set_and_ratios_to_the_floor() -> None:
    rows = {figure.what: figure for figure in figures([at(1), at(100), at(1000)])}
    taken = rows["100 systems: of it: until the API server had taken the edits"]
    assert (taken.value, taken.note) == (0.75, "floor 0.75 s, 1 times")
    tail = rows["100 systems: edit to child patched, p99"]
    assert tail.value == pytest.approx(80.0)
    assert (tail.target, tail.note) == (100.0, "floor 20 ms, 4 times")
    assert rows["1,000 systems: edit to child patched, p99"].target == 250.0
    assert rows["1 system: edit to child patched, p99"].target is None
    assert rows["100 systems: deleted child restored, p99"].target == 500.0
    assert rows["1,000 systems: deleted child restored, p99"].target is None
    assert rows["1,000 systems: memory (Rss), highest"].target == 200.0
    assert rows["1,000 systems: memory (Rss), highest"].value == 155.0
    assert rows["1,000 systems: memory (Rss), after its start"].value == 150.0
    assert rows["1 system: API calls per pass that has nothing to do"].value == 2.0
    assert rows["1 system: writes per pass that has nothing to do"].met
    assert rows["1 system: API calls per edit"].value == 3.5
    assert rows["1 system: CPU of the operator per edit"].value == pytest.approx(40.0)
    assert rows["1 system: CPU of the operator at rest"].shown == "3 % of a core"


def test_a_floor_that_took_nothing_that_could_be_measured_gives_no_ratio() -> None:
    small = at(1)
    small.floor.cpu = 0.0
    rows = {figure.what: figure for figure in figures([small])}
    assert rows["1 system: CPU of the operator per edit"].note == "floor 0 ms"


def test_what_was_measured_says_how_many_objects_and_what_was_stubbed() -> None:
    words = how(Plan(edits=50), [at(1), at(1000)])
    assert "objects per system: 12 at 1, 12 at 1,000" in words
    assert "Gateways are stubbed" in words
    assert "50 edits of each side" in words


def test_counts_are_read_from_the_operator_s_metrics() -> None:
    found = counters(METRICS)
    assert found == Counters(passes=7, calls=17, writes=6)
    assert found.since(Counters(1, 2, 3)) == Counters(6, 15, 3)


def test_an_edit_of_a_system_shows_in_the_configmap_that_is_watched_for_it() -> None:
    side = ours("somewhere")
    manifest = side.make("s0001")
    manifest["spec"]["trading"] |= side.change(321)["spec"]["trading"]
    manifest["metadata"] |= {"uid": "u1", "generation": 2}
    context = RenderContext(image="a/b:1", keyring=derive_keyring(b"x" * 32, "u1"))
    made = render(TradingSystem.model_validate(manifest), context)
    carried = {
        each["metadata"]["name"]: side.carried(each)
        for each in made
        if each["kind"] == "ConfigMap" and side.carried(each) is not None
    }
    assert carried == {side.child("s0001"): 321}


def test_an_edit_of_the_floor_s_resource_shows_in_its_configmap() -> None:
    side = floor("somewhere")
    assert side.make("s0001")["spec"].keys() == side.change(7)["spec"].keys()
    assert side.carried(operator_floor.child("somewhere", side.child("s0001"), 7)) == 7


def test_a_workload_is_made_ready_with_as_many_replicas_as_it_wants() -> None:
    found = ready_status({"metadata": {"generation": 4}, "spec": {"replicas": 1}})
    assert found["status"]["observedGeneration"] == 4
    assert found["status"]["readyReplicas"] == found["status"]["updatedReplicas"] == 1


def raw(name: str, value: int) -> dict[str, Any]:
    return {"metadata": {"name": name}, "value": value}


async def test_a_wait_ends_with_the_time_at_which_the_last_one_was_first_seen() -> None:
    watched = Watched(lambda raw: int(raw["value"]))
    watched.take(raw("a", 5), now=1.0)
    waiting = asyncio.create_task(watched.until("both", {"a": lambda v: v == 5, "b": lambda v: v == 5}, 30))
    await asyncio.sleep(0)
    for name, value, now in (("b", 4, 2.0), ("b", 5, 3.0), ("b", 5, 9.0), ("a", 5, 9.0)):
        watched.take(raw(name, value), now)
    assert await waiting == 3.0
    assert watched.value("b") == 5


async def test_a_wait_that_is_over_time_names_what_is_late() -> None:
    watched = Watched(lambda raw: int(raw["value"]))
    watched.take(raw("a", 5), now=1.0)
    with pytest.raises(RuntimeError, match=r"children: not within 0 s for 1 of 1, such as a, last seen as 5"):
        await watched.until("children", {"a": lambda value: value == 6}, 0.01)


async def test_every_item_is_done_once_though_many_are_under_way() -> None:
    done: list[int] = []
    under_way = highest = 0

    async def one(item: int) -> None:
        nonlocal under_way, highest
        under_way += 1
        highest = max(highest, under_way)
        await asyncio.sleep(0)
        done.append(item)
        under_way -= 1

    await each(range(100), one)
    assert sorted(done) == list(range(100))
    assert 1 < highest <= 32


async def test_what_the_stub_of_the_gateways_says_is_read_in_full() -> None:
    runner = web.AppRunner(operator_gateway.application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = GatewayClient(f"http://127.0.0.1:{runner.addresses[0][1]}/{{namespace}}/{{name}}", lambda _: "token")
    try:
        await client.deliver(SystemKey("trading", "demo"), "uid", {"generation": 4, "spec": {}})
        view = await client.look(SystemKey("trading", "demo"), "uid")
    finally:
        await client.close()
        await runner.cleanup()
    assert view.generation == 4
    assert set(view.acknowledged.values()) == {4}
    assert view.safety is not None
    assert view.safety.safe
    assert view.data is not None
    assert view.models is not None
    assert len(view.data) == len(view.models) == 7
    assert view.slots is not None
    assert len(view.slots.jobs) == 21
