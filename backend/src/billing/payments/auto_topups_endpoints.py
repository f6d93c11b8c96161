"""The automatic top-up over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, status

from billing.customers.access import Caller, request_id
from billing.kit.http import service_of
from billing.payments.auto_topups import AutoTopups
from billing.payments.auto_topups_schemas import AutoTopupRequest, AutoTopupView

router = APIRouter(prefix="/api/v1/billing", tags=["payments"])


def _auto_topups(request: Request) -> AutoTopups:
    return service_of(request, AutoTopups)


Automatic = Annotated[AutoTopups, Depends(_auto_topups)]


@router.get("/auto-topup")
async def show_auto_topup(caller: Caller, auto_topups: Automatic) -> AutoTopupView:
    """How the account's automatic top-up stands, on or off."""
    return AutoTopupView.of(await auto_topups.get(caller))


@router.put("/auto-topup")
async def set_auto_topup(
    body: AutoTopupRequest, request: Request, caller: Caller, auto_topups: Automatic
) -> AutoTopupView:
    """Turns it on with these terms; not by API key."""
    standing = await auto_topups.set(
        caller,
        body.terms(),
        method_id=body.method_id,
        has_consented=body.consent,
        request_id=request_id(request),
    )
    return AutoTopupView.of(standing)


@router.delete("/auto-topup", status_code=status.HTTP_204_NO_CONTENT)
async def turn_off_auto_topup(request: Request, caller: Caller, auto_topups: Automatic) -> None:
    """Turns it off; not by API key."""
    await auto_topups.turn_off(caller, request_id=request_id(request))
