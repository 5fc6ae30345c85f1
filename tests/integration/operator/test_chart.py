"""The chart, rendered and installed by a real helm, and the operator with the rights that it grants."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from bellwether_operator.apply.client import ApiError, Client
from bellwether_operator.observe.kinds import BY_NAME
from bellwether_operator.settings import Settings

from .conftest import CHART, Kube, eventually, helm, running, system
from .sessions import live
from .test_reconcile import all_there, settled

pytestmark = [pytest.mark.integration, pytest.mark.cluster]


def rendered(kube: Kube, *flags: str) -> list[dict[str, Any]]:
    text = helm(kube, "template", "bw", str(CHART), "-n", kube.namespace, *flags).stdout
    return [each for each in yaml.safe_load_all(text) if each]


def test_no_rule_has_a_wildcard_and_secrets_cannot_be_read(kube: Kube) -> None:
    roles = [each for each in rendered(kube) if each["kind"] in {"ClusterRole", "Role"}]
    rules = [rule for role in roles for rule in role["rules"]]
    assert all("*" not in rule[part] for rule in rules for part in ("apiGroups", "resources", "verbs"))
    assert [rule["verbs"] for rule in rules if "secrets" in rule["resources"]] == [["create", "patch"]]
    assert [rule["verbs"] for rule in rules if "jobs" in rule["resources"]] == [["create", "delete", "list", "watch"]]
    assert [rule["verbs"] for rule in rules if "pods" in rule["resources"]] == [["list", "watch"]]
    snapshots = [rule for rule in rules if rule["apiGroups"] == ["snapshot.storage.k8s.io"]]
    assert [(rule["resources"], rule["verbs"]) for rule in snapshots] == [
        (["volumesnapshots"], ["create", "delete", "get"])
    ]
    backups = [rule["verbs"] for rule in rules if rule["resources"] == ["tradingbackups"]]
    assert backups == [["create", "delete", "get", "list", "watch"]]
    replays = {rule["resources"][0]: rule["verbs"] for rule in rules if "tradingreplays" in rule["resources"][0]}
    assert replays == {"tradingreplays": ["list", "watch"], "tradingreplays/status": ["patch"]}
    for rule in rules:
        assert rule["resources"] == sorted(rule["resources"])
        assert rule["verbs"] == sorted(rule["verbs"])


def test_watched_namespaces_get_roles_and_nothing_else_does(kube: Kube) -> None:
    found = rendered(kube, "--set", "watchNamespaces={a,b}")
    operators = [each for each in found if each["kind"] == "Role"]
    assert [each["metadata"]["namespace"] for each in operators] == ["a", "b"]
    assert not [each for each in found if each["kind"] == "ClusterRoleBinding"]


def test_with_watched_namespaces_and_the_definition_there_nothing_cluster_wide_is_installed(kube: Kube) -> None:
    def cluster_wide(*flags: str) -> list[str]:
        found = rendered(kube, *flags)
        return sorted(each["metadata"]["name"] for each in found if "namespace" not in each["metadata"])

    assert cluster_wide("--set", "watchNamespaces={a,b}", "--set", "crds.create=false") == []
    operator = f"{kube.namespace}-bw-bellwether-operator"
    everywhere = [f"{operator}{end}" for end in ("", "", "-edit", "-view")]
    assert cluster_wide("--set", "crds.create=false") == everywhere


def test_two_releases_of_one_name_in_two_namespaces_share_no_object(kube: Kube) -> None:
    def objects(namespace: str, *flags: str) -> set[tuple[str, str, str]]:
        text = helm(kube, "template", "bw", str(CHART), "-n", namespace, "--set", "crds.create=false", *flags).stdout
        found = [each for each in yaml.safe_load_all(text) if each]
        return {(each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]) for each in found}

    for flags in ((), ("--set", "watchNamespaces={shared}")):
        assert not objects("one", *flags) & objects("two", *flags)


def test_the_services_image_can_be_named_by_its_digest(kube: Kube) -> None:
    digest = "sha256:" + "0" * 64
    flags = ["--set", f"image.services.digest={digest}", "--set", "image.services.repository=example.com/services"]
    (deployment,) = (each for each in rendered(kube, *flags) if each["kind"] == "Deployment")
    environment = {
        each["name"]: each["value"] for each in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    }
    assert environment["SERVICES_IMAGE"] == f"example.com/services@{digest}"


def newer_chart(folder: Path) -> Path:
    """Return a copy of the chart of another version, as the next release has it where nothing else changed."""
    copy = folder / "bellwether"
    shutil.copytree(CHART, copy)
    about = yaml.safe_load((copy / "Chart.yaml").read_text())
    (copy / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": "99.0.0"}))
    return copy


async def test_an_upgrade_of_the_chart_that_changes_no_spec_restarts_nothing(
    kube: Kube, installed: str, tmp_path: Path
) -> None:
    before = await kube.get("deployment", installed)
    assert before is not None
    flags = ["--set", f"watchNamespaces={{{kube.namespace}}}", "--set", "crds.create=false"]
    helm(kube, "upgrade", kube.namespace, str(newer_chart(tmp_path)), "-n", kube.namespace, *flags)
    after = await kube.get("deployment", installed)
    assert after is not None
    assert after["metadata"]["labels"]["helm.sh/chart"] == "bellwether-99.0.0"
    assert after["spec"]["template"] == before["spec"]["template"]
    assert after["metadata"]["generation"] == before["metadata"]["generation"]


def test_the_definition_stays_when_the_chart_goes_and_can_be_left_out(kube: Kube) -> None:
    definitions = [each for each in rendered(kube) if each["kind"] == "CustomResourceDefinition"]
    names = {each["metadata"]["name"] for each in definitions}
    kinds = ("tradingbackups", "tradingreplays", "tradingsystems")
    assert names == {f"{kind}.bellwether.dev" for kind in kinds}
    for definition in definitions:
        assert definition["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        source = yaml.safe_load((CHART.parents[1] / "crds" / f"{definition['metadata']['name']}.yaml").read_text())
        assert definition["spec"] == source["spec"]
    without = rendered(kube, "--set", "crds.create=false")
    assert not [each for each in without if each["kind"] == "CustomResourceDefinition"]


def test_figures_are_collected_and_alerts_installed_where_that_is_asked_for(kube: Kube) -> None:
    flags = ("--set", "podMonitor.enabled=true,prometheusRule.enabled=true", "--set", "prometheusRule.labels.team=ops")
    found = [one for one in rendered(kube, *flags) if one["apiVersion"] == "monitoring.coreos.com/v1"]
    assert sorted(one["kind"] for one in found) == ["PodMonitor", "PodMonitor", "PrometheusRule"]
    rule = next(one for one in found if one["kind"] == "PrometheusRule")
    assert rule["metadata"]["labels"]["team"] == "ops"
    assert rule["spec"] == yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
    assert not [one for one in rendered(kube) if one["apiVersion"] == "monitoring.coreos.com/v1"]


def test_the_operators_pod_is_restricted(kube: Kube) -> None:
    (deployment,) = (each for each in rendered(kube) if each["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    environment = {each["name"]: each["value"] for each in pod["containers"][0]["env"]}
    assert environment["SERVICES_IMAGE"] == "bellwether/services:0.1.0"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("logLevel=loud", "logLevel"),
        ("watchNamespaces={A}", "watchNamespaces"),
        ("unknown=1", "unknown"),
        ("installationSeed.existingSecret=My_Seed", "existingSecret"),
        ("image.operator.repository=Registry.example/Bellwether/operator", "repository"),
        ("image.services.repository=bellwether/services:1", "repository"),
    ],
)
def test_a_wrong_value_is_refused_by_name(kube: Kube, value: str, words: str) -> None:
    answer = helm(kube, "template", "bw", str(CHART), "--set", value, check=False)
    assert answer.returncode != 0
    assert words in answer.stderr


@pytest.mark.parametrize(
    "value",
    [
        "image.operator.repository=Registry.example:5000/bellwether/the_operator",
        "installationSeed.existingSecret=my.seed-1",
    ],
)
def test_a_right_value_is_taken(kube: Kube, value: str) -> None:
    assert helm(kube, "template", "bw", str(CHART), "--set", value).returncode == 0


async def test_the_granted_rights_are_enough_and_do_not_read_secrets(kube: Kube, granted: Settings) -> None:
    await kube.apply(system(kube))
    async with running(granted):
        await eventually("all children", lambda: all_there(kube))
        await settled(kube)
        tasks = [{"name": "evening", "anchor": "close", "offset": "1h"}]
        other = live(kube, profile="standard", tasks=tasks)
        await kube.apply({**other, "metadata": {**other["metadata"], "name": "other"}})

        async def scheduled() -> bool:
            return bool(await kube.names("cronjob"))

        async def pruned() -> bool:
            return not await kube.names("cronjob")

        await eventually("a schedule", scheduled)
        await kube.patch("tsys", "other", {"spec": {"tasks": [], "version": "v2"}})
        await eventually("the schedule gone", pruned)
    client = await Client.connect(str(granted.kubeconfig))
    with pytest.raises(ApiError, match="forbidden"):
        await client.get(BY_NAME["Secret"], kube.namespace, "demo-keys")
    await client.close()


def test_with_a_seed_of_ones_own_every_rendering_is_the_same_and_has_no_secret(kube: Kube) -> None:
    """For whoever renders the chart without looking at the cluster: the chart's own seed is another one each time."""

    def seeds() -> list[str]:
        return [each["data"]["seed"] for each in rendered(kube) if each["kind"] == "Secret"]

    assert seeds() != seeds()
    first, second = (rendered(kube, "--set", "installationSeed.existingSecret=mine") for _ in range(2))
    assert first == second
    assert not [each for each in first if each["kind"] == "Secret"]
    (deployment,) = (each for each in first if each["kind"] == "Deployment")
    volumes = {each["name"]: each for each in deployment["spec"]["template"]["spec"]["volumes"]}
    assert volumes["seed"]["secret"]["secretName"] == "mine"


async def test_the_seed_is_made_once_and_stays(kube: Kube, installed: str) -> None:
    async def seed() -> str:
        found = await kube.get("secret", f"{installed}-seed")
        assert found is not None
        return base64.b64decode(found["data"]["seed"]).decode()

    before = await seed()
    assert len(before) >= 32
    flags = ["--set", f"watchNamespaces={{{kube.namespace}}}", "--set", "crds.create=false"]
    helm(kube, "upgrade", kube.namespace, str(CHART), "-n", kube.namespace, *flags)
    assert await seed() == before
    named = ["--set", f"installationSeed.existingSecret={installed}-seed"]
    helm(kube, "upgrade", kube.namespace, str(CHART), "-n", kube.namespace, *flags, *named)
    assert await seed() == before, "named, it is no longer the chart's, and stays"
    helm(kube, "uninstall", kube.namespace, "-n", kube.namespace)
    assert await seed() == before
    helm(kube, "install", kube.namespace, str(CHART), "-n", kube.namespace, *flags)
    assert await seed() == before
