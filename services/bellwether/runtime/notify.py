"""Telling a service manager that this process is ready, or stopping: systemd's Type=notify.

The protocol is one datagram per message to the socket that NOTIFY_SOCKET names (sd_notify(3)).
"""

from __future__ import annotations

import logging
import socket

READY = "READY=1"
STOPPING = "STOPPING=1"

_log = logging.getLogger(__name__)


def notify(state: str, name: str) -> bool:
    """Send a state to the socket that NOTIFY_SOCKET names; return whether there is one and it took it.

    A name that begins with `@` is an abstract socket. Failing to send ends nothing: it is logged.
    """
    if not name:
        return False
    address = "\0" + name[1:] if name.startswith("@") else name
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
            manager.connect(address)
            manager.sendall(state.encode())
    except OSError as error:
        _log.warning("the service manager at %s was not told %s: %s", name, state, error)
        return False
    return True
