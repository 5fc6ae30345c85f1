from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from bellwether.render.kubernetes import RenderContext, image_of, release_of, render
from bellwether.render.kubernetes.workloads import of_kind, packed, unpacked
from bellwether.spec.models import LIVE_FIELDS, TradingSystem
from bellwether.topology import SERVICES

from .conftest import AT_IG, IMAGE, build, objects


def pods(system: TradingSystem, context: RenderContext) -> dict[str, Any]:
    workloads = (each for each in render(system, context) if each["kind"] in {"StatefulSet", "Deployment"})
    return {each["metadata"]["name"]: each["spec"]["template"] for each in workloads}


def containers(system: TradingSystem, context: RenderContext) -> Iterator[dict[str, Any]]:
    for template in pods(system, context).values():
        yield from template["spec"]["containers"]
        yield from template["spec"].get("initContainers", [])


def environment(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container["env"]}


def mounted_secret_entries(template: dict[str, Any]) -> set[str]:
    return {
        item["key"]
        for volume in template["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", [])
        for item in source["secret"]["items"]
    }


def test_compact_is_one_pod_with_nats_up_before_and_down_after_the_services(context: RenderContext) -> None:
    (template,) = pods(build(), context).values()
    (nats,) = template["spec"]["initContainers"]
    (services,) = template["spec"]["containers"]
    assert (nats["name"], nats["restartPolicy"]) == ("nats", "Always")
    assert nats["lifecycle"]["postStart"]["exec"]["command"][:4] == ["python", "-m", "bellwether", "bootstrap"]
    assert services["command"][-2:] == ["--services", "all"]
    assert environment(services)["BELLWETHER_NATS_URL"] == "nats://127.0.0.1:4222"


def test_standard_is_a_pod_per_service_and_one_for_nats(context: RenderContext) -> None:
    found = pods(build(profile="standard"), context)
    assert set(found) == {"demo-nats", *(f"demo-{name}" for name in SERVICES)}
    trader = found["demo-paper-trading"]["spec"]["containers"][0]
    assert trader["command"][-2:] == ["--services", "paper-trading"]
    assert environment(trader)["BELLWETHER_NATS_URL"] == "nats://demo-nats:4222"


def test_what_has_a_volume_is_a_stateful_set_and_everything_else_a_deployment(context: RenderContext) -> None:
    found = objects(build(profile="standard"), context)
    claims = {name for kind, name in found if kind == "PersistentVolumeClaim"}
    stateful = {name for kind, name in found if kind == "StatefulSet"}
    assert claims == {f"data-{name}-0" for name in stateful}
    deployments = {name for kind, name in found if kind == "Deployment"}
    assert "demo-gateway" in deployments
    assert deployments == {f"demo-{row.name}" for row in SERVICES.values() if not row.needs_volume}
    gateway = found["Deployment", "demo-gateway"]["spec"]
    assert gateway["strategy"] == {"type": "RollingUpdate"}
    assert gateway["selector"]["matchLabels"].items() <= gateway["template"]["metadata"]["labels"].items()
    volumes = {volume["name"]: volume for volume in gateway["template"]["spec"]["volumes"]}
    assert volumes["data"] == {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}


@pytest.mark.parametrize("kind", ["StatefulSet", "Deployment"])
def test_a_workload_of_the_other_kind_has_the_same_pods_under_the_same_name(context: RenderContext, kind: str) -> None:
    found = objects(build(profile="standard"), context)
    gateway, nats = found["Deployment", "demo-gateway"], found["StatefulSet", "demo-nats"]
    assert of_kind("Deployment", gateway) == gateway
    assert of_kind("StatefulSet", nats) == nats
    other = of_kind(kind, nats)
    assert (other["kind"], other["metadata"]) == (kind, nats["metadata"])
    assert of_kind("StatefulSet", of_kind("Deployment", nats)) == nats
    assert other["spec"]["template"] == nats["spec"]["template"]


