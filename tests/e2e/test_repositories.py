"""Backups in a bucket outlive everything: made while it trades, restored under another name in another namespace."""

import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwether.render.kubernetes.looks import LABEL_LOOKED_AT
from e2e import waits
from e2e.held import MODELS, STORES, Held, hashes, held, rows
from e2e.lab import Lab, Object, System, eventually, names, replay_system
from e2e.replayed import all_orders
from e2e.test_backups import CLOCK, bound, filled, printed
from environments.clusters import Embedded
from harness.s3 import PROGRAM, Server

# It takes a namespace and the operator away.
pytestmark = pytest.mark.apart

FORMER, NAMESPACE = "e2e-bucket", "e2e-bucket-again"
KEY, SECRET, PASSWORD = "key", "secret", "correct-horse-battery"


@dataclass
class Story:
    """What was seen on the way."""

    full: Object
    tested: Object
    """The full one, once it was restored for a test and nothing of that is left."""
    left: list[str]
    """What is left of the test all the same."""
    incremental: Object
    before: set[str]
    """The orders before the second backup."""
    after: set[str]
    """And when it was complete."""
    later: set[str]
    """Those that were filled after it."""
    kept: Held
    """What restic alone finds in the bucket, as sqlite3, sha256 and the server's own words say it."""
    restored: Held
    """What the restored volume held before any pod had it."""
    system: System


