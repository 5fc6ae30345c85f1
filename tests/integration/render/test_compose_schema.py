"""The rendered compose file against the specification's own schema, as its Go module carries it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bellwether.render.compose import Installation, compose
from unit.render.conftest import build

pytestmark = pytest.mark.integration

MODULE = "github.com/compose-spec/compose-go/v2@v2.16.2"
ON = Installation("bellwether/services:1", "/srv/demo", "1.2.3", "65532:65532")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the schema of the compose specification."""
    go = Path(sys.executable).with_name("go")
    said = subprocess.run(
        [go, "mod", "download", "-json", MODULE],
        cwd=tmp_path_factory.mktemp("go"),
        capture_output=True,
        text=True,
        timeout=240,
        check=True,
    )
    found: dict[str, Any] = json.loads((Path(json.loads(said.stdout)["Dir"]) / "schema/compose-spec.json").read_text())
    return found


@pytest.mark.parametrize("profile", ["compact", "standard"])
def test_the_file_is_one_by_the_specification(schema: dict[str, Any], profile: str) -> None:
    document = compose(build(profile=profile), ON)
    assert problems(schema, document) == []
    document["services"]["nats"]["helthcheck"] = {}
    assert "helthcheck" in problems(schema, document)[0]


def problems(schema: dict[str, Any], document: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document)]
