"""`bellwether plan` with files, and with a kubectl that answers what a cluster would not."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bellwether.cli.main import main
from bellwether.topology import SERVICES

OLD = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: demo, namespace: trading}
spec:
  market: {calendar: XASX}
  symbols: [CBA.AX, ANZ.AX]
  profile: standard
"""
OPEN = "2026-11-23T01:30:00Z"
PODS = len(SERVICES) + 1
"""One for each service, and one for NATS."""


class Typed:
    """Types `bellwether plan`, as a person would, in a folder of its own."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capture = capture
        self.write("old.yaml", OLD)

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def __call__(self, *words: str) -> tuple[int, str, str]:
        code = main(["plan", *words])
        said = self._capture.readouterr()
        return code, said.out, said.err

    def between(self, new: str, *words: str, at: str = OPEN) -> tuple[int, str, str]:
        file = self.write("new.yaml", new)
        return self(file, "--from", str(self.folder / "old.yaml"), "--at", at, *words)

    def kubectl(self, script: str) -> None:
        """Put a kubectl on PATH that does what the script says."""
        file = self.folder / "kubectl"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)


@pytest.fixture
def typed(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Typed:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    return Typed(tmp_path, capsys)


def test_a_person_reads_what_changes_when_and_which_pods_feel_it(typed: Typed) -> None:
    new = OLD.replace("[CBA.AX, ANZ.AX]", "[CBA.AX, BHP.AX]") + "  version: '2'\n  storage: {size: 2Gi}\n"
    code, out, err = typed.between(new)
    assert (code, err) == (0, "")
    for words in (
        "trading/demo  Mon 23 Nov 2026 12:30 AEDT (01:30 UTC), session open until 16:00 AEDT",
        "+BHP.AX -ANZ.AX",
        "live, no restart",
        "new pods",
        "PersistentVolumeClaim ×6",
        "resources.requests.storage 1Gi → 2Gi",
        "Objects at the close, Mon 23 Nov 2026 16:00 AEDT (05:00 UTC)",
        f"restart pods ×{PODS}",
        "for version",
        f"{PODS} pods restart.",
    ):
        assert words in out, out


def test_an_override_names_days_of_schedules_and_runs(typed: Typed) -> None:
    overrides = "[{date: '2026-11-24', closed: true}, {date: '2026-11-25', close: '12:00'}]"
    _, out, _ = typed.between(OLD.replace("calendar: XASX", f"calendar: XASX, overrides: {overrides}"))
    for words in ("days -24 -25", "09:30 AEDT → not due", "17:00 AEDT → 13:00 AEDT", "no pod restarts."):
        assert words in out, out


def test_runs_that_move_alike_are_one_line(typed: Typed) -> None:
    tasks = "  tasks: [{name: morning_analysis, anchor: open, offset: -45m}]\n"
    _, out, _ = typed.between(OLD + tasks)
    (line,) = [line for line in out.splitlines() if "morning_analysis" in line and "sessions" in line]
    assert "09:30 AEDT → 09:15 AEDT" in line


def test_nothing_to_do_says_so(typed: Typed) -> None:
    code, out, _ = typed.between(OLD, "--exit-code")
    assert code == 0
    assert "Nothing to do: everything is as declared." in out


def test_programs_get_the_whole_plan(typed: Typed) -> None:
    code, out, _ = typed.between(OLD + "  version: '2'\n", "-o", "json", "--exit-code")
    assert code == 3
    said: dict[str, Any] = json.loads(out)
    assert said["changes"] is True
    assert said["session"] == {
        "date": "2026-11-23",
        "opens": "2026-11-22T23:00:00Z",
        "closes": "2026-11-23T05:00:00Z",
    }
    assert said["declared"] == [{"path": "spec.version", "new": "2", "effect": "pods"}]
    pods = {one["name"]: one for one in said["pods"]}
    assert pods["demo-gateway"] == {
        "action": "restart",
        "kind": "Deployment",
        "name": "demo-gateway",
        "pods": ["demo-gateway-*"],
        "because": ["version"],
        "when": "2026-11-23T05:00:00Z",
        "waitsFor": "session",
    }
    assert {step["when"] for step in said["steps"] if step["kind"] == "StatefulSet"} == {"2026-11-23T05:00:00Z"}


def test_without_a_cluster_everything_is_new(typed: Typed) -> None:
    code, out, _ = typed(typed.write("new.yaml", OLD), "--offline")
    assert code == 0
    assert "trading/demo  new" in out
    assert f"{PODS} pods start." in out
    code, out, _ = typed(typed.write("new.yaml", OLD), "--offline", "-o", "json")
    said = json.loads(out)
    assert {step["action"] for step in said["steps"]} == {"create"}


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (OLD.replace("symbols", "symbol"), "spec.symbol: there is no field of this name; did you mean symbols?"),
        (OLD.replace("XASX", "XNYS"), "spec.market: market.calendar cannot be changed: make a new system"),
        (OLD + "  clock: {mode: replay, from: '2009-01-02'}\n", "provider yahoo is live"),
    ],
)
def test_a_refusal_says_why_and_ends_with_one(typed: Typed, new: str, words: str) -> None:
    code, out, err = typed.between(new, "--exit-code")
    assert (code, out) == (1, "")
    assert "new.yaml: " in err
    assert words in err
    code, out, err = typed.between(new, "-o", "json")
    assert (code, err) == (1, "")
    assert any(words.rpartition(": ")[2] in problem["message"] for problem in json.loads(out)["refusals"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--at", "noon"], "--at 'noon': write an instant such as 2026-11-23T01:30:00Z"),
        (["--at", "9999-12-31T23:59:59Z"], "--at '9999-12-31T23:59:59Z': write an instant of the years 0002 to 9998"),
        (["--at", "0001-01-01T00:00:00+11:00"], "write an instant of the years 0002 to 9998"),
        (["--at", "2026-11-23T01:30"], "say the time zone, as in 2026-11-23T01:30Z"),
        (["--from", "missing.yaml"], "missing.yaml: No such file or directory"),
        (["--from", "other.yaml"], "the two are not the same system: trading/other and trading/demo"),
        (["--from", "bad.yaml"], "the old file would not be accepted itself:\nbad.yaml: spec.symbols"),
    ],
)
def test_what_cannot_be_planned_is_said_in_words(typed: Typed, words: list[str], said: str) -> None:
    typed.write("other.yaml", OLD.replace("name: demo", "name: other"))
    typed.write("bad.yaml", OLD.replace("[CBA.AX, ANZ.AX]", "[]"))
    code, out, err = typed(typed.write("new.yaml", OLD), *words)
    assert (code, out) == (1, "")
    assert said in err, err


def test_without_kubectl_it_says_what_helps(typed: Typed) -> None:
    code, _, err = typed("old.yaml")
    assert code == 1
    assert "kubectl is not on PATH" in err
    assert "--offline" in err


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        (
            "echo 'The connection to the server 127.0.0.1:1 was refused - did you specify the right host?' >&2; exit 1",
            [],
            "the cluster does not answer: The connection to the server 127.0.0.1:1 was refused",
        ),
        (
            "echo 'error: current-context must exist in order to minify' >&2; exit 1",
            ["--context=x"],
            "no context to take the namespace from: current-context must exist in order to minify. Say --namespace",
        ),
        (
            'case "$*" in *config*) exit 0;; esac; '
            "echo 'error: the server doesn'\"'\"'t have a resource type \"tradingsystems\"' >&2; exit 1",
            [],
            "this cluster does not know TradingSystem: install the chart first",
        ),
        ("exit 0", ["-n", "elsewhere"], "--namespace elsewhere: the file says metadata.namespace trading"),
    ],
    ids=["away", "no context", "no definition", "two namespaces"],
)
def test_a_cluster_that_cannot_be_asked_is_explained(typed: Typed, script: str, words: list[str], said: str) -> None:
    typed.kubectl(script)
    text = OLD if words[:1] == ["-n"] else OLD.replace(", namespace: trading", "")
    code, _, err = typed(typed.write("new.yaml", text), *words)
    assert code == 1
    assert said in err, err


def test_the_namespace_is_all_that_has_to_be_said_in_a_pod_with_a_service_account(typed: Typed) -> None:
    # As kubectl does it: a flag about the client takes it off the pod's service account.
    typed.kubectl(
        'case "$*" in *--request-timeout*) '
        "echo 'The connection to the server localhost:8080 was refused' >&2; exit 1;; "
        "*config*) echo 'error: current-context must exist in order to minify' >&2; exit 1;; esac; "
        "echo 'error: the server says hello' >&2; exit 1"
    )
    code, _, err = typed(typed.write("new.yaml", OLD.replace(", namespace: trading", "")), "--namespace", "trading")
    assert code == 1
    assert "the server says hello" in err


def test_an_instant_that_no_calendar_reaches_is_refused_in_words(typed: Typed) -> None:
    pause = "  paused: {until: '9999-12-31T23:59:59Z', reason: a long lunch}\n"
    for at, new in (("9998-12-31T23:59:59Z", OLD), ("0002-01-01T00:00:00Z", OLD), (OPEN, OLD + pause)):
        code, _, err = typed.between(new, at=at)
        assert code == 1
        assert re.search(r"spec.market.calendar: calendar XASX covers|spec.paused.until: .*the calendars cover", err), (
            err
        )


def test_a_mistyped_option_does_not_end_like_a_plan_with_changes(typed: Typed) -> None:
    changed = OLD + "  version: '2'\n"
    assert typed.between(changed, "--exit-code")[0] == 3
    code, _, err = typed.between(changed, "--exit-cod")
    assert code == 2
    assert "--exit-cod" in err


def test_help_teaches(typed: Typed) -> None:
    code, out, _ = typed("--help")
    assert code == 0
    for words in ("--offline", "--from", "--at", "--exit-code", "bellwether plan new.yaml --from old.yaml"):
        assert words in out
