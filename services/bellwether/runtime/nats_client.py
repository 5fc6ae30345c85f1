"""nats-py, imported without what it does not need."""

from __future__ import annotations

import sys

# nats-py takes in aiohttp (10 MiB) where it is installed, for a websocket transport that is not used here.
_absent = "aiohttp" not in sys.modules
if _absent:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]
try:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription as ClientSubscription
    from nats.errors import Error as ClientError
    from nats.errors import MaxPayloadError, SlowConsumerError
finally:
    if _absent:
        del sys.modules["aiohttp"]

__all__ = ["Client", "ClientError", "ClientSubscription", "MaxPayloadError", "Msg", "SlowConsumerError"]
