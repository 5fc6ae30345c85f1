"""The units: one per process, NATS, and the target that stands for all of them; where their files lie."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bellwether.render import parts
from bellwether.render.nats import BOOTSTRAP
from bellwether.spec.models import TradingSystem
from bellwether.topology import NATS_PORT


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


Settings = list[tuple[str, str]]
"""Keys and values in order; a key may come more than once."""

_NEEDS_QUOTES = re.compile(r"[\s\"'\\;]")


def unit_text(sections: Mapping[str, Iterable[tuple[str, str]]]) -> str:
    """Return the text of a unit with these sections."""
    blocks = []
    for name, settings in sections.items():
        lines = [f"[{name}]", *(f"{key}={value}" for key, value in settings)]
        blocks.append("\n".join(lines) + "\n")
    return "\n".join(blocks)


def word(text: str) -> str:
    """Return one word of a command line or an assignment, so that systemd reads it as it stands."""
    plain = text.replace("%", "%%")
    if not _NEEDS_QUOTES.search(plain):
        return plain
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def command(words: Iterable[str]) -> str:
    """Return a command line; `$` would be a variable and is doubled."""
    return " ".join(word(one).replace("$", "$$") for one in words)


def assignments(variables: Mapping[str, str]) -> Settings:
    """Return one Environment= line per variable; `%d` in a value stays systemd's own, the folder of credentials."""
    return [("Environment", word(f"{name}={value}").replace("%%d", "%d")) for name, value in sorted(variables.items())]


