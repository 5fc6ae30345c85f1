"""Containers of NATS and of the services: command, environment, mounts, probes and limits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bellwether.render.kubernetes import quantities
from bellwether.render.kubernetes.configmaps import DECLARATION_FILE, NATS_FILE, store_bytes
from bellwether.render.kubernetes.context import ADOPT, NATS, RenderContext, child_name, image_of, release_of
from bellwether.render.nats import JOB
from bellwether.service_row import Resources
from bellwether.spec.backup import BackupLocation
from bellwether.spec.models import TradingSystem
from bellwether.spec.pods import ServiceOverride
from bellwether.topology import HEALTH_PORT, NATS_MONITOR_PORT, NATS_PORT, NATS_RESOURCES, SERVICES

KEYS_DIRECTORY = "/etc/bellwether/keys"
DECLARATION_DIRECTORY = "/etc/bellwether/declaration"
NATS_CONFIG_DIRECTORY = "/etc/nats"
DATA_DIRECTORY = "/data"
CSV_DIRECTORY = "/csv"
NEWS_DIRECTORY = "/news"
NOTIFY_DIRECTORY = "/etc/bellwether/notify"
REPOSITORIES_DIRECTORY = "/etc/bellwether/repositories"
CLAIMS_DIRECTORY = "/backups"
CA_DIRECTORY = "/etc/bellwether/ca"
BROKER_DIRECTORY = "/etc/bellwether/broker"
CA_FILE = "ca.crt"
LOOK_DIRECTORY = "/volumes"
TERMINATION_FILE = "/dev/termination-log"
TOKEN_FILE = "gateway.token"  # noqa: S105
COMPACT_SHARE = 4
"""In one process each further service costs about a quarter of what it needs alone: libraries are loaded once."""

_JOB_RESOURCES = Resources(10, 64)
READER_RESOURCES = Resources(100, 192)
DECIDING = ("market-data", "ml-model", "prediction")
"""The services that compute decisions again, in one process."""
OF_NUMBERS = {
    "HOME": "/tmp",  # noqa: S108
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
"""The environment of a process that computes; with one thread it computes the same bits everywhere."""
_BOOTSTRAP_COMMAND = ["python", "-m", "bellwether", "bootstrap"]
SECURITY = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}


def nats_url(system: TradingSystem, *, beside: bool) -> str:
    """Return where NATS answers: on loopback in the pod that runs it, else at its Service."""
    host = "127.0.0.1" if beside else child_name(system, NATS)
    return f"nats://{host}:{NATS_PORT}"


def _override(system: TradingSystem, name: str) -> ServiceOverride:
    return next((override for key, override in system.spec.services.items() if key == name), ServiceOverride())


def resources_of(system: TradingSystem, name: str) -> Resources:
    """Return what a service (or `nats`) asks for: its row's figures, or what the declaration says instead."""
    row = NATS_RESOURCES if name == NATS else SERVICES[name].resources
    override = _override(system, name)
    return Resources(
        cpu_millis=row.cpu_millis if override.cpu is None else quantities.millis(override.cpu),
        memory_mebibytes=(row.memory_mebibytes if override.memory is None else quantities.mebibytes(override.memory)),
    )


def compact_resources(system: TradingSystem) -> Resources:
    """Return what all services in one process ask for."""
    return shared_resources(system, SERVICES)


def shared_resources(system: TradingSystem, services: Iterable[str]) -> Resources:
    """Return what some services in one process ask for: the largest, and a share of each other."""
    asked = [resources_of(system, name) for name in services]
    largest_memory = max(each.memory_mebibytes for each in asked)
    largest_cpu = max(each.cpu_millis for each in asked)
    return Resources(
        cpu_millis=largest_cpu + (sum(each.cpu_millis for each in asked) - largest_cpu) // COMPACT_SHARE,
        memory_mebibytes=largest_memory
        + (sum(each.memory_mebibytes for each in asked) - largest_memory) // COMPACT_SHARE,
    )


def requirements(asked: Resources) -> dict[str, Any]:
    """Return resources in the form of a container: the memory is also the limit."""
    amount = quantities.memory(asked.memory_mebibytes)
    return {"limits": {"memory": amount}, "requests": {"cpu": quantities.cpu(asked.cpu_millis), "memory": amount}}


