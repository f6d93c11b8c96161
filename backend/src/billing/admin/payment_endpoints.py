"""Payments over HTTP, for operators: one payment with all that became of it, refunds, and who is flagged."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response, status

from billing.admin.desks import OperatorDesks
from billing.admin.payment_desk import PaymentDesk
from billing.admin.payment_schemas import DisputeList, DisputeView, PaymentFileView, RefundRequest, RefundView
from billing.customers.access import Caller, request_id
from billing.customers.rules import AccountId
from billing.kit.http import service_of
from billing.payments.rules import RefundState

router = APIRouter(prefix="/admin/billing", tags=["operators"])


def _payment_desk(request: Request) -> PaymentDesk:
    return service_of(request, OperatorDesks).payments


Payments = Annotated[PaymentDesk, Depends(_payment_desk)]


@router.get("/payments/{payment_id}")
async def show_payment(payment_id: str, caller: Caller, desk: Payments) -> PaymentFileView:
    """One payment with its refunds and disputes."""
    return PaymentFileView.of(await desk.payment(caller, payment_id))


@router.post("/payments/{payment_id}/refunds", status_code=status.HTTP_201_CREATED)
async def refund_payment(
    payment_id: str,
    body: RefundRequest,
    request: Request,
    response: Response,
    caller: Caller,
    desk: Payments,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> RefundView:
    """Gives money back; 202 means that the provider has not confirmed it yet, and that it ends by itself."""
    refund = await desk.refund(
        caller,
        payment_id,
        body.money(),
        is_overdraft=body.overdraft,
        reason=body.reason,
        request_id=request_id(request),
        key=idempotency_key,
    )
    if refund.state in {RefundState.CREATED, RefundState.PENDING}:
        response.status_code = status.HTTP_202_ACCEPTED
    return RefundView.of(refund)


@router.get("/accounts/{account_id}/disputes")
async def list_disputes(account_id: str, caller: Caller, desk: Payments) -> DisputeList:
    """The disputes that flag an account: those that are open or lost."""
    found = await desk.standing_disputes(caller, AccountId(account_id))
    return DisputeList(items=[DisputeView.of(dispute) for dispute in found])
