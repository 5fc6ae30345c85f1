from bench.pods import NODE, OPERATOR, Cost, figures_of, owner_of

UID = "0f8b7a52-6c1d-4b7e-9a3f-2f4d5e6a7b8c"
GROUPS = f"11:memory:/bellwether/kubepods/burstable/pod{UID}/9f86d081884c7d65\n0::/\n"


def test_a_process_belongs_to_the_pod_in_whose_cgroup_it_is() -> None:
    assert owner_of(GROUPS, {UID: "market-data"}) == "market-data"
    assert owner_of(GROUPS, {}) is None
    assert owner_of("0::/user.slice\n", {UID: "market-data"}) is None


def test_what_one_cluster_has_once_is_stated_and_not_counted() -> None:
    costs = {
        "nats": Cost(20, 25, 0.3),
        "gateway": Cost(60, 70, 0.6),
        OPERATOR: Cost(70, 80, 3),
        NODE: Cost(900, 950, 9),
    }
    found = {each.what: each for each in figures_of("standard", costs, alone=50)}
    assert found["standard, 2 pods, Pss"].value == 80
    assert found["standard, Rss"].value == 95
    assert round(found["standard, CPU at rest"].value, 6) == 3.0
    assert found["standard: gateway, Pss"].value == 60
    assert found["standard: overhead over the same logic in one process"].value == 30
    assert found[f"beside standard, not counted: {OPERATOR}, Pss"].value == 70
