"""Backups during which the operator is killed with SIGKILL in its pod, and what the driver's folder holds of them."""

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

STEPS = {
    "expected": ("tradingbackups", "{.status.volumes[*].claim}"),
    "made": ("volumesnapshots", "{.spec.source.persistentVolumeClaimName}"),
    "cut": ("tradingbackups", "{.status.cutAt}"),
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


def struck(by: Killer, system: System, step: str, storage: Path, scratch: Path) -> Struck:
    """Make a backup, kill the operator as soon as it has come to a step, and return what became of it."""
    lab, name = system.lab, f"killed-{step}"
    eventually("the operator works", waits.OPERATOR_BACK, lambda: operator_works(lab))
    ((pod, uid),) = lab.operator_pods().items()
    kind, field = STEPS[step]
    watch = ["-n", system.namespace, "get", kind, "--watch", "-o", f"jsonpath={{.metadata.name}} {field}{{'\\n'}}"]
    with by.aimed(uid, "bellwether_operator") as kill:
        made = {"apiVersion": "bellwether.dev/v1alpha1", "kind": "TradingBackup", "spec": {"system": system.name}}
        lab.apply({**made, "metadata": {"name": name, "namespace": system.namespace}})
        command = [*lab.env.kubectl(), *watch]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as seen, ended_after(seen, waits.BACKED_UP):
            assert seen.stdout is not None
            words = (line.split() for line in seen.stdout)
            assert any(found[0].startswith(name) and len(found) > 1 for found in words), f"no backup came to be {step}"
            kill()
    replace_operator(lab, pod)

    def ended() -> Any:
        found = lab.get(system.namespace, "tradingbackup", name)
        told = {each["type"]: each["status"] for each in found["status"]["conditions"]}
        return found if "True" in (told["Complete"], told["Failed"]) else None

    backup: Object = eventually(f"{name} has ended", waits.BACKED_UP, ended)
    print(f"{name}: {backup['status']['conditions'][0]}, not held: {backup['status']['notHeld']!r}")
    return _judged(lab, step, backup, storage, scratch / step)


def _judged(lab: Lab, step: str, backup: Object, storage: Path, scratch: Path) -> Struck:
    complete = any(each["type"] == "Complete" and each["status"] == "True" for each in backup["status"]["conditions"])
    if not complete:
        return Struck(step, backup, set(), [], False, None)
    (volume,) = backup["status"]["volumes"]
    handle = lab.get("", "volumesnapshotcontent", volume["content"])["status"]["snapshotHandle"]
    data = storage / "snapshots" / handle / "data"
    missing = {*STORES, MODELS, NATS_FOLDER} - {path.name for path in data.iterdir()}
    scratch.mkdir()
    return Struck(step, backup, missing, differences(data), bool(noted_services(data)), held(data, scratch))
