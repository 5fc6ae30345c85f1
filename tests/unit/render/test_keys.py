from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bellwether.render.keys import gateway_token, scoped_token

SEED = b"an installation's seed of 32 byte"


@pytest.mark.parametrize(("uid", "generation"), [("", 1), ("6f1f", 1), ("6f1f", 2), ("x" * 64, 17)])
def test_a_key_is_what_the_library_derives_from_the_same_seed_and_context(uid: str, generation: int) -> None:
    parts = (b"bellwether", uid.encode(), b"gateway-token", str(generation).encode())
    info = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    expected = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(SEED)
    assert gateway_token(SEED, uid, generation) == base64.urlsafe_b64encode(expected).rstrip(b"=").decode()


def test_a_scope_s_token_is_a_code_of_authentication_over_its_name() -> None:
    token = gateway_token(SEED, "6f1f")
    mac = HMAC(token.encode(), SHA256())
    mac.update(b"bellwether gateway read")
    assert scoped_token(token, "read") == base64.urlsafe_b64encode(mac.finalize()).rstrip(b"=").decode()
    assert scoped_token(token, "read") != scoped_token(token, "halt")
