from __future__ import annotations

import json
import os
import ssl
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli.client import (
    CommandError,
    HttpClient,
    KubectlClient,
    Target,
    answer_or_error,
    find_run,
    full_path,
    make_client,
    trusted,
)
from bellwether.cli.options import target_of
from bellwether.cli.tree import build_tree, duration, walk

KUBECTL = """#!/bin/sh
echo "$@" >> "$(dirname "$0")/asked"
case "$*" in
  *secret*) printf 'dG9rZW4=' ;;
  *proxy/v1/orders*) printf '{"orders": []}' ;;
  *) echo "Error from server (NotFound): services \\"demo-gateway\\" not found" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "asked"


def test_a_system_in_a_cluster_is_asked_through_the_api_server(kubectl: Path) -> None:
    client = make_client(Target(system="demo", namespace="trading"))
    assert client.get("/v1/orders", symbol="CBA.AX", status=None) == {"orders": []}
    assert kubectl.read_text().strip() == (
        "get --raw /api/v1/namespaces/trading/services/demo-gateway:8080/proxy/v1/orders?symbol=CBA.AX"
    )


def test_a_system_is_looked_for_where_kubectl_would_look(kubectl: Path) -> None:
    client = make_client(Target(system="demo", namespace="trading", context="there"))
    client.get("/v1/orders")
    asked = kubectl.read_text().strip()
    assert asked.startswith("--context=there get --raw /api/v1/namespaces/trading/")
    kubectl.unlink()
    with pytest.raises(CommandError):
        make_client(Target(system="demo", context="there"))
    assert kubectl.read_text().strip() == "--context=there config view --minify -o jsonpath={..namespace}"


def test_kubectls_own_words_are_the_error(kubectl: Path) -> None:
    with pytest.raises(CommandError, match=r'services "demo-gateway" not found'):
        KubectlClient("demo", "default").get("/v1/status")


def test_without_kubectl_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="--system needs kubectl on PATH"):
        make_client(Target(system="demo"))


def test_the_newest_local_run_is_found_and_its_token_used(tmp_path: Path) -> None:
    for age, name in ((100, "old"), (1, "new")):
        (tmp_path / name).mkdir()
        path = tmp_path / name / "run.json"
        path.write_text(json.dumps({"name": name, "url": f"http://127.0.0.1:80{age:02}", "token": f"t-{name}"}))
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    found = find_run(tmp_path)
    assert found is not None
    assert found.name == "new"
    client = make_client(Target(), tmp_path, {})
    assert isinstance(client, HttpClient)
    assert (client._url, client._token) == ("http://127.0.0.1:8001", "t-new")
    elsewhere = make_client(Target(), tmp_path, {"BELLWETHER_URL": "http://example.test:1/"})
    assert isinstance(elsewhere, HttpClient)
    assert (elsewhere._url, elsewhere._token) == ("http://example.test:1", None)
    assert find_run(tmp_path / "none") is None


def test_a_run_is_found_by_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"name": "here", "url": "http://127.0.0.1:8080", "token": "t"}))
    found = find_run(tmp_path)
    assert found is not None
    assert found.name == "here"


def test_queries_leave_out_what_is_not_given() -> None:
    assert (
        full_path("/v1/traces", {"limit": 5, "has_order": True, "service": None}) == "/v1/traces?limit=5&has_order=true"
    )
    assert full_path("/v1/why/^GSPC", {}) == "/v1/why/%5EGSPC"


def test_a_system_can_be_named_with_its_namespace() -> None:
    assert target_of(None, None, "trading/demo", "default") == Target(system="demo", namespace="trading")


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>", "is this a Bellwether gateway"),
        (502, b'"down"', "answered with status 502"),
        (404, b'{"error": {"code": "NOT_FOUND", "message": "there is no x"}}', r"there is no x \(NOT_FOUND\)"),
    ],
)
def test_answers_that_are_none_become_words(status: int, body: bytes, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        answer_or_error(status, body)


def test_spans_whose_parent_is_missing_are_roots() -> None:
    spans: list[dict[str, Any]] = [
        {"span_id": "c", "parent_span_id": "b", "start_ns": 3},
        {"span_id": "b", "parent_span_id": "gone", "start_ns": 2},
        {"span_id": "a", "parent_span_id": None, "start_ns": 1},
    ]
    assert [(depth, node.span["span_id"]) for depth, node in walk(build_tree(spans))] == [(0, "a"), (0, "b"), (1, "c")]


@pytest.mark.parametrize(("milliseconds", "text"), [(0.0214, "21 µs"), (5.25, "5.2 ms"), (2500.0, "2.50 s")])
def test_durations_read_well(milliseconds: float, text: str) -> None:
    assert duration(milliseconds) == text


def test_over_https_the_usual_authorities_are_trusted_and_over_http_none() -> None:
    assert trusted("https://gateway.example.org") is True
    assert trusted("HTTPS://gateway.example.org") is True
    bare = trusted("http://127.0.0.1:8080")
    assert isinstance(bare, ssl.SSLContext)
    # Were it ever used for HTTPS, it would refuse.
    assert (bare.verify_mode, bare.check_hostname, bare.get_ca_certs()) == (ssl.CERT_REQUIRED, True, [])
