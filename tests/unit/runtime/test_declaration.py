from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec
import pytest

from bellwether.runtime.config import ProcessConfig
from bellwether.runtime.declaration import Ack, DeclarationHolder, encode_declaration, parse_declaration
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
    assert heard == [4]
    assert holder.generation == 4


async def test_a_listener_that_fails_is_said_in_the_acknowledgement() -> None:
    holder = DeclarationHolder("x", system_of(1))

    async def fails(system: TradingSystem) -> None:
        raise ValueError("no such symbol")

    holder.listen(fails)
    assert await holder.offer(encode_declaration(system_of(2))) == Ack("x", 2, False, "ValueError: no such symbol")


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


def test_the_process_reads_its_environment_once_and_names_what_is_wrong() -> None:
    config = ProcessConfig.from_environment({"BELLWETHER_DATA_DIR": "/data", "BELLWETHER_HEALTH_PORT": "9000"})
    assert (config.data_dir, config.health_port) == (Path("/data"), 9000)
    with pytest.raises(ValueError, match=r"BELLWETHER_SAMPLING='2': must be a number from 0 to 1"):
        ProcessConfig.from_environment({"BELLWETHER_SAMPLING": "2"})
    with pytest.raises(ValueError, match="BELLWETHER_HEALTH_PORT='x'"):
        ProcessConfig.from_environment({"BELLWETHER_HEALTH_PORT": "x"})
