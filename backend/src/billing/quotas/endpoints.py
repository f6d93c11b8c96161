"""The free quota over HTTP: what an account sees of it, and what operators decide about it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request

from billing.customers.access import Caller, request_id
from billing.quotas.access import Quotas
from billing.quotas.schemas import (
    BurnOrderView,
    FreeLimitsView,
    FreeTermsChange,
    FreeTermsView,
    StartsReportView,
)

router = APIRouter(prefix="/api/v1/billing", tags=["quotas"])
admin_router = APIRouter(prefix="/admin/billing/free-quota", tags=["operators"])

_REPORT_DAYS_MAX = 30


@router.get("/free-limits")
async def free_limits(caller: Caller, quotas: Quotas) -> FreeLimitsView:
    """What the caller's account may use for free, and what of it is left."""
    return FreeLimitsView.of(await quotas.free_limits(caller))


@router.get("/free-limits/burn-order")
async def burn_order(caller: Caller, quotas: Quotas) -> BurnOrderView:
    """What the caller's account spends first."""
    return BurnOrderView(burn_order=await quotas.burn_order_of(caller))


@router.put("/free-limits/burn-order")
async def set_burn_order(body: BurnOrderView, request: Request, caller: Caller, quotas: Quotas) -> BurnOrderView:
    """Chooses what the caller's account spends first, from its next call on."""
    await quotas.set_burn_order(caller, body.burn_order, request_id=request_id(request))
    return body


@admin_router.get("")
async def terms_in_force(caller: Caller, quotas: Quotas) -> FreeTermsView:
    """The terms in force and their version, which is 0 while there are none."""
    version, terms = await quotas.terms_in_force(caller)
    return FreeTermsView.of(version, terms)


@admin_router.put("")
async def change_terms(body: FreeTermsChange, request: Request, caller: Caller, quotas: Quotas) -> FreeTermsView:
    """Puts new terms in force everywhere, if the version that the operator has seen still is."""
    version = await quotas.change_terms(
        caller,
        body.terms(),
        expected_version=body.expected_version,
        reason=body.reason,
        request_id=request_id(request),
    )
    return FreeTermsView.of(version, body.terms())


@admin_router.get("/starts")
async def starts(
    caller: Caller, quotas: Quotas, days: Annotated[int, Query(ge=1, le=_REPORT_DAYS_MAX)] = 7
) -> StartsReportView:
    """From which networks people have begun lately, and where and how often somebody was refused."""
    return StartsReportView.of(await quotas.starts_report(caller, days=days))