@pytest.fixture(scope="module")
def bucket(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not isinstance(lab.env, Embedded) or not PROGRAM.exists():
        pytest.skip("needs the embedded cluster, whose volumes can be looked at, and an S3 server for this machine")
    server = Server(tmp_path_factory.mktemp("s3"), lab.env.machine())
    server.start(KEY, SECRET)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def story(lab: Lab, bucket: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    assert isinstance(lab.env, Embedded)
    url = f"{bucket.url}/kept-bucket"
    far = {"name": "far", "kind": "s3", "url": url, "secretRef": {"name": "repository"}}
    with lab.namespace(FORMER):
        lab.apply(secret(FORMER), replay_system("first", FORMER, clock=CLOCK, backup={"locations": [far]}))
        former = System(lab, FORMER, "first")
        former.wait_ready(waits.SYSTEM_READY)
        eventually("orders are filled", waits.FIRST_FILLS, lambda: filled(former))
        full = backed_up(lab, "one", "full", drill=True)
        eventually("orders are filled", waits.FIRST_FILLS, lambda: len(filled(former)) > 3)
        before = ids(former)
        incremental = backed_up(lab, "two", "incremental")
        after = ids(former)
        later = eventually("it trades on", waits.FIRST_FILLS, lambda: filled(former) - after)
        way_back = printed(lab, "restore", "two", "--as", "second", "-n", FORMER)
        # It went on all the while.
        tested = eventually("the first one is tested", waits.BACKED_UP, lambda: cleared(lab, "one"))
        left = names(lab.items(FORMER, "jobs,networkpolicies,persistentvolumeclaims", LABEL_LOOKED_AT))
    kept = in_bucket(url, incremental["status"]["repository"]["id"], tmp_path_factory.mktemp("kept"))
    with lab.namespace(NAMESPACE):
        lab.apply(secret(NAMESPACE))
        with ExitStack() as middle:
            # The Job is not done before the operator is stopped, which would start a pod on the volume.
            with silent(bucket):
                for document in yaml.safe_load_all(way_back):
                    document["metadata"]["namespace"] = NAMESPACE
                    lab.apply(document)
                eventually("the Job", waits.CHILD_PUT_RIGHT, lambda: lab.get(NAMESPACE, "job", "second-fill"))
                middle.enter_context(lab.without_operator())
            eventually("the volume is filled", waits.BACKED_UP, lambda: ended(lab))
            volume = lab.env.storage() / "volumes" / bound(lab, "data-second-0", NAMESPACE) / "data"
            restored = held(volume, tmp_path_factory.mktemp("restored"))
        system = System(lab, NAMESPACE, "second")
        system.wait_ready(waits.SYSTEM_READY)
        yield Story(full, tested, left, incremental, before, after, later, kept, restored, system)


@contextmanager
def silent(server: Server) -> Iterator[None]:
    """Have a server not answer for a while."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


def secret(where: str) -> Object:
    entries = {"password": PASSWORD, "accessKey": KEY, "secretKey": SECRET}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "repository", "namespace": where},
        "stringData": entries,
    }


def ids(system: System) -> set[str]:
    return {order["order_id"] for order in all_orders(system)}


def cleared(lab: Lab, name: str) -> Object | None:
    """Return a backup once its test is over."""
    found: Object = lab.get(FORMER, "tradingbackup", name)
    return found if found["status"].get("drillEndedAt") else None


def backed_up(lab: Lab, name: str, kind: str, *, drill: bool = False, where: str = FORMER) -> Object:
    """Make a backup; return it when it is complete."""
    spec = {"system": "first", "kind": kind, "location": "far", "drill": drill}
    metadata = {"name": name, "namespace": where}
    lab.apply({"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingBackup", "metadata": metadata, "spec": spec})

    def over() -> Any:
        found = lab.get(where, "tradingbackup", name)
        reported = {one["type"]: one for one in found["status"]["conditions"]}
        assert reported["Failed"]["status"] == "False", reported
        if reported["Complete"]["status"] != "True":
            raise LookupError(reported["Complete"]["reason"], reported["Complete"]["message"], found["status"])
        return found

    found: Object = eventually(f"backup {name} is complete", waits.STORED, over)
    return found


def ended(lab: Lab) -> bool:
    reported = lab.get(NAMESPACE, "job", "second-fill")["status"].get("conditions") or ()
    failed = [one for one in reported if one["type"] == "Failed" and one["status"] == "True"]
    assert not failed, failed
    return any(one["type"] == "Complete" and one["status"] == "True" for one in reported)


def in_bucket(url: str, backup: str, target: Path) -> Held:
    """Return the figures of a backup as restic itself brings it, by no code of ours."""
    program = shutil.which("restic")
    assert program is not None
    environment = {
        "PATH": os.environ["PATH"],
        "RESTIC_REPOSITORY": f"s3:{url}",
        "RESTIC_PASSWORD": PASSWORD,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    restic = [program, "--no-cache"]
    subprocess.run([*restic, "check", "--read-data"], env=environment, check=True, capture_output=True)
    command = [*restic, "restore", "latest", "--tag", f"id={backup}", "--target", str(target)]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    databases = target / "databases"
    with closing(sqlite3.connect(databases / "ledger.db")) as ledger:
        orders = ledger.execute("SELECT order_id, symbol, side, quantity FROM orders ORDER BY order_id").fetchall()
        events = ledger.execute("SELECT * FROM ledger_events ORDER BY 1, 2").fetchall()
    with closing(sqlite3.connect(databases / "decisions.db")) as database:
        decisions = dict(database.execute("SELECT id, canonical FROM decisions").fetchall())
    return Held(
        rows={name: rows(databases / name) for name in STORES},
        streams={path.name.removesuffix(".snapshot"): head(path) for path in (target / "streams").iterdir()},
        models=hashes(target / "files" / MODELS),
        orders=orders,
        events=events,
        decisions={name: hashlib.sha256(content).hexdigest() for name, content in decisions.items()},
    )


def head(path: Path) -> tuple[int, int]:
    """Return the messages and the last sequence of a stream, in the words of the server that made its snapshot."""
    with path.open("rb") as file:
        state = json.loads(file.readline())["state"]
    return state["messages"], state["last_seq"]


def test_a_full_one_reads_everything_and_an_incremental_one_adds_what_is_new(story: Story) -> None:
    one, two = story.full["status"]["repository"], story.incremental["status"]["repository"]
    assert (one["attempts"], two["attempts"]) == (1, 1)
    # Of the second, a smaller share is stored: what the first brought is there already.
    assert 0 < two["addedBytes"] / two["bytes"] < one["addedBytes"] / one["bytes"], (one, two)
    assert json.loads(story.incremental["status"]["declaration"])["metadata"]["name"] == "first"


def test_one_was_restored_for_a_test_decided_to_equal_bytes_and_left_nothing(story: Story) -> None:
    (reported,) = [one for one in story.tested["status"]["conditions"] if one["type"] == "RestoreVerified"]
    assert (reported["status"], reported["reason"]) == ("True", "Restored"), reported
    figures, _, decided = reported["message"].partition("; decisions of the last session computed again: ")
    pieces, rows = (int(part.split()[0]) for part in figures.split(", ")[:2])
    assert (pieces > len(STORES), rows > 0) == (True, True), reported
    assert decided.endswith(" equal"), reported
    assert int(decided.split()[0]) > 0
    assert story.left == []


def test_the_restored_volume_holds_what_the_bucket_does_and_that_is_of_the_time_of_the_backup(story: Story) -> None:
    restored, kept = story.restored, story.kept
    kept.rows["ledger.db"]["halts"] += 1
    assert restored == kept
    assert kept.streams["EVENTS"][1] > 0
    assert kept.models
    orders = {order[0] for order in restored.orders}
    assert story.before <= orders <= story.after
    assert story.later
    assert not story.later & orders


def test_it_starts_halted_decides_to_equal_bytes_and_trades_on_when_it_is_resumed(story: Story) -> None:
    system = story.system
    with system.gateway("token") as client:
        account = client.get("/v1/account").raise_for_status().json()
        assert account["halted"] is True, account
        check = client.get("/v1/ledger/check").raise_for_status().json()
        assert (check["violations"], check["duplicate_orders"]) == ([], 0)
        for decision in sorted(story.kept.decisions)[-20:]:
            found = client.post(f"/v1/decisions/{decision}/replay").raise_for_status().json()
            assert found["outcome"] == "equal", found
        before = filled(system)
        body = {"reason": "compared", "source": "test", "seen": account["newest_halt"]}
        client.post("/v1/resume", json=body).raise_for_status()
        eventually("orders are filled", waits.FIRST_FILLS, lambda: filled(system) - before)
        check = client.get("/v1/ledger/check").raise_for_status().json()
        assert (check["violations"], check["duplicate_orders"]) == ([], 0)
