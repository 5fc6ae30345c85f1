from __future__ import annotations

from pathlib import Path

import pytest

from bellwether.gateway.auth import TokenError, check_token, read_token
from bellwether.gateway.problems import Problem, status_of
from bellwether.gateway.server import HttpServer
from bellwether.gateway.settings import GatewaySettings
from bellwether.runtime.errors import StartRefused
from unit.gateway.conftest import Opened

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("content", "words"), [("", "0 characters"), ("short", "5 characters"), ("dötted-" * 4, "plain ASCII")]
)
def test_a_token_file_that_holds_no_token_is_told(tmp_path: Path, content: str, words: str) -> None:
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


def test_the_right_token_passes_and_no_other() -> None:
    check_token(f"Bearer {TOKEN}", TOKEN)
    check_token(f"bearer  {TOKEN} ", TOKEN)
    for header in (None, "", TOKEN, "Bearer", "Bearer é", f"Bearer {TOKEN}x"):
        with pytest.raises(Problem) as caught:
            check_token(header, TOKEN)
        assert caught.value.status == 401
    with pytest.raises(Problem, match="without a token"):
        check_token(f"Bearer {TOKEN}", None)


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


async def test_a_taken_port_is_told_in_words(gateway: Opened) -> None:
    port = gateway.http.base_url.port
    assert port is not None
    with pytest.raises(StartRefused, match=f"cannot listen on 127.0.0.1:{port}: another program listens there"):
        await HttpServer(None, "127.0.0.1", port).start()  # type: ignore[arg-type]
