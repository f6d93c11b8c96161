"""The control API of this simulator: what the payer, the cabinet and the network do; open to everybody on loopback."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict

from testkit.simulators.notifications import Notifier
from testkit.simulators.notifications_control import notifications_router
from testkit.simulators.yookassa.objects import Cancellation
from testkit.simulators.yookassa.requests import NewRefund, amount_from
from testkit.simulators.yookassa.shop import DECLINED, Shop


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Decline(_Body):
    party: str = DECLINED.party
    reason: str = DECLINED.reason


class _CabinetRefund(_Body):
    payment_id: str
    amount: dict[str, str] | None = None


def shop_router(shop: Shop, notifier: Notifier, *, start_over: Callable[[], None]) -> APIRouter:
    """Routes under `/control` for state, payments, refunds, the webhook and its notifications."""
    router = APIRouter(prefix="/control")
    _add_state(router, shop, notifier, start_over)
    _add_payer(router, shop)
    router.include_router(notifications_router(notifier))
    return router


def _add_state(router: APIRouter, shop: Shop, notifier: Notifier, start_over: Callable[[], None]) -> None:
    @router.get("/state")
    async def read_state() -> dict[str, Any]:
        """Everything the simulator knows, oldest first; payments and refunds in the API's own shape."""
        return {
            "shop_id": shop.id,
            "payments": [payment.as_json() for payment in shop.all_payments()],
            "refunds": [refund.as_json() for refund in shop.all_refunds()],
            "notifications": notifier.all(),
            "mode": notifier.mode,
            "webhook": notifier.target,
        }

    @router.post("/reset")
    async def reset() -> dict[str, Any]:
        """Forgets everything; the webhook is the one of the start again. The clock stays: it never goes back."""
        start_over()
        return {"reset": True}


def _add_payer(router: APIRouter, shop: Shop) -> None:
    @router.post("/payments/{payment_id}/pay")
    async def pay(payment_id: str) -> dict[str, Any]:
        """The customer pays, without opening the page."""
        return shop.pay(payment_id).as_json()

    @router.post("/payments/{payment_id}/decline")
    async def decline(payment_id: str, why: _Decline | None = None) -> dict[str, Any]:
        """The customer's bank refuses."""
        why = why or _Decline()
        return shop.decline(payment_id, Cancellation(why.party, why.reason)).as_json()

    @router.post("/payments/{payment_id}/expire")
    async def expire(payment_id: str) -> dict[str, Any]:
        """The hour for paying is over."""
        return shop.expire_now(payment_id).as_json()

    @router.post("/refunds", status_code=status.HTTP_201_CREATED)
    async def refund_in_the_cabinet(asked: _CabinetRefund) -> dict[str, Any]:
        """Somebody refunds in the provider's cabinet; without an amount, all that is left."""
        amount = None if asked.amount is None else amount_from(asked.amount)
        return shop.refund(NewRefund(asked.payment_id, amount)).as_json()
