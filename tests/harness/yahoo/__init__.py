"""A stand-in for Yahoo Finance: a proxy with a certificate authority of its own, behind which unmodified yfinance finds
made-up bars.

    async with standing_in(folder, shares) as yahoo:
        yahoo.switches = replace(yahoo.switches, rate_limited=True)
        ...
        assert yahoo.requests("chart") == 2

By hand: `make yahoo` (docs/operations.md). Every price is made up and says so in the share's name.
"""

from __future__ import annotations

from harness.yahoo.answers import Article
from harness.yahoo.shares import Share, default_shares
from harness.yahoo.standin import Request, StandIn, standing_in
from harness.yahoo.switches import Switches

__all__ = ["Article", "Request", "Share", "StandIn", "Switches", "default_shares", "standing_in"]
