"""Volumes made from snapshots are looked at as in a drill's pod: read, and their last decisions computed again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bellwether.runtime.declaration import encode_declaration
from bellwether_operator.backups.drills import figures
from integration.backups.conftest import EVENTS, RELEASE, Lab, system_of
from integration.backups.test_backup import flip

pytestmark = pytest.mark.integration

PLACES = {"bars.db": "market-data", "decisions.db": "prediction", "ml-model": "ml-model", "ledger.db": "paper-trading"}


@pytest.fixture
def volumes(replayed_state: Path, tmp_path: Path) -> Path:
    """The volumes of profile standard, one for each service."""
    for name, service in PLACES.items():
        source, target = replayed_state / "data" / name, tmp_path / f"data-kept-{service}-0" / name
        target.parent.mkdir()
        _ = shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    return tmp_path


def look(volumes: Path, release: str) -> subprocess.CompletedProcess[str]:
    declaration = encode_declaration(system_of()).decode()
    command = ["-m", "bellwether", "look", "--volumes", str(volumes), "--decide", declaration, "--release", release]
    environment = {**os.environ, "BELLWETHER_VERSION": RELEASE}
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, timeout=300, check=False, env=environment
    )


def alter_the_newest(volumes: Path) -> None:
    with closing(sqlite3.connect(volumes / "data-kept-prediction-0" / "decisions.db")) as database, database:
        (newest,) = database.execute("SELECT max(sequence) FROM decisions").fetchone()
        (text,) = database.execute("SELECT canonical FROM decisions WHERE sequence = ?", (newest,)).fetchone()
        record = json.loads(text)
        record["inputs"]["model"]["probability"] += 0.25
        database.execute("UPDATE decisions SET canonical = ? WHERE sequence = ?", (json.dumps(record).encode(), newest))


def test_the_last_sessions_decisions_come_out_with_equal_bytes(volumes: Path) -> None:
    done = look(volumes, RELEASE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decisions"] in ({"equal": 2}, {"equal": 4})


def test_what_comes_out_otherwise_is_reported_and_of_another_release_is_no_failure(volumes: Path) -> None:
    alter_the_newest(volumes)
    done = look(volumes, RELEASE)
    assert done.returncode == 3
    assert "comes out otherwise" in done.stderr
    assert "Traceback" not in done.stderr
    done = look(volumes, "9.9")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["decisions"]["of another release"] == 1


def test_a_ledger_whose_invariants_do_not_hold_is_reported(volumes: Path) -> None:
    with closing(sqlite3.connect(volumes / "data-kept-paper-trading-0" / "ledger.db")) as ledger, ledger:
        names = [row[1] for row in ledger.execute("PRAGMA table_info(orders)") if row[3] and row[1] != "id"]
        values = {**dict.fromkeys(names, ""), "run": "lost", "order_id": "o-1", "quantity": "5", "status": "filled"}
        ledger.execute(
            f"INSERT INTO orders ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",  # noqa: S608
            list(values.values()),
        )
    done = look(volumes, RELEASE)
    assert done.returncode == 3
    assert "ledger.db cannot be trusted: lost: order o-1" in done.stderr


def test_a_model_with_one_bit_flipped_computes_nothing(volumes: Path) -> None:
    (model,) = list((volumes / "data-kept-ml-model-0").rglob("*.onnx"))[:1]
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.chmod(0o600)
    model.write_bytes(bytes(content))
    done = look(volumes, RELEASE)
    assert done.returncode == 3
    assert "cannot be computed" in done.stderr


def restored(lab: Lab, folder: Path, backup: str) -> subprocess.CompletedProcess[str]:
    """Restore a backup for a test as in the pod, on a volume in a folder."""
    (folder / "scratch" / "lost+found").mkdir(parents=True, exist_ok=True)
    (location,) = lab.order().locations
    source = {"repository": location.model_dump(by_alias=True, exclude_none=True), "system": "kept", "id": backup}
    words = ["look", "--volumes", str(folder), "--write", str(folder.parent / "said"), "--restore", json.dumps(source)]
    environment = {**os.environ, "BELLWETHER_VERSION": RELEASE}
    command = [sys.executable, "-m", "bellwether", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, env=environment)


async def test_a_repository_is_restored_on_an_empty_volume_proven_and_taken_away(lab: Lab, tmp_path: Path) -> None:
    made, folder = await lab.make(), tmp_path / "volumes"
    done = await asyncio.to_thread(restored, lab, folder, made.id)
    assert done.returncode == 0, done.stderr
    reported = json.loads((tmp_path / "said").read_text())
    assert (reported["messages"], reported["decisions equal"] in (2, 4)) == (EVENTS, True)
    assert figures((tmp_path / "said").read_text())
    assert not list(folder.rglob("*.db"))


async def test_what_is_damaged_ends_with_3_and_what_may_pass_with_1(lab: Lab, tmp_path: Path) -> None:
    made, folder = await lab.make(), tmp_path / "volumes"
    gone = await asyncio.to_thread(restored, lab, folder, "20200101T000000Z")
    assert (gone.returncode, gone.stderr) == (1, "error: location disk has no backup 20200101T000000Z of kept\n")
    packs = [path for path in (tmp_path / "repo" / "data").rglob("*") if path.is_file()]
    flip(max(packs, key=lambda one: one.stat().st_size))
    shutil.rmtree(folder)
    done = await asyncio.to_thread(restored, lab, folder, made.id)
    assert done.returncode == 3, done.stderr
    assert "location disk: the repository is damaged" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.rglob("*.db"))
