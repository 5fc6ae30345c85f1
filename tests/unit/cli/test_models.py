"""`bellwether models` on a folder: what a person reads there, and what it leaves alone."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from bellwether.cli.main import main
from bellwether.cli.models_system import _table
from bellwether.cli.options import print_drawn
from bellwether.messages.models import TrainingState
from bellwether.messages.registry import RegisteredModel
from bellwether.training.artifact import CARD, ONNX, version_of, write_artifact
from bellwether.training.gate import Check, Verdict
from bellwether.training.ledger import Entry, ModelLedger, read_ledger, write_ledger
from unit.gateway.conftest import TOKEN, opened
from unit.gateway.samples import ANSWERS, Seen
from unit.training.test_artifact import manifest

AT = datetime(2026, 11, 30, 9, tzinfo=UTC)
FAILED = Verdict(
    False, "new", 2, 0.0017, [Check("still there", False, "-0.1", "above 0"), Check("tilt", True, "0", "0")]
)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    made = [manifest(), manifest(rows=2000, gated=True)]
    entries = []
    for one, verdict in zip(made, (msgspec.structs.replace(FAILED, passed=True, checks=[]), FAILED), strict=True):
        write_artifact(tmp_path, one, {ONNX: b"graph", CARD: b"# direction-lr\n"})
        reported = Entry(version_of(one), one.name, one.symbol, "r" * 64, "candidate", AT, verdict.words(), verdict)
        entries.append(reported)
    write_ledger(tmp_path, ModelLedger(entries))
    return tmp_path


def reported(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["models", *words])
    found = capsys.readouterr()
    return code, found.out + found.err


def versions(registry: Path) -> list[str]:
    return [one.version for one in read_ledger(registry).entries]


def test_the_list_names_what_failed_and_leaves_figures_to_show(
    registry: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--registry", str(registry)]
    code, said = reported(capsys, "list", *where)
    assert code == 0
    assert "failed: still there\n" in "".join(line.rstrip() + "\n" for line in said.splitlines())
    assert "-0.1" not in said
    _, said = reported(capsys, "show", versions(registry)[1][:8], *where)
    assert "- FAILED: still there: -0.1 (wanted: above 0)" in said
    assert said.count("above 0") == 1


def test_a_difference_is_a_row_with_both_versions_above(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = versions(registry)
    where = ["--registry", str(registry)]
    code, said = reported(capsys, "diff", one[:10], other[:10], *where)
    assert (code, said.split()) == (0, ["what", one[:12], other[:12], "rows", str(manifest().rows), "2000"])
    _, said = reported(capsys, "diff", one, other, "-o", "json", *where)
    assert json.loads(said) == [{"name": "rows", "one": manifest().rows, "other": 2000}]
    assert "are the same" in reported(capsys, "diff", one, one, *where)[1]


def test_serving_and_going_back_says_where_it_goes(registry: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = versions(registry)
    where = ["--reason", "a look", "--registry", str(registry)]
    for version in (one, other):
        assert reported(capsys, "promote", version[:10], *where)[0] == 0
    assert f"Before it served {one[:12]}" in reported(capsys, "show", other, "--registry", str(registry))[1]
    code, said = reported(capsys, "rollback", manifest().name, *where)
    assert (code, said) == (0, f"{manifest().name}, all symbols: {one[:12]} serves again; gate: passed\n")
    code, said = reported(capsys, "rollback", manifest().name, *where)
    assert (code, "is the first that served" in said) == (1, True)


def test_a_folder_without_models_says_what_makes_some_and_stays_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = tmp_path / "nowhere"
    code, said = reported(capsys, "list", "--registry", str(where))
    assert (code, f"no models in {where}: `bellwether train RECIPE" in said) == (0, True)
    code, said = reported(capsys, "rollback", "direction-lr", "--reason", "x", "--registry", str(where))
    assert code == 1
    assert said == f"error: no models in {where}; of a running system: `bellwether models system`\n"
    assert not where.exists()


def test_a_systems_list_says_how_many_older_ones_it_leaves_out(capsys: pytest.CaptureFixture[str]) -> None:
    model = {
        "model_name": "lr",
        "symbol": None,
        "stage": "serving",
        "since": "2026-11-30T09:00:00Z",
        "version": "a" * 64,
    }
    rows = [{**model, "passed": False, "demoted": ""}, {**model, "passed": True, "demoted": "worse", "symbol": "IBM"}]
    print_drawn(_table({"models": rows, "total": 7}))
    said = capsys.readouterr().out
    assert "2026-11-30 09:00  aaaaaaaaaaaa  failed" in said
    assert "demoted; passed" in said
    assert "why one failed: bellwether models system show VERSION" in said
    assert "5 older ones are not shown" in said
    print_drawn(_table({"models": [], "total": 0}))
    assert "no models yet" in capsys.readouterr().out


async def test_what_a_command_to_a_system_names_gets_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked: dict[str, object] = {}

    def model(method: str) -> object:
        def answer(request: dict[str, object]) -> RegisteredModel:
            asked[method] = request
            return RegisteredModel("a" * 64, "lr", "IBM", "serving", AT, "why", True, "passed")

        return answer

    def train(request: dict[str, object]) -> TrainingState:
        asked["train_model"] = request
        return TrainingState("training_started", "boost")

    given = {name: model(name) for name in ("rollback_model", "shadow_model", "promote_model")}
    answers = {**ANSWERS, "ml-training": {**given, "train_model": train}}
    async with opened(tmp_path, answers, Seen()) as gateway:
        where = ["--url", str(gateway.http.base_url), "--token", TOKEN]
        for words in (
            ["rollback", "lr", "--symbol", "IBM", "--reason", "worse"],
            ["shadow", "aa", "--end", "--reason", "enough"],
            ["promote", "aa", "--reason", "better"],
            ["train", "boost"],
        ):
            code = await asyncio.to_thread(main, ["models", "system", *words, *where])
            reported = capsys.readouterr()
            assert (code, reported.err) == (0, "")
    assert asked == {
        "rollback_model": {"model_name": "lr", "reason": "worse", "symbol": "IBM"},
        "shadow_model": {"version": "aa", "reason": "enough", "end": True},
        "promote_model": {"version": "aa", "reason": "better"},
        "train_model": {"model_name": "boost", "reason": "asked for"},
    }
