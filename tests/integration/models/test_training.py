"""Training on recorded bars, in process: the same data gives the same model, and nothing unproven serves."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import skops.io

from bellwether.market_data.actions import adjusted, infer_actions, splits_through
from bellwether.market_data.sources import RecordedBars
from bellwether.messages.market_data import Bar
from bellwether.models.registry import Choice, Registry
from bellwether.models.serving import ServedModel
from bellwether.runtime.errors import RpcError
from bellwether.training.artifact import ONNX, SKOPS, ArtifactError, read_model
from bellwether.training.dataset import make_rows, part_by_day
from bellwether.training.export import NotTheSame, from_skops_bytes, prove_parity, to_onnx_bytes
from bellwether.training.fit import TooFewRows, fit
from bellwether.training.gate import judge
from bellwether.training.recipe import Recipe, load_recipe
from bellwether.training.train import train

pytestmark = pytest.mark.integration

THROUGH = date(2003, 12, 31)


@pytest.fixture(scope="module")
def histories() -> dict[str, list[Bar]]:
    source = RecordedBars("us-2000-2013")
    found = {}
    for symbol in ("IBM", "MSFT"):
        rows = source.load(symbol).rows
        splits = splits_through(infer_actions(rows).actions, THROUGH)
        found[symbol] = adjusted([row.bar for row in rows if row.bar.session <= THROUGH], splits)
    return found


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    found = load_recipe("direction-lr")
    return found.model_copy(update={"evaluation": found.evaluation.model_copy(update={"folds": 2})})


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, histories: dict[str, list[Bar]], recipe: Recipe) -> Path:
    folder = tmp_path_factory.mktemp("registry")
    train(recipe, histories, folder, print)
    return folder


def only_model(root: Path) -> Path:
    return next(path for path in root.iterdir() if path.is_dir())


def test_the_same_data_gives_the_same_version(
    tmp_path: Path, root: Path, histories: dict[str, list[Bar]], recipe: Recipe
) -> None:
    again = train(recipe, dict(reversed(histories.items())), tmp_path, print)
    assert again == [only_model(root).name]
    assert (tmp_path / again[0] / SKOPS).read_bytes() == (only_model(root) / SKOPS).read_bytes()


def test_other_data_gives_another_version(
    tmp_path: Path, root: Path, histories: dict[str, list[Bar]], recipe: Recipe
) -> None:
    shorter = {symbol: bars[:-1] for symbol, bars in histories.items()}
    assert train(recipe, shorter, tmp_path, print) != [only_model(root).name]


def test_a_recipe_may_ask_for_a_model_per_symbol(
    tmp_path: Path, histories: dict[str, list[Bar]], recipe: Recipe
) -> None:
    versions = train(recipe.model_copy(update={"per_symbol": True}), histories, tmp_path, print)
    registry = Registry(tmp_path)
    registry.serve(Choice(recipe.name, recipe.hash, None, versions))
    found = {symbol: registry.find(recipe.name, symbol) for symbol in ("IBM", "MSFT", "TSLA")}
    assert [model.manifest.symbol for model in found.values() if model is not None] == ["IBM", "MSFT", None]


def test_no_row_of_the_first_part_has_seen_the_second(histories: dict[str, list[Bar]], recipe: Recipe) -> None:
    rows = make_rows(histories, recipe.features, recipe.horizon_sessions)
    cut = date(2003, 1, 2).toordinal()
    before, _ = part_by_day(rows, cut)
    cut_off = {symbol: [bar for bar in bars if bar.session.toordinal() < cut] for symbol, bars in histories.items()}
    alone = make_rows(cut_off, recipe.features, recipe.horizon_sessions)
    assert np.array_equal(before.x, alone.x)
    assert np.array_equal(before.y, alone.y)
    one, other = fit(before, recipe), fit(alone, recipe)
    assert one.calibrator == other.calibrator


def test_too_little_history_is_refused_in_words(
    tmp_path: Path, histories: dict[str, list[Bar]], recipe: Recipe
) -> None:
    short = {"IBM": histories["IBM"][:200]}
    with pytest.raises(TooFewRows, match=r"rows to learn from .* needs 500 \(minimumRows\)"):
        train(recipe, short, tmp_path, print)
    assert list(tmp_path.iterdir()) == []


def test_a_graph_that_says_something_else_is_not_served(histories: dict[str, list[Bar]], recipe: Recipe) -> None:
    rows = make_rows(histories, recipe.features, recipe.horizon_sessions)
    fitted = fit(rows, recipe)
    graph = to_onnx_bytes(fitted)
    assert prove_parity(graph, fitted, rows).largest_difference < 1e-5
    fitted.pipeline.named_steps["regression"].coef_ *= 1.01
    with pytest.raises(NotTheSame, match=r"differ by up to .* the model is not served"):
        prove_parity(graph, fitted, rows)


def test_the_skops_file_holds_the_same_estimator(root: Path, histories: dict[str, list[Bar]], recipe: Recipe) -> None:
    rows = make_rows(histories, recipe.features, recipe.horizon_sessions)
    estimator = from_skops_bytes((only_model(root) / SKOPS).read_bytes())
    model = ServedModel.open(only_model(root))
    for number in range(0, len(rows), 97):
        score = float(estimator.decision_function(rows.x[number : number + 1])[0])
        symbol = rows.symbols[rows.symbol[number]]
        expected = model.manifest.calibrator.probability(score, symbol)
        features = dict(zip(recipe.features, rows.x[number].tolist(), strict=True))
        assert model.predict(features, symbol).probability == pytest.approx(expected, abs=1e-5)


class Intruder:
    """A type that no allow-list has."""

    value = 1


def test_a_skops_file_with_a_strange_type_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"types that are not allowed: .*Intruder"):
        from_skops_bytes(skops.io.dumps(Intruder()))


def test_no_file_of_a_model_is_a_pickle(root: Path) -> None:
    folder = only_model(root)
    # Every pickle since Python 3 begins with this byte.
    assert not any(path.read_bytes().startswith(b"\x80") for path in folder.iterdir())
    with zipfile.ZipFile(io.BytesIO((folder / SKOPS).read_bytes())) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"npy", "json"}


def test_a_feature_that_is_no_number_is_refused(root: Path) -> None:
    model = ServedModel.open(only_model(root))
    row = dict.fromkeys(model.manifest.features, 0.0)
    with pytest.raises(RpcError, match="FEATURES_MISMATCH: feature rsi_14 is nan: a model takes finite numbers only"):
        model.predict({**row, "rsi_14": float("nan")}, "IBM")


def test_a_version_that_is_no_hash_never_leaves_the_folder(root: Path) -> None:
    with pytest.raises(ArtifactError, match="is not a version: it has 64 hexadecimal digits"):
        Registry(root).version("../" + only_model(root).name)


def test_a_changed_graph_never_comes_into_service(tmp_path: Path, root: Path) -> None:
    folder = tmp_path / only_model(root).name
    folder.mkdir()
    for path in only_model(root).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / ONNX).write_bytes((folder / ONNX).read_bytes()[:-1] + b"x")
    with pytest.raises(ArtifactError, match="was changed after training"):
        Registry(tmp_path).serve(Choice("direction-lr", "h", None, [folder.name]))


def test_a_refit_is_compared_with_what_serves_session_by_session(
    tmp_path: Path, histories: dict[str, list[Bar]], recipe: Recipe
) -> None:
    older = {symbol: bars[:-120] for symbol, bars in histories.items()}
    (serving,) = train(recipe, older, tmp_path, print)
    (refit,) = train(recipe, histories, tmp_path, print, serving={None: serving})
    before, then = read_model(tmp_path, serving)
    _, found = read_model(tmp_path, refit)
    assert found is not None
    assert then is not None
    assert (found.serving, then.serving) == (serving, None)
    through = before.trained_through.toordinal()
    known = {day.day: day.model for day in then.days}
    compared = dict(zip((day.day for day in found.days), found.serving_losses, strict=True))
    # What it had seen is taken from its own walk-forward, what came after from the model itself, the rest from nowhere.
    assert {day: loss for day, loss in compared.items() if day <= through and loss is not None} == {
        day: loss for day, loss in known.items() if day in compared
    }
    assert all(loss is not None and loss > 0.0 for day, loss in compared.items() if day > through)
    assert sum(day > through for day in compared) == 120 - recipe.horizon_sessions
    assert judge(found, recipe.judged_by, trials=1, refit=True).checks[1].name == "not worse than what serves"
