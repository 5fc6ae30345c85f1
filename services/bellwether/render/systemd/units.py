"""The units: one per process, NATS, and the target that stands for all of them."""

from __future__ import annotations

from bellwether.render.nats import BOOTSTRAP
from bellwether.render.parts import (
    NATS,
    SMALL_MEBIBYTES,
    Part,
    Places,
    bootstrap_arguments,
    bootstrap_environment,
    environment,
    go_memory_limit,
    leaves_the_machine,
    memory_limit,
    nats_memory_limit,
    secret_files,
)
from bellwether.render.systemd.hardening import OF_EVERY_MANAGER, hardening
from bellwether.render.systemd.layout import Layout
from bellwether.render.systemd.unitfile import Settings, assignments, command, unit_text
from bellwether.spec.models import TradingSystem
from bellwether.topology import NATS_PORT

TARGET = "trading.target"
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
            "Unit": [
                ("Description", f"Trading system {system.metadata.name}"),
                *(("Wants", name) for name in names),
            ],
            "Install": [("WantedBy", "multi-user.target" if layout.user else "default.target")],
        }
    )


def service_unit(system: TradingSystem, part: Part, home: str, version: str, layout: Layout) -> str:
    """Return the unit of a process that runs services; `home` is where the program is installed."""
    sockets = [socket_name(name) for name in part.services if system.spec.compatibility.socket_directory]
    after = [*(unit_name(name) for name in (NATS, BOOTSTRAP, *part.after)), *sockets]
    places = Places(layout.of(part.name), layout.declaration, CREDENTIALS, NATS_URL, HOST)
    outside = leaves_the_machine(system, part)
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
        *_common(part.name, memory_limit(system, part), layout),
        *(_credential(name, layout) for name in secret_files(system, part)),
        *_program_path(home),
        *assignments(environment(system, part, places, version)),
        *_hardening(part.name, layout, outside=outside),
    ]
    return unit_text({"Unit": unit, "Service": service})


def socket_name(service: str) -> str:
    """Return the name of the unit of a service's socket for callers of the old system."""
    return f"trading-old-{service}.socket"


def socket_unit(system: TradingSystem, part: Part, service: str, directory: str, layout: Layout) -> str:
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


def nats_unit(system: TradingSystem, home: str, layout: Layout) -> str:
    """Return the unit of NATS."""
    service: Settings = [
        ("Type", "exec"),
        ("ExecStart", command([*_program(home), "nats", "--config", layout.nats])),
        *_restarts("always"),
        *_common(NATS, nats_memory_limit(system), layout),
        *_program_path(home),
        *assignments({"GOMEMLIMIT": go_memory_limit(system)}),
        *_hardening(NATS, layout, outside=False),
    ]
    return unit_text({"Unit": _unit_section(f"{system.metadata.name}: NATS", [], [TARGET]), "Service": service})


def bootstrap_unit(system: TradingSystem, home: str, layout: Layout) -> str:
    """Return the unit that makes the streams and ends, after each start of NATS.

    It is no ExecStartPost of NATS: systemd 252 shows those no credentials.
    """
    nats = unit_name(NATS)
    name = f"{system.metadata.name}: streams of NATS"
    service: Settings = [
        ("Type", "oneshot"),
        ("RemainAfterExit", "yes"),
        ("ExecStart", command([*_program(home), *bootstrap_arguments(system), "--timeout", str(BOOTSTRAP_SECONDS)])),
        ("TimeoutStartSec", "infinity"),
        # It is stopped with NATS, maybe while it waits: that is no failure.
        ("SuccessExitStatus", "SIGTERM"),
        *_restarts("on-failure"),
        *_common(BOOTSTRAP, SMALL_MEBIBYTES, layout),
        _credential(f"{BOOTSTRAP}.nk", layout),
        *_program_path(home),
        *assignments(bootstrap_environment(CREDENTIALS, NATS_URL)),
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
