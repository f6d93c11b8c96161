"""Reconciliation over HTTP, for operators: what differs, deciding about it, and what nothing finishes any more."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request

from billing.admin.desks import OperatorDesks
from billing.admin.reconciliation_desk import ReconciliationDesk
from billing.admin.reconciliation_schemas import (
    AdoptionRequest,
    AdoptionView,
    DecisionRequest,
    DecisionView,
    DifferenceList,
    DifferenceView,
    StuckList,
    StuckView,
)
from billing.customers.access import Caller, request_id
from billing.kit.http import service_of
from billing.kit.pagination import PAGE_SIZE_MAX
from billing.payments.comparison import DifferenceKind, Resolution

router = APIRouter(prefix="/admin/billing/payments", tags=["operators"])

_SHOWN = 100


def _reconciliation_desk(request: Request) -> ReconciliationDesk:
    return service_of(request, OperatorDesks).reconciliation


Desk = Annotated[ReconciliationDesk, Depends(_reconciliation_desk)]
Limit = Annotated[int, Query(ge=1, le=PAGE_SIZE_MAX)]


@router.get("")
async def list_payments(caller: Caller, desk: Desk, stuck: Literal["true", ""], limit: Limit = _SHOWN) -> StuckList:
    """The payments and refunds that need a person, oldest first; there is no other list, so that `stuck` is needed."""
    del stuck
    return StuckList(items=[StuckView.of(one) for one in await desk.stuck(caller, limit=limit)])


@router.get("/differences")
async def list_differences(
    caller: Caller,
    desk: Desk,
    kind: DifferenceKind | None = None,
    *,
    resolved: bool = False,
    limit: Limit = _SHOWN,
) -> DifferenceList:
    """What differs and nobody has decided about, or what has been decided; newest first."""
    found = await desk.differences(caller, kind=kind, is_open=not resolved, limit=limit)
    return DifferenceList(items=[DifferenceView.of(one) for one in found])


@router.post("/differences/{difference_id}/adopt")
async def adopt_difference(
    difference_id: str, body: AdoptionRequest, request: Request, caller: Caller, desk: Desk
) -> AdoptionView:
    """Makes our row of a payment that is missing here, and books what follows from it, once."""
    payment = await desk.adopt(
        caller, difference_id, subject=body.subject, reason=body.reason, request_id=request_id(request)
    )
    return AdoptionView.of(difference_id, payment, Resolution.ADOPTED.value)


@router.post("/differences/{difference_id}/accept")
async def accept_difference(
    difference_id: str, body: DecisionRequest, request: Request, caller: Caller, desk: Desk
) -> DecisionView:
    """Lets it stand as both sides say now; when either says something else, it is told again."""
    await desk.accept(caller, difference_id, reason=body.reason, request_id=request_id(request))
    return DecisionView(difference_id=difference_id, resolution=Resolution.ACCEPTED.value)


@router.post("/differences/{difference_id}/ignore")
async def ignore_difference(
    difference_id: str, body: DecisionRequest, request: Request, caller: Caller, desk: Desk
) -> DecisionView:
    """Declares its object none of our business, whatever becomes of it."""
    await desk.ignore(caller, difference_id, reason=body.reason, request_id=request_id(request))
    return DecisionView(difference_id=difference_id, resolution=Resolution.IGNORED.value)
