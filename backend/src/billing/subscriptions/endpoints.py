"""Plans over HTTP."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response, status

from billing.customers.access import Caller, request_id
from billing.payments.access import IdempotencyKey
from billing.subscriptions.access import Subscriptions
from billing.subscriptions.schemas import (
    CancelRequest,
    PlanList,
    PlanView,
    PurchaseRequest,
    PurchaseView,
    RenewRequest,
    ResumeRequest,
    SubscriptionView,
    When,
)
from billing.subscriptions.service import Purchase, PurchaseStatus

router = APIRouter(prefix="/api/v1/billing", tags=["plans"])


@router.get("/plans")
async def list_plans(subscriptions: Subscriptions) -> PlanList:
    """The plans that can be bought."""
    return PlanList(items=[PlanView.of(plan) for plan in await subscriptions.offer()])


@router.get("/subscription")
async def show_subscription(caller: Caller, subscriptions: Subscriptions) -> SubscriptionView:
    """What the caller's account has paid for, and what becomes of it."""
    return SubscriptionView.of(await subscriptions.standing(caller))


@router.post("/subscription", status_code=status.HTTP_201_CREATED)
async def buy_plan(
    body: PurchaseRequest,
    request: Request,
    response: Response,
    caller: Caller,
    subscriptions: Subscriptions,
    key: IdempotencyKey,
) -> PurchaseView:
    """Begins the payment for one period; 202 means that it is not certain yet, and that asking again finishes it."""
    purchase = await subscriptions.buy(
        caller, body.plan, body.order(), idempotency_key=key, request_id=request_id(request)
    )
    return _shown(purchase, response)


@router.post("/subscription/renew", status_code=status.HTTP_201_CREATED)
async def renew_plan(
    body: RenewRequest,
    request: Request,
    response: Response,
    caller: Caller,
    subscriptions: Subscriptions,
    key: IdempotencyKey,
) -> PurchaseView:
    """Begins the payment for one more period behind all that is paid; 202 as for a purchase."""
    purchase = await subscriptions.renew(caller, body.order(), idempotency_key=key, request_id=request_id(request))
    return _shown(purchase, response)


@router.post("/subscription/cancel")
async def cancel_plan(
    body: CancelRequest, request: Request, caller: Caller, subscriptions: Subscriptions
) -> SubscriptionView:
    """Ends the plan now, or lets what is paid run to its end."""
    is_now = body.when is When.NOW
    return SubscriptionView.of(await subscriptions.cancel(caller, is_now=is_now, request_id=request_id(request)))


@router.post("/subscription/resume")
async def resume_plan(
    body: ResumeRequest, request: Request, caller: Caller, subscriptions: Subscriptions
) -> SubscriptionView:
    """Lets a plan that still runs renew itself from now on."""
    resumed = await subscriptions.resume(caller, method_id=body.method_id, request_id=request_id(request))
    return SubscriptionView.of(resumed)


@router.get("/subscription/payments/{payment_id}")
async def show_plan_payment(payment_id: str, caller: Caller, subscriptions: Subscriptions) -> PurchaseView:
    """A plan payment as our books have it."""
    return PurchaseView.of(await subscriptions.purchase(caller, payment_id))


@router.post("/subscription/payments/{payment_id}/reconcile")
async def reconcile_plan_payment(payment_id: str, caller: Caller, subscriptions: Subscriptions) -> PurchaseView:
    """Asks the provider about this payment and grants what was paid."""
    return PurchaseView.of(await subscriptions.reconcile(caller, payment_id))


def _shown(purchase: Purchase, response: Response) -> PurchaseView:
    if purchase.status is PurchaseStatus.PROCESSING:
        response.status_code = status.HTTP_202_ACCEPTED
    return PurchaseView.of(purchase)
