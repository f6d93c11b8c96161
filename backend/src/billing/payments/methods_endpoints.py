"""Saved payment methods over HTTP."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request, status

from billing.customers.access import Caller, request_id
from billing.kit.http import service_of
from billing.payments.methods import SavedMethods
from billing.payments.methods_schemas import PaymentMethodList, PaymentMethodView

router = APIRouter(prefix="/api/v1/billing", tags=["payments"])


def _methods(request: Request) -> SavedMethods:
    return service_of(request, SavedMethods)


Methods = Annotated[SavedMethods, Depends(_methods)]


@router.get("/payment-methods")
async def list_methods(caller: Caller, methods: Methods) -> PaymentMethodList:
    """What the account can be charged with without anybody's doing, newest first."""
    found = await methods.methods_of(caller)
    return PaymentMethodList(items=[PaymentMethodView.of(method) for method in found])


@router.delete("/payment-methods/{method_id}", status_code=status.HTTP_204_NO_CONTENT)
async def remove_method(method_id: str, request: Request, caller: Caller, methods: Methods) -> None:
    """Takes back the consent to a saved method; an automatic top-up that pays with it is turned off."""
    await methods.remove(caller, method_id, request_id=request_id(request))
