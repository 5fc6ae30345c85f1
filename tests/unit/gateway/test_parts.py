from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from bellwether.gateway.auth import (
    Scope,
    TokenError,
    check,
    cookie_name,
    page_token,
    read_token,
    scopes_of,
)
from bellwether.gateway.problems import Problem, status_of
from bellwether.gateway.service import HttpServer
from bellwether.gateway.settings import GatewaySettings
from bellwether.render.keys import scoped_token
from bellwether.runtime.errors import StartRefused
from unit.gateway.conftest import Opened

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "words"), [("", "0 characters"), ("short", "5 characters"), ("dötted-" * 4, "plain ASCII")]
)
def test_a_token_file_that_holds_no_token_is_reported(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "gateway.token"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(TokenError, match=words):
        read_token(path)


def test_a_token_file_is_read_without_white_space(tmp_path: Path) -> None:
    path = tmp_path / "gateway.token"
    path.write_text(f"{TOKEN}\n")
    assert read_token(path) == TOKEN
    with pytest.raises(TokenError, match="No such file"):
        read_token(tmp_path / "none")


def asked(needed: Scope, token: str | None = TOKEN, **headers: str) -> int:
    """Return the status with which a request without a cookie is refused; 0: it is let in."""
    try:
        check(needed, method="POST", headers=headers, cookies={}, token=token)
    except Problem as problem:
        return problem.status
    return 0


def test_the_right_token_passes_and_no_other() -> None:
    assert asked(Scope.OPERATE, authorization=f"Bearer {TOKEN}") == 0
    assert asked(Scope.OPERATE, authorization=f"bearer  {TOKEN} ") == 0
    for header in ("", TOKEN, "Bearer", "Bearer é", f"Bearer {TOKEN}x", f"Basic {TOKEN}"):
        assert asked(Scope.READ, authorization=header) == 401
    assert asked(Scope.READ) == 401
    with pytest.raises(Problem, match="without a token"):
        check(Scope.READ, method="GET", headers={"authorization": f"Bearer {TOKEN}"}, cookies={}, token=None)


def test_each_token_opens_its_scope_and_no_other() -> None:
    may = {
        name: {scope for scope in Scope if asked(scope, authorization=f"Bearer {token}") == 0}
        for name, token in {"all": TOKEN, **{each: scoped_token(TOKEN, each) for each in ("halt", "read")}}.items()
    }
    assert may == {"all": set(Scope), "halt": {Scope.READ, Scope.HALT}, "read": {Scope.READ}}
    assert asked(Scope.HALT, authorization=f"Bearer {scoped_token(TOKEN, 'read')}") == 403
    assert asked(Scope.READ, authorization=f"Bearer {scoped_token(TOKEN, 'operate')}") == 401


@pytest.mark.parametrize(
    ("method", "origin", "lets_in"),
    [
        ("GET", None, True),
        ("POST", "http://127.0.0.1:8080", True),
        ("POST", None, False),
        ("POST", "http://127.0.0.1:9090", False),
        ("POST", "null", False),
        ("POST", "https://evil.example", False),
    ],
)
def test_the_pages_cookie_does_something_only_from_its_own_page(method: str, origin: str | None, lets_in: bool) -> None:
    headers = {"host": "127.0.0.1:8080", **({} if origin is None else {"origin": origin})}
    cookies = {cookie_name(TOKEN): page_token(TOKEN, TOKEN)}
    refused = contextlib.nullcontext() if lets_in else pytest.raises(Problem, match="send one as")
    with refused:
        check(Scope.READ, method=method, headers=headers, cookies=cookies, token=TOKEN)


def test_the_pages_cookie_never_opens_more_than_looking_and_halting() -> None:
    assert scopes_of(page_token(TOKEN, TOKEN), TOKEN) == {Scope.READ, Scope.HALT}
    assert scopes_of(page_token(scoped_token(TOKEN, "read"), TOKEN), TOKEN) == {Scope.READ}
    with pytest.raises(Problem, match="no token of this gateway"):
        page_token("another", TOKEN)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_PARAMS", 422),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
        ("UNKNOWN_SYMBOL", 404),
        ("NO_PREDICTION", 404),
        ("NOT_A_SLOT", 404),
        ("MODEL_LOOKAHEAD", 409),
        ("INTERNAL", 502),
    ],
)
def test_each_kind_of_error_has_its_status(code: str, status: int) -> None:
    assert status_of(code) == status


@pytest.mark.parametrize(
    ("variable", "value"),
    [("BELLWETHER_GATEWAY_PORT", "eighty"), ("BELLWETHER_TRACE_KEEP_RATIO", "2"), ("BELLWETHER_TRACE_BYTES", "5")],
)
def test_a_bad_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{variable}='{value}': must be a number from"):
        GatewaySettings.from_environment({variable: value})


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(TOKEN)
    found = GatewaySettings.from_environment(
        {"BELLWETHER_GATEWAY_TOKEN_FILE": str(tmp_path / "t"), "BELLWETHER_GATEWAY_PORT": "9090"}
    )
    assert (found.token, found.port) == (TOKEN, 9090)


async def test_a_taken_port_is_reported_in_words(gateway: Opened) -> None:
    port = gateway.http.base_url.port
    assert port is not None
    with pytest.raises(StartRefused, match=f"cannot listen on 127.0.0.1:{port}: another program listens there"):
        await HttpServer(None, "127.0.0.1", port).start()  # type: ignore[arg-type]
