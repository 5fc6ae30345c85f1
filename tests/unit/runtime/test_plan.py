import pytest

from bellwether.runtime.plan import bus_plan
from bellwether.topology import NATS_STORE_BYTES


@pytest.mark.parametrize("max_store", [75 * 1024 * 1024, 192 * 1024 * 1024, NATS_STORE_BYTES])
def test_streams_and_buckets_fit_into_the_store_of_a_small_volume(max_store: int) -> None:
    plan = bus_plan(max_store=max_store)
    asked = sum(stream.max_bytes for stream in plan.streams) + sum(bucket.max_bytes for bucket in plan.buckets)
    assert asked < max_store
