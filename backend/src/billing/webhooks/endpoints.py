"""Where providers send their notifications."""

from __future__ import annotations

from fastapi import APIRouter, status

from billing.webhooks.access import Inbox, TrustedBody

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post("/yookassa", status_code=status.HTTP_200_OK)
async def receive_yookassa(inbox: Inbox, body: TrustedBody) -> dict[str, str]:
    """Takes a notification of YooKassa; 200 means that it is stored and will be looked into, nothing more."""
    await inbox.receive("yookassa", body)
    return {"status": "accepted"}
