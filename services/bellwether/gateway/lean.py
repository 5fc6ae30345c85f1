"""FastAPI, imported without what is not used here: 2.6 MB. To be imported before anything else imports FastAPI."""

from __future__ import annotations

import sys

from pydantic import BaseModel

# FastAPI asks pydantic.v1 whether a model is one of its own: none is.
sys.modules.setdefault("pydantic.v1", None)  # type: ignore[arg-type]
# Its models of OpenAPI are built when somebody asks for /openapi.json.
BaseModel.model_config["defer_build"] = True
import fastapi  # noqa: E402, F401

del BaseModel.model_config["defer_build"]
