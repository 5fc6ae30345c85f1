"""What a unit may not do: the required list, and what else costs these processes nothing."""

from __future__ import annotations

from bellwether.render.systemd.unitfile import Settings

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


def hardening(writable: str, *, outside: bool) -> Settings:
    """Return the settings of the machine's unit that writes to one folder; `outside`: it may talk to others."""
    settings = [
        *OF_EVERY_MANAGER,
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("ReadWritePaths", writable),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("PrivateUsers", "yes"),
        ("ProtectClock", "yes"),
        ("ProtectControlGroups", "yes"),
        ("ProtectHostname", "yes"),
        ("ProtectKernelLogs", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectKernelTunables", "yes"),
        # Not ProcSubset=pid: health reports the share of the machine's memory, from /proc/meminfo.
        ("ProtectProc", "invisible"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("RemoveIPC", "yes"),
    ]
    if not outside:
        settings += [("IPAddressDeny", "any"), ("IPAddressAllow", "localhost")]
    return settings
