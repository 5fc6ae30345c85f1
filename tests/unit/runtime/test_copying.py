"""A service's copy of what it keeps goes by itself where nobody ends it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from bellwether.runtime import copying
from bellwether.runtime.copying import Copied, Copying, ReadCopy
from bellwether.runtime.errors import RpcError
from harness.until import until
from unit.runtime.test_created_with import context


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def keeping(folder: Path) -> Copying:
    held = context("ml-model", folder, "USD")
    held.files.mkdir(exist_ok=True)
    (held.files / "model.onnx").write_bytes(b"model")
    return Copying(held)


async def read(copies: Copying, copied: Copied) -> bytes:
    return (await copies.read(ReadCopy(copied.id, "files/model.onnx"))).content


async def test_a_service_that_is_started_again_removes_the_copy_of_the_killed_one(
    tmp_path: Path, scratch: Path
) -> None:
    killed = keeping(tmp_path)
    copied = await killed.begin()
    assert await read(killed, copied) == b"model"
    again = keeping(tmp_path)
    assert not os.listdir(scratch)
    with pytest.raises(RpcError, match="no files/model"):
        await read(again, copied)


async def test_a_copy_that_nobody_reads_any_more_goes(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "IDLE_SECONDS", 0.01)
    copies = keeping(tmp_path)
    copied = await copies.begin()
    await until(lambda: not os.listdir(scratch))
    with pytest.raises(RpcError, match="no files/model"):
        await read(copies, copied)
    assert await read(copies, await copies.begin()) == b"model"
