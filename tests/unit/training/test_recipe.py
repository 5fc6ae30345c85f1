from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.training.recipe import RecipeError, find_recipe, load_recipe, read_recipe

GOOD = """name: mine
description: made up
horizonSessions: 5
features: [return_1]
"""


def written(folder: Path, text: str, name: str = "mine") -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def test_the_recipe_of_the_samples_is_found_and_right() -> None:
    recipe = load_recipe("direction-lr")
    assert recipe.horizon_sessions == 5
    assert len(recipe.features) == 12


def test_the_hash_is_of_what_the_recipe_says_not_of_its_file(tmp_path: Path) -> None:
    plain = read_recipe(written(tmp_path, GOOD))
    assert read_recipe(written(tmp_path, "# a comment\n" + GOOD + "perSymbol: false\n")).hash == plain.hash
    assert read_recipe(written(tmp_path, GOOD.replace("5", "6"))).hash != plain.hash


def test_an_unknown_recipe_says_where_it_was_looked_for() -> None:
    with pytest.raises(RecipeError, match=r"predictions\.model 'nothing': there is no nothing\.yaml in .*models or "):
        find_recipe("nothing")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("return_1", "return_9"), "features: Value error, return_9 is not a feature; there are return_1,"),
        (GOOD.replace("[return_1]", "[return_1, return_1]"), "features: Value error, a feature is named twice"),
        (GOOD.replace("horizonSessions: 5", "horizonSessions: 0"), "horizonSessions: Input should be greater than"),
        (GOOD + "seed: 7\n", "seed: Extra inputs are not permitted"),
        (GOOD.replace("mine", "other"), "name is 'other', the file's name says 'mine'"),
        ("- a\n- b\n", "the file: Input should be a valid dictionary"),
        ("a: [", "while parsing a flow"),
    ],
)
def test_a_bad_recipe_names_file_and_field(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_recipe(written(tmp_path, text))
    assert str(tmp_path) in str(caught.value)
    assert words in str(caught.value)
