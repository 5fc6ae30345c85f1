from __future__ import annotations

from bellwether.cli.planning import _RESOURCES
from bellwether.render.kubernetes import RenderContext, render
from bellwether_operator.observe.kinds import BY_NAME, CHILD_KINDS

from .conftest import build


def test_the_operator_observes_every_kind_that_is_rendered(context: RenderContext) -> None:
    for profile in ("compact", "standard"):
        for one in render(build(profile=profile), context):
            assert BY_NAME[one["kind"]].api_version == one["apiVersion"], "a new kind belongs in CHILD_KINDS"


def test_plan_reads_every_kind_that_is_observed_but_jobs() -> None:
    observed = {kind.kind: f"{kind.plural}.{kind.group}" for kind in CHILD_KINDS if kind.observed and not kind.once}
    assert {kind: path.removesuffix(".") for kind, path in observed.items()} == _RESOURCES
