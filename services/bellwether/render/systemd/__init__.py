"""A declared system as systemd units for one machine. Pure.

Nothing here is secret: the keys are files of their own, which the units load as credentials.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bellwether.render.kubernetes.configmaps import store_bytes
from bellwether.render.nats import BOOTSTRAP, nats_conf
from bellwether.render.parts import NATS, csv_folder, declaration_text, news_folder, parts, scheduled_backups
from bellwether.render.systemd import units
from bellwether.render.systemd.units import MACHINE, Layout, of_person
from bellwether.spec.models import TradingSystem

_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108
"""What ProtectHome and PrivateTmp hide from a unit."""


@dataclass(frozen=True)
class Installation:
    """Of the machine, what the declaration does not say."""

    public_keys: Mapping[str, str]
    """Public NATS keys by identity."""
    version: str
    home: str = "/opt/bellwether"
    """The folder that holds `venv`, `services` and `models`."""
    layout: Layout = MACHINE


def _refuse_hidden(field: str, folder: str | None) -> None:
    hidden = next((one for one in _HIDDEN if folder is not None and f"{folder}/".startswith(f"{one}/")), None)
    if hidden is not None:
        raise ValueError(f"{field}: {folder}: units see nothing below {hidden}; move it, to /srv say")


def render(system: TradingSystem, on: Installation) -> dict[str, str]:
    """Return the text of every file that is not secret, by its path below `/`.

    Raises:
        ValueError: if the units could not read what the declaration names, or not do what it asks for.
    """
    layout = on.layout
    if layout.user:
        _refuse_hidden("spec.data.csv.directory", csv_folder(system))
        _refuse_hidden("spec.sentiment.csv.file", news_folder(system))
    found = {
        f"{layout.units}/{units.unit_name(NATS)}": units.nats_unit(system, on.home, layout),
        f"{layout.units}/{units.unit_name(BOOTSTRAP)}": units.bootstrap_unit(system, on.home, layout),
    }
    names = [units.unit_name(NATS), units.unit_name(BOOTSTRAP)]
    directory = system.spec.compatibility.socket_directory
    for part in parts(system):
        names.append(units.unit_name(part.name))
        for service in part.services if directory else ():
            names.append(units.socket_name(service))
            text = units.socket_unit(system, part, service, str(directory).rstrip("/"), layout)
            found[f"{layout.units}/{units.socket_name(service)}"] = text
        unit = units.service_unit(system, part, on.home, on.version, layout)
        found[f"{layout.units}/{units.unit_name(part.name)}"] = unit
    if scheduled_backups(system):
        if layout.user is None:
            raise ValueError("spec.backup.schedule: units of your own make no backups; leave it out, or deploy as root")
        names.append(units.BACKUP_TIMER)
        made = units.backup_units(system, on.home, on.version)
        found |= {f"{layout.units}/{name}": text for name, text in made.items()}
    found[f"{layout.units}/{units.TARGET}"] = units.target(system, names, layout)
    if layout.user:
        found["/etc/sysusers.d/trading.conf"] = f'u {layout.user} - "Trading system" {layout.data}\n'
        found["/etc/tmpfiles.d/trading.conf"] = f"d {layout.data} 0750 {layout.user} {layout.user} -\n"
    found[layout.declaration] = declaration_text(system)
    found[layout.nats] = nats_conf(
        on.public_keys,
        store_directory=layout.of(NATS),
        always_sync=system.spec.clock.mode == "live",
        host=units.HOST,
        max_store=store_bytes(system),
    )
    return {path.removeprefix("/"): text for path, text in sorted(found.items())}


__all__ = ["MACHINE", "Installation", "Layout", "of_person", "render"]
