"""Where buyers of plans come back to from the provider's page."""

from __future__ import annotations

from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Request, Response

from billing.customers.access import Caller
from billing.customers.rules import Principal
from billing.kit.http import service_of
from billing.pages.access import Html, PageRoute, frame_of
from billing.payments.errors import PaymentsNotConfigured, PaymentUnderReview, ProviderFailure
from billing.subscriptions.service import Purchase, SubscriptionService

_log = structlog.get_logger(__name__)

router = APIRouter(route_class=PageRoute, include_in_schema=False)


def _subscriptions(request: Request) -> SubscriptionService:
    return service_of(request, SubscriptionService)


@router.get("/billing/plan/{payment_id}/return")
async def return_from_plan_payment(
    request: Request,
    caller: Caller,
    html: Html,
    subscriptions: Annotated[SubscriptionService, Depends(_subscriptions)],
    payment_id: str,
) -> Response:
    """Asks the provider about exactly this payment, and says what came of it and until when the plan is paid."""
    purchase = await _up_to_date(subscriptions, caller, payment_id)
    standing = await subscriptions.standing(caller)
    frame = frame_of(request, caller, section=None)
    return html.page("plan_return.html", frame=frame, purchase=purchase, paid_until=standing.paid_until)


async def _up_to_date(subscriptions: SubscriptionService, caller: Principal, payment_id: str) -> Purchase:
    try:
        return await subscriptions.reconcile(caller, payment_id)
    except (PaymentUnderReview, ProviderFailure, PaymentsNotConfigured) as failure:
        # Our books say what is known; the notification or the next check finishes the payment.
        _log.warning("plan_payment_not_reconciled", payment_id=payment_id, code=failure.code)
        return await subscriptions.purchase(caller, payment_id)
