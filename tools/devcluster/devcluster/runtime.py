"""The node's container runtime: its images, and taking its pods away."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from devcluster.command import run, succeeds
from devcluster.config import ClusterConfig
from devcluster.errors import ClusterError
from devcluster.processes import command_lines

_CNI_RESULTS = Path("/var/lib/cni/results")


class Runtime:
    """This cluster's own containerd."""

    def __init__(self, config: ClusterConfig) -> None:
        self._config = config
        self._ctr = ["ctr", "--address", str(config.containerd_socket), "--namespace", "k8s.io"]

    def ready(self) -> bool:
        """Whether it answers."""
        return self._config.containerd_socket.exists() and succeeds([*self._ctr, "version"], seconds=10)

    def images(self) -> list[str]:
        """The names of the images it holds, digests aside."""
        names = run([*self._ctr, "images", "list", "--quiet"]).split()
        return sorted(n for n in names if not n.startswith("sha256:"))

    def has_image(self, name: str) -> bool:
        """Whether it holds an image of this name."""
        return name in self.images()

    def blobs(self) -> set[str]:
        """The digests of the content that it holds (`sha256:...`)."""
        return set(run([*self._ctr, "content", "list", "--quiet"]).split())

    def load_stream(self, write: Callable[[IO[bytes]], object]) -> None:
        """Take the image archive in that `write` writes."""
        command = [*self._ctr, "images", "import", "--snapshotter", "overlayfs", "-"]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as process:
            assert process.stdin is not None  # noqa: S101 - asked for above
            assert process.stderr is not None  # noqa: S101 - asked for above
            with contextlib.suppress(BrokenPipeError), process.stdin as out:
                write(out)
            complaint = process.stderr.read().decode(errors="replace").strip()
        if process.returncode != 0:
            raise ClusterError(f"the node did not take the image: {complaint[-2000:]}")

    def load(self, archive: Path) -> list[str]:
        """Take an image archive in (docker or OCI form); returns the names it gained."""
        before = set(self.images())
        out = run([*self._ctr, "images", "import", "--snapshotter", "overlayfs", str(archive)], seconds=300)
        unpacked = {line.split()[1] for line in out.splitlines() if line.startswith("unpacking ")}
        return sorted(unpacked | (set(self.images()) - before))

    def load_pause_image(self) -> None:
        """Make and load the image that holds a pod's namespaces open, when it is missing."""
        if self.has_image(self._config.pause_image):
            return
        archive = self._config.state_dir / "run" / "pause.tar"
        archive.write_bytes(
            single_file_image(self._config.pause_image, "pause", self._config.programs.joinpath("pause").read_bytes())
        )
        self.load(archive)
        archive.unlink()

    def stop_pods(self) -> bool:
        """End and remove every pod through the runtime itself; False when that did not work."""
        endpoint = f"unix://{self._config.containerd_socket}"
        return succeeds([str(self._config.devcluster), "stop-pods", "--endpoint", endpoint], seconds=90)

    def end_shims(self) -> None:
        """End what supervises containers, of this containerd only: its socket is in their command line."""
        address = str(self._config.containerd_socket)
        shims = [pid for pid, argv in command_lines().items() if "containerd-shim" in argv[0] and address in argv]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in shims:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + 2
            while any(Path(f"/proc/{pid}").exists() for pid in shims) and time.monotonic() < deadline:
                time.sleep(0.02)

    def forget_pod_network(self) -> None:
        """Remove what the network plugins remember of this cluster's pods, once no pod is left."""
        for file in _CNI_RESULTS.glob(f"{self._config.pod_network_name}-*"):
            file.unlink(missing_ok=True)


def single_file_image(name: str, file: str, content: bytes) -> bytes:
    """An image archive (docker form) with one program in it, which is its entry point (pure)."""
    layer = _tar({file: (content, 0o755)})
    config = {
        "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine),
        "os": "linux",
        "config": {"Entrypoint": [f"/{file}"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        "history": [{"created_by": "devcluster"}],
    }
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar(
        {
            "config.json": (json.dumps(config).encode(), 0o644),
            "layer.tar": (layer, 0o644),
            "manifest.json": (json.dumps(manifest).encode(), 0o644),
        }
    )


def _tar(files: dict[str, tuple[bytes, int]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, (content, mode) in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()
