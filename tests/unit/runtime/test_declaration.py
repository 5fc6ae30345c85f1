from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.context import ServiceContext
from bellwether.runtime.declaration import Ack, DeclarationHolder, encode_declaration, parse_declaration
from bellwether.runtime.memory_bus import MemoryBroker
from bellwether.runtime.plan import bus_plan, ensure
from bellwether.runtime.service import Service
from bellwether.spec.models import Metadata, TradingSystem
from harness.parts import ROWS, Switches, ledger
from harness.system import running
from harness.until import until


def system_of(generation: int, **labels: str) -> TradingSystem:
    return TradingSystem(metadata=Metadata(name="demo", generation=generation, labels=labels))


async def test_the_newest_generation_wins_and_is_acknowledged() -> None:
    holder = DeclarationHolder("x", system_of(3))
    heard: list[int] = []
    holder.listen(lambda system: heard.append(system.metadata.generation))
    assert await holder.offer(encode_declaration(system_of(2))) is None
    assert await holder.offer(encode_declaration(system_of(3))) == Ack("x", 3, True)
    assert await holder.offer(encode_declaration(system_of(4))) == Ack("x", 4, True)
    assert heard == [3, 4]
    assert holder.generation == 4


async def test_a_listener_that_fails_is_said_in_the_acknowledgement() -> None:
    holder = DeclarationHolder("x", system_of(1))

    async def fails(system: TradingSystem) -> None:
        raise ValueError("no such symbol")

    holder.listen(fails)
    assert await holder.offer(encode_declaration(system_of(2))) == Ack("x", 2, False, "ValueError: no such symbol")


async def test_what_was_refused_is_refused_again_after_a_restart_and_whenever_it_comes_again() -> None:
    refuses = True

    def picky(system: TradingSystem) -> None:
        if refuses:
            raise ValueError("no such symbol")

    restarted = DeclarationHolder("x", system_of(2))
    restarted.listen(picky)
    refused = Ack("x", 2, False, "ValueError: no such symbol")
    await restarted.begin()
    assert await restarted.offer(encode_declaration(system_of(2))) == refused
    assert await restarted.offer(encode_declaration(system_of(2))) == refused
    refuses = False
    assert await restarted.offer(encode_declaration(system_of(2))) == Ack("x", 2, True)


async def test_listeners_hear_the_start_value_once_however_often_it_comes() -> None:
    holder = DeclarationHolder("x", system_of(2))
    heard: list[int] = []
    holder.listen(lambda system: heard.append(system.metadata.generation))
    first = holder.current
    await holder.begin()
    await holder.begin()
    assert await holder.offer(encode_declaration(system_of(2))) == Ack("x", 2, True)
    assert heard == [2]
    assert holder.current is first
    await DeclarationHolder("y").begin()


async def test_the_declaration_of_an_earlier_system_on_a_retained_volume_is_ignored() -> None:
    def of(uid: str, generation: int) -> TradingSystem:
        return TradingSystem(metadata=Metadata(name="demo", uid=uid, generation=generation))

    holder = DeclarationHolder("x", of("new", 1))
    assert await holder.offer(encode_declaration(of("old", 7))) is None
    assert await holder.offer(encode_declaration(of("new", 2))) == Ack("x", 2, True, uid="new")


async def test_what_is_no_declaration_is_ignored() -> None:
    holder = DeclarationHolder("x", system_of(1))
    assert await holder.offer(b"{}") is None
    assert holder.generation == 1
    with pytest.raises(LookupError, match="x has no declaration yet"):
        _ = DeclarationHolder("x").current


def test_a_file_that_is_no_declaration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "declaration.json"
    with pytest.raises(ValueError, match=r"declaration\.json: .*No such file"):
        DeclarationHolder.from_file("x", path)
    path.write_bytes(encode_declaration(system_of(7)))
    assert DeclarationHolder.from_file("x", path).generation == 7
    assert parse_declaration(path.read_bytes()) == system_of(7)


async def test_a_declaration_on_the_bus_reaches_a_running_service(tmp_path: Path) -> None:
    heard: list[int] = []
    build = partial(ledger, switches=Switches())
    async with running({"ledger": build}, data_dir=tmp_path, rows=ROWS, declaration=system_of(1)) as system:
        system.services["ledger"].on_declaration(lambda found: heard.append(found.metadata.generation))
        bus = system.context.bus
        acks: list[Ack] = []
        await bus.kv_watch("acks", ["ledger"], lambda _, value: acks.append(msgspec.json.decode(value, type=Ack)))
        await bus.kv_put("declaration", "current", encode_declaration(system_of(2)))
        await until(lambda: acks)
        assert heard == [2]
        assert acks == [Ack("ledger", 2, True)]
        assert system.services["ledger"].context.declaration.generation == 2


async def test_a_service_serves_with_the_declaration_of_the_bus_from_its_first_instant(tmp_path: Path) -> None:
    served: list[int] = []

    def build(context: ServiceContext) -> Service:
        service = ledger(context, Switches())
        service.on_declaration(lambda found: heard.append(found.metadata.generation))

        @service.on_start
        async def about_to_serve() -> None:
            served.append(service.context.declaration.generation)

        return service

    heard: list[int] = []
    broker = MemoryBroker()
    bus = broker.connect("bootstrap")
    await ensure(bus, bus_plan(ROWS))
    await bus.start()
    await bus.kv_put("declaration", "current", encode_declaration(system_of(5)))
    options: dict[str, Any] = {"rows": ROWS, "declaration": system_of(1), "connect": broker.connect}
    async with running({"ledger": build}, data_dir=tmp_path, **options):
        assert served == [5]
        assert heard == [5]


async def test_a_restarted_service_acknowledges_as_refused_what_it_cannot_apply(tmp_path: Path) -> None:
    def build(context: ServiceContext) -> Service:
        service = ledger(context, Switches())

        @service.on_declaration
        def refuses(found: TradingSystem) -> None:
            raise ValueError("no such symbol")

        return service

    broker = MemoryBroker()
    bus = broker.connect("bootstrap")
    await ensure(bus, bus_plan(ROWS))
    await bus.start()
    await bus.kv_put("declaration", "current", encode_declaration(system_of(2)))
    acks: list[Ack] = []
    await bus.kv_watch("acks", ["ledger"], lambda _, value: acks.append(msgspec.json.decode(value, type=Ack)))
    options: dict[str, Any] = {"rows": ROWS, "declaration": system_of(2), "connect": broker.connect}
    async with running({"ledger": build}, data_dir=tmp_path, **options) as system:
        await until(lambda: acks)
        assert acks[0] == Ack("ledger", 2, False, "ValueError: no such symbol")
        assert system.services["ledger"].ready


def test_the_process_reads_its_environment_once_and_names_what_is_wrong() -> None:
    config = ProcessConfig.from_environment({"BELLWETHER_DATA_DIR": "/data", "BELLWETHER_HEALTH_PORT": "9000"})
    assert (config.data_dir, config.health_port) == (Path("/data"), 9000)
    with pytest.raises(ValueError, match=r"BELLWETHER_SAMPLING='2': must be a number from 0 to 1"):
        ProcessConfig.from_environment({"BELLWETHER_SAMPLING": "2"})
    with pytest.raises(ValueError, match="BELLWETHER_HEALTH_PORT='x'"):
        ProcessConfig.from_environment({"BELLWETHER_HEALTH_PORT": "x"})
