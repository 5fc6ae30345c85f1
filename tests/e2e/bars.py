"""A volume with files of bars, which a program in a pod writes."""

from __future__ import annotations

from e2e import waits
from e2e.lab import Lab

VOLUME = "bars"


def fill_volume(lab: Lab, namespace: str, program: str, *arguments: str) -> None:
    """Make the volume `bars`, run a Python program with it at /csv, and return when that has succeeded."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    container = {
        "name": "bars",
        "image": lab.images.services,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python", "-c", program, *arguments],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "csv", "mountPath": "/csv"}],
    }
    pod = {
        "restartPolicy": "Never",
        "securityContext": {
            "fsGroup": 65532,
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "csv", "persistentVolumeClaim": {"claimName": VOLUME}}],
    }
    lab.apply(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": VOLUME, "namespace": namespace},
            "spec": claim,
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bars", "namespace": namespace}, "spec": pod},
    )
    done = "--for=jsonpath={.status.phase}=Succeeded"
    lab.kubectl("-n", namespace, "wait", "pod/bars", done, f"--timeout={waits.POD_BACK:.0f}s")
    lab.kubectl("-n", namespace, "delete", "pod", "bars")
