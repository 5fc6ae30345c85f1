"""Keys of a system, derived and never stored: the same inputs give the same keys on any machine.

Every identity's NATS key and the gateway's token come from the installation's seed by HKDF-SHA256 (RFC 5869), with
the system's uid, the identity and the key generation as its context. Rotation is the next generation.
"""

from __future__ import annotations

import base64
import hmac

import nkeys

MINIMUM_SEED = 16
GATEWAY = "gateway-token"


def derive_seed(installation_seed: bytes, system_uid: str, identity: str, generation: int = 1) -> str:
    """Return an identity's NATS seed (an Ed25519 user nkey, `SU...`).

    Raises:
        ValueError: if the installation's seed is too short to be a secret, or the generation is below 1.
    """
    raw = _derive(installation_seed, system_uid, f"nats/{identity}", generation)
    return bytes(nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER)).decode()


def public_key(seed: str) -> str:
    """Return the public key (`U...`) of a NATS seed.

    Raises:
        ValueError: if it is not a user's seed.
    """
    if not seed.startswith("SU"):
        raise ValueError("a NATS user's seed begins with SU")
    pair = nkeys.from_seed(bytearray(seed.encode()))
    try:
        return bytes(pair.public_key).decode()
    finally:
        pair.wipe()


def gateway_token(installation_seed: bytes, system_uid: str, generation: int = 1) -> str:
    """Return the bearer token of the gateway: 43 characters that a URL and a header can hold."""
    raw = _derive(installation_seed, system_uid, GATEWAY, generation)
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def scoped_token(token: str, scope: str) -> str:
    """Return the token that opens one scope of a gateway: it follows from the gateway's own and does not lead to it."""
    mac = hmac.digest(token.encode(), f"bellwether gateway {scope}".encode(), "sha256")
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def _derive(installation_seed: bytes, system_uid: str, purpose: str, generation: int) -> bytes:
    if len(installation_seed) < MINIMUM_SEED:
        raise ValueError(f"the installation's seed has {len(installation_seed)} bytes: at least {MINIMUM_SEED} needed")
    if generation < 1:
        raise ValueError(f"key generation {generation}: the first is 1")
    # Lengths before the parts: no two contexts can read the same.
    parts = (b"bellwether", system_uid.encode(), purpose.encode(), str(generation).encode())
    info = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    # RFC 5869 without a salt, for one block of output. The library that has it takes 7 MB of every process.
    extracted = hmac.digest(bytes(32), installation_seed, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")
