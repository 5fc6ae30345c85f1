"""Commands of Jobs and init containers on a system's volumes: they are adopted, filled, exchanged and looked at."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path


def add_volumes(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add these commands."""
    adopt = commands.add_parser(
        "adopt",
        help="make a restored volume this system's, halted",
        description="Check the databases of a volume that was made from a snapshot, and make them this system's, with "
        "the ledger halted. BELLWETHER_DATA_DIR, BELLWETHER_SYSTEM and BELLWETHER_UID say where and whose. Doing it "
        "again changes nothing.",
    )
    adopt.add_argument("--source", required=True, metavar="WORDS", help="what it was made from")
    adopt.add_argument(
        "--apart", action="store_true", help="the system's volumes are not of one instant: publish events again"
    )
    adopt.add_argument(
        "--keep",
        action="append",
        default=[],
        metavar="NAME",
        help="what of the volume is its component's own; the rest is removed. Without it all is kept",
    )
    adopt.set_defaults(command=_adopt)
    fill = commands.add_parser(
        "fill",
        help="fill a new system's volumes from a repository",
        description="Fetch the backup that spec.restoreFrom of BELLWETHER_DECLARATION names, check it, and put each "
        "volume's part on the volumes mounted in a folder. Doing it again changes nothing. Ends with 3 where trying "
        "again cannot help.",
    )
    fill.add_argument("--volumes", type=Path, required=True, metavar="DIR", help="where the volumes are, by component")
    fill.set_defaults(command=_fill)
    _add_restore_volumes(commands)
    look = commands.add_parser(
        "look",
        help="look whether a backup is whole",
        description="Read all that is on the volumes mounted in a folder, check every database, and write figures as "
        "JSON. Ends with 3, naming each file that is missing or not whole, where trying again cannot help.",
    )
    look.add_argument("--volumes", type=Path, required=True, metavar="DIR", help="where the volumes are, by claim")
    look.add_argument("--write", type=Path, metavar="FILE", help="write the figures here too")
    look.add_argument(
        "--expect", action="append", default=[], metavar="PATTERN", help="a file that has to be there, by claim"
    )
    look.add_argument(
        "--decide",
        metavar="JSON",
        help="the TradingSystem of then: the decisions of its last session are computed again, which writes into the "
        "volumes",
    )
    look.add_argument("--release", default="", metavar="NAME", help="of those decisions; another one may differ")
    look.add_argument(
        "--restore", metavar="JSON", help="a spec.restoreFrom: its backup is restored on the one volume, and proven"
    )
    look.set_defaults(command=_look)


def _add_restore_volumes(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    restore = commands.add_parser(
        "restore-volumes",
        help="put a backup in the place of what is on a system's volumes",
        description="Fetch a backup from a location of BELLWETHER_DECLARATION, check it, and exchange it for what is "
        "on the volumes mounted in a folder, which is kept aside; halted. Doing it again changes nothing. Ends with 3, "
        "all as it was, where trying again cannot help or the time is over.",
    )
    restore.add_argument(
        "--volumes", type=Path, required=True, metavar="DIR", help="where the volumes are, by component"
    )
    restore.add_argument("--request", required=True, metavar="ID", help="what it is done once for")
    restore.add_argument("--backup", required=True, metavar="ID", help="the backup")
    restore.add_argument("--location", required=True, metavar="NAME", help="where it is")
    restore.add_argument("--until", required=True, metavar="INSTANT", help="how long what may pass is waited for")
    restore.set_defaults(command=_restore_volumes)


def _say(line: str) -> None:
    print(line, flush=True)


def _adopt(given: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from bellwether.local.volumes import Adoption, adopt
    from bellwether.runtime.config import ProcessConfig

    config = ProcessConfig.from_environment()
    whose = Adoption(config.uid, config.system, given.source, together=not given.apart)
    for name in adopt(config.data_dir, whose, datetime.now(UTC), given.keep):
        print(f"{name} is whole, and is {whose.name}'s now", flush=True)
    return 0


def _fill(given: argparse.Namespace) -> int:
    from bellwether.local.backup_places import of_services
    from bellwether.local.filling import fill, volumes_locked
    from bellwether.runtime.config import ProcessConfig

    place = of_services(ProcessConfig.from_environment())
    with volumes_locked(given.volumes):
        key = fill(place.system(), given.volumes, place.machine(), _say)
    print(f"restored {key}: it starts halted", flush=True)
    return 0


def _restore_volumes(given: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from bellwether.local.backup_places import of_services
    from bellwether.local.filling import volumes_locked
    from bellwether.local.in_place import restore_in_place
    from bellwether.render.kubernetes.filling import RestoreOrder
    from bellwether.runtime.config import ProcessConfig

    place = of_services(ProcessConfig.from_environment())
    order = RestoreOrder(given.request, given.backup, given.location, given.until)
    with volumes_locked(given.volumes):
        restore_in_place(place.system(), given.volumes, place.machine(), order, _say, now=lambda: datetime.now(UTC))
    return 0


def _look(given: argparse.Namespace) -> int:
    import json

    from bellwether.local.volumes import look

    if given.restore is None:
        found = look(given.volumes, given.expect)
    else:
        # What it loads has no room in the pod that only reads.
        from bellwether.local.drill import drill_on

        found = drill_on(given.volumes, given.restore)
    if given.decide is not None:
        found["decisions"] = _decide(given.volumes, given.decide, given.release)
    text = json.dumps(found, sort_keys=True)
    if given.write is not None:
        given.write.write_text(text)
    print(text, flush=True)
    return 0


def _decide(volumes: Path, declaration: str, release: str) -> dict[str, int]:
    """Check the ledger of restored volumes and compute their last decisions again; return how many came out how."""
    import json
    import tempfile

    from bellwether.local.drill import decided_again
    from bellwether.local.unpacking import ledger_holds
    from bellwether.local.volumes import gathered
    from bellwether.runtime.config import ProcessConfig
    from bellwether.spec.models import TradingSystem

    system = TradingSystem.model_validate(json.loads(declaration))
    present = ProcessConfig.from_environment().version
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        gathered(volumes, data)
        asyncio.run(ledger_holds(data))
        return dict(asyncio.run(decided_again(system, data, was=release, release=present)))