def environment_of(values: dict[str, str]) -> list[dict[str, str]]:
    """Return variables in the form of a container, in order."""
    return [{"name": name, "value": values[name]} for name in sorted(values)]


def process_environment(system: TradingSystem, context: RenderContext, *, beside_nats: bool) -> dict[str, str]:
    """Return the variables that a process of the system is configured by."""
    image = image_of(context.image, system.spec.version)
    return {
        "BELLWETHER_DATA_DIR": DATA_DIRECTORY,
        "BELLWETHER_DECLARATION": f"{DECLARATION_DIRECTORY}/{DECLARATION_FILE}",
        "BELLWETHER_GATEWAY_TOKEN_FILE": f"{KEYS_DIRECTORY}/{TOKEN_FILE}",
        "BELLWETHER_KEYS_DIR": KEYS_DIRECTORY,
        "BELLWETHER_LOG_LEVEL": context.log_level.lower(),
        "BELLWETHER_NAMESPACE": system.metadata.namespace,
        "BELLWETHER_NATS_URL": nats_url(system, beside=beside_nats),
        "BELLWETHER_SYSTEM": system.metadata.name,
        "BELLWETHER_UID": system.metadata.uid,
        "BELLWETHER_VERSION": release_of(image),
        **OF_NUMBERS,
    }


def _get(path: str, port: str, **timing: int) -> dict[str, Any]:
    return {"httpGet": {"path": path, "port": port}, **timing}


def mount(name: str, path: str, *, read_only: bool = False) -> dict[str, Any]:
    """Return where a volume of the pod is seen."""
    return {"mountPath": path, "name": name, **({"readOnly": True} if read_only else {})}


