"""A real S3 server of its wheel, for backups into a bucket."""

from __future__ import annotations

import json
import subprocess
import sysconfig
import time
from pathlib import Path

import httpx
import pytest

from harness.nats import free_port

PROGRAM = Path(sysconfig.get_path("scripts")) / "weed"
PARTS = ("master", "volume", "filer", "s3")
UP_SECONDS = 240.0


def allowed(key: str, secret: str) -> str:
    """Return the configuration of a server that lets one identity in."""
    who = {"name": "us", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
    return json.dumps({"identities": [who]})


class Server:
    """One S3 server with its storage."""

    def __init__(self, folder: Path, address: str = "127.0.0.1") -> None:
        self.folder = folder
        self.address = address
        self.port = free_port()
        self.url = f"http://{address}:{self.port}"
        self.config = folder / "s3.json"
        self._ports: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "store").mkdir(parents=True)

    def start(self, key: str = "key", secret: str = "secret") -> None:  # noqa: S107
        self.config.write_text(allowed(key, secret))
        master, volume, filer, *grpc = self._ports = [free_port() for _ in range(7)]
        command = [
            str(PROGRAM),
            f"-logdir={self.folder}",
            "server",
            f"-dir={self.folder / 'store'}",
            f"-ip={self.address}",
            "-filer",
            "-s3",
            f"-s3.port={self.port}",
            f"-s3.config={self.config}",
            f"-master.port={master}",
            f"-volume.port={volume}",
            f"-filer.port={filer}",
            # A minute after the start the filer's own log takes seven, as each bucket does when it is first written to:
            # where a busy machine is late, none would be left.
            "-volume.max=100",
            *(f"-{part}.port.grpc={port}" for part, port in zip(PARTS, grpc, strict=True)),
            # Off: their ports are fixed, and two servers on one machine would take them from each other.
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + UP_SECONDS
        while time.monotonic() < end:
            try:
                if httpx.get(self.url, timeout=2, trust_env=False).status_code < 500:
                    return
            except httpx.HTTPError:
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
            time.sleep(0.1)
        pytest.fail(f"no S3 server after {UP_SECONDS:g} s: {(self.folder / 'log').read_text()[-2000:]}")

    def stop(self) -> None:
        if self.process is not None:
            # Asked to end, it waits 15 s for its own parts.
            self.process.kill()
            self.process.wait()
            self.process = None
            # Killed, it leaves them; where they are cannot be said to it.
            for port in (self.port, *self._ports):
                for socket in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                    socket.unlink()
