"""Where a system's files lie under systemd, and whose units they are."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """The folders, and the user that the units run as."""

    user: str | None
    """None: the units are of a person's own manager (`systemctl --user`), and run as that person."""
    units: str
    configuration: str
    data: str

    @property
    def keys(self) -> str:
        """The folder of the secret files."""
        return f"{self.configuration}/keys"

    @property
    def declaration(self) -> str:
        """The file of the declared system."""
        return f"{self.configuration}/system.json"

    @property
    def nats(self) -> str:
        """The configuration of NATS."""
        return f"{self.configuration}/nats.conf"

    @property
    def rendered(self) -> str:
        """Where deploy keeps what it rendered, with the system's identity."""
        return f"{self.data}-rendered" if self.user is None else "/var/lib/bellwether/rendered"

    def of(self, part: str) -> str:
        """Return the one folder that a part writes to."""
        return f"{self.data}/{part}"


MACHINE = Layout("trading", "/etc/systemd/system", "/etc/bellwether", "/var/lib/trading")


def of_person(home: str) -> Layout:
    """Return the layout below a person's home."""
    return Layout(None, f"{home}/.config/systemd/user", f"{home}/.config/bellwether", f"{home}/.local/share/trading")
