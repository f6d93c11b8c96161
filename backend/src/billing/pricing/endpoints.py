"""The operators' rate cards over HTTP; behind the flag of the operators' console."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from billing.customers.access import Caller, request_id
from billing.kit.money import parse_currency
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.pricing.access import Desk, Sheet
from billing.pricing.rate_desk import WithdrawRate
from billing.pricing.rules import Modality, RateFilter, Standing, Unit
from billing.pricing.schemas import (
    BulkRequest,
    CreateRequest,
    ImportView,
    MissingRatesList,
    RateList,
    RatePage,
    SupersedeRequest,
    WithdrawRequest,
)

router = APIRouter(prefix="/admin/billing/rates", tags=["rates"])

SHEET_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_PAGE_SIZE = 50
_CURRENCIES_MAX = 20


def _filter(
    standing: Standing = Standing.IN_FORCE,
    model: str | None = None,
    modality: Modality | None = None,
    unit: Unit | None = None,
    currency: str | None = None,
    provider: str | None = None,
    *,
    active: bool | None = None,
) -> RateFilter:
    wanted_currency = None if currency is None else parse_currency(currency)
    return RateFilter(standing, model, modality, unit, wanted_currency, provider, active)


@router.get("")
async def list_rates(
    caller: Caller,
    desk: Desk,
    wanted: Annotated[RateFilter, Depends(_filter)],
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)] = _PAGE_SIZE,
) -> RatePage:
    """The rates in force, or those to come, or all that there ever were; newest first, page by page."""
    return RatePage.of(await desk.page(caller, wanted, cursor=cursor, limit=limit))


@router.get("/missing")
async def missing_rates(
    caller: Caller, desk: Desk, currency: Annotated[list[str] | None, Query(max_length=_CURRENCIES_MAX)] = None
) -> MissingRatesList:
    """The served models that cannot be called for want of a price, in these currencies or in that of the wallets."""
    return MissingRatesList.of(await desk.missing(caller, [parse_currency(code) for code in currency or []]))


@router.post("", status_code=201)
async def create_rate(request: Request, caller: Caller, desk: Desk, body: CreateRequest) -> RateList:
    """Gives a price to something that has none."""
    changes = [body.to_change()]
    return RateList.of(await desk.change(caller, changes, reason=body.reason, request_id=request_id(request)))


@router.post("/bulk")
async def change_rates(request: Request, caller: Caller, desk: Desk, body: BulkRequest) -> RateList:
    """Creates, supersedes and withdraws many rates at once: all or nothing, one entry in the audit trail."""
    changes = [change.to_change() for change in body.changes]
    return RateList.of(await desk.change(caller, changes, reason=body.reason, request_id=request_id(request)))


@router.get("/export")
async def export_rates(caller: Caller, desk: Desk) -> Response:
    """A spreadsheet of the last published rate of everything; it can be imported again."""
    return Response(
        await desk.export(caller),
        media_type=SHEET_TYPE,
        headers={"Content-Disposition": 'attachment; filename="rates.xlsx"', "Cache-Control": "no-store"},
    )


@router.post("/import/preview")
async def preview_import(caller: Caller, desk: Desk, sheet: Sheet) -> ImportView:
    """What importing the spreadsheet in the body would do; changes nothing."""
    return ImportView.of(await desk.preview(caller, sheet))


@router.post("/import/apply")
async def apply_import(
    request: Request, caller: Caller, desk: Desk, sheet: Sheet, token: str, reason: str
) -> ImportView:
    """Publishes the spreadsheet in the body whole, or not at all; `token` is that of its preview."""
    applied = await desk.apply(caller, sheet, token=token, reason=reason, request_id=request_id(request))
    return ImportView.of(applied)


@router.post("/{rate_id}/supersede")
async def supersede_rate(
    request: Request, caller: Caller, desk: Desk, rate_id: str, body: SupersedeRequest
) -> RateList:
    """Puts another price in the place of this one, now or from a moment on."""
    changes = [body.of_rate(rate_id)]
    return RateList.of(await desk.change(caller, changes, reason=body.reason, request_id=request_id(request)))


@router.post("/{rate_id}/withdraw")
async def withdraw_rate(request: Request, caller: Caller, desk: Desk, rate_id: str, body: WithdrawRequest) -> RateList:
    """Ends this price now, and those of the same kind that were still to come."""
    changes = [WithdrawRate(rate_id)]
    return RateList.of(await desk.change(caller, changes, reason=body.reason, request_id=request_id(request)))
