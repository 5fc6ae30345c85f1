from __future__ import annotations

import json
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli.client import (
    TIMEOUT_SECONDS,
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
from bellwether.cli.restoring_in_place import ANSWER_SECONDS
from bellwether.cli.show_traces import Node, build_tree, duration
from bellwether.gateway.backups import RESTORE_SECONDS
from bellwether.local.state import lock_held

KUBECTL = """#!/bin/sh
printf '%s\n' "$*" >> "$(dirname "$0")/asked"
case "$*" in
  *secret*)
    if [ -n "$FORBIDDEN" ]; then echo 'Error from server (Forbidden): secrets is forbidden' >&2; exit 1; fi
    case "$*" in
      *nobody*) echo 'Error from server (NotFound): secrets "nobody-gateway-token" not found' >&2; exit 1 ;;
    esac
    printf 'dG9rZW4=' ;;
  *port-forward*resting-gateway*) echo 'error: unable to forward port: pod is not running' >&2; exit 1 ;;
  *tradingsystems*resting*) echo "$TRADING_SYSTEM" ;;
  *port-forward*demo-gateway*) echo "Forwarding from 127.0.0.1:$PORT -> 8080"; exec sleep 60 ;;
  *) echo "Error from server (NotFound): services \\"demo-gateway\\" not found" >&2; exit 1 ;;
esac
"""


def walk(nodes: list[Node], depth: int = 0) -> Iterator[tuple[int, Node]]:
    """Yield every node with its depth, parents before children."""
    for node in nodes:
        yield depth, node
        yield from walk(node.children, depth + 1)


@pytest.fixture
def kubectl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program = tmp_path / "kubectl"
    program.write_text(KUBECTL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path / "asked"


@pytest.fixture
def forwarded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str | None]]]:
    """A gateway at the end of the forwarded port; gives what it was asked, and with which token."""
    asked: list[tuple[str, str | None]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"orders": []}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        monkeypatch.setenv("PORT", str(server.server_address[1]))
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield asked
        server.shutdown()
        thread.join()


def test_a_system_in_a_cluster_is_asked_with_the_token_of_its_secret(
    kubectl: Path, forwarded: list[tuple[str, str | None]]
) -> None:
    client = make_client(Target(system="demo", namespace="trading"), environ={})
    assert client.get("/v1/orders", symbol="CBA.AX", status=None) == {"orders": []}
    assert forwarded == [("/v1/orders?symbol=CBA.AX", "Bearer token")]
    assert kubectl.read_text().splitlines()[-1] == "-n trading port-forward service/demo-gateway :8080"


