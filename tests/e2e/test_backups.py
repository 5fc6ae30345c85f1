"""A backup by volume snapshots outlives its namespace: restored under another name, with a real driver and pods."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import waits
from e2e.held import Held, hashes, held
from e2e.killed_backups import STEPS, Struck, Torn, data_of, struck, torn
from e2e.killer import killer
from e2e.lab import Lab, Object, System, eventually, namespace, replay_system
from e2e.replayed import all_orders
from environments.clusters import Embedded

# It takes a namespace away, and has no pod scheduled for a while.
pytestmark = [pytest.mark.apart, pytest.mark.timeout(1800)]

NAMESPACE = "e2e-backups"
CLASS = "e2e-retained"
CLOCK = {"mode": "replay", "from": "2009-01-02", "pace": "500ms"}
"""History for nine minutes of trading, which is to go on after the last backup, on a slow machine, too."""
EDITS = 3
"""Before the backup: so many the former system's generation is ahead of the restored one's."""
LOCATIONS = [{"name": "snap", "kind": "volumeSnapshots", "className": CLASS}]


@dataclass
class Story:
    """What was seen on the way."""

    backup: Object
    written: Held
    """What the driver's folder held of the backup."""
    later: set[str]
    """The orders of the system some time after the backup."""
    restored: Held
    """What the restored volume held before any pod had it."""
    equal: bool
    """Whether every file of it was."""
    system: System
    struck: list[Struck]
    """Backups during which the operator was killed."""
    torn: Torn
    """A backup whose driver lost files."""
    resumed: list[set[str]]
    """After each of them, orders that were filled since."""


@pytest.fixture(scope="module")
def storage(lab: Lab) -> Path:
    """The driver's folder."""
    if not isinstance(lab.env, Embedded):
        pytest.skip("only of the embedded cluster it is known that there are snapshots, and where they are")
    return lab.env.storage()


