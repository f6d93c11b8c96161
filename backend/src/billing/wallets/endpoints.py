"""Balance, limits and events of the caller's wallet over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from billing.customers.access import Caller, request_id
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.wallets.access import Wallet
from billing.wallets.schemas import (
    BillingEventPage,
    BillingEventView,
    LimitsRequest,
    LimitsView,
    WalletBalanceView,
)

router = APIRouter(prefix="/api/v1/billing", tags=["wallets"])

_PAGE_SIZE = 50


@router.get("/balance")
async def show_balance(caller: Caller, wallet: Wallet) -> WalletBalanceView:
    """What the wallet holds now, lot by lot."""
    return WalletBalanceView.of(await wallet.balance(caller))


@router.get("/limits")
async def show_limits(caller: Caller, wallet: Wallet) -> LimitsView:
    """What bounds the account's spending, and how much of it is used."""
    return LimitsView.of(await wallet.limits_of(caller))


@router.put("/limits")
async def set_limits(body: LimitsRequest, request: Request, caller: Caller, wallet: Wallet) -> LimitsView:
    """Puts all limits in force at once; not by API key."""
    return LimitsView.of(await wallet.set_limits(caller, body.wanted(), request_id=request_id(request)))


@router.get("/events")
async def list_events(
    caller: Caller,
    wallet: Wallet,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = _PAGE_SIZE,
) -> BillingEventPage:
    """What the account has been told, newest first: caps that are nearly or wholly spent, a low balance."""
    page = await wallet.events_of(caller, cursor=cursor, limit=limit)
    return BillingEventPage(items=[BillingEventView.of(event) for event in page.rows], next_cursor=page.next_cursor)
