"""The page docs/architecture.md."""

from __future__ import annotations

from generate import additions, walks

HEAD = """# Architecture

Made from the code by `make generate`: a file, a function or a call named here that is gone fails `make check`. What
the words mean is in [concepts](concepts.md#glossary); why things are as they are, in [decisions](decisions).

One declaration is the only input. Pure code turns it into values (`spec`, `market`, `topology`), objects (`render`) and
statuses (`report`); thin shells around it talk to Kubernetes (`apply`, `observe`), to the bus (`runtime`) and to
databases (`storage`). The operator looks at one system in stages:
[`passes.py`](../operator/bellwether_operator/passes.py) lists them with their modules.

## I want to add a …

All rows but the last four were tried, those of task, event and condition in part. `service` was tried with one that has
a method and an event: rendered for Kubernetes, systemd and compose, run on one machine, and asked there. Begin with a
test in the file named last; end with `make generate`, which writes the definitions, the chart and the reference pages.

"""


def page() -> str:
    """Return the text of the page.

    Raises:
        WalkError: if it would say something of the code that is not so.
    """
    return f"{HEAD}{additions.page_part()}\n{walks.page_part()}"