@pytest.fixture(scope="module")
def story(lab: Lab, storage: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with retained(lab), lab.namespace(NAMESPACE):
        former = System(lab, NAMESPACE, "first")
        lab.apply(replay_system("first", NAMESPACE, clock=CLOCK, backup={"locations": LOCATIONS}))
        former.wait_ready(waits.SYSTEM_READY)
        eventually("orders are filled", waits.FIRST_FILLS, lambda: len(filled(former)) > 3)
        for most in range(20, 20 + EDITS):
            edited = former.patch({"trading": {"risk": {"maxOrdersPerSession": most}}})
        eventually("the edits are in force", waits.LIVE_FIELD_ACKNOWLEDGED, lambda: acknowledged(former) >= edited)
        backup = backed_up(lab)
        snapshot = data_of(lab, backup, storage)
        written = held(snapshot, tmp_path_factory.mktemp("cut"))
        kept = {order[0] for order in written.orders}
        later = eventually("it trades on", waits.FIRST_FILLS, lambda: {*filled(former)} - kept)
        killed, resumed = [], []
        with killer(lab) as by:
            for step in STEPS:
                killed.append(struck(by, former, step, storage, tmp_path_factory.mktemp("killed")))
                resumed.append(filled_since(former))
        partial = torn(former, storage)
        resumed.append(filled_since(former))
        way_back = printed(lab, "restore", "kept", "--as", "second", "--handles", "-n", NAMESPACE)
        lab.delete_namespace(NAMESPACE)
        assert snapshot.exists(), "the snapshot went with its namespace"

        lab.apply(namespace(NAMESPACE))
        with unscheduled(lab):
            lab.apply(*yaml.safe_load_all(way_back))
            volume = storage / "volumes" / bound(lab, "data-second-0") / "data"
            restored = held(volume, tmp_path_factory.mktemp("restored"))
            equal = hashes(volume) == hashes(snapshot)
        system = System(lab, NAMESPACE, "second")
        system.wait_ready(waits.SYSTEM_READY)
        yield Story(backup, written, later, restored, equal, system, killed, partial, resumed)


@contextmanager
def retained(lab: Lab) -> Iterator[None]:
    """Have a class whose snapshots outlive their namespace; what is left of them goes at the end."""
    kind = "volumesnapshotcontents"
    (default,) = lab.items("", "volumesnapshotclasses")[:1]
    wanted = {**default, "metadata": {"name": CLASS}, "deletionPolicy": "Retain"}
    lab.apply(wanted)
    before = {each["metadata"]["name"] for each in lab.items("", kind)}
    try:
        yield
    finally:
        lab.kubectl("delete", "volumesnapshotclass", CLASS)
        for each in lab.items("", kind):
            name = each["metadata"]["name"]
            if name not in before:
                lab.kubectl("patch", kind, name, "--type=merge", "-p", '{"spec": {"deletionPolicy": "Delete"}}')
                lab.kubectl("delete", kind, name)


@contextmanager
def unscheduled(lab: Lab) -> Iterator[None]:
    """Have no pod begin while the block lasts."""
    nodes = [each["metadata"]["name"] for each in lab.items("", "nodes")]
    lab.kubectl("cordon", *nodes)
    try:
        yield
    finally:
        lab.kubectl("uncordon", *nodes)


def filled(system: System) -> set[str]:
    return {order["order_id"] for order in all_orders(system) if order["status"] == "filled"}


def acknowledged(system: System) -> int:
    """Return the generation that the trader has in force."""
    services = {each["name"]: each for each in system.resource()["status"]["services"]}
    return int(services["paper-trading"].get("generation", 0))


def filled_since(system: System) -> set[str]:
    """Return the orders that are filled from now on, once there are any."""
    before = filled(system)
    return eventually("it trades on", waits.FIRST_FILLS, lambda: filled(system) - before)


def backed_up(lab: Lab) -> Object:
    """Make a backup that is tested; return it when it is complete and all that was made for the test is gone."""
    made = {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingBackup",
        "spec": {"system": "first", "drill": True},
    }
    lab.apply({**made, "metadata": {"name": "kept", "namespace": NAMESPACE}})

    def over() -> Any:
        found = lab.get(NAMESPACE, "tradingbackup", "kept")
        failed = [one for one in found["status"]["conditions"] if one["type"] == "Failed" and one["status"] == "True"]
        assert not failed, failed
        return found if found["status"].get("drillEndedAt") else None

    found: Object = eventually("the backup is complete and tested", waits.BACKED_UP, over)
    return found


def bound(lab: Lab, claim: str, where: str = NAMESPACE) -> str:
    """Return what the driver calls the volume of a claim, once there is one."""
    name = eventually(
        f"{claim} is bound", waits.CHILD_PUT_RIGHT, lambda: lab.get(where, "pvc", claim)["spec"].get("volumeName")
    )
    found: str = lab.get("", "persistentvolume", name)["spec"]["csi"]["volumeHandle"]
    return found


def printed(lab: Lab, *arguments: str) -> str:
    """Return what a command of ours prints, with kubectl at hand."""
    lines = [*lab.env.hints(), shlex.join([sys.executable, "-m", "bellwether", *arguments])]
    done = subprocess.run(["sh", "-ec", "\n".join(lines)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def reported(backup: Object, kind: str) -> Object:
    found: Object = next(each for each in backup["status"]["conditions"] if each["type"] == kind)
    return found


def test_its_test_read_everything_and_computed_the_last_decisions_to_equal_bytes(story: Story) -> None:
    verified = reported(story.backup, "RestoreVerified")
    assert verified["status"] == "True", verified
    read, _, decided = verified["message"].partition("; decisions of the last session computed again: ")
    assert "ledger.db" in read
    assert decided.endswith(" equal"), decided
    assert int(decided.split()[0]) > 0


def test_it_was_cut_while_its_services_were_held_and_no_pod_ended(story: Story) -> None:
    status = story.backup["status"]
    assert (status["notHeld"], status["secondsWithoutPods"]) == ("", 0)
    assert status["heldMilliseconds"] > 0


def test_with_the_operator_killed_each_is_complete_with_every_piece_or_failed_with_its_reason(story: Story) -> None:
    assert [each.step for each in story.struck] == [*STEPS]
    for each in story.struck:
        if each.held is None:
            assert (each.failed["status"], bool(each.failed["message"])) == ("True", True), each
            continue
        assert (each.missing, each.changed) == (set(), []), each
        assert each.noted is (each.backup["status"]["notHeld"] == ""), each
        # Of one instant: what was ordered was decided before, and all of before the first backup is there.
        assert {order[0] for order in story.written.orders} <= {order[0] for order in each.held.orders}
        assert story.written.decisions.items() <= each.held.decisions.items()
        assert each.held.streams["EVENTS"][1] >= story.written.streams["EVENTS"][1]


def test_what_a_driver_calls_ready_though_files_are_missing_is_never_complete(story: Story) -> None:
    partial = story.torn
    assert partial.missing, "the driver lost nothing"
    assert (reported(partial.backup, "Complete")["status"], partial.left) == ("False", [])
    failed = reported(partial.backup, "Failed")
    assert (failed["status"], failed["reason"]) == ("True", "NotWhole")
    assert all(name in failed["message"] for name in partial.missing), failed


def test_it_trades_on_after_each_backup_whose_operator_was_killed_or_driver_lost_files(story: Story) -> None:
    assert len(story.resumed) == len(STEPS) + 1
    assert all(story.resumed)


def test_the_restored_volume_holds_what_was_cut_and_nothing_of_later(story: Story) -> None:
    assert story.later, "nothing was written after the backup"
    assert story.written.orders
    assert story.written.decisions
    assert story.written.streams["EVENTS"][1] > 0
    assert story.restored == story.written
    assert story.equal
    assert not story.later & {order[0] for order in story.restored.orders}


def test_it_starts_halted_with_the_ledger_of_then_and_trades_on_when_it_is_resumed(story: Story) -> None:
    system = story.system
    with system.gateway("token") as client:
        account = client.get("/v1/account").raise_for_status().json()
        assert account["halted"] is True, account
        check = client.get("/v1/ledger/check").raise_for_status().json()
        assert (check["violations"], check["duplicate_orders"]) == ([], 0)
        there = {(one["order_id"], one["symbol"], one["side"], one["quantity"]) for one in all_orders(system)}
        before = filled(system)
        assert {order[:3] for order in story.written.orders} <= {order[:3] for order in there}
        body = {"reason": "compared", "source": "test", "seen": account["newest_halt"]}
        client.post("/v1/resume", json=body).raise_for_status()
        eventually("orders are filled", waits.FIRST_FILLS, lambda: filled(system) - before)
        check = client.get("/v1/ledger/check").raise_for_status().json()
        assert (check["violations"], check["duplicate_orders"]) == ([], 0)


def test_its_first_edit_takes_effect_though_the_former_systems_generation_was_higher(story: Story) -> None:
    system = story.system
    generation = system.patch({"trading": {"halted": True}})
    assert generation <= EDITS, "this edit outranks those of the former system anyway"

    def halted() -> bool:
        with system.gateway() as client:
            account = client.get("/v1/account").raise_for_status().json()
        return bool(account["halted"]) and acknowledged(system) == generation

    eventually("its halt is in force", waits.LIVE_FIELD_ACKNOWLEDGED, halted)
