"""Where providers send their notifications; 200 means stored, and that it will be looked into, nothing more."""

from __future__ import annotations

from fastapi import APIRouter, status

from billing.webhooks.access import Inbox, StripeBody, YookassaBody
from billing.webhooks.rules import Provider

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post("/yookassa", status_code=status.HTTP_200_OK)
async def receive_yookassa(inbox: Inbox, body: YookassaBody) -> dict[str, str]:
    """Takes a notification of YooKassa."""
    await inbox.receive(Provider.YOOKASSA, body)
    return {"status": "accepted"}


@router.post("/stripe", status_code=status.HTTP_200_OK)
async def receive_stripe(inbox: Inbox, body: StripeBody) -> dict[str, str]:
    """Takes an event of Stripe."""
    await inbox.receive(Provider.STRIPE, body)
    return {"status": "accepted"}
