"""The samples that people start from are accepted, and fit their exchange."""

from pathlib import Path

import pytest

from bellwether.market.declared import fit
from bellwether.spec.validate import load

SAMPLES = sorted((Path(__file__).resolve().parents[3] / "manifests" / "samples").glob("*.yaml"))


def test_there_are_samples() -> None:
    assert {path.name for path in SAMPLES} >= {"replay.yaml", "asx-banks.yaml"}


@pytest.mark.parametrize("path", SAMPLES, ids=[path.name for path in SAMPLES])
def test_a_sample_is_accepted(path: Path) -> None:
    assert fit(load(path.read_text("utf-8")).spec) == []
