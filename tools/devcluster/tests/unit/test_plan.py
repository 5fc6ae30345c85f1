from pathlib import Path

from devcluster.config import Level
from devcluster.files import PROCESS_USERS, config_files
from devcluster.plan import Phase, processes, to_start
from devcluster.testing import config


def test_a_control_plane_is_two_processes_on_loopback_ports_of_its_slot() -> None:
    plan = processes(config(Level.CONTROL_PLANE))
    assert [p.name for p in plan] == ["etcd", "kube-apiserver"]
    assert "--listen-client-urls=http://127.0.0.1:20030" in plan[0].argv
    assert {"--bind-address=127.0.0.1", "--secure-port=20032"} < set(plan[1].argv)


def test_controllers_come_to_a_control_plane_only_when_asked_for() -> None:
    plan = processes(config(Level.CONTROL_PLANE, controllers=True))
    assert [p.name for p in plan] == ["etcd", "kube-apiserver", "kube-controller-manager"]
    assert "--allocate-node-cidrs" not in plan[2].argv


def test_every_process_of_a_node_runs_in_its_network_namespace() -> None:
    plan = processes(config())
    assert all(p.argv[:2] == ("nsenter", "--net=/run/netns/devcluster-cfe54c80") for p in plan)
    assert len({p.name for p in plan}) == len(plan) == 13


def test_phases_only_rise_so_that_a_plan_read_downwards_is_the_order_of_start() -> None:
    phases = [p.phase for p in processes(config())]
    assert phases == sorted(phases)
    assert set(phases) == set(Phase)


def test_every_file_that_a_process_is_given_is_written() -> None:
    for level in Level:
        one = config(level, controllers=True, audit_log=Path("/tmp/audit.log"))
        written = {str(one.state_dir / name) for name in config_files(one)}
        said = {word.partition("=")[2] if word.startswith("--") else word for p in processes(one) for word in p.argv}
        assert {path for path in said if path.startswith("/state/some/conf/")} <= written


def test_an_audit_log_is_a_flag_of_the_api_server_and_a_policy() -> None:
    one = config(Level.CONTROL_PLANE, audit_log=Path("/logs/audit.log"))
    assert "--audit-log-path=/logs/audit.log" in processes(one)[1].argv
    assert '"level": "Metadata"' in config_files(one)["conf/audit.yaml"]
    assert "conf/audit.yaml" not in config_files(config(Level.CONTROL_PLANE))


def test_a_switch_of_the_volume_driver_changes_that_process_only() -> None:
    plain = {p.name: p for p in processes(config())}
    slow = {p.name: p for p in processes(config(csi_flags=("--ready-delay=5s",)))}
    assert [name for name in plain if plain[name] != slow[name]] == ["csidir"]
    assert slow["csidir"].argv[-1] == "--ready-delay=5s"


def test_each_process_user_has_a_kubeconfig() -> None:
    files = config_files(config())
    assert {f"conf/{user}.kubeconfig" for user in PROCESS_USERS} <= set(files)


def test_only_what_does_not_run_as_planned_is_started() -> None:
    plan = processes(config())
    running = {p.name: p.argv for p in plan}
    assert to_start(plan, running) == []
    del running["kube-proxy"]
    running["coredns"] = ("another", "command")
    assert [p.name for p in to_start(plan, running)] == ["kube-proxy", "coredns"]
    assert to_start(plan, {}) == plan


def test_what_ends_without_the_volume_driver_is_started_again_with_it() -> None:
    plan = processes(config())
    running = {p.name: p.argv for p in plan if p.name != "csidir"}
    names = [p.name for p in to_start(plan, running)]
    assert names == ["csidir", "csi-provisioner", "csi-resizer", "csi-snapshotter"]
