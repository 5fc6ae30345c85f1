"""The HTTP application: routes, errors, the event stream and the dashboard's files."""

from __future__ import annotations

from importlib import resources

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bellwether.gateway import backups, capsules, changes, reads, replay_reports, tracing, trading
from bellwether.gateway.feed import Feed, Full
from bellwether.gateway.gateway import Gateway
from bellwether.gateway.problems import Problem
from bellwether.gateway.routing import READ, add_error_answers, answer, gateway_of, let_in

_TYPES = {"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8"}
_FILES = ("index.html", "dashboard.js", "drawing.js", "news.js", "reports.html", "reports.js", "stream.js", "style.css")
# The page needs nothing from anywhere else, so nothing else is allowed.
_POLICY = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

router = APIRouter()


def make_app(gateway: Gateway, version: str) -> FastAPI:
    """Return the application of a gateway."""
    app = FastAPI(title="Bellwether", version=version, docs_url=None, redoc_url=None)
    app.state.gateway = gateway
    add_error_answers(app)
    parts = (reads, backups, capsules, changes, trading, tracing, replay_reports)
    for part in (*(each.router for each in parts), router):
        app.include_router(part)
    return app


class EventStream(Response):
    """What happens from now on, as server-sent events, to as many as may watch; others are refused at once."""

    def __init__(self, feed: Feed) -> None:
        super().__init__()
        self._feed = feed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the stream, or why there is none."""
        try:
            with self._feed.watching() as messages:
                headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
                await StreamingResponse(messages, media_type="text/event-stream", headers=headers)(scope, receive, send)
        except Full:
            words = f"{self._feed.limit} event streams are open, as many as there may be: close a page, or ask again"
            refused = answer(Problem(503, "TOO_MANY_STREAMS", words).body(), 503)
            refused.headers["Retry-After"] = "15"
            await refused(scope, receive, send)


@router.get("/v1/events", dependencies=READ)
async def events(request: Request) -> Response:
    """Stream what happens from now on, as server-sent events."""
    gateway = gateway_of(request)
    await gateway.listen()
    return EventStream(gateway.feed)


@router.get("/healthz")
async def healthz() -> Response:
    """Say that the gateway itself answers."""
    return answer({"status": "ok"})


@router.post("/v1/session", status_code=204)
async def session(request: Request) -> Response:
    """Let a browser in by a token it sends: it gets a cookie for looking and, if the token may, halting."""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return let_in(request, Response(status_code=204), given.strip() if scheme.lower() == "bearer" else "")


@router.get("/favicon.ico", include_in_schema=False)
async def favicon() -> Response:
    """There is none; the page brings its own."""
    return Response(status_code=204)


@router.get("/", include_in_schema=False)
async def index(request: Request, key: str | None = None) -> Response:
    """Return the dashboard; a token in the address lets the browser in once, and goes from the address."""
    if key is None:
        return _file("index.html")
    headers = {"Referrer-Policy": "no-referrer"}
    return let_in(request, RedirectResponse("./", status_code=303, headers=headers), key)


@router.get("/dashboard", include_in_schema=False)
async def dashboard() -> Response:
    """Lead to the dashboard."""
    return RedirectResponse("./", status_code=307)


@router.get("/reports", include_in_schema=False)
async def reports() -> Response:
    """Return the page of session reports."""
    return _file("reports.html")


@router.get("/static/{name}", include_in_schema=False)
async def static(name: str) -> Response:
    """Return one of the dashboard's files."""
    return _file(name)


def _file(name: str) -> Response:
    if name not in _FILES:
        raise Problem(404, "NOT_FOUND", f"the dashboard has no file {name}")
    body = resources.files("bellwether.gateway").joinpath("static", name).read_bytes()
    headers = {"Content-Security-Policy": _POLICY, "X-Content-Type-Options": "nosniff", "Cache-Control": "no-cache"}
    headers["Referrer-Policy"] = "no-referrer"
    return Response(body, media_type=_TYPES[name.rpartition(".")[2]], headers=headers)
