"""The record of usage over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from billing.customers.access import Caller
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.usage.access import Usage
from billing.usage.schemas import UsagePage

router = APIRouter(prefix="/api/v1/billing", tags=["usage"])

_PAGE_SIZE = 50


@router.get("/usage")
async def list_usage(
    caller: Caller,
    usage: Usage,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = _PAGE_SIZE,
) -> UsagePage:
    """The account's operations, newest first, page by page."""
    return UsagePage.of(await usage.page(caller, cursor=cursor, limit=limit))
