"""The operators' desk over HTTP: odd holds, and the books at any past moment."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime

from billing.admin.access import Books, Holds
from billing.admin.rules import Oddity
from billing.admin.schemas import (
    AccountAtView,
    ChargeView,
    OddHoldList,
    OddHoldView,
    ReleaseRequest,
    SettleRequest,
    WalletAtView,
)
from billing.customers.access import Caller, request_id
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.pricing.schemas import MoneyView

router = APIRouter(prefix="/admin/billing", tags=["operators"])

_SHOWN = 100


@router.get("/holds")
async def list_odd_holds(
    caller: Caller,
    desk: Holds,
    oddity: Oddity | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = _SHOWN,
) -> OddHoldList:
    """Holds that are stuck or odd."""
    found = await desk.odd_holds(caller, oddity=oddity, limit=limit)
    return OddHoldList(items=[OddHoldView.of(odd) for odd in found])


@router.post("/holds/{hold_id}/settle")
async def settle_hold(hold_id: str, body: SettleRequest, request: Request, caller: Caller, desk: Holds) -> ChargeView:
    """Charges the hold's operation; the same amount again changes nothing."""
    charge = await desk.settle(caller, hold_id, body.money(), reason=body.reason, request_id=request_id(request))
    return ChargeView.of(charge)


@router.post("/holds/{hold_id}/release", status_code=204)
async def release_hold(hold_id: str, body: ReleaseRequest, request: Request, caller: Caller, desk: Holds) -> None:
    """Gives the hold back uncharged; released before, nothing changes."""
    await desk.release(caller, hold_id, reason=body.reason, request_id=request_id(request))


@router.get("/wallets/{wallet_id}/balance")
async def wallet_at(wallet_id: str, at: AwareDatetime, caller: Caller, desk: Books) -> WalletAtView:
    """What stood on the wallet's accounts at a past moment, that moment itself not counted."""
    return WalletAtView.of(wallet_id, at, await desk.wallet_at(caller, wallet_id, at))


@router.get("/accounts/{account}/balance")
async def account_at(account: str, at: AwareDatetime, caller: Caller, desk: Books) -> AccountAtView:
    """What stood on a system account at a past moment, that moment itself not counted."""
    balances = await desk.account_at(caller, account, at)
    return AccountAtView(account=account, at=at, balances=[MoneyView.of(balance) for balance in balances])
