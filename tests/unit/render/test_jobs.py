"""Jobs for single slots, and the pods of both kinds of Job."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from bellwether.market.declared import slots_of
from bellwether.market.slots import Slot
from bellwether.render.kubernetes import Manifest, RenderContext
from bellwether.render.kubernetes.context import IDENTITIES, period_of
from bellwether.render.kubernetes.cronjobs import cron_jobs
from bellwether.render.kubernetes.jobs import slot_job
from bellwether.render.nats import role_permissions
from bellwether.spec.models import TradingSystem
from bellwether.topology import SERVICES

from .conftest import UID, build

LIVE: dict[str, Any] = {"data": {"provider": "yahoo"}, "clock": {"mode": "live"}}
MONDAY = datetime(2026, 11, 22, 12, tzinfo=UTC)


def slot_of(system: TradingSystem) -> Slot:
    return slots_of(system.spec, MONDAY, MONDAY.replace(day=23))[0]


def both(context: RenderContext, **spec: Any) -> list[Manifest]:
    """Return a slot's Job, and the template of the Jobs that a CronJob makes."""
    system = build(**LIVE, **spec)
    timed = RenderContext(context.image, context.keyring, period=period_of(system.spec, MONDAY))
    template = cron_jobs(system, timed)[-1]["spec"]["jobTemplate"]
    return [slot_job(system, timed, slot_of(system)), template]


def container(job: Manifest) -> dict[str, Any]:
    (found,) = job["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


def test_a_slots_job_bears_the_slots_name_and_belongs_to_the_system(context: RenderContext) -> None:
    system = build(**LIVE)
    job = slot_job(system, context, slot_of(system))
    assert job["metadata"]["name"] == "demo-morning-analysis-20261123"
    assert job["metadata"]["namespace"] == "trading"
    assert job["metadata"]["ownerReferences"][0]["uid"] == UID
    assert job["metadata"]["labels"]["bellwether.dev/slot"] == "morning_analysis-20261123"
    assert job == slot_job(system, context, slot_of(system))


def test_the_longest_names_fit(context: RenderContext) -> None:
    system = build(**LIVE, tasks=[{"name": "t" * 24, "anchor": "open"}])
    system = system.model_copy(update={"metadata": system.metadata.model_copy(update={"name": "s" * 20})})
    assert len(slot_job(system, context, slot_of(system))["metadata"]["name"]) <= 63


def test_the_client_is_given_its_slot_by_name_or_its_task_with_the_jobs_name(context: RenderContext) -> None:
    named, timed = ({entry["name"]: entry for entry in container(job)["env"]} for job in both(context))
    assert named["BELLWETHER_SLOT"]["value"] == "morning_analysis-20261123"
    assert not {"BELLWETHER_TASK", "BELLWETHER_JOB"} & set(named)
    assert timed["BELLWETHER_TASK"]["value"] == "prediction_generation"
    source = timed["BELLWETHER_JOB"]["valueFrom"]["fieldRef"]
    assert source["fieldPath"] == "metadata.labels['batch.kubernetes.io/job-name']"
    assert "BELLWETHER_SLOT" not in timed
    for found in (named, timed):
        assert found["BELLWETHER_NATS_URL"]["value"] == "nats://demo-nats:4222"
        assert list(found) == sorted(found)


def test_a_job_tries_as_long_as_its_slot_is_useful_and_the_scheduler_may_take(context: RenderContext) -> None:
    for job in both(context):
        assert container(job)["command"][-3:] == ["execute-slot", "--timeout", str(15 * 60 + 120)]
        # The client gives up before, and says why.
        assert job["spec"]["activeDeadlineSeconds"] == 15 * 60 + 120 + 60
        assert job["spec"]["backoffLimit"] == 4
        assert job["spec"]["ttlSecondsAfterFinished"] == 86_400
        assert job["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"


def test_jobs_and_their_pods_are_found_by_whoever_watches_the_systems_objects(context: RenderContext) -> None:
    for job in both(context):
        for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
            assert labels["app.kubernetes.io/managed-by"] == "bellwether"
            assert labels["app.kubernetes.io/component"] == "job"
            assert labels["app.kubernetes.io/instance"] == "demo"
            assert labels["bellwether.dev/system-uid"] == UID
            assert labels["bellwether.dev/task"] in {"morning_analysis", "prediction_generation"}


def test_a_jobs_pod_is_restricted_small_and_sees_its_own_key_only(context: RenderContext) -> None:
    for job in both(context):
        spec = job["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert container(job)["securityContext"]["readOnlyRootFilesystem"] is True
        assert container(job)["resources"] == {
            "limits": {"memory": "64Mi"},
            "requests": {"cpu": "10m", "memory": "64Mi"},
        }
        (volume,) = spec["volumes"]
        (source,) = volume["projected"]["sources"]
        assert source["secret"] == {"name": "demo-keys", "items": [{"key": "job.nk", "path": "job.nk"}]}
        assert [mount["name"] for mount in container(job)["volumeMounts"]] == [volume["name"]]


@pytest.mark.parametrize(
    ("extra", "field"),
    [
        ({"nodeSelector": {"disk": "fast"}}, "nodeSelector"),
        ({"tolerations": [{"key": "spot", "operator": "Exists"}]}, "tolerations"),
        ({"priorityClassName": "high"}, "priorityClassName"),
        ({"imagePullSecrets": ["registry"]}, "imagePullSecrets"),
    ],
    ids=["selector", "tolerations", "priority", "pull secrets"],
)
def test_a_jobs_pod_gets_what_every_pod_gets(context: RenderContext, extra: dict[str, Any], field: str) -> None:
    for job in both(context, podTemplate={**extra, "labels": {"team": "quants", "bellwether.dev/task": "evil"}}):
        template = job["spec"]["template"]
        assert template["spec"][field]
        assert template["metadata"]["labels"]["team"] == "quants"
        assert template["metadata"]["labels"]["bellwether.dev/task"] != "evil"


def test_the_declared_version_is_the_clients_too(context: RenderContext) -> None:
    images = {container(job)["image"] for job in both(context, version="v2")}
    assert images == {"registry.example/bellwether/services:v2"}


def test_everyone_with_a_key_has_permissions_and_the_other_way_round() -> None:
    assert set(IDENTITIES) == {*SERVICES, *role_permissions()}
