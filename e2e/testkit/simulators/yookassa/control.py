"""The control API of this simulator: what the payer, the cabinet and the network do; open to everybody on loopback."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict

from testkit.simulators.notifications import Notifier
from testkit.simulators.notifications_control import notifications_router
from testkit.simulators.yookassa.money import amount_from
from testkit.simulators.yookassa.objects import Cancellation
from testkit.simulators.yookassa.receipts import ReceiptMode
from testkit.simulators.yookassa.refunds import RefundMode
from testkit.simulators.yookassa.requests import NewRefund
from testkit.simulators.yookassa.shop import DECLINED, Shop


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Decline(_Body):
    party: str = DECLINED.party
    reason: str = DECLINED.reason


class _Pay(_Body):
    three_d_secure: bool = False


class _Refusal(_Body):
    reason: str = "insufficient_funds"


class _RefundMode(_Body):
    mode: RefundMode


class _ReceiptMode(_Body):
    mode: ReceiptMode


class _CabinetRefund(_Body):
    payment_id: str
    amount: dict[str, str] | None = None


def shop_router(shop: Shop, notifier: Notifier, *, start_over: Callable[[], None]) -> APIRouter:
    """Routes under `/control` for state, payments, saved methods, refunds, receipts and notifications."""
    router = APIRouter(prefix="/control")
    _add_state(router, shop, notifier, start_over)
    _add_payer(router, shop)
    _add_methods(router, shop)
    _add_refunds(router, shop)
    _add_receipts(router, shop)
    router.include_router(notifications_router(notifier))
    return router


def _add_state(router: APIRouter, shop: Shop, notifier: Notifier, start_over: Callable[[], None]) -> None:
    @router.get("/state")
    async def read_state() -> dict[str, Any]:
        """Everything the simulator knows, oldest first; payments, refunds and receipts in the API's own shape."""
        return {
            "shop_id": shop.id,
            "payments": [payment.as_json() for payment in shop.all_payments()],
            "refunds": [refund.as_json() for refund in shop.refunds.all()],
            "receipts": [receipt.as_json() for receipt in shop.receipts.all()],
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
    async def pay(payment_id: str, how: _Pay | None = None) -> dict[str, Any]:
        """The customer pays, without opening the page."""
        return shop.pay(payment_id, is_proven=(how or _Pay()).three_d_secure).as_json()

    @router.post("/payments/{payment_id}/decline")
    async def decline(payment_id: str, why: _Decline | None = None) -> dict[str, Any]:
        """The customer's bank refuses."""
        why = why or _Decline()
        return shop.decline(payment_id, Cancellation(why.party, why.reason)).as_json()

    @router.post("/payments/{payment_id}/expire")
    async def expire(payment_id: str) -> dict[str, Any]:
        """The hour for paying is over."""
        return shop.expire_now(payment_id).as_json()


def _add_methods(router: APIRouter, shop: Shop) -> None:
    @router.post("/payment_methods/{method_id}/refuse")
    async def refuse(method_id: str, why: _Refusal | None = None) -> dict[str, Any]:
        """The bank refuses every charge of this saved method from now on."""
        method = shop.methods.set_refusal(method_id, (why or _Refusal()).reason)
        return {"id": method.id, "refusal": method.refusal}

    @router.post("/payment_methods/{method_id}/accept")
    async def accept(method_id: str) -> dict[str, Any]:
        """The bank accepts charges of this saved method again."""
        method = shop.methods.set_refusal(method_id, None)
        return {"id": method.id, "refusal": method.refusal}


def _add_refunds(router: APIRouter, shop: Shop) -> None:
    @router.post("/refunds", status_code=status.HTTP_201_CREATED)
    async def refund_in_the_cabinet(asked: _CabinetRefund) -> dict[str, Any]:
        """Somebody refunds in the provider's cabinet; without an amount, all that is left."""
        amount = None if asked.amount is None else amount_from(asked.amount)
        return shop.refund(NewRefund(asked.payment_id, amount)).as_json()

    @router.put("/refunds/mode")
    async def set_refund_mode(wanted: _RefundMode) -> dict[str, Any]:
        """Says what becomes of refunds from now on: `succeed` or `wait`."""
        shop.refunds.mode = wanted.mode
        return {"mode": wanted.mode}

    @router.post("/refunds/{refund_id}/succeed")
    async def succeed(refund_id: str) -> dict[str, Any]:
        """A pending refund reaches the customer."""
        return shop.end_refund(refund_id, is_good=True).as_json()

    @router.post("/refunds/{refund_id}/cancel")
    async def cancel(refund_id: str) -> dict[str, Any]:
        """The customer's bank does not take the money of a pending refund."""
        return shop.end_refund(refund_id, is_good=False).as_json()


def _add_receipts(router: APIRouter, shop: Shop) -> None:
    @router.put("/receipts/mode")
    async def set_receipt_mode(wanted: _ReceiptMode) -> dict[str, Any]:
        """Says what becomes of receipts from now on: `succeed`, `wait` or `cancel`."""
        shop.receipts.mode = wanted.mode
        return {"mode": wanted.mode}

    @router.post("/receipts/{receipt_id}/succeed")
    async def register(receipt_id: str) -> dict[str, Any]:
        """The cash register takes a pending receipt."""
        return shop.receipts.end(receipt_id, is_good=True).as_json()

    @router.post("/receipts/{receipt_id}/cancel")
    async def refuse_receipt(receipt_id: str) -> dict[str, Any]:
        """The cash register refuses a pending receipt."""
        return shop.receipts.end(receipt_id, is_good=False).as_json()
