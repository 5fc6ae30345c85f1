"""`bellwether capsule`: a decision as one file, and the same decision made again from it on another machine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from bellwether.cli.client import CommandError, of_file
from bellwether.cli.options import GatewayAccess, talks

LARGEST = 64 * 1024 * 1024


@talks
def capsule(
    access: GatewayAccess,
    what: Annotated[str, typer.Argument(metavar="ID|open", help="The decision, or `open` to read a FILE.")],
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="Of `open`: the capsule.")] = None,
    write: Annotated[
        Path | None, typer.Option("-w", "--write", metavar="FILE", help="Where to; else ID.capsule.json.")
    ] = None,
) -> None:
    """Write a decision as one file, or make it again from such a file.

    The file has the record, the bars, the model by its hash, the declaration's
    blocks that decide, and the bytes that have to come out. No secret is in it.
    `open` needs no system: it verifies every hash, decides again, and compares.

        bellwether capsule prediction_generation-20090105-aapl
        bellwether capsule open prediction_generation-20090105-aapl.capsule.json

    `open` ends with 0 for equal bytes, 1 for other ones or a file that was
    changed, 3 where numbers differ by 1e-6 at most or the release is another.
    """
    if what == "open":
        if file is None or write is not None:
            raise CommandError("capsule open: name the file, as in bellwether capsule open FILE")
        raise SystemExit(_open(access, file))
    if file is not None:
        raise CommandError(f"capsule {what} {file}: write it to a file with --write {file}")
    # What came is JSON of one form: spelled as it was sealed, its hash can be checked here.
    from bellwether.messages.canonical import canonical_bytes
    from bellwether.messages.capsule import CapsuleError, unseal

    content = canonical_bytes(access.client.get(f"/v1/decisions/{what}/capsule")) + b"\n"
    try:
        unseal(content)
    except CapsuleError as error:
        raise CommandError(f"what the gateway gave cannot be used: {error}") from error
    target = write or Path(f"{what}.capsule.json")
    with of_file(target):
        target.write_bytes(content)
    summary: dict[str, Any] = {"file": str(target), "bytes": len(content)}
    access.show(summary, lambda one: f"wrote {one['file']} ({one['bytes']:,} bytes)")


def _open(access: GatewayAccess, file: Path) -> int:
    from bellwether.lineage.capsules import opened
    from bellwether.messages.capsule import CapsuleError, unseal
    from bellwether.runtime.errors import RpcError

    with of_file(file):
        if file.stat().st_size > LARGEST:
            raise CommandError(f"{file}: more than {LARGEST:,} bytes: no capsule is so large")
        content = file.read_bytes()
    try:
        found = unseal(content)
        again = asyncio.run(opened(found))
    except CapsuleError as error:
        raise CommandError(f"{file} is refused: {error}") from error
    except RpcError as error:
        raise CommandError(f"{file}: {error.message}") from error
    outcome = json.loads(found.record)["outcome"]
    summary = {
        "decision_id": found.decision_id,
        "release": found.release,
        "action": outcome["action"],
        "probability": outcome["probability"],
        "outcome": again.outcome,
        "differences": again.differences,
        "sha256": found.record_sha256,
    }
    access.show(summary, lambda one: "\n".join(_lines(one)))
    return {"equal": 0, "different": 1}.get(again.outcome, 3)


def _lines(one: dict[str, Any]) -> list[str]:
    return [
        f"{one['decision_id']}: {one['action']}, probability {one['probability']:.4f}, release {one['release']}",
        f"made again here: {one['outcome']}",
        *(f"  {name}" for name in one["differences"]),
    ]