def plain_container(system: TradingSystem, context: RenderContext, name: str, *arguments: str) -> dict[str, Any]:
    """Return what every container of the system's image has."""
    return {
        "name": name,
        "image": image_of(context.image, system.spec.version),
        "imagePullPolicy": context.image_pull_policy,
        "command": ["python", "-m", "bellwether", *arguments],
        "securityContext": SECURITY,
        # What it said last stands in the pod's status, where it is seen also when the log is gone.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def client_environment(system: TradingSystem, context: RenderContext, **more: str) -> list[dict[str, str]]:
    """Return the environment of a program that asks the services over NATS and ends."""
    bus = {"BELLWETHER_KEYS_DIR": KEYS_DIRECTORY, "BELLWETHER_NATS_URL": nats_url(system, beside=False)}
    return environment_of({**bus, "BELLWETHER_LOG_LEVEL": context.log_level.lower(), **more})


def nats_container(system: TradingSystem, context: RenderContext) -> dict[str, Any]:
    """Return the NATS server; after its start the bootstrap identity makes streams, buckets and consumers."""
    asked = resources_of(system, NATS)
    health = "/healthz?js-enabled-only=true"
    environment = process_environment(system, context, beside_nats=True)
    del environment["BELLWETHER_GATEWAY_TOKEN_FILE"]
    environment["GOMEMLIMIT"] = f"{asked.memory_mebibytes * 4 // 5}MiB"
    return {
        **plain_container(system, context, NATS, "nats", "--config", f"{NATS_CONFIG_DIRECTORY}/{NATS_FILE}"),
        "env": environment_of(environment),
        "lifecycle": {
            "postStart": {"exec": {"command": [*_BOOTSTRAP_COMMAND, "--max-store", str(store_bytes(system))]}}
        },
        "livenessProbe": _get(health, "monitor", failureThreshold=6, periodSeconds=10, timeoutSeconds=5),
        "ports": [
            {"containerPort": NATS_PORT, "name": "nats", "protocol": "TCP"},
            {"containerPort": NATS_MONITOR_PORT, "name": "monitor", "protocol": "TCP"},
        ],
        "readinessProbe": _get(health, "monitor", failureThreshold=2, periodSeconds=5, timeoutSeconds=3),
        "resources": requirements(asked),
        "startupProbe": _get(health, "monitor", failureThreshold=120, periodSeconds=1, timeoutSeconds=3),
        "volumeMounts": [
            mount("data", DATA_DIRECTORY),
            mount("declaration", DECLARATION_DIRECTORY, read_only=True),
            mount("nats-config", NATS_CONFIG_DIRECTORY, read_only=True),
            mount("nats-keys", KEYS_DIRECTORY, read_only=True),
            mount("tmp", "/tmp"),  # noqa: S108
        ],
    }


def services_container(
    system: TradingSystem, context: RenderContext, name: str, services: Sequence[str], asked: Resources
) -> dict[str, Any]:
    """Return the container that runs services of the system in one process."""
    compact = set(services) == set(SERVICES)
    environment = process_environment(system, context, beside_nats=compact)
    mounts = [
        mount("data", DATA_DIRECTORY),
        mount("declaration", DECLARATION_DIRECTORY, read_only=True),
        mount("keys", KEYS_DIRECTORY, read_only=True),
        mount("tmp", "/tmp"),  # noqa: S108
    ]
    if "gateway" not in services:
        del environment["BELLWETHER_GATEWAY_TOKEN_FILE"]
    if reads_csv(system, services):
        environment["BELLWETHER_CSV_ROOT"] = CSV_DIRECTORY
        mounts.insert(0, mount("csv", CSV_DIRECTORY, read_only=True))
    if reads_news(system, services):
        environment["BELLWETHER_NEWS_ROOT"] = NEWS_DIRECTORY
        mounts.insert(0, mount("news", NEWS_DIRECTORY, read_only=True))
    if trades_at_ig(system, services):
        environment["BELLWETHER_IG_CREDENTIALS"] = BROKER_DIRECTORY
        mounts.insert(0, mount("broker", BROKER_DIRECTORY, read_only=True))
    if asks_outside(system, services) or kept_by(system, services):
        network = system.spec.network
        if network.proxy is not None:
            environment["BELLWETHER_PROXY"] = network.proxy
        if network.ca_bundle_ref is not None:
            environment["BELLWETHER_CA_BUNDLE"] = f"{CA_DIRECTORY}/{CA_FILE}"
            mounts.insert(0, mount("ca", CA_DIRECTORY, read_only=True))
    if kept_by(system, services):
        environment["BELLWETHER_BACKUP_CLAIMS"] = CLAIMS_DIRECTORY
        environment["BELLWETHER_SECRETS"] = REPOSITORIES_DIRECTORY
        mounts.insert(0, mount("repositories", REPOSITORIES_DIRECTORY, read_only=True))
        for location in kept_by(system, services):
            if location.volume_claim is not None:
                mounts.append(mount(f"kept-{location.name}", f"{CLAIMS_DIRECTORY}/{location.name}"))
    if notification_secrets(system, services):
        environment["BELLWETHER_NOTIFY_SECRETS"] = NOTIFY_DIRECTORY
        mounts.insert(0, mount("notify", NOTIFY_DIRECTORY, read_only=True))
    ports = [{"containerPort": HEALTH_PORT, "name": "health", "protocol": "TCP"}]
    ports += [
        {"containerPort": port, "name": "http", "protocol": "TCP"}
        for port in (SERVICES[service].http_port for service in services)
        if port is not None
    ]
    return {
        **plain_container(system, context, name, "serve", "--services", "all" if compact else ",".join(services)),
        "env": environment_of(environment),
        "livenessProbe": _get("/livez", "health", failureThreshold=3, periodSeconds=10, timeoutSeconds=5),
        "ports": ports,
        "readinessProbe": _get("/readyz", "health", failureThreshold=2, periodSeconds=3, timeoutSeconds=3),
        "resources": requirements(asked),
        "startupProbe": _get("/livez", "health", failureThreshold=120, periodSeconds=1, timeoutSeconds=3),
        "volumeMounts": mounts,
    }


def job_container(
    system: TradingSystem, context: RenderContext, environment: Sequence[dict[str, Any]], patience: int
) -> dict[str, Any]:
    """Return the container that has one slot run; it tries for so many seconds."""
    common = client_environment(system, context)
    return {
        **plain_container(system, context, JOB, "execute-slot", "--timeout", str(patience)),
        "env": sorted([*common, *environment], key=lambda entry: str(entry["name"])),
        "resources": requirements(_JOB_RESOURCES),
        "volumeMounts": [mount("keys", KEYS_DIRECTORY, read_only=True)],
    }


def adopt_container(system: TradingSystem, context: RenderContext, kept: Sequence[str]) -> dict[str, Any]:
    """Return the container that makes a volume from a snapshot this system's, before anything else opens it.

    `kept` are the names that are its component's own, where a snapshot may hold those of others too.
    """
    source = system.spec.restore_from
    apart = ["--apart"] if source is not None and source.snapshots is not None else []
    keep = [word for name in kept for word in ("--keep", name)]
    environment = {
        "BELLWETHER_DATA_DIR": DATA_DIRECTORY,
        "BELLWETHER_LOG_LEVEL": context.log_level.lower(),
        "BELLWETHER_SYSTEM": system.metadata.name,
        "BELLWETHER_UID": system.metadata.uid,
    }
    return {
        **plain_container(system, context, ADOPT, "adopt", "--source", str(source), *apart, *keep),
        "env": environment_of(environment),
        "resources": requirements(READER_RESOURCES),
        "volumeMounts": [mount("data", DATA_DIRECTORY), mount("tmp", "/tmp")],  # noqa: S108
    }


def reads_csv(system: TradingSystem, services: Sequence[str]) -> bool:
    """Whether one of the services reads bars from the volume that the declaration names."""
    data = system.spec.data
    return (
        "market-data" in services
        and data.provider == "csv"
        and data.csv is not None
        and data.csv.volume_claim is not None
    )


def reads_news(system: TradingSystem, services: Sequence[str]) -> bool:
    """Whether one of the services reads headlines from the volume that the declaration names."""
    news = system.spec.sentiment
    return (
        "sentiment" in services
        and news.provider == "csv"
        and news.csv is not None
        and news.csv.volume_claim is not None
    )


def asks_outside(system: TradingSystem, services: Sequence[str]) -> bool:
    """Whether one of the services asks Yahoo or feeds, notifies people outside, or trades at IG."""
    return (
        ("market-data" in services and system.spec.asks_yahoo)
        or ("sentiment" in services and system.spec.sentiment.provider == "feeds")
        or ("monitoring" in services and bool(system.spec.notifications))
        or trades_at_ig(system, services)
    )


def trades_at_ig(system: TradingSystem, services: Sequence[str]) -> bool:
    """Whether one of the services sends orders to IG: it alone gets the account's credentials."""
    return "paper-trading" in services and system.spec.trading.mode == "ig-demo"


def kept_by(system: TradingSystem, services: Sequence[str]) -> list[BackupLocation]:
    """Return the repositories that one of the services keeps backups in."""
    if "backup" not in services or system.spec.backup is None:
        return []
    return system.spec.backup.repositories_in_cluster


def repository_access(
    system: TradingSystem, location: BackupLocation | None
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Return the variables and the mounts by which a pod's program opens one repository; none where there is none."""
    if location is None:
        return {}, []
    environment = {"BELLWETHER_BACKUP_CLAIMS": CLAIMS_DIRECTORY, "BELLWETHER_SECRETS": REPOSITORIES_DIRECTORY}
    mounts = [mount("repositories", REPOSITORIES_DIRECTORY, read_only=True)]
    if location.volume_claim is not None:
        mounts.append(mount(f"kept-{location.name}", f"{CLAIMS_DIRECTORY}/{location.name}"))
    if system.spec.network.ca_bundle_ref is not None:
        environment["BELLWETHER_CA_BUNDLE"] = f"{CA_DIRECTORY}/{CA_FILE}"
        mounts.append(mount("ca", CA_DIRECTORY, read_only=True))
    return environment, mounts


def notification_secrets(system: TradingSystem, services: Sequence[str]) -> list[str]:
    """Return the Secrets of notifications that one of the services reads, sorted; all others never see them."""
    if "monitoring" not in services:
        return []
    return sorted({one.secret_ref.name for one in system.spec.notifications if one.secret_ref is not None})
