"""The free quota over HTTP."""

from __future__ import annotations

from fastapi import APIRouter

from billing.customers.access import Caller
from billing.quotas.access import Quotas
from billing.quotas.schemas import FreeLimitsView

router = APIRouter(prefix="/api/v1/billing", tags=["quotas"])


@router.get("/free-limits")
async def free_limits(caller: Caller, quotas: Quotas) -> FreeLimitsView:
    """What the caller's account may use for free, and what of it is left."""
    return FreeLimitsView.of(await quotas.free_limits(caller))
