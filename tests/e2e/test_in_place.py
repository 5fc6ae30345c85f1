"""A running system is restored in place: what it did after the backup is undone, it is halted, and trades on."""

import contextlib
import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e import waits
from e2e.held import Held, held
from e2e.lab import Lab, Object, System, eventually, replay_system
from e2e.replayed import all_orders
from e2e.test_backups import CLOCK, bound, filled
from e2e.test_repositories import backed_up, bucket, ids, in_bucket, secret, silent
from environments.clusters import Embedded
from harness.s3 import Server

__all__ = ["bucket"]  # a fixture

# It takes the operator away.
pytestmark = pytest.mark.apart

NAMESPACE, NAME = "e2e-in-place", "first"


@dataclass
class Story:
    """What was seen on the way."""

    before: set[str]
    """The orders before the backup."""
    after: set[str]
    """And when it was complete."""
    later: set[str]
    """Those that were filled after it."""
    kept: Held
    """What restic alone finds in the bucket."""
    restored: Held
    """What the volume held once its Job had ended, before any pod had it."""
    aside: set[str]
    """The orders in the ledger that was kept aside."""
    code: int
    """With what the command ended that asked for it."""
    said: str
    row: Object
    system: System


def command_line(lab: Lab, *words: str) -> list[str]:
    """Return what runs a command of ours about the system, with kubectl at hand."""
    program = [sys.executable, "-m", "bellwether", *words, "--system", f"{NAMESPACE}/{NAME}"]
    return ["sh", "-ec", "\n".join([*lab.env.hints(), "exec " + shlex.join(program)])]


@contextlib.contextmanager
def asked(lab: Lab, backup: str) -> Iterator[subprocess.Popen[str]]:
    """Ask for a restore; the command watches it until the end."""
    command = command_line(lab, "restore", backup, "--yes")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            yield running
        finally:
            running.kill()


def job_of(lab: Lab) -> Object | None:
    found = [one for one in lab.items(NAMESPACE, "jobs") if one["metadata"]["name"].startswith(f"{NAME}-restore-")]
    return found[0] if found else None


def ended(lab: Lab) -> bool:
    job = job_of(lab)
    conditions = [] if job is None else job["status"].get("conditions") or []
    failed = [one for one in conditions if one["type"] == "Failed" and one["status"] == "True"]
    assert not failed, failed
    return any(one["type"] == "Complete" and one["status"] == "True" for one in conditions)


def orders_in(folder: Path, scratch: Path) -> set[str]:
    """Return the orders in the ledger of a folder, taken from a copy."""
    copy = scratch / "aside"
    copy.mkdir()
    for path in folder.glob("ledger.db*"):
        shutil.copy(path, copy / path.name)
    with contextlib.closing(sqlite3.connect(copy / "ledger.db")) as ledger:
        return {str(row[0]) for row in ledger.execute("SELECT order_id FROM orders")}


@pytest.fixture(scope="module")
def story(lab: Lab, bucket: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    assert isinstance(lab.env, Embedded)
    url = f"{bucket.url}/in-place"
    far = {"name": "far", "kind": "s3", "url": url, "secretRef": {"name": "repository"}}
    scratch = tmp_path_factory.mktemp("in-place")
    with lab.namespace(NAMESPACE):
        lab.apply(secret(NAMESPACE), replay_system(NAME, NAMESPACE, clock=CLOCK, backup={"locations": [far]}))
        system = System(lab, NAMESPACE, NAME)
        system.wait_ready(waits.SYSTEM_READY)
        eventually("orders are filled", waits.FIRST_FILLS, lambda: len(filled(system)) > 3)
        before = ids(system)
        made = backed_up(lab, "one", "full", where=NAMESPACE)["status"]["repository"]["id"]
        after = ids(system)
        later = eventually("it trades on", waits.FIRST_FILLS, lambda: filled(system) - after)
        kept = in_bucket(url, made, tmp_path_factory.mktemp("kept"))
        volume = lab.env.storage() / "volumes" / bound(lab, f"data-{NAME}-0", NAMESPACE) / "data"
        with asked(lab, made) as command, contextlib.ExitStack() as middle:
            assert command.stdout is not None
            assert any("asked for" in line for line in command.stdout)
            # The operator is killed in the middle: the Job goes on, and nothing else.
            with silent(bucket):
                eventually("the Job", waits.BACKED_UP, lambda: job_of(lab))
                middle.enter_context(lab.without_operator())
            with middle:
                eventually("the volume is restored", waits.BACKED_UP, lambda: ended(lab))
                restored = held(volume, scratch)
                (aside,) = volume.glob("before-restore-*")
                former = orders_in(aside, scratch)
            code = command.wait(timeout=waits.SYSTEM_READY + waits.OPERATOR_BACK)
            said = command.stdout.read()
        row = system.resource()["status"]["restore"]
        system.wait_ready(waits.SYSTEM_READY)
        yield Story(before, after, later, kept, restored, former, code, said, row, system)


def test_the_volume_held_what_the_bucket_does_and_the_former_state_lies_aside(story: Story) -> None:
    story.kept.rows["ledger.db"]["halts"] += 1
    for tables in story.kept.rows.values():
        tables["begun"] += 1  # that it is this system's
    assert story.restored == story.kept
    orders = {order[0] for order in story.restored.orders}
    assert story.before <= orders <= story.after
    assert story.later
    assert not story.later & orders
    assert story.later <= story.aside


def test_the_command_watched_it_to_its_end_and_the_status_says_what_came_of_it(story: Story) -> None:
    assert story.code == 0, story.said
    # It looks every two seconds, and a pod may be stopped in less: `Stopping` is seen on a slow machine only.
    for step in ("Restoring", "Ended"):
        assert f"{step}:" in story.said, story.said
    assert (story.row["step"], story.row["outcome"], story.row["location"]) == ("Ended", "Restored", "far")
    assert story.row["message"].startswith("restored, halted"), story.row


def test_the_backup_is_in_the_list_that_a_person_chooses_from(lab: Lab, story: Story) -> None:
    list_ = command_line(lab, "backup", "list", "-o", "json")
    done = subprocess.run(list_, capture_output=True, text=True, timeout=waits.BACKED_UP, check=False)
    assert done.returncode == 0, done.stderr
    states = {row["id"]: (row["state"], row["kind"], row["size"] > 0) for row in json.loads(done.stdout)}
    assert states[story.row["backup"]] == ("complete", "full", True)


def test_it_is_halted_and_trades_on_when_it_is_resumed(story: Story) -> None:
    system = story.system
    with system.gateway("token") as client:
        account = client.get("/v1/account").raise_for_status().json()
        assert account["halted"] is True, account
        assert not {order["order_id"] for order in all_orders(system) if order["status"] == "filled"} - story.after
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


def test_what_cannot_be_restored_is_refused_before_anything_is_touched(story: Story) -> None:
    system = story.system
    pods = system.pods()
    with system.gateway("token") as client:
        before = client.get("/v1/account").raise_for_status().json()
        reply = client.post("/v1/restores", json={"backup_id": "20010101T000000Z"})
        refusal: dict[str, Any] = reply.json()["error"]
        assert (reply.status_code >= 400, refusal["code"]) == (True, "RESTORE_REFUSED"), json.dumps(refusal)
        assert "has no backup 20010101T000000Z of first" in refusal["message"]
        account = client.get("/v1/account").raise_for_status().json()
        assert [account[name] for name in ("halts", "newest_halt")] == [before["halts"], before["newest_halt"]]
    assert system.pods() == pods
