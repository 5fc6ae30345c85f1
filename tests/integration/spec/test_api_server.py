"""The generated definition on a real API server: what it refuses, what it fills in, what it lets grow."""

import re
from collections.abc import Iterator

import httpx
import pytest

from bellwether.spec.models import TradingSystem
from bellwether.spec.schema import defaulted, resource_schema
from bellwether.spec.validate import validate
from harness.bad_systems import GOOD, BadSystem, bad_systems, merged
from harness.cluster import ROOT, SYSTEMS, ControlPlane

pytestmark = [pytest.mark.integration, pytest.mark.cluster]

URL = SYSTEMS.format(namespace="default")
STRICT = {"fieldValidation": "Strict"}
DRY = STRICT | {"dryRun": "All"}
ROWS = bad_systems()
NOT_CHECKED = "some validation rules were not checked"
MINIMAL = {key: GOOD[key] for key in ("apiVersion", "kind", "metadata")}


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> ControlPlane:
    control_plane.install(ROOT / "crds" / "tradingsystems.bellwether.dev.yaml")
    return control_plane


@pytest.fixture
def cleared(api: ControlPlane) -> Iterator[ControlPlane]:
    yield api
    api.client.delete(f"{URL}/demo")


def refused(answer: httpx.Response) -> dict[str, str]:
    """Return path -> message of what the API server complains about."""
    body = answer.json()
    assert answer.status_code in {400, 422}, body
    unknown = re.findall(r'unknown field "([^"]+)"', body["message"])
    if unknown:
        return dict.fromkeys(unknown, body["message"])
    found: dict[str, str] = {}
    for cause in body["details"]["causes"]:
        path = "" if cause["field"] == "<nil>" else cause["field"]
        if NOT_CHECKED in cause["message"] or cause["message"].startswith('Invalid value: "": Checked value'):
            continue  # says only that other complaints kept it from going on
        found[path] = found.get(path, "") + cause["message"]
    return found


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_the_api_server_refuses_what_validate_refuses(cleared: ControlPlane, row: BadSystem) -> None:
    client = cleared.client
    if row.stored is None:
        answer = client.post(URL, params=DRY, json=row.document)
    else:
        created = client.post(URL, params=STRICT, json=row.stored)
        assert created.status_code == 201, created.text
        edited = merged(row.document, {"metadata": {"resourceVersion": created.json()["metadata"]["resourceVersion"]}})
        answer = client.put(f"{URL}/demo", params=DRY, json=edited)
    found = refused(answer)
    ours = {problem.path: problem.message for problem in validate(row.document, old=row.stored)}
    assert found.keys() == ours.keys()
    for path, message in found.items():
        if row.rule:
            assert message.removeprefix("Invalid value: ") == ours[path]
        if row.bound is not None:
            assert row.bound in message


def test_the_api_server_fills_in_the_models_defaults(cleared: ControlPlane) -> None:
    answer = cleared.client.post(URL, params=STRICT, json=MINIMAL)
    assert answer.status_code == 201, answer.text
    stored = answer.json()
    assert stored["spec"] == defaulted(MINIMAL, resource_schema())["spec"]
    assert TradingSystem.model_validate(stored).spec == TradingSystem.model_validate(MINIMAL).spec


def test_a_partial_block_is_completed_like_the_models_complete_it(cleared: ControlPlane) -> None:
    patch = {"spec": {"trading": {"mode": "simulated", "risk": {"maxOrdersPerSession": 3}}, "tasks": None}}
    document = merged(GOOD, patch) | {}
    document["spec"]["tasks"] = [{"name": "noon", "anchor": "time", "time": "12:00"}]
    answer = cleared.client.post(URL, params=STRICT, json=document)
    assert answer.status_code == 201, answer.text
    assert TradingSystem.model_validate(answer.json()).spec == TradingSystem.model_validate(document).spec


def test_nulls_count_as_absent(cleared: ControlPlane) -> None:
    document = merged(GOOD, {})
    document["spec"] |= {"trading": None, "predictions": {"cacheTTL": None}, "services": {"gateway": None}}
    answer = cleared.client.post(URL, params=STRICT, json=document)
    assert answer.status_code == 201, answer.text
    assert validate(document) == []
    assert answer.json()["spec"] == defaulted(document, resource_schema())["spec"]


def test_live_fields_may_be_edited(cleared: ControlPlane) -> None:
    created = cleared.client.post(URL, params=STRICT, json=GOOD).json()
    patch = {"spec": {"symbols": ["GOOG"], "trading": {"halted": True}, "predictions": {"cacheTTL": "5m"}}}
    edited = merged(created, patch)
    answer = cleared.client.put(f"{URL}/demo", params=STRICT, json=edited)
    assert answer.status_code == 200, answer.text
    assert answer.json()["metadata"]["generation"] == created["metadata"]["generation"] + 1
    assert validate(edited, old=created) == []


def test_a_size_that_the_cluster_refused_may_be_taken_back(cleared: ControlPlane) -> None:
    cleared.client.post(URL, params=STRICT, json=merged(GOOD, {"spec": {"storage": {"size": "4Gi"}}}))
    status = {"status": {"volumeSize": "2Gi"}}
    patched = {"Content-Type": "application/merge-patch+json"}
    stored = cleared.client.patch(f"{URL}/demo/status", json=status, headers=patched).json()
    for size, code in (("1Gi", 422), ("2Gi", 200)):
        edited = merged(stored, {"spec": {"storage": {"size": size}}})
        answer = cleared.client.put(f"{URL}/demo", params=STRICT, json=edited)
        assert answer.status_code == code, answer.text
        assert (validate(edited, old=stored) == []) == (code == 200)


def test_the_short_name_and_the_status_subresource_are_served(api: ControlPlane) -> None:
    served = api.client.get("/apis/bellwether.dev/v1alpha1").json()["resources"]
    by_name = {resource["name"]: resource for resource in served}
    assert by_name["tradingsystems"]["shortNames"] == ["tsys"]
    assert "tradingsystems/status" in by_name


def test_the_columns_show_what_a_person_asks_first(cleared: ControlPlane) -> None:
    cleared.client.post(URL, params=STRICT, json=GOOD)
    status = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "AllServicesReady",
                "message": "",
                "lastTransitionTime": "2026-11-22T10:00:00Z",
                "observedGeneration": 1,
            }
        ],
    }
    answer = cleared.client.patch(
        f"{URL}/demo/status",
        json={"status": status},
        headers={"content-type": "application/merge-patch+json"},
    )
    assert answer.status_code == 200, answer.text
    table = cleared.client.get(f"{URL}/demo", headers={"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}).json()
    shown = dict(zip([column["name"] for column in table["columnDefinitions"]], table["rows"][0]["cells"], strict=True))
    assert shown["Ready"] == "True"
    assert shown["Reason"] == "AllServicesReady"
    assert (shown["Calendar"], shown["Clock"], shown["Trading"]) == ("XNYS", "replay", "off")
