"""Top-ups over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, status

from billing.customers.access import Caller, request_id
from billing.kit.money import Money, parse_currency
from billing.payments.access import IdempotencyKey, Topups
from billing.payments.receipts import parse_contact
from billing.payments.schemas import TopupOfferView, TopupRequest, TopupView
from billing.payments.service import TopupStatus

router = APIRouter(prefix="/api/v1/billing", tags=["payments"])


@router.get("/topup-offer")
async def show_offer(topups: Topups) -> TopupOfferView:
    """What can be topped up here."""
    return TopupOfferView.of(topups.offer)


@router.post("/topups", status_code=status.HTTP_201_CREATED)
async def start_topup(
    body: TopupRequest, request: Request, response: Response, caller: Caller, topups: Topups, key: IdempotencyKey
) -> TopupView:
    """Begins a top-up; 202 means that it is not certain yet, and that asking again with the same key finishes it."""
    topup = await topups.start(
        caller,
        amount=Money.from_decimal(body.amount, parse_currency(body.currency)),
        return_to=body.return_to,
        return_url=body.return_url,
        saves_method=body.saves_method,
        contact=parse_contact(body.contact_email, body.contact_phone),
        idempotency_key=key,
        request_id=request_id(request),
    )
    if topup.status is TopupStatus.PROCESSING:
        response.status_code = status.HTTP_202_ACCEPTED
    return TopupView.of(topup)


@router.get("/topups/{payment_id}")
async def show_topup(payment_id: str, caller: Caller, topups: Topups) -> TopupView:
    """A top-up as our books have it."""
    return TopupView.of(await topups.get(caller, payment_id))


@router.post("/topups/{payment_id}/reconcile")
async def reconcile_topup(payment_id: str, caller: Caller, topups: Topups) -> TopupView:
    """Asks the provider about this top-up and books what it says."""
    return TopupView.of(await topups.reconcile(caller, payment_id))
