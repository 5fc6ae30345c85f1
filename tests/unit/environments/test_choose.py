import pytest

from environments.choose import Choice, Facts, WrongChoiceError, choose

LINUX_ROOT = Facts(docker_answers=False, is_linux=True, is_root=True, can_install=True)


def test_kind_is_chosen_where_a_docker_engine_answers() -> None:
    facts = Facts(docker_answers=True, is_linux=True, is_root=False, can_install=False)
    assert choose(facts, {}).kind == "kind"


def test_the_embedded_cluster_is_chosen_for_root_on_linux_without_docker() -> None:
    assert choose(LINUX_ROOT, {}).kind == "embedded"


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (Facts(docker_answers=False, is_linux=False, is_root=True, can_install=True), "needs Linux"),
        (Facts(docker_answers=False, is_linux=True, is_root=False, can_install=True), "needs root"),
        (
            Facts(
                docker_answers=False, is_linux=True, is_root=True, can_install=False, missing_packages=("containerd",)
            ),
            "needs the packages containerd",
        ),
    ],
)
def test_without_a_possible_cluster_the_local_system_runs_and_it_says_why(facts: Facts, words: str) -> None:
    choice = choose(facts, {})
    assert choice.kind == "local"
    assert words in choice.why


def test_a_required_cluster_that_is_impossible_is_an_error() -> None:
    facts = Facts(docker_answers=False, is_linux=True, is_root=False, can_install=True)
    with pytest.raises(WrongChoiceError, match="BELLWETHER_REQUIRE_CLUSTER is set, but no cluster is possible here"):
        choose(facts, {"BELLWETHER_REQUIRE_CLUSTER": "1"})


def test_the_variable_decides_over_what_was_found() -> None:
    assert choose(LINUX_ROOT, {"BELLWETHER_CLUSTER": "current"}) == Choice("current", "BELLWETHER_CLUSTER says so")


def test_an_unknown_environment_is_refused_with_the_known_ones() -> None:
    with pytest.raises(WrongChoiceError, match="'k3s': it must be one of kind, embedded, current"):
        choose(LINUX_ROOT, {"BELLWETHER_CLUSTER": "k3s"})
