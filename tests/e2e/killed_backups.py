"""Backups with the operator killed by SIGKILL, or a driver that loses files; and what the driver's folder holds."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bellwether.storage.notes import differences, noted_services
from e2e import waits
from e2e.held import MODELS, NATS_FOLDER, STORES, Held, held
from e2e.killer import Killer
from e2e.lab import Lab, Object, System, eventually
from e2e.test_operator_killed import ended_after, operator_works, replace_operator
from environments.clusters import Embedded

STEPS = {
    "expected": ("tradingbackups", "{.status.volumes[*].claim}"),
    "made": ("volumesnapshots", "{.spec.source.persistentVolumeClaimName}"),
    "cut": ("tradingbackups", "{.status.cutAt}"),
    "verified": ("tradingbackups", "{.status.verifyStartedAt}"),
}
"""By step: of which object, whose name begins as the backup's, which field is there once it has come so far."""


@dataclass(frozen=True)
class Struck:
    """A backup whose operator was killed once."""

    step: str
    backup: Object
    """As it ended."""
    missing: set[str]
    """What the driver's folder lacks of a complete one."""
    changed: list[str]
    """Files in the driver's folder that are not what was noted while they were held."""
    noted: bool
    """Whether they were noted."""
    held: Held | None
    """What a complete one holds."""

    @property
    def failed(self) -> Object:
        """The condition Failed."""
        found: Object = next(each for each in self.backup["status"]["conditions"] if each["type"] == "Failed")
        return found


@dataclass(frozen=True)
class Torn:
    """A backup whose driver lost files and called it ready."""

    backup: Object
    """As it ended."""
    missing: set[str]
    """What the driver's folder lacks of a complete one."""
    left: list[str]
    """Claims that were made to read it and are still there."""


def struck(by: Killer, system: System, step: str, storage: Path, scratch: Path) -> Struck:
    """Make a backup, kill the operator as soon as it has come to a step, and return what became of it."""
    lab, name = system.lab, f"killed-{step}"
    eventually("the operator works", waits.OPERATOR_BACK, lambda: operator_works(lab))
    ((pod, uid),) = lab.operator_pods().items()
    kind, field = STEPS[step]
    watch = ["-n", system.namespace, "get", kind, "--watch", "-o", f"jsonpath={{.metadata.name}} {field}{{'\\n'}}"]
    with by.aimed(uid, "bellwether_operator") as kill:
        apply(system, name)
        command = [*lab.env.kubectl(), *watch]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as seen, ended_after(seen, waits.BACKED_UP):
            assert seen.stdout is not None
            words = (line.split() for line in seen.stdout)
            assert any(found[0].startswith(name) and len(found) > 1 for found in words), f"no backup came to be {step}"
            kill()
    replace_operator(lab, pod)
    return _judged(lab, step, until_ended(system, name), storage, scratch / step)


def torn(system: System, storage: Path) -> Torn:
    """Make a backup with a driver that calls ready what lacks files, and return what became of it."""
    assert isinstance(system.lab.env, Embedded)
    with system.lab.env.volume_driver("--partial"):
        apply(system, "torn")
        backup = until_ended(system, "torn")

    def cleared() -> Object | None:
        found: Object = system.lab.get(system.namespace, "tradingbackup", "torn")
        return found if found["status"]["verifyEndedAt"] else None

    backup = eventually("what read it is gone", waits.ALL_GONE, cleared)
    names = {path.name for path in data_of(system.lab, backup, storage).iterdir()}
    claims = [each["metadata"]["name"] for each in system.lab.items(system.namespace, "persistentvolumeclaims")]
    return Torn(backup, {*STORES, MODELS, NATS_FOLDER} - names, [name for name in claims if name.startswith("torn")])


def apply(system: System, name: str) -> None:
    """Make a backup of a system."""
    made = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingBackup", "spec": {"system": system.name}}
    system.lab.apply({**made, "metadata": {"name": name, "namespace": system.namespace}})


def until_ended(system: System, name: str) -> Object:
    """Return a backup once it is complete or has failed."""

    def ended() -> Any:
        found = system.lab.get(system.namespace, "tradingbackup", name)
        reported = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        return found if "True" in (reported["Complete"], reported["Failed"]) else None

    backup: Object = eventually(f"{name} has ended", waits.BACKED_UP, ended)
    print(f"{name}: {backup['status']['conditions'][0]}, not held: {backup['status']['notHeld']!r}")
    return backup


def data_of(lab: Lab, backup: Object, storage: Path) -> Path:
    """Return the folder in which the driver has the only snapshot of a backup."""
    (volume,) = backup["status"]["volumes"]
    handle = str(lab.get("", "volumesnapshotcontent", volume["content"])["status"]["snapshotHandle"])
    return storage / "snapshots" / handle / "data"


def _judged(lab: Lab, step: str, backup: Object, storage: Path, scratch: Path) -> Struck:
    complete = any(each["type"] == "Complete" and each["status"] == "True" for each in backup["status"]["conditions"])
    if not complete:
        return Struck(step, backup, set(), [], False, None)
    data = data_of(lab, backup, storage)
    missing = {*STORES, MODELS, NATS_FOLDER} - {path.name for path in data.iterdir()}
    scratch.mkdir()
    return Struck(step, backup, missing, differences(data), bool(noted_services(data)), held(data, scratch))
