"""The HTTP application: routes, errors, the event stream and the dashboard's files."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from bellwether.gateway import changes, reads, tracing
from bellwether.gateway.answers import add_error_answers, gateway_of
from bellwether.gateway.gateway import Gateway
from bellwether.gateway.problems import Problem

_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_FILES = ("index.html", "dashboard.js", "drawing.js", "style.css")
# The page needs nothing from anywhere else, so nothing else is allowed.
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

router = APIRouter()


def make_app(gateway: Gateway, version: str) -> FastAPI:
    """Return the application of a gateway."""
    app = FastAPI(title="Bellwether", version=version, docs_url=None, redoc_url=None)
    app.state.gateway = gateway
    add_error_answers(app)
    for part in (reads.router, changes.router, tracing.router, router):
        app.include_router(part)
    return app


@router.get("/v1/events")
async def events(request: Request) -> Response:
    """Stream what happens from now on, as server-sent events."""
    return StreamingResponse(
        gateway_of(request).feed.watch(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.get("/favicon.ico", include_in_schema=False)
async def favicon() -> Response:
    """There is none; the page brings its own."""
    return Response(status_code=204)


@router.get("/", include_in_schema=False)
async def index() -> Response:
    """Return the dashboard."""
    return _file("index.html")


@router.get("/dashboard", include_in_schema=False)
async def dashboard() -> Response:
    """Lead to the dashboard."""
    return RedirectResponse("./", status_code=307)


@router.get("/static/{name}", include_in_schema=False)
async def static(name: str) -> Response:
    """Return one of the dashboard's files."""
    return _file(name)


def _file(name: str) -> Response:
    if name not in _FILES:
        raise Problem(404, "NOT_FOUND", f"the dashboard has no file {name}")
    body = resources.files("bellwether.gateway").joinpath("static", name).read_bytes()
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    return Response(body, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)