def test_each_pod_sees_its_own_keys_only(context: RenderContext) -> None:
    found = pods(build(profile="standard"), context)
    assert mounted_secret_entries(found["demo-nats"]) == {"bootstrap.nk"}
    assert mounted_secret_entries(found["demo-prediction"]) == {"prediction.nk"}
    assert mounted_secret_entries(found["demo-gateway"]) == {"gateway.nk", "token"}


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_pods_are_restricted(context: RenderContext, profile: str) -> None:
    system = build(profile=profile)
    for template in pods(system, context).values():
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["terminationGracePeriodSeconds"] == 30
    for container in containers(system, context):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
        assert container["resources"]["limits"] == {"memory": container["resources"]["requests"]["memory"]}
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container)
        assert environment(container)["OMP_NUM_THREADS"] == "1"


def test_the_standard_profile_asks_for_less_than_1200_millicpu(context: RenderContext) -> None:
    asked = [each["resources"]["requests"]["cpu"] for each in containers(build(profile="standard"), context)]
    assert sum(int(each.removesuffix("m")) for each in asked) < 1200


def test_an_override_replaces_what_a_service_gets(context: RenderContext) -> None:
    override = {"prediction": {"cpu": "1000m", "memory": "2048Mi"}, "scheduler": {"enabled": False}}
    found = objects(build(profile="standard", services=override), context)
    container = found["StatefulSet", "demo-prediction"]["spec"]["template"]["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}
    assert found["StatefulSet", "demo-scheduler"]["spec"]["replicas"] == 0
    assert found["StatefulSet", "demo-prediction"]["spec"]["replicas"] == 1


EDITS: dict[str, Any] = {
    "quality": {"minScore": 80},
    "sentiment": {"veto": {"score": "0.3"}},
    "symbols": ["IBM"],
    "market": {"calendar": "XNYS", "overrides": [{"date": "2009-02-02", "closed": True}]},
    "predictions": {"margin": "0.02"},
    "training": {"gate": {"mode": "enforce"}},
    "trading": {"mode": "simulated", "halted": True, "risk": {"maxPositionValue": "1"}},
    "tasks": [],
    "gateway": {"openReads": True},
    "retention": {"outbox": "3d"},
    "notifications": [{"name": "ops", "kind": "webhook", "url": "https://hook.example"}],
}


@pytest.mark.parametrize("profile", ["compact", "standard"])
@pytest.mark.parametrize("field", LIVE_FIELDS)
def test_a_live_field_changes_no_pod(context: RenderContext, profile: str, field: str) -> None:
    before = build(profile=profile, market={"calendar": "XNYS"})
    after = build(profile=profile, **{"market": {"calendar": "XNYS"}, field: EDITS[field]})
    edited = after.model_copy(update={"metadata": after.metadata.model_copy(update={"generation": 4})})
    assert before.spec != edited.spec
    assert pods(edited, context) == pods(before, context)


@pytest.mark.parametrize(
    "edit",
    [
        {"version": "v2"},
        {"services": {"ml-model": {"memory": "1024Mi"}}},
        {"podTemplate": {"priorityClassName": "high"}},
        {"podTemplate": {"nodeSelector": {"disk": "fast"}}},
        {"podTemplate": {"tolerations": [{"key": "spot", "operator": "Exists"}]}},
        {"podTemplate": {"imagePullSecrets": ["registry"]}},
        {"podTemplate": {"annotations": {"team": "quants"}}},
    ],
    ids=str,
)
def test_a_deployment_field_changes_pods(context: RenderContext, edit: dict[str, Any]) -> None:
    assert pods(build(**edit), context) != pods(build(), context)


def test_labels_of_the_declaration_never_replace_ours(context: RenderContext) -> None:
    system = build(podTemplate={"labels": {"team": "quants", "app.kubernetes.io/instance": "evil"}})
    (template,) = pods(system, context).values()
    assert template["metadata"]["labels"]["team"] == "quants"
    assert template["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"


def test_the_brokers_secret_is_mounted_only_where_orders_are_sent(context: RenderContext) -> None:
    own = {"provider": "csv", "csv": {"directory": "/srv/bars", "volumeClaim": "bars"}}
    found = pods(build(profile="standard", clock={"mode": "live"}, data=own, **AT_IG), context)
    volume = {"name": "broker", "secret": {"secretName": "ig-demo-account", "defaultMode": 0o440}}
    holders = [name for name, pod in found.items() if volume in pod["spec"]["volumes"]]
    assert holders == ["demo-paper-trading"]
    (container,) = found["demo-paper-trading"]["spec"]["containers"]
    assert {"mountPath": "/etc/bellwether/broker", "name": "broker", "readOnly": True} in container["volumeMounts"]
    assert environment(container)["BELLWETHER_IG_CREDENTIALS"] == "/etc/bellwether/broker"
    simulated = pods(build(profile="standard", clock={"mode": "live"}, data=own), context)
    assert "ig-demo-account" not in str(simulated)


def test_csv_files_are_mounted_read_only_where_they_are_read(context: RenderContext) -> None:
    data = {"provider": "csv", "csv": {"directory": "asx", "volumeClaim": "bars"}}
    found = pods(build(profile="standard", data=data), context)
    reader = found["demo-market-data"]["spec"]
    assert {"name": "csv", "persistentVolumeClaim": {"claimName": "bars", "readOnly": True}} in reader["volumes"]
    assert {"mountPath": "/csv", "name": "csv", "readOnly": True} in reader["containers"][0]["volumeMounts"]
    assert environment(reader["containers"][0])["BELLWETHER_CSV_ROOT"] == "/csv"
    assert all(volume["name"] != "csv" for volume in found["demo-prediction"]["spec"]["volumes"])


def test_a_file_of_news_is_mounted_read_only_where_it_is_read(context: RenderContext) -> None:
    news = {"provider": "csv", "csv": {"file": "news.csv", "volumeClaim": "headlines"}}
    found = pods(build(profile="standard", sentiment=news), context)
    reader = found["demo-sentiment"]["spec"]
    assert {"name": "news", "persistentVolumeClaim": {"claimName": "headlines", "readOnly": True}} in reader["volumes"]
    assert {"mountPath": "/news", "name": "news", "readOnly": True} in reader["containers"][0]["volumeMounts"]
    assert environment(reader["containers"][0])["BELLWETHER_NEWS_ROOT"] == "/news"
    assert all(volume["name"] != "news" for volume in found["demo-market-data"]["spec"]["volumes"])


def test_secrets_of_notifications_are_mounted_in_the_pod_that_sends_and_in_no_other(context: RenderContext) -> None:
    hook = {"name": "hook", "kind": "webhook", "secretRef": {"name": "on-call"}}
    found = pods(build(profile="standard", notifications=[hook]), context)
    sender = found["demo-monitoring"]["spec"]
    (source,) = next(one for one in sender["volumes"] if one["name"] == "notify")["projected"]["sources"]
    assert (source["secret"]["name"], source["secret"]["optional"]) == ("on-call", True)
    assert {"key": "key", "path": "on-call/key"} in source["secret"]["items"]
    assert environment(sender["containers"][0])["BELLWETHER_NOTIFY_SECRETS"] == "/etc/bellwether/notify"
    others = [pod["spec"]["volumes"] for name, pod in found.items() if name != "demo-monitoring"]
    assert all(volume["name"] != "notify" for volumes in others for volume in volumes)


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_every_mount_has_its_volume_and_every_claim_is_rendered(context: RenderContext, profile: str) -> None:
    found = objects(build(profile=profile), context)
    for template in pods(build(profile=profile), context).values():
        spec = template["spec"]
        volumes = {volume["name"]: volume for volume in spec["volumes"]}
        mounts = [m["name"] for c in spec["containers"] + spec.get("initContainers", []) for m in c["volumeMounts"]]
        assert set(mounts) == set(volumes)
        data = volumes["data"]
        claim = data.get("persistentVolumeClaim", {}).get("claimName")
        assert ("PersistentVolumeClaim", claim) in found or data == {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}
        assert ("ConfigMap", volumes["declaration"]["configMap"]["name"]) in found


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_rendering_is_repeatable_and_everything_belongs_to_the_system(context: RenderContext, profile: str) -> None:
    system = build(profile=profile, deletionPolicy="Delete")
    found = render(system, context)
    assert found == render(system, context)
    for each in found:
        assert each["metadata"]["ownerReferences"][0]["uid"] == system.metadata.uid
        assert each["metadata"]["labels"]["bellwether.dev/system-uid"] == system.metadata.uid
        assert each["metadata"]["namespace"] == "trading"
    names = [(each["kind"], each["metadata"]["name"]) for each in found]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("default", "version", "image", "release"),
    [
        (IMAGE, None, IMAGE, "1.2.3"),
        (IMAGE, "v2", "registry.example/bellwether/services:v2", "v2"),
        ("host:5000/services", "v2", "host:5000/services:v2", "v2"),
        ("host:5000/services@sha256:aa", None, "host:5000/services@sha256:aa", "sha256:aa"),
        ("services:1@sha256:aa", "v2", "services:v2", "v2"),
    ],
)
def test_a_declared_version_replaces_the_tag(default: str, version: str | None, image: str, release: str) -> None:
    assert image_of(default, version) == image
    assert release_of(image) == release


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_each_workload_carries_its_own_template(context: RenderContext, profile: str) -> None:
    for each in render(build(profile=profile), context):
        if each["kind"] in {"StatefulSet", "Deployment"}:
            annotation = each["metadata"]["annotations"]["bellwether.dev/template"]
            assert unpacked(annotation) == each["spec"]["template"]


def test_a_packed_template_does_not_depend_on_the_order_of_keys_nor_on_the_time() -> None:
    before = packed({"metadata": {}, "spec": {"a": 1, "b": "\u00e9"}})
    assert packed({"spec": {"b": "\u00e9", "a": 1}, "metadata": {}}) == before
    assert base64.b64decode(before)[4:8] == bytes(4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "not base64",
        base64.b64encode(b"not gzip").decode(),
        base64.b64encode(gzip.compress(b"not JSON")).decode(),
        base64.b64encode(gzip.compress(b'{"spec": {}}')[:-12]).decode(),
        base64.b64encode(gzip.compress(b'{"spec": "' + b" " * 2**23 + b'"}')).decode(),
        base64.b64encode(gzip.compress(b"[" * 100_000)).decode(),
        packed({"spec": []}),
        packed({"spec": {"containers": {"name": "a"}}}),
        packed({"spec": {"volumes": [{"name": 1}]}}),
    ],
    ids=["empty", "base64", "gzip", "JSON", "cut off", "a bomb", "deep", "no spec", "no list", "no name"],
)
def test_what_was_not_packed_here_is_not_unpacked(text: str) -> None:
    with pytest.raises(ValueError, match=r"bellwether\.dev/template is not a packed pod template"):
        unpacked(text)


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_proxy_and_certificates_reach_the_pod_that_asks_yahoo_and_no_other(
    context: RenderContext, profile: str
) -> None:
    network = {"proxy": "http://proxy.example:3128", "caBundleRef": {"name": "company", "key": "root.pem"}}
    system = build(profile=profile, data={"provider": "yahoo"}, clock={"mode": "live"}, network=network)
    asking = "demo" if profile == "compact" else "demo-market-data"
    found = pods(system, context)
    for name, template in found.items():
        (container,) = template["spec"]["containers"]
        reported = environment(container).keys() & {"BELLWETHER_PROXY", "BELLWETHER_CA_BUNDLE"}
        assert bool(reported) == (name == asking), name
    (container,) = found[asking]["spec"]["containers"]
    assert environment(container)["BELLWETHER_PROXY"] == "http://proxy.example:3128"
    assert environment(container)["BELLWETHER_CA_BUNDLE"] == "/etc/bellwether/ca/ca.crt"
    assert {"mountPath": "/etc/bellwether/ca", "name": "ca", "readOnly": True} in container["volumeMounts"]
    volume = next(each for each in found[asking]["spec"]["volumes"] if each["name"] == "ca")
    assert volume["configMap"] == {"name": "company", "items": [{"key": "root.pem", "path": "ca.crt"}]}
