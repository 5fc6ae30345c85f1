"""`bellwether ig check` against the stand-in: what a person is shown before the first order."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from harness.ig.account import Ticket
from harness.ig.lab import write_credentials
from harness.ig.markets import Market
from harness.ig.standin import API_KEY, PASSWORD, USERNAME, StandIn, standing_in

pytestmark = pytest.mark.integration

SYSTEM = """
apiVersion: bellwether.dev/v1alpha1
kind: TradingSystem
metadata: {name: shares}
spec:
  symbols: [CBA.AX, BHP.AX]
  data: {provider: csv, csv: {directory: .}}
  training: {gate: {mode: enforce}}
  trading:
    mode: ig-demo
    brokerSecretRef: {name: account}
    ig: {exclusiveAccount: true, requestsPerMinute: 60}
    instruments:
      CBA.AX: {epic: AA.D.CBA.CASH.IP}
      BHP.AX: {epic: AA.D.BHP.CASH.IP}
"""


@pytest.fixture
async def ig(tmp_path: Path) -> AsyncIterator[StandIn]:
    markets = [
        Market("AA.D.CBA.CASH.IP", "Commonwealth Bank of Australia", status="CLOSED"),
        Market("AA.D.BHP.CASH.IP", "BHP Group Ltd", currency="USD"),
    ]
    async with standing_in(tmp_path, markets) as found:
        yield found


async def check(ig: StandIn, folder: Path, *options: str, credentials: Path | None = None) -> tuple[int, str, str]:
    file = folder / "system.yaml"
    file.write_text(SYSTEM)
    environment = {
        **os.environ,
        "BELLWETHER_PROXY": ig.url,
        "BELLWETHER_CA_BUNDLE": str(ig.authority),
        "BELLWETHER_IG_CREDENTIALS": str(credentials or write_credentials(folder)),
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bellwether", "ig", "check", str(file), *options,
        env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await child.communicate()
    return child.returncode or 0, out.decode(), err.decode()


async def test_a_market_that_cannot_be_traded_and_a_foreign_position_are_reported(ig: StandIn, tmp_path: Path) -> None:
    ticket = Ticket("somebody", "AA.D.BHP.CASH.IP", "BUY", Decimal(3), "USD")
    ig.account.execute(ticket, ig.now(), status="TRADEABLE")
    code, out, err = await check(ig, tmp_path)
    assert (code, err) == (1, "")
    assert "account: AUD " in out
    assert "CBA.AX: AA.D.CBA.CASH.IP, Commonwealth Bank of Australia, AUD" in out
    assert "contract for difference on margin (20 %), no share" in out
    assert "the smallest order is 1 (points)" in out
    assert "now it is closed" in out
    assert "BHP.AX: cannot be traded" in out
    assert "it is traded in USD, trading.currency is AUD" in out
    assert "holds 3 BHP.AX" in out
    assert len(ig.account.deals) == 1


async def test_once_all_is_well_it_ends_with_0_and_programs_can_read_it(ig: StandIn, tmp_path: Path) -> None:
    ig.markets["AA.D.BHP.CASH.IP"].currency = "AUD"
    code, out, _ = await check(ig, tmp_path, "-o", "json")
    found = json.loads(out)
    assert (code, found["good"], sorted(found["instruments"])) == (0, True, ["BHP.AX", "CBA.AX"])
    assert found["instruments"]["CBA.AX"]["status"] == "CLOSED"


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"equity_refused": True}, "IG gives this account no share data"),
        ({"login": "invalid-details"}, "IG does not know this identifier and password"),
        ({"maintenance": True}, "IG is not available now"),
    ],
    ids=str,
)
async def test_a_refusal_is_reported_in_words_without_a_secret(
    ig: StandIn, tmp_path: Path, odd: dict[str, object], words: str
) -> None:
    ig.set(**odd)
    code, out, err = await check(ig, tmp_path)
    assert code == 1
    assert words in err
    assert not any(secret in out + err for secret in (API_KEY, USERNAME, PASSWORD))


async def test_an_account_that_the_login_does_not_have_is_reported(ig: StandIn, tmp_path: Path) -> None:
    code, _, err = await check(ig, tmp_path, credentials=write_credentials(tmp_path, accountId="NOPE1"))
    assert code == 1
    assert "the login has no account of this accountId" in err
