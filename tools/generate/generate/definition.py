"""The text of the custom resource definition."""

from __future__ import annotations

from typing import Any

import yaml

from bellwether.spec.schema import custom_resource_definition

HEADER = "# Written by `make generate` from services/bellwether/spec/models.py: change the models, not this file.\n"


class _Plain(yaml.SafeDumper):
    """Writes every value where it stands, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text() -> str:
    """Return the definition as YAML."""
    return HEADER + yaml.dump(
        custom_resource_definition(), Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True
    )
