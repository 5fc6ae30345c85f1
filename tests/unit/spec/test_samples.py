"""The samples that people start from are accepted, and fit their exchange."""

from pathlib import Path

import pytest
import yaml

from bellwether.market.declared import fit
from bellwether.spec.replaying import Span, all_variants, problem_of
from bellwether.spec.schema import defaulted
from bellwether.spec.trading_replay import TradingReplaySpec, replay_schema
from bellwether.spec.validate import load, read_document
from bellwether.spec.validate_rules import rule_problems
from bellwether.spec.validate_structure import findings, unknown_fields

FOLDER = Path(__file__).resolve().parents[3] / "manifests" / "samples"
REPLAY = FOLDER / "trading-replay.yaml"
SAMPLES = sorted(set(FOLDER.glob("*.yaml")) - {REPLAY})


def test_there_are_samples() -> None:
    assert {path.name for path in SAMPLES} >= {"replay.yaml", "asx-banks.yaml"}


@pytest.mark.parametrize("path", SAMPLES, ids=[path.name for path in SAMPLES])
def test_a_sample_is_accepted(path: Path) -> None:
    assert fit(load(path.read_text("utf-8")).spec) == []


def test_the_sample_of_a_replay_fits_the_sample_that_it_names() -> None:
    document, schema = yaml.safe_load(REPLAY.read_text("utf-8")), replay_schema()
    completed = defaulted(document, schema)
    assert [*unknown_fields(document, schema, ""), *findings(completed, schema, "")] == []
    assert list(rule_problems(completed, schema)) == []
    spec = TradingReplaySpec.model_validate(completed["spec"])
    system = read_document((FOLDER / f"{spec.system}.yaml").read_text("utf-8"))
    assert system["metadata"]["name"] == spec.system
    found = all_variants(spec)
    assert (len(found), problem_of(system, Span(spec.from_, spec.to), found)) == (3, None)
