"""What `gateway/lean.py` saves by how FastAPI is imported, and that FastAPI is whole all the same."""

from __future__ import annotations

import json
import subprocess
import sys

import fastapi
import pytest

pytestmark = pytest.mark.integration

PROGRAM = """
import json, sys
if sys.argv[1] == "lean":
    import bellwether.gateway.lean
import fastapi
from fastapi.openapi.models import OpenAPI
from pydantic import BaseModel
from bellwether.gateway import reads, trading

built = OpenAPI.__pydantic_complete__
app = fastapi.FastAPI()
for part in (reads, trading):
    app.include_router(part.router)
print(json.dumps({
    "v1": sys.modules.get("pydantic.v1") is not None,
    "built": built,
    "deferred for all": "defer_build" in BaseModel.model_config,
    "schema": app.openapi(),
}))
"""
WHAT_NOW = f"""

FastAPI {fastapi.__version__} and services/bellwether/gateway/lean.py do not fit each other any more. It saves 3 MB of a
process with a gateway, and nothing else depends on it. Either mend it, or delete it with its import in
gateway/service.py, this test, `pydantic.v1` in test_memory.py and test_yahoo.py, and its sentence in decision 0053."""


def imported(how: str) -> dict[str, object]:
    """Return what a process of its own has in memory once it has FastAPI and two of the gateway's routers."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr + WHAT_NOW
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_fastapi_is_imported_without_what_is_not_used_and_is_whole() -> None:
    lean, plain = imported("lean"), imported("plain")
    assert not lean["v1"], "pydantic.v1 is loaded." + WHAT_NOW
    assert not lean["built"], "the models of OpenAPI are built before somebody asks for them." + WHAT_NOW
    assert (plain["v1"], plain["built"]) == (True, True), "FastAPI itself saves one of the two by now." + WHAT_NOW
    assert not lean["deferred for all"], "models that are not FastAPI's are deferred, too." + WHAT_NOW
    assert lean["schema"] == plain["schema"], "another /openapi.json." + WHAT_NOW