def test_who_may_not_read_secrets_can_bring_a_token_or_ask_without_one(
    kubectl: Path, forwarded: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORBIDDEN", "yes")
    make_client(Target(system="demo", namespace="default"), environ={"BELLWETHER_TOKEN": "mine"}).get("/v1/orders")
    make_client(Target(system="demo", namespace="default"), environ={}).get("/v1/orders")
    assert [token for _, token in forwarded] == ["Bearer mine", None]
    with pytest.raises(CommandError, match="secrets is forbidden"):
        KubectlClient("demo", "default").send("POST", "/v1/halt")


def test_a_system_is_looked_for_where_kubectl_would_look(
    kubectl: Path, forwarded: list[tuple[str, str | None]]
) -> None:
    client = make_client(Target(system="demo", namespace="trading", context="there"), environ={})
    client.get("/v1/orders")
    asked = kubectl.read_text().splitlines()
    assert len(asked) == 2
    assert all(line.startswith("--context=there -n trading ") for line in asked)
    kubectl.unlink()
    with pytest.raises(CommandError):
        make_client(Target(system="demo", context="there"))
    assert kubectl.read_text().strip() == "--context=there config view --minify -o jsonpath={..namespace}"


def test_an_answer_that_the_gateway_takes_long_for_is_waited_for(
    kubectl: Path, forwarded: list[tuple[str, str | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    send = HttpClient.send

    def counted(self: HttpClient, *arguments: Any, **query: Any) -> Any:
        waits.append(self._seconds)
        return send(self, *arguments, **query)

    monkeypatch.setattr(HttpClient, "send", counted)
    for seconds in (1.0, ANSWER_SECONDS):
        make_client(Target(system="demo", namespace="default"), environ={}, seconds=seconds).get("/v1/orders")
    assert waits == [TIMEOUT_SECONDS, ANSWER_SECONDS]
    assert ANSWER_SECONDS > RESTORE_SECONDS


def test_kubectls_own_words_are_the_error(kubectl: Path) -> None:
    with pytest.raises(CommandError, match=r'services "demo-gateway" not found'):
        KubectlClient("other", "default").get("/v1/status")


@pytest.mark.usefixtures("kubectl")
def test_a_system_without_pods_is_said_to_be_so_in_the_operators_words(monkeypatch: pytest.MonkeyPatch) -> None:
    conditions = [
        {"type": "Valid", "status": "True", "reason": "Valid", "message": "fits"},
        {"type": "Ready", "status": "False", "reason": "Restoring", "message": "backup 20261127T213000Z"},
    ]
    monkeypatch.setenv("TRADING_SYSTEM", json.dumps({"status": {"conditions": conditions}}))
    with pytest.raises(CommandError) as caught:
        KubectlClient("resting", "trading").get("/v1/status")
    assert str(caught.value) == (
        "unable to forward port: pod is not running. resting is not ready: Restoring: backup 20261127T213000Z"
    )


@pytest.mark.usefixtures("kubectl")
def test_a_system_that_is_not_there_is_said_to_be_so() -> None:
    with pytest.raises(CommandError, match=r"--system nobody: namespace trading has no Secret .* there is no such"):
        KubectlClient("nobody", "trading").get("/v1/status")


def test_without_kubectl_that_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandError, match="kubectl is not on PATH: it leads to the cluster; without it use --url"):
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


def test_of_two_local_runs_that_go_on_none_is_guessed(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "two")):
        (tmp_path / name).mkdir()
        state = {"name": name, "url": f"http://127.0.0.1:808{number}", "token": f"t-{name}", "pid": os.getpid()}
        (tmp_path / name / "run.json").write_text(json.dumps(state))
    with lock_held(tmp_path / "one" / "lock"):
        with (
            lock_held(tmp_path / "two" / "lock"),
            pytest.raises(CommandError, match=r"2 local runs go on: .*one \(.*:8080\), .*two \(.*:8081\)\. Say which"),
        ):
            make_client(Target(), tmp_path, {})
        with lock_held(tmp_path / "two" / "lock"):
            named = make_client(Target(), tmp_path / "two", {})
            by_address = make_client(Target(url="http://127.0.0.1:8081"), tmp_path, {})
        assert isinstance(named, HttpClient)
        assert isinstance(by_address, HttpClient)
        assert named._token == "t-two"
    make_client(Target(), tmp_path, {})


def test_a_run_is_found_by_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"name": "here", "url": "http://127.0.0.1:8080", "token": "t"}))
    found = find_run(tmp_path)
    assert found is not None
    assert found.name == "here"


def test_a_local_run_that_is_down_or_on_its_way_is_named_where_no_gateway_answers(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"name": "mine", "url": "http://127.0.0.1:1", "token": "t"}))
    (folder / "lock").touch()
    with pytest.raises(CommandError, match=r"local run in .*mine is stopped: `bellwether start` starts it again"):
        make_client(Target(), tmp_path, {}).get("/v1/status")
    with lock_held(folder / "supervisor.lock"), pytest.raises(CommandError, match=r"mine is starting: ask again"):
        make_client(Target(), tmp_path, {}).get("/v1/status")
    with pytest.raises(CommandError, match=r"Start one with `bellwether run FILE`"):
        make_client(Target(url="http://127.0.0.1:1"), tmp_path, {}).get("/v1/status")


def test_a_gateway_that_says_nothing_is_named_with_the_time_that_it_had() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(CommandError, match=rf"no answer from {url} within 0\.01 s; .* ask again, or name another"):
            make_client(Target(url=url), environ={}, seconds=0.01).get("/v1/status")


def test_a_folder_that_was_named_and_holds_no_run_is_said_and_no_other_gateway_is_asked(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"no run goes on in .*\(BELLWETHER_STATE\)\. Start one with"):
        make_client(Target(), environ={"BELLWETHER_STATE": str(tmp_path)})
    make_client(Target(url="http://127.0.0.1:8080"), environ={"BELLWETHER_STATE": str(tmp_path)})


def test_a_folder_that_was_named_and_holds_a_stopped_run_is_said_to_do_so(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    with pytest.raises(
        CommandError, match=r"\(BELLWETHER_STATE\)\. The local run in .* is stopped: `bellwether start`"
    ):
        make_client(Target(), environ={"BELLWETHER_STATE": str(tmp_path)})


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
