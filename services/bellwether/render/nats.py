"""The configuration of a system's NATS server: who may say and hear what follows from the topology.

Every service has its own key and can reach exactly what its row names: the peers' methods it calls, the events it
publishes, its own methods, consumers and inbox. `bootstrap` makes streams and consumers, saves and restores them, and
does nothing else; `cli` calls methods and listens; `job` has the scheduler run a declared slot, and nothing that
somebody else scheduled; `training-job` reads an order of models and uploads candidates; `replay-job` reads bars and
hands in the report of a replay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

from bellwether import naming
from bellwether.service_row import ServiceRow
from bellwether.topology import COPYING, HOLDING, NATS_MONITOR_PORT, NATS_PORT, NATS_STORE_BYTES, SERVICES
from bellwether.wiring import consumed_types

BOOTSTRAP = "bootstrap"
CLI = "cli"
JOB = "job"
"""Whoever is started for one slot, knows nothing and is soon gone: it may ask for that and for nothing else."""
TRAINING_JOB = "training-job"
"""Whoever makes one model: it reads its order and uploads a candidate. What serves it can neither see nor change."""
TRAINING_METHODS = ("list_orders", "get_snapshot", "get_artifact", "put_artifact", "finish_target")
"""Methods of ml-model that it calls."""
REPLAY_JOB = "replay-job"
"""Whoever replays a variant of a TradingReplay: it reads bars and hands in a report."""
REPLAY_METHODS = {
    "market-data": ("get_bars", "get_corporate_actions", "get_coverage"),
    "scheduler": ("put_replay_report",),
}
"""Per service, the methods that it calls."""
GATEWAY = "gateway"
MONITORING = "monitoring"
BACKUP = "backup"
MAX_PAYLOAD = 1024 * 1024
MEBIBYTE = 1024 * 1024


class Permissions(NamedTuple):
    """The subjects that one identity may publish to and subscribe to, sorted; replies to requests are free."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def service_permissions(name: str, rows: Mapping[str, ServiceRow] = SERVICES) -> Permissions:
    """Return what one service may do."""
    row = rows[name]
    publish = {naming.rpc_subject(peer, method) for peer, methods in row.calls.items() for method in methods}
    publish |= {naming.event_subject(priority, event_type) for event_type, priority in row.publications}
    # What it owes and the bus cannot carry becomes a dead letter of its own.
    publish |= {naming.dead_subject(name, event_type) for event_type in row.publishes}
    publish |= {
        naming.trace_subject(name),
        naming.key_subject(naming.ACKS_BUCKET, name),
        _direct_get(naming.DECLARATION_BUCKET, naming.DECLARATION_KEY),
    }
    for priority, types in consumed_types(row, rows).items():
        consumer = naming.consumer_name(name, priority)
        publish |= {
            f"$JS.API.CONSUMER.INFO.{naming.EVENT_STREAM}.{consumer}",
            f"$JS.API.CONSUMER.MSG.NEXT.{naming.EVENT_STREAM}.{consumer}",
            f"$JS.ACK.{naming.EVENT_STREAM}.{consumer}.>",
        }
        publish |= {naming.dead_subject(name, event_type) for event_type in (*types, "unreadable")}
    # In a queue group only: nobody can listen in on calls meant for another replica.
    subscribe = {
        f"{naming.rpc_subjects(name)} {name}",
        f"{naming.inbox_prefix(name)}.>",
        naming.key_subject(naming.DECLARATION_BUCKET, naming.DECLARATION_KEY),
    }
    if name == GATEWAY:
        publish |= {
            naming.key_subject(naming.DECLARATION_BUCKET, naming.DECLARATION_KEY),
            _direct_get(naming.ACKS_BUCKET, "*"),
        }
        publish |= {naming.rpc_subject(peer, method) for peer in rows if peer != name for method in HOLDING}
        subscribe |= {naming.TRACE_SUBJECTS, naming.EVENT_SUBJECTS, naming.key_subject(naming.ACKS_BUCKET, "*")}
    if name == BACKUP:
        # It reads every store and stream, and changes none; it keeps which restore it was asked for.
        publish |= {
            naming.rpc_subject(one.name, method) for one in rows.values() if one.needs_volume for method in COPYING
        }
        publish |= {"$JS.API.STREAM.NAMES", "$JS.API.STREAM.SNAPSHOT.*", "$JS.SNAPSHOT.ACK.>"}
        publish |= {
            naming.key_subject(naming.DECLARATION_BUCKET, naming.RESTORE_KEY),
            _direct_get(naming.DECLARATION_BUCKET, naming.RESTORE_KEY),
        }
        subscribe |= {naming.key_subject(naming.DECLARATION_BUCKET, naming.RESTORE_KEY)}
    if name == MONITORING:
        publish |= {
            naming.key_subject(naming.MONITORING_BUCKET, naming.MONITORING_KEY),
            _direct_get(naming.MONITORING_BUCKET, naming.MONITORING_KEY),
            f"$JS.API.STREAM.INFO.{naming.EVENT_STREAM}",
            f"$JS.API.STREAM.INFO.{naming.DEAD_STREAM}",
            f"$JS.API.STREAM.MSG.GET.{naming.DEAD_STREAM}",
            f"$JS.API.STREAM.MSG.DELETE.{naming.DEAD_STREAM}",
        }
        # A dead letter is published again on the subject that it came by.
        publish |= {naming.event_subject(rank, kind) for one in rows.values() for kind, rank in one.publications}
    return Permissions(tuple(sorted(publish)), tuple(sorted(subscribe)))


