"""`bellwether restore ID --system NAME`: a system of a cluster is restored in place, which is watched to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from bellwether.cli.backup_choice import say
from bellwether.cli.client import CommandError, Target, make_client
from bellwether.cli.kubectl import Kubectl
from bellwether.cli.options import confirm

_PAUSE_SECONDS = 2.0
ANSWER_SECONDS = 70.0
"""A little longer than the gateway waits for the locations, so that its answer is heard."""
_SYSTEMS = "tradingsystems.bellwether.dev"


def restore_in_place(
    target: Target, wanted: str | None, session: str | None, location: str | None, *, yes: bool
) -> None:
    """Ask for a backup by id, by session, or for the newest; report how far it is until the system is up, halted.

    Raises:
        CommandError: with the reason, if it is refused.
    """
    client = make_client(target, seconds=ANSWER_SECONDS)
    if wanted is not None and session is not None:
        raise CommandError("give an ID or --session, not both")
    backup = wanted or newest(client.get("/v1/backups")["backups"], session)
    confirm(
        f"Restore {backup} in place of what {target.system} holds? It is halted, and has no pods meanwhile.", yes=yes
    )
    # By kubectl: the gateway is gone in the middle of it.
    kubectl = Kubectl(target.context, target.namespace)
    asked = client.send("POST", "/v1/restores", {"backup_id": backup, "location": location})
    say(f"asked for {backup} of {asked['location']}; it goes on without you")
    row = _watched(kubectl, str(target.system), str(asked["at"]))
    if row["outcome"] != "Restored":
        raise CommandError(row["message"])
    sys.stdout.write(f"{target.system}: {row['message']}\n")


def newest(rows: Sequence[Mapping[str, Any]], session: str | None) -> str:
    """Return the newest complete backup of some, newest first, or of a session among them.

    Raises:
        CommandError: if there is none.
    """
    for row in rows:
        if row["status"] == "complete" and session in {None, row["session"]}:
            return str(row["backup_id"])
    raise CommandError(
        f"among the {len(rows)} newest there is no complete backup" + (f" of session {session}" if session else "")
    )


def _watched(kubectl: Kubectl, system: str, at: str) -> Mapping[str, Any]:
    """Say how far a restore is whenever that changes; return what the status says of it at its end."""
    said = ""
    while True:
        found = kubectl.get(_SYSTEMS, system)
        if found is None:
            raise CommandError(f"TradingSystem {system} is gone")
        row = (found.get("status") or {}).get("restore") or {}
        if row.get("requested", "") > at:
            raise CommandError(f"another restore was asked for since, of backup {row['backup']}: {row['message']}")
        ours = row.get("requested") == at
        words = f"{row['step']}: {row['message']}" if ours else "the operator has not taken it up yet"
        if words != said:
            say(words)
            said = words
        if ours and row["step"] == "Ended":
            return dict(row)
        time.sleep(_PAUSE_SECONDS)
