"""A cluster's life: up, down, and what is asked of it in between."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from devcluster import build, claims, kernel, needs, network, pki
from devcluster.addresses import Addresses
from devcluster.api import ApiReader
from devcluster.command import run
from devcluster.config import NODE_NAME, ClusterConfig, Level, Status, check_name, check_state_dir
from devcluster.disk import write_if_changed, write_private
from devcluster.errors import ClusterError
from devcluster.files import admin_kubeconfig, config_files
from devcluster.manifests import SNAPSHOT_CRDS, base_objects, snapshot_objects
from devcluster.plan import Phase, Process, processes, to_start
from devcluster.processes import ProcessTable, command_lines
from devcluster.runtime import Runtime
from devcluster.settings import Settings, find
from devcluster.slots import SlotTable, locked
from devcluster.waiting import wait_for

Report = Callable[[str], None]

_BEFORE_THE_RECORD = {"lock", "cluster.json.new"}
"""What a first `up` leaves in the state folder that is killed before the cluster's record is written."""


def _silent(_: str) -> None:
    """Say nothing."""


class Cluster:
    """One embedded cluster. Its methods may be called from several processes: a lock orders them."""

    def __init__(
        self,
        name: str | None = None,
        level: Level | str = Level.NODE,
        state_dir: Path | None = None,
        *,
        controllers: bool = False,
        audit_log: Path | None = None,
        csi_flags: Sequence[str] = (),
        settings: Settings | None = None,
    ) -> None:
        """Touch nothing yet.

        `controllers` adds the controller manager to the level control-plane. `audit_log` makes the API
        server write one JSON line per request there. `csi_flags` are test switches of the volume driver.
        Without `settings` those of the project count in which the process works; without a name, that which the folder
        was made with, else their prefix.
        """
        self.settings = find() if settings is None else settings
        self.level = Level(level)
        given = self.settings.prefix if name is None else name
        self.state_dir = (state_dir or self.settings.state_home / given).expanduser().absolute()
        recorded = None
        if name is None and state_dir is not None:  # named by its folder alone, it is the cluster of that folder
            with suppress(ClusterError):
                recorded = (self._read_record() or {}).get("name")
        self.name = check_name(recorded or given)
        self._controllers = controllers
        self._audit_log = audit_log.expanduser().absolute() if audit_log else None
        self._csi_flags = tuple(csi_flags)
        self._slots = SlotTable(self.settings.state_home)
        self._table = ProcessTable(self.state_dir / "run" / "processes", self.state_dir / "log")

    # ---- what callers use --------------------------------------------------------------------------------

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; it is there once the cluster was up."""
        return self.state_dir / "kubeconfig"

    def up(self, report: Report = _silent) -> None:
        """Start what does not run and return when all of it is ready; a second call changes nothing."""
        needs.check(self.level)
        if self.level is Level.NODE:
            check_state_dir(self.state_dir)
        programs = build.ensure(self.settings, report)
        with self._exclusively():
            config = self._configure(programs)
            if config.is_node:  # before there are keys: a cluster that has some is bound to its slot
                network.ensure(config)
                kernel.create_cgroup(config.cgroup)
            keys_are_new = self._write_files(config)
            self._start(config, restart=keys_are_new, report=report)

    def down(self, *, purge: bool = False, report: Report = _silent) -> None:
        """End all that `up` started; images and objects stay for the next `up` unless `purge`."""
        if not self.state_dir.exists():
            return
        with self._exclusively():
            config = self._recorded()
            if config is not None:
                self._stop(config, report)
        if purge:
            self._purge(config)

    def status(self) -> Status:
        """What of the cluster is there now."""
        config = self._recorded()
        if config is None:
            return Status(self.name, None, self.state_dir, None, ready=False, processes={})
        running = self._table.running()
        ids = {p.name: running[p.name].pid if p.name in running else None for p in processes(config)}
        ready = None not in ids.values() and self._ready(config)
        return Status(self.name, config.level, self.state_dir, config.api_url, ready, ids)

    def kubectl(self, *arguments: str, stdin: str | None = None, seconds: float = 120) -> str:
        """The output of kubectl with the administrator's rights; ClusterError when it fails."""
        program = str(self.config.devcluster)
        flag = f"--kubeconfig={self.kubeconfig}"
        return run([program, "kubectl", flag, *arguments], stdin=stdin, seconds=seconds)

    def runtime(self) -> Runtime:
        """The node's container runtime; ClusterError when no node is up."""
        config = self.config
        if not config.is_node or "containerd" not in self._table.running():
            raise ClusterError(f"the node of cluster {self.name} is not up; `up --level node` starts it")
        return Runtime(config)

    def log(self, process: str) -> Path:
        """The log file of one process."""
        return self._table.log(process)

    @property
    def config(self) -> ClusterConfig:
        """The configuration that the cluster was last started with."""
        config = self._recorded()
        if config is None:
            raise ClusterError(f"there is no cluster {self.name} in {self.state_dir}; `up` makes it")
        return config

    @property
    def project(self) -> Path | None:
        """The top folder of the project whose `up` was the last one; None when that is not recorded."""
        record = self._read_record() or {}
        return Path(record["project"]) if "project" in record else None

    # ---- configuration -----------------------------------------------------------------------------------

    @contextmanager
    def _exclusively(self) -> Iterator[None]:
        with locked(self.state_dir / "lock"):
            yield

    def _configure(self, programs: Path) -> ClusterConfig:
        """The configuration for this `up`, written down for later commands."""
        before = self._recorded()
        if before is not None and before.level is not self.level:
            raise ClusterError(
                f"cluster {self.name} is a {before.level} cluster; take it away with `down --purge` "
                f"first, or start a {self.level} cluster under another --name"
            )
        bound = before.slot if before is not None and self._has_keys_or_data() else None
        slot = self._slots.take(self.state_dir, bound, partial(self._holder, bound=bound is not None))
        config = ClusterConfig(
            self.name,
            self.level,
            slot,
            self.state_dir,
            self._owner,
            programs,
            self.settings.prefix,
            self._controllers,
            self._audit_log,
            self._csi_flags,
        )
        record = {
            "name": config.name,
            "project": str(self.settings.project or Path.cwd()),
            "prefix": config.prefix,
            "level": config.level,
            "slot": config.slot,
            "programs": str(config.programs),
            "controllers": config.controllers,
            "audit_log": str(config.audit_log) if config.audit_log else None,
            "csi_flags": config.csi_flags,
        }
        write_if_changed(self._record, json.dumps(record, indent=2))
        return config

    @property
    def _record(self) -> Path:
        return self.state_dir / "cluster.json"

    def _read_record(self) -> dict[str, Any] | None:
        try:
            record: dict[str, Any] = json.loads(self._record.read_text())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise self._unreadable(error) from error
        return record

    def _recorded(self) -> ClusterConfig | None:
        record = self._read_record()
        if record is None:
            return None
        try:
            return ClusterConfig(
                record["name"],
                Level(record["level"]),
                record["slot"],
                self.state_dir,
                self._owner,
                Path(record["programs"]),
                record.get("prefix", self.settings.prefix),
                record["controllers"],
                Path(record["audit_log"]) if record["audit_log"] else None,
                tuple(record["csi_flags"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ClusterError:
        return ClusterError(
            f"{self._record} cannot be read ({error!r}); delete it: the next `up` writes it again, "
            "with the level and options that it is given"
        )

    @property
    def _owner(self) -> str:
        return str(self.state_dir.resolve())

    def _has_keys_or_data(self) -> bool:
        return self.kubeconfig.exists() or (self.state_dir / "etcd").exists()

    def _holder(self, slot: int, *, bound: bool) -> str | None:
        at = Addresses(slot)
        if self.level is Level.NODE:
            return claims.network_holder(at, self._owner, claims.links(), claims.routes(), bound=bound)
        before = self._recorded()
        if before is not None and before.slot == slot and self._table.running():
            return None  # it is this cluster that listens there
        return claims.ports_holder(at, claims.busy_ports(at), command_lines().values())

    def _write_files(self, config: ClusterConfig) -> bool:
        """Write keys and configuration; True when the keys are new."""
        for folder in ("run", "log", "conf/cni", "pki", "volplugins"):
            (self.state_dir / folder).mkdir(parents=True, exist_ok=True)
        os.chmod(config.pki, 0o700)
        new = not self.kubeconfig.exists()
        if new:
            pems = pki.issue(config)
            for name, pem in pems.items():
                write_private(config.pki / name, pem)
            write_private(self.kubeconfig, admin_kubeconfig(config, pems).encode())
        for name, text in config_files(config, needs.cni_folder()).items():
            write_if_changed(self.state_dir / name, text)
        return new

    # ---- starting ----------------------------------------------------------------------------------------

    def _start(self, config: ClusterConfig, *, restart: bool, report: Report) -> None:
        plan = processes(config)
        running = self._table.running()
        missing = to_start(plan, {} if restart else {name: found.argv for name, found in running.items()})
        staying = {p.name for p in plan if p not in missing}
        self._table.stop_all([found for name, found in running.items() if name not in staying], grace=2)
        if not missing and self._ready(config):
            report(f"cluster {self.name} is up at {config.api_url}")
            return
        report(f"starting cluster {self.name} ({config.level})")
        began = datetime.now(UTC)
        api = ApiReader(config)
        self._start_phase(missing, Phase.FOUNDATION)
        self._await("the API server is ready", api.ready, 90)
        if config.is_node:
            runtime = Runtime(config)
            self._await("containerd answers", runtime.ready, 30)
            runtime.load_pause_image()
        self._start_phase(missing, Phase.API)
        if config.is_node:
            self._apply_objects(config, api)
            self._start_phase(missing, Phase.STORAGE)
            heard_after = began if any(p.name == "kubelet" for p in missing) else None
            self._await("the node is ready", lambda: _node_ready(api, heard_after), 90)
        if config.runs_controllers:
            account = "/api/v1/namespaces/default/serviceaccounts/default"
            self._await("the controllers work", lambda: api.json(account), 60)
        self._await(f"cluster {self.name} is ready", lambda: self._ready(config), 60)
        report(f"cluster {self.name} is up at {config.api_url}")

    def _start_phase(self, missing: Sequence[Process], phase: Phase) -> None:
        for process in missing:
            if process.phase is phase:
                self._table.start(process.name, process.argv, self.state_dir)

    def _await(self, what: str, probe: Callable[[], object], seconds: float) -> None:
        started = set(self._table.running())

        def probe_or_dead() -> object:
            for name in started - set(self._table.running()):
                raise ClusterError(
                    f"{name} ended before {what}. The end of {self._table.log(name)}:\n{self._table.tail(name, 8)}"
                )
            return probe()

        wait_for(what, probe_or_dead, seconds, f"see the logs in {self.state_dir / 'log'}")

    def _apply_objects(self, config: ClusterConfig, api: ApiReader) -> None:
        definitions = [f"--filename={config.programs / 'crds' / f'{kind}.yaml'}" for kind in SNAPSHOT_CRDS]
        apply = ("apply", "--server-side", "--force-conflicts", "--filename=-")
        self.kubectl("apply", "--server-side", "--force-conflicts", *definitions)
        self.kubectl(*apply, stdin=_as_list(base_objects(config)))
        for kind in SNAPSHOT_CRDS:
            path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{kind}.snapshot.storage.k8s.io"
            self._await(f"the type {kind} is known", partial(api.condition, path, "Established"), 30)
        self.kubectl(*apply, stdin=_as_list(snapshot_objects(config)))

    def _ready(self, config: ClusterConfig) -> bool:
        api = ApiReader(config)
        if not api.ready():
            return False
        if not config.is_node:
            return True
        drivers = (api.json(f"/apis/storage.k8s.io/v1/csinodes/{NODE_NAME}") or {}).get("spec", {}).get("drivers")
        has_driver = any(d["name"] == config.csi_driver for d in drivers or [])
        return has_driver and _node_ready(api, None) and _answers(config.api_host, 53)

    # ---- ending ------------------------------------------------------------------------------------------

    def _stop(self, config: ClusterConfig, report: Report) -> None:
        running = self._table.running()
        if running:
            report(f"stopping cluster {self.name}")
        plan = [p for p in processes(config) if p.name in running]
        late = {"containerd", "kube-apiserver", "etcd"}
        # kubelet ends first of all: it would start again every pod that is taken from it
        self._table.stop_all([running[p.name] for p in plan if p.name not in late], grace=5)
        if config.is_node:
            runtime = Runtime(config)
            if "containerd" in running:
                runtime.stop_pods()
            kernel.kill_cgroup(config.cgroup)
            runtime.end_shims()
            runtime.forget_pod_network()
        for name in ("containerd", "kube-apiserver", "etcd"):
            if name in running:
                # the apiserver waits for open watches longer than anyone wants to
                self._table.stop(running[name], grace=2 if name == "kube-apiserver" else 5)
        left = kernel.unmount_below(self.state_dir) if config.is_node else []
        if config.is_node:
            network.remove(config)
            shutil.rmtree(self.state_dir / "cni", ignore_errors=True)
        shutil.rmtree(self.state_dir / "run", ignore_errors=True)
        if left:
            raise ClusterError(f"these mounts could not be taken away: {', '.join(left)}")

    def _purge(self, config: ClusterConfig | None) -> None:
        if config is None and any(p.name not in _BEFORE_THE_RECORD for p in self.state_dir.iterdir()):
            raise ClusterError(f"{self.state_dir} holds something else than a cluster; it is left alone")
        self._slots.release(self.state_dir)
        shutil.rmtree(self.state_dir)


def _node_ready(api: ApiReader, heard_after: datetime | None) -> bool:
    """Whether kubelet says Ready, in a report after that instant: etcd remembers older ones."""
    node = api.json(f"/api/v1/nodes/{NODE_NAME}")
    for condition in (node or {}).get("status", {}).get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] == "True":
            heard = datetime.fromisoformat(condition["lastHeartbeatTime"])
            return heard_after is None or heard >= heard_after.replace(microsecond=0)
    return False


def _as_list(objects: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return False
    return True