OF_EVERY_MANAGER: Settings = [
    ("NoNewPrivileges", "yes"),
    ("LockPersonality", "yes"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("RestrictNamespaces", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service"),
    ("SystemCallFilter", "~@privileged @resources"),
    # A library that tries and is refused goes on; killed, it could not.
    ("SystemCallErrorNumber", "EPERM"),
    ("UMask", "0077"),
]
"""What a person's own manager can do, too: the rest needs root."""
OF_MACHINE: Settings = [
    ("PrivateDevices", "yes"),
    ("ProtectClock", "yes"),
    ("ProtectControlGroups", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
]
"""What no unit of the machine needs: devices, and settings of the machine itself."""


def hardening(writable: str, *, outside: bool) -> Settings:
    """Return the settings of the machine's unit that writes to one folder; `outside`: it may talk to others."""
    settings = [
        *OF_EVERY_MANAGER,
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("ReadWritePaths", writable),
        ("PrivateTmp", "yes"),
        ("PrivateUsers", "yes"),
        *OF_MACHINE,
        # Not ProcSubset=pid: health reports the share of the machine's memory, from /proc/meminfo.
        ("ProtectProc", "invisible"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("RemoveIPC", "yes"),
    ]
    if not outside:
        settings += [("IPAddressDeny", "any"), ("IPAddressAllow", "localhost")]
    return settings


TARGET = "trading.target"
SCHEDULED_BACKUP = "scheduled-backup"
BACKUP_TIMER = f"trading-{SCHEDULED_BACKUP}.timer"
HOST = "127.0.0.1"
CREDENTIALS = "%d"
"""systemd's own word for the folder that a unit's credentials are in."""
NATS_URL = f"nats://{HOST}:{NATS_PORT}"
TASKS = 50
BOOTSTRAP_SECONDS = 600
"""How long one attempt waits for NATS: longer than the start limit looks back, so that none is used up."""


def unit_name(part: str) -> str:
    """Return the name of a part's unit."""
    return f"trading-{part}.service"


def target(system: TradingSystem, names: list[str], layout: Layout) -> str:
    """Return the target that starts and stops everything."""
    return unit_text(
        {
            "Unit": [("Description", f"Trading system {system.metadata.name}"), *(("Wants", name) for name in names)],
            "Install": [("WantedBy", "multi-user.target" if layout.user else "default.target")],
        }
    )


def service_unit(system: TradingSystem, part: parts.Part, home: str, version: str, layout: Layout) -> str:
    """Return the unit of a process that runs services; `home` is where the program is installed."""
    sockets = [socket_name(name) for name in part.services if system.spec.compatibility.socket_directory]
    after = [*(unit_name(name) for name in (parts.NATS, BOOTSTRAP, *part.after)), *sockets]
    places = parts.Places(layout.of(part.name), layout.declaration, CREDENTIALS, NATS_URL, HOST)
    outside = parts.leaves_the_machine(system, part)
    unit = _unit_section(f"{system.metadata.name}: {part.name}", after, [TARGET])
    if outside and layout.user:
        unit += [("After", "network-online.target"), ("Wants", "network-online.target")]
    service: Settings = [
        ("Type", "notify"),
        *(("Sockets", name) for name in sockets),
        ("ExecStart", command([*_program(home), "serve", "--services", part.argument])),
        # A process waits for NATS as long as it is unreachable. Ended for that, it would use up its start limit.
        ("TimeoutStartSec", "infinity"),
        *_restarts("always"),
        *_common(part.name, parts.memory_limit(system, part), layout),
        *(_credential(name, layout) for name in parts.secret_files(system, part)),
        *_program_path(home),
        *assignments(parts.environment(system, part, places, version)),
        *_hardening(part.name, layout, outside=outside),
    ]
    return unit_text({"Unit": unit, "Service": service})


def socket_name(service: str) -> str:
    """Return the name of the unit of a service's socket for callers of the old system."""
    return f"trading-old-{service}.socket"


def socket_unit(system: TradingSystem, part: parts.Part, service: str, directory: str, layout: Layout) -> str:
    """Return the unit of a service's old socket: systemd makes it, since PrivateTmp hides /tmp from the service."""
    group = system.spec.compatibility.socket_group
    return unit_text(
        {
            "Unit": [("Description", f"{system.metadata.name}: old socket of {service}"), ("PartOf", TARGET)],
            "Socket": [
                ("ListenStream", f"{directory}/trading_{service}.sock"),
                ("SocketMode", "0660"),
                *((("SocketUser", layout.user), ("SocketGroup", group or layout.user)) if layout.user else ()),
                ("FileDescriptorName", service),
                ("Service", unit_name(part.name)),
                ("RemoveOnStop", "yes"),
            ],
        }
    )


def backup_units(system: TradingSystem, home: str, version: str) -> dict[str, str]:
    """Return the timer that asks whether a backup is due, and the unit that makes it.

    It is the machine's root that makes it, as by hand: it reads every unit's data, and writes wherever backups go. So
    it keeps root's folders and its right to others' files, and loses what a backup has no use for.
    """
    release = {"BELLWETHER_VERSION": system.spec.version or version}
    service: Settings = [
        ("Type", "oneshot"),
        ("ExecStart", command([*_program(home), "backup", "create", "--systemd", "--due"])),
        ("Nice", "10"),
        *(one for one in OF_EVERY_MANAGER if not one[0].startswith("SystemCall")),
        ("ProtectSystem", "full"),
        *OF_MACHINE,
        *_program_path(home),
        *assignments(release),
    ]
    timer: Settings = [("OnCalendar", "*:0/5"), ("AccuracySec", "1min")]
    name = f"{system.metadata.name}: backup of a session"
    return {
        unit_name(SCHEDULED_BACKUP): unit_text({"Unit": [("Description", name)], "Service": service}),
        BACKUP_TIMER: unit_text({"Unit": [("Description", name), ("PartOf", TARGET)], "Timer": timer}),
    }


def nats_unit(system: TradingSystem, home: str, layout: Layout) -> str:
    """Return the unit of NATS."""
    service: Settings = [
        ("Type", "exec"),
        ("ExecStart", command([*_program(home), "nats", "--config", layout.nats])),
        *_restarts("always"),
        *_common(parts.NATS, parts.nats_memory_limit(system), layout),
        *_program_path(home),
        *assignments({"GOMEMLIMIT": parts.go_memory_limit(system)}),
        *_hardening(parts.NATS, layout, outside=False),
    ]
    return unit_text({"Unit": _unit_section(f"{system.metadata.name}: NATS", [], [TARGET]), "Service": service})


def bootstrap_unit(system: TradingSystem, home: str, layout: Layout) -> str:
    """Return the unit that makes the streams and ends, after each start of NATS.

    It is no ExecStartPost of NATS: systemd 252 shows those no credentials.
    """
    nats = unit_name(parts.NATS)
    name = f"{system.metadata.name}: streams of NATS"
    service: Settings = [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        (
            "ExecStart",
            command([*_program(home), *parts.bootstrap_arguments(system), "--timeout", str(BOOTSTRAP_SECONDS)]),
        ),
        ("TimeoutStartSec", "infinity"),
        # It is stopped with NATS, maybe while it waits: that is no failure.
        ("SuccessExitStatus", "SIGTERM"),
        *_restarts("on-failure"),
        *_common(BOOTSTRAP, parts.SMALL_MEBIBYTES, layout),
        _credential(f"{BOOTSTRAP}.nk", layout),
        *_program_path(home),
        *assignments(parts.bootstrap_environment(CREDENTIALS, NATS_URL)),
        *_hardening(BOOTSTRAP, layout, outside=False),
    ]
    return unit_text({"Unit": _unit_section(name, [nats], [TARGET, nats]), "Service": service})


def _unit_section(description: str, after: list[str], part_of: list[str]) -> Settings:
    """Return the first section.

    `Wants`, not `Requires`: systemd starts again what requires a unit that failed, so five crashes of NATS would use
    up the start limit of every service; services wait for each other by themselves.
    """
    return [
        ("Description", description),
        *(("PartOf", name) for name in part_of),
        *(("Wants", name) for name in after),
        *(("After", name) for name in after),
        ("StartLimitIntervalSec", "300"),
        ("StartLimitBurst", "5"),
    ]


def _restarts(when: str) -> Settings:
    return [("Restart", when), ("RestartSec", "5"), ("TimeoutStopSec", "30")]


def _common(name: str, memory_mebibytes: int, layout: Layout) -> Settings:
    memory = f"{memory_mebibytes // 1024}G" if memory_mebibytes % 1024 == 0 else f"{memory_mebibytes}M"
    # A person's own manager has no other user, and its state folder is another one in each release of systemd.
    who = [("User", layout.user), ("Group", layout.user), ("StateDirectory", f"trading/{name}")] if layout.user else []
    return [
        *who,
        ("SyslogIdentifier", f"trading-{name}"),
        *([("StateDirectoryMode", "0700")] if layout.user else []),
        ("WorkingDirectory", layout.of(name)),
        ("MemoryMax", memory),
        ("CPUQuota", "100%"),
        ("TasksMax", str(TASKS)),
    ]


def _hardening(name: str, layout: Layout, *, outside: bool) -> Settings:
    return hardening(layout.of(name), outside=outside) if layout.user else OF_EVERY_MANAGER


def _credential(name: str, layout: Layout) -> tuple[str, str]:
    return ("LoadCredential", f"{name}:{layout.keys}/{name}")


def _program(home: str) -> list[str]:
    return [f"{home}/venv/bin/python", "-m", "bellwether"]


def _program_path(home: str) -> Settings:
    return assignments({"PYTHONPATH": f"{home}/services"})
