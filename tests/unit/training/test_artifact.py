from __future__ import annotations

from datetime import date
from pathlib import Path

import msgspec
import pytest

from bellwether.training.artifact import (
    FORMAT,
    MANIFEST,
    ONNX,
    ArtifactError,
    Manifest,
    Parity,
    file_hash,
    read_artifact,
    version_of,
    write_artifact,
)
from bellwether.training.calibration import Calibrator
from bellwether.training.card import card
from bellwether.training.recipe import load_recipe

METRICS = {"folds": 5.0, "rows": 100.0}
SCORES = {"brier": 0.2502, "log_loss": 0.69, "auc": 0.51, "accuracy": 0.52}


def manifest(**changes: object) -> Manifest:
    made = Manifest(
        format=FORMAT,
        name="direction-lr",
        symbol=None,
        recipe_hash="r",
        data_revision="d",
        features=["return_1"],
        horizon_sessions=5,
        trained_from=date(2000, 3, 1),
        trained_through=date(2008, 12, 31),
        rows=1000,
        base_rate=0.52,
        symbol_base_rates={"A": 0.52},
        calibrator=Calibrator(0.5, 0.01, {"A": 0.0}),
        metrics={**METRICS, **SCORES, **{f"base_rate_{name}": value for name, value in SCORES.items()}},
        gated=True,
        parity=Parity(1000, 1e-8, 0),
        libraries={},
        files={ONNX: file_hash(b"graph")},
    )
    return msgspec.structs.replace(made, **changes)


def test_what_was_written_is_read_and_verified(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path, manifest(), {ONNX: b"graph"})
    assert folder.name == version_of(manifest())
    assert read_artifact(folder) == manifest()
    assert write_artifact(tmp_path, manifest(), {ONNX: b"graph"}) == folder
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_a_changed_graph_is_refused(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path, manifest(), {ONNX: b"graph"})
    (folder / ONNX).write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"model\.onnx: its hash is not the manifest's"):
        read_artifact(folder)


def test_a_changed_manifest_is_refused(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path, manifest(), {ONNX: b"graph"})
    path = folder / MANIFEST
    path.write_bytes(path.read_bytes().replace(b"2008-12-31", b"2007-12-31"))
    with pytest.raises(ArtifactError, match=r"manifest\.json: its hash is not the folder's name"):
        read_artifact(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path, manifest(), {ONNX: b"graph"})
    (folder / ONNX).unlink()
    with pytest.raises(ArtifactError, match=r"model\.onnx: No such file"):
        read_artifact(folder)


def test_another_format_asks_for_training(tmp_path: Path) -> None:
    folder = write_artifact(tmp_path, manifest(format=99), {ONNX: b"graph"})
    with pytest.raises(ArtifactError, match="format 99 is not 1: train the model again"):
        read_artifact(folder)


@pytest.mark.parametrize(
    ("brier", "words"),
    [
        (0.2501, "better than the base rate: no edge that anyone should rely on"),
        (0.2600, "worse than the base rate: it has no edge"),
        (0.2000, "By Brier score it is 20.1% better than the base rate."),
    ],
)
def test_a_card_says_honestly_how_it_did(brier: float, words: str) -> None:
    made = manifest()
    text = card(load_recipe("direction-lr"), manifest(metrics={**made.metrics, "brier": brier}), "v")
    assert words in text
    assert f"| Brier score | {brier:.4f} | 0.2502 |" in text


def test_a_card_of_a_model_that_could_not_be_judged_says_so() -> None:
    text = card(load_recipe("direction-lr"), manifest(metrics={"folds": 0.0, "rows": 0.0}), "v")
    assert "too little history to judge by" in text
