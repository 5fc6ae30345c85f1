"""The text of the custom resource definition."""

from __future__ import annotations

from typing import Any

import yaml

from bellwether.spec.schema import custom_resource_definition
from bellwether.spec.trading_backup import backup_definition
from bellwether.spec.trading_replay import replay_definition

HEADER = "# Written by `make generate` from services/bellwether/spec/models.py: change the models, not this file.\n"


class _Plain(yaml.SafeDumper):
    """Writes every value where it stands, without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def text() -> str:
    """Return the definition of TradingSystem as YAML."""
    return _yaml(custom_resource_definition())


def backup_text() -> str:
    """Return the definition of TradingBackup as YAML."""
    return _yaml(backup_definition()).replace("spec/models.py", "spec/trading_backup.py", 1)


def replay_text() -> str:
    """Return the definition of TradingReplay as YAML."""
    return _yaml(replay_definition()).replace("spec/models.py", "spec/trading_replay.py", 1)


def _yaml(definition: dict[str, Any]) -> str:
    return HEADER + yaml.dump(definition, Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)
