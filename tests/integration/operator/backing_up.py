"""A cluster with snapshots whose kubelet and driver are played."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import yaml

from devcluster import build
from devcluster.errors import ClusterError
from environments.machine import CLUSTERS

from .conftest import Kube, eventually

DEFINITION = Path(__file__).resolve().parents[3] / "crds" / "tradingbackups.bellwether.dev.yaml"
CLAIM = "data-demo-0"


async def define(kube: Kube, text: str) -> None:
    name = yaml.safe_load(text)["metadata"]["name"]
    await kube("apply", "-f", "-", stdin=text)
    await kube("wait", "--for=condition=Established", f"crd/{name}", "--timeout=120s")

    async def listed() -> bool:
        # The store of a kind that was just defined refuses reads while it is made.
        with contextlib.suppress(ClusterError):
            await kube("get", name)
            return True
        return False

    await eventually(f"{name} to be listed", listed)


async def define_snapshots(kube: Kube) -> None:
    await define(kube, (build.programs_folder(CLUSTERS) / "crds" / "volumesnapshots.yaml").read_text())


async def make(kube: Kube, name: str, **spec: Any) -> None:
    body = {
        "apiVersion": "bellwether.dev/v1alpha1",
        "kind": "TradingBackup",
        "metadata": {"name": name},
        "spec": {"system": "demo", **spec},
    }
    await kube("create", "-f", "-", stdin=json.dumps(body))


async def one(kube: Kube, kind: str, name: str) -> dict[str, Any]:
    text = await kube("get", kind, name, "-o", "json", "--ignore-not-found")
    found: dict[str, Any] = json.loads(text) if text.strip() else {}
    return found


async def reason(kube: Kube, name: str) -> str:
    conditions = (await one(kube, "tbackup", name)).get("status", {}).get("conditions", [])
    return next((str(each["reason"]) for each in conditions if each["type"] == "Complete"), "")


async def replicas(kube: Kube) -> int:
    found = await kube.get("statefulset", "demo")
    return -1 if found is None else int(found["spec"]["replicas"])


async def play_stopped(kube: Kube) -> None:
    """Say what the controller says of a StatefulSet that has no pod left."""

    async def reported() -> bool:
        return await replicas(kube) == 0

    await eventually("the workload to have no replicas", reported)
    found = await kube.get("statefulset", "demo")
    assert found is not None
    counts = dict.fromkeys(("replicas", "readyReplicas", "updatedReplicas", "currentReplicas"), 0)
    status = {"observedGeneration": found["metadata"]["generation"], **counts}
    await kube.patch("statefulset", "demo", {"status": status}, "--subresource=status")


async def cut(kube: Kube, name: str, *, ready: bool) -> None:
    status = {
        "boundVolumeSnapshotContentName": f"c-{name}",
        "creationTime": "2026-11-27T21:30:05Z",
        "readyToUse": ready,
    }
    patch = json.dumps({"status": status})
    await kube("patch", "volumesnapshot", name, "--subresource=status", "--type=merge", "-p", patch)


FIGURES = json.dumps(
    {"databases": {"ledger.db": {"rows": 12, "sha256": "ab12"}}, "rows": 12, "files": 3, "bytes": 99, "seconds": 0.2}
)


async def play_look(
    kube: Kube, backup: str, said: str = FIGURES, kind: str = "Complete", why: str = "CompletionsReached"
) -> None:
    """Play the pod that reads a backup, which says something and ends, and its Job's controller."""
    job = await eventually("the Job", lambda: kube.get("job", f"{backup}-look"))
    kinds = {"Complete": ("SuccessCriteriaMet", kind), "Failed": ("FailureTarget", kind)}[kind]
    template, at = job["spec"]["template"], "2026-11-27T22:00:00Z"
    name = f"{job['metadata']['name']}-x"
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    pod = {"metadata": {"name": name, "labels": template["metadata"]["labels"]}, "spec": template["spec"]}
    await kube.apply(account)
    await kube.apply({"apiVersion": "v1", "kind": "Pod", **pod})
    container = {"name": "look", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    ended = {"terminated": {"exitCode": 0, "startedAt": at, "finishedAt": at, "message": said}}
    status: dict[str, Any] = {"phase": "Succeeded", "containerStatuses": [{**container, "state": ended}]}
    await kube.patch("pod", name, {"status": status}, "--subresource=status")
    reported = {"status": "True", "reason": why, "lastTransitionTime": at, "lastProbeTime": at}
    done: dict[str, Any] = {"startTime": at, "conditions": [{**reported, "type": each} for each in kinds]}
    done |= {"completionTime": at, "succeeded": 1} if kind == "Complete" else {"failed": 1}
    await kube.patch("job", job["metadata"]["name"], {"status": done}, "--subresource=status")


async def play_end(kube: Kube, name: str, said: str, kind: str, why: str = "") -> None:
    """Play the pod of a Job, which says something and ends, and the Job's controller."""
    job = await eventually("the Job", lambda: kube.get("job", name))
    template, at = job["spec"]["template"], "2026-11-27T22:00:00Z"
    await kube.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}})
    labels = {**template["metadata"]["labels"], "batch.kubernetes.io/controller-uid": job["metadata"]["uid"]}
    pod: dict[str, Any] = {"name": f"{name}-{kind.lower()}", "labels": labels}
    await kube.apply({"apiVersion": "v1", "kind": "Pod", "metadata": pod, "spec": template["spec"]})
    (container,) = template["spec"]["containers"]
    seen = {"name": container["name"], "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    ended = {"terminated": {"exitCode": 3, "startedAt": at, "finishedAt": at, "message": said}}
    status = {"phase": "Failed", "containerStatuses": [{**seen, "state": ended}]}
    await kube.patch("pod", pod["name"], {"status": status}, "--subresource=status")
    kinds = {"Complete": ("SuccessCriteriaMet", "Complete"), "Failed": ("FailureTarget", "Failed")}[kind]
    reported = {"status": "True", "lastTransitionTime": at, "lastProbeTime": at, **({"reason": why} if why else {})}
    done: dict[str, Any] = {"startTime": at, "conditions": [{**reported, "type": each} for each in kinds]}
    done |= {"completionTime": at, "succeeded": 1} if kind == "Complete" else {"failed": 1}
    await kube.patch("job", name, {"status": done}, "--subresource=status")


async def until_cleared(kube: Kube, backup: str, field: str) -> None:
    """Wait until all that was made to read a backup is gone; no controllers run here, so they are played."""
    await kube.delete("pod", f"{backup}-look-x", wait=False)
    for kind, name in (("pvc", f"{backup}-look-0"), ("job", f"{backup}-look")):
        await until_going(kube, kind, name)

    async def over() -> bool:
        return bool((await one(kube, "tbackup", backup))["status"][field])

    await eventually("the end of it", over)
    assert await kube.get("pvc", f"{backup}-look-0") is None
    assert await kube.get("job", f"{backup}-look") is None


async def until_going(kube: Kube, kind: str, name: str) -> None:
    """Wait until an object is deleted, and take away what a controller that does not run here would."""

    async def going() -> bool:
        found = await kube.get(kind, name)
        return found is None or "deletionTimestamp" in found["metadata"]

    await eventually(f"{kind} {name} to be deleted", going)
    if await kube.get(kind, name) is not None:
        with contextlib.suppress(ClusterError):
            await kube.patch(kind, name, {"metadata": {"finalizers": None}})


async def ready(kube: Kube, name: str, claim: str) -> None:
    """Play kubelet and driver for a backup until its snapshot can be restored."""

    async def there() -> bool:
        return bool(await one(kube, "volumesnapshot", f"{name}-{claim}"))

    await play_stopped(kube)
    await eventually(f"the snapshot of {name}", there)
    await cut(kube, f"{name}-{claim}", ready=True)


async def kept(kube: Kube, name: str, claim: str) -> None:
    """Play kubelet, driver and what reads a backup until it is complete and nothing of that is left."""
    await ready(kube, name, claim)
    await play_look(kube, name)
    await kube("wait", "--for=condition=Complete", f"tbackup/{name}", "--timeout=120s")
    await until_cleared(kube, name, "verifyEndedAt")


async def until_made(kube: Kube, name: str) -> None:
    async def there() -> bool:
        return bool(await one(kube, "tbackup", name))

    await eventually(f"the backup {name}", there)


FAR = {"name": "far", "kind": "s3", "url": "https://s3.example/trade", "secretRef": {"name": "far-repository"}}


async def image(kube: Kube) -> str:
    found = await kube.get("statefulset", "demo")
    assert found is not None
    return str(found["spec"]["template"]["spec"]["containers"][0]["image"])
