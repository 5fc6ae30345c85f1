"""What every part of the declaration is made of: a strict model, and rules in CEL."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


def cel(rule: str, message: str, field_path: str | None = None) -> dict[str, Any]:
    """Return one validation rule of the resource: a CEL expression over `self` and what is right in words."""
    found = {"rule": rule, "message": message}
    if field_path is not None:
        found["fieldPath"] = field_path
    return found


class Block(BaseModel):
    """A part of the declaration: unknown fields are refused, names are camelCase in the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True)


def rules(*expressions: dict[str, Any], **more: Any) -> ConfigDict:
    """Return the configuration of a block whose fields are held together by rules."""
    extra: dict[str, Any] = {"x-kubernetes-validations": list(expressions), **more}
    return ConfigDict(json_schema_extra=extra)