def role_permissions() -> dict[str, Permissions]:
    """Return what the identities may do that are not services."""
    return {
        # Streams are saved and restored under this identity: the server moves snapshots on subjects of their own.
        BOOTSTRAP: Permissions(("$JS.API.>", "$JS.SNAPSHOT.>"), (f"{naming.inbox_prefix(BOOTSTRAP)}.>",)),
        CLI: Permissions(("bw.rpc.*.*",), tuple(sorted((f"{naming.inbox_prefix(CLI)}.>", naming.EVENT_SUBJECTS)))),
        JOB: Permissions((naming.rpc_subject("scheduler", "execute_slot"),), (f"{naming.inbox_prefix(JOB)}.>",)),
        TRAINING_JOB: Permissions(
            tuple(sorted(naming.rpc_subject("ml-model", method) for method in TRAINING_METHODS)),
            (f"{naming.inbox_prefix(TRAINING_JOB)}.>",),
        ),
        REPLAY_JOB: Permissions(
            tuple(sorted(naming.rpc_subject(name, one) for name, methods in REPLAY_METHODS.items() for one in methods)),
            (f"{naming.inbox_prefix(REPLAY_JOB)}.>",),
        ),
    }


def _direct_get(bucket: str, key: str) -> str:
    return f"$JS.API.DIRECT.GET.{naming.bucket_stream(bucket)}.{naming.key_subject(bucket, key)}"


def nats_conf(
    public_keys: Mapping[str, str],
    *,
    store_directory: str,
    always_sync: bool,
    port: int = NATS_PORT,
    host: str = "0.0.0.0",  # noqa: S104 (network policies and keys decide who gets in)
    monitor_port: int | None = NATS_MONITOR_PORT,
    rows: Mapping[str, ServiceRow] = SERVICES,
    max_store: int = NATS_STORE_BYTES,
) -> str:
    """Return the text of nats.conf.

    `public_keys` maps every identity (services and the roles above) to its public nkey; an identity without one
    is let out and cannot connect. `always_sync` flushes each write to disk before it is acknowledged. `port` -1 takes
    any free one.

    Raises:
        ValueError: for a key of an identity that the topology does not know.
    """
    permissions = {name: service_permissions(name, rows) for name in rows} | role_permissions()
    unknown = sorted(set(public_keys) - set(permissions))
    if unknown:
        raise ValueError(f"identity {unknown[0]!r}: known are {', '.join(sorted(permissions))}")
    users = "\n".join(_user(name, public_keys[name], permissions[name]) for name in sorted(public_keys))
    monitor = "" if monitor_port is None else f"http: {_quoted(f'{host}:{monitor_port}')}\n"
    return (
        f"listen: {_quoted(f'{host}:{port}')}\n"
        f"{monitor}"
        f"max_payload: {MAX_PAYLOAD}\n"
        "ping_interval: 20s\n"
        "jetstream {\n"
        f"  store_dir: {_quoted(store_directory)}\n"
        "  max_memory_store: 1MB\n"
        f"  max_file_store: {max_store}\n"
        f"  sync_interval: {'always' if always_sync else '2m'}\n"
        "}\n"
        "authorization {\n"
        "  users: [\n"
        f"{users}\n"
        "  ]\n"
        "}\n"
    )


def _user(name: str, key: str, permissions: Permissions) -> str:
    return (
        f"    # {name}\n"
        "    {\n"
        f"      nkey: {key}\n"
        "      permissions {\n"
        f"        publish: {{ allow: {_list(permissions.publish)} }}\n"
        f"        subscribe: {{ allow: {_list(permissions.subscribe)} }}\n"
        # A reply goes to the inbox that the request named, within the longest budget that anyone gives.
        '        allow_responses: { max: 1, expires: "10m" }\n'
        "      }\n"
        "    }"
    )


def _list(subjects: tuple[str, ...]) -> str:
    return "[" + ", ".join(_quoted(subject) for subject in subjects) + "]"


def _quoted(text: str) -> str:
    return json.dumps(text)
