"""Routes of orders by hand, approvals, transfers and exports."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from bellwether.gateway.routing import OPERATE, READ, answer, gateway_of, read_model, relay
from bellwether.messages.trading import ApproveOrder, CancelOrder, ExecuteTrade, Export, Exported, Transfer

_PAGE = 2000
_BROKER_BUDGET = 25.0

router = APIRouter()


class TradeAsked(BaseModel):
    """An order by hand, for the next session."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    symbol: Annotated[str, Field(min_length=1, max_length=20)]
    action: Literal["BUY", "SELL"]
    quantity: Annotated[Decimal, Field(gt=0, le=10**9)]
    client_id: Annotated[str, Field(max_length=100, description="The same id never makes a second order.")] = ""


class ByWhom(BaseModel):
    """Who does it."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    by: Annotated[str, Field(min_length=1, max_length=60)] = "gateway"


class TransferAsked(BaseModel):
    """Cash for the simulated account (positive), or from it (negative)."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)
    amount: Decimal
    transfer_id: Annotated[str, Field(min_length=1, max_length=60, description="The same id counts once.")]
    note: Annotated[str, Field(max_length=200)] = ""


@router.post("/v1/trades", dependencies=OPERATE)
async def trade(request: Request) -> Response:
    """Queue an order by hand for the next session; `status` is executed only once it is filled."""
    asked = await read_model(request, TradeAsked)
    question = ExecuteTrade(asked.symbol, asked.action, asked.quantity, asked.client_id)
    return await relay(request, "paper-trading", "execute_trade", question)


@router.post("/v1/orders/{order_id}/approve", dependencies=OPERATE)
async def approve(request: Request, order_id: str) -> Response:
    """Allow an order that waits for approval."""
    question = ApproveOrder(order_id, (await read_model(request, ByWhom)).by)
    return await relay(request, "paper-trading", "approve_order", question)


@router.post("/v1/orders/{order_id}/cancel", dependencies=OPERATE)
async def cancel(request: Request, order_id: str) -> Response:
    """End an order that waits here, or ask the broker to end it."""
    question = CancelOrder(order_id, (await read_model(request, ByWhom)).by)
    return await relay(request, "paper-trading", "cancel_order", question, budget=_BROKER_BUDGET)


@router.post("/v1/transfers", dependencies=OPERATE)
async def transfer(request: Request) -> Response:
    """Put cash into the simulated account, or take it out; the answer is the account after it."""
    asked = await read_model(request, TransferAsked)
    return await relay(request, "paper-trading", "transfer", Transfer(asked.amount, asked.transfer_id, asked.note))


@router.post("/v1/reconcile", dependencies=OPERATE)
async def reconcile(request: Request) -> Response:
    """Compare positions with the broker now; symbols that differ are blocked, those that agree again are not."""
    return await relay(request, "paper-trading", "sync_positions", budget=_BROKER_BUDGET)


@router.get("/v1/export/{what}.csv", dependencies=READ)
async def export_csv(request: Request, what: Literal["trades", "lots"]) -> Response:
    """Return every fill, or every tax lot (first in, first out), as CSV."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    done = 0
    while True:
        page = await _page(request, Export(what, done, _PAGE))
        if done == 0:
            writer.writerow(page.columns)
        writer.writerows(page.rows)
        done += len(page.rows)
        if done >= page.total or not page.rows:
            break
    headers = {"Content-Disposition": f'attachment; filename="{what}.csv"', "Cache-Control": "no-store"}
    return Response(written.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


@router.get("/v1/export/{what}", dependencies=READ)
async def export_page(
    request: Request,
    what: Literal["trades", "lots"],
    skip: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=_PAGE)] = _PAGE,
) -> Response:
    """Return a part of the same table as JSON: columns, rows, and how many rows there are in all."""
    return answer(await _page(request, Export(what, skip, limit)))


async def _page(request: Request, question: Export) -> Exported:
    peers = gateway_of(request).peers
    return await peers.ask("paper-trading", "export", question, Exported, budget=_BROKER_BUDGET)
