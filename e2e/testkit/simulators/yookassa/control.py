"""The control API of this simulator: what the payer, the cabinet and the network do; open to everybody on loopback."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response, status
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.yookassa.notifications import DeliveryMode, Notification, Notifier, WebhookTarget
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


class _Mode(_Body):
    mode: DeliveryMode


class _Release(_Body):
    ids: list[str] | None = None


class _Repeat(_Body):
    times: int = Field(default=1, ge=1, le=1000)
    at_once: bool = False


class _Wait(_Body):
    timeout_seconds: float = Field(default=10, ge=0, le=60)


class _Forgery(_Body):
    event: str
    object: dict[str, Any]
    target: WebhookTarget | None = None


def shop_router(shop: Shop, notifier: Notifier, *, start_over: Callable[[], None]) -> APIRouter:
    """Routes under `/control` for state, payments, refunds, the webhook and its notifications."""
    router = APIRouter(prefix="/control")
    _add_state(router, shop, notifier, start_over)
    _add_payer(router, shop)
    _add_webhook(router, notifier)
    _add_notifications(router, notifier)
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


def _add_webhook(router: APIRouter, notifier: Notifier) -> None:
    @router.get("/webhook")
    async def read_webhook() -> WebhookTarget | None:
        """Where notifications go."""
        return notifier.target

    @router.put("/webhook")
    async def set_webhook(target: WebhookTarget) -> WebhookTarget:
        """Sends notifications here from now on."""
        notifier.target = target
        return target

    @router.delete("/webhook", status_code=status.HTTP_204_NO_CONTENT)
    async def remove_webhook() -> Response:
        """Sends no notifications from now on."""
        notifier.target = None
        return Response(status_code=status.HTTP_204_NO_CONTENT)


def _add_notifications(router: APIRouter, notifier: Notifier) -> None:
    @router.get("/notifications")
    async def list_notifications() -> dict[str, Any]:
        """Every notification with its attempts, oldest first."""
        return {"mode": notifier.mode, "items": notifier.all()}

    @router.put("/notifications/mode")
    async def set_mode(wanted: _Mode) -> dict[str, Any]:
        """Says what happens to notifications from now on: `deliver`, `hold` or `lose`."""
        notifier.mode = wanted.mode
        return {"mode": notifier.mode}

    @router.post("/notifications/release")
    async def release(wanted: _Release | None = None) -> dict[str, Any]:
        """Delivers held notifications in the given order and answers when that is done."""
        return {"items": await notifier.release(wanted.ids if wanted else None)}

    @router.post("/notifications/wait")
    async def wait(wanted: _Wait | None = None) -> dict[str, Any]:
        """Answers when no notification is queued or under way."""
        idle = await notifier.wait_until_idle((wanted or _Wait()).timeout_seconds)
        return {"idle": idle, "items": notifier.all()}

    @router.post("/notifications/forge", status_code=status.HTTP_201_CREATED)
    async def forge(forgery: _Forgery) -> Notification:
        """Delivers a notification about something that never happened, once, from anywhere."""
        return await notifier.forge(forgery.event, forgery.object, target=forgery.target)

    @router.post("/notifications/{notification_id}/repeat")
    async def repeat(notification_id: str, wanted: _Repeat | None = None) -> Notification:
        """Delivers a notification again and answers when that is done."""
        wanted = wanted or _Repeat()
        return await notifier.repeat(notification_id, times=wanted.times, at_once=wanted.at_once)

    @router.post("/notifications/{notification_id}/lose")
    async def lose(notification_id: str) -> Notification:
        """Makes sure that a waiting notification never arrives by itself."""
        return notifier.lose(notification_id)
