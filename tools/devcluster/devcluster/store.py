"""Our own store of images, apart from the machine's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from devcluster.command import run, succeeds


class Store:
    """Images below one folder. The caller holds a lock while it changes them."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self._buildah = ["buildah", "--root", str(home / "store"), "--runroot", str(home / "run")]
        self._buildah += ["--storage-driver", "overlay"]

    def has(self, name: str) -> bool:
        """Whether there is an image of this name."""
        return succeeds([*self._buildah, "inspect", "--type", "image", name])

    def import_tree(self, archive: Path, name: str) -> None:
        """Make an image of one layer from an archive of a root file system."""
        container = run([*self._buildah, "from", "scratch"]).strip()
        try:
            run([*self._buildah, "add", "--quiet", container, str(archive), "/"], seconds=300)
            run([*self._buildah, "commit", "--quiet", container, name], seconds=300)
        finally:
            run([*self._buildah, "rm", container])

    def build(
        self,
        dockerfile: Path,
        context: Path,
        name: str,
        arguments: Mapping[str, str],
        volumes: Mapping[Path, str],
    ) -> None:
        """Build an image; layers that did not change are taken from before."""
        flags = [f"--build-arg={key}={value}" for key, value in arguments.items()]
        flags += [f"--volume={source}:{target}:ro" for source, target in volumes.items()]
        build = ["build", "--isolation=chroot", "--layers", "--pull-never", "--quiet", "--format=oci"]
        command = [*self._buildah, *build, *flags, f"--file={dockerfile}", f"--tag={name}", str(context)]
        run(command, seconds=1800)

    def push(self, name: str, target: str) -> None:
        """Write an image to a place in the notation of buildah, layers uncompressed.

        An uncompressed layer has the same digest wherever it is written, so it can be recognised.
        """
        run([*self._buildah, "push", "--quiet", "--disable-compression", name, target], seconds=300)

    def prune(self, name: str, keep: int) -> None:
        """Forget all but the newest few images that differ from this one only in the tag."""
        repository = name.rpartition(":")[0]
        images = json.loads(run([*self._buildah, "images", "--json"]))
        ours = [
            (image["created"], image_name)
            for image in images
            for image_name in image.get("names") or []
            if image_name.rpartition(":")[0] == repository
        ]
        for _, old in sorted(ours, reverse=True)[keep:]:
            if old != name:
                run([*self._buildah, "rmi", old])
