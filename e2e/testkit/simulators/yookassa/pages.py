"""The pages for people: the payment page, where customers pay, and the state page, where operators look on."""

from pathlib import Path
from typing import Annotated, Any, Literal

import jinja2
from fastapi import APIRouter, Form, Query, status
from fastapi.responses import HTMLResponse, RedirectResponse

from testkit.simulators.notifications import DeliveryMode, Notifier
from testkit.simulators.yookassa.objects import PaymentStatus
from testkit.simulators.yookassa.refusals import InvalidRequest
from testkit.simulators.yookassa.requests import NewRefund
from testkit.simulators.yookassa.shop import CHECKOUT_PATH, Shop

_TEMPLATES = Path(__file__).parent / "templates"


def pages_router(shop: Shop, notifier: Notifier) -> APIRouter:
    """Routes for the payment page and the state page."""
    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    router = APIRouter(default_response_class=HTMLResponse)
    _add_payment_page(router, shop, templates)
    _add_state_page(router, shop, notifier, templates)
    return router


def _add_payment_page(router: APIRouter, shop: Shop, templates: jinja2.Environment) -> None:
    def page(payment_id: str, status_code: int) -> HTMLResponse:
        payment = shop.payment(payment_id)
        html = templates.get_template("payment.html").render(
            payment=payment.as_json(),
            return_url=payment.asked.return_url,
            is_payable=payment.status is PaymentStatus.PENDING,
        )
        return HTMLResponse(html, status_code=status_code)

    @router.get(CHECKOUT_PATH)
    async def show(order_id: Annotated[str, Query(alias="orderId")]) -> HTMLResponse:
        """The payment page; a payment that is over says so and leads back to the shop."""
        return page(order_id, status.HTTP_200_OK)

    @router.post(CHECKOUT_PATH)
    async def act(
        order_id: Annotated[str, Form(alias="orderId")], action: Annotated[Literal["pay", "decline", "abandon"], Form()]
    ) -> Any:
        """Does what the customer chose and sends them back to the shop; 409 and the page again if it is too late."""
        try:
            if action == "pay":
                shop.pay(order_id)
            elif action == "decline":
                shop.decline(order_id)
        except InvalidRequest:
            return page(order_id, status.HTTP_409_CONFLICT)
        return RedirectResponse(shop.payment(order_id).asked.return_url, status_code=status.HTTP_303_SEE_OTHER)


def _add_state_page(router: APIRouter, shop: Shop, notifier: Notifier, templates: jinja2.Environment) -> None:
    def back() -> RedirectResponse:
        return RedirectResponse("/", status_code=status.HTTP_303_SEE_OTHER)

    @router.get("/")
    async def show_state() -> HTMLResponse:
        """Payments, refunds and notifications, newest first."""
        html = templates.get_template("state.html").render(
            shop_id=shop.id,
            payments=[payment.as_json() for payment in reversed(shop.all_payments())],
            refunds=[refund.as_json() for refund in reversed(shop.all_refunds())],
            notifications=list(reversed(notifier.all())),
            mode=notifier.mode,
            modes=list(DeliveryMode),
            webhook=notifier.target,
        )
        return HTMLResponse(html)

    @router.post("/state/mode")
    async def set_mode(mode: Annotated[DeliveryMode, Form()]) -> RedirectResponse:
        """Changes what happens to new notifications."""
        notifier.mode = mode
        return back()

    @router.post("/state/notifications/{notification_id}/{action}")
    async def act(notification_id: str, action: Literal["deliver", "lose"]) -> RedirectResponse:
        """Delivers a notification (for the first time or again) or loses it."""
        if action == "lose":
            notifier.lose(notification_id)
        else:
            await notifier.repeat(notification_id, times=1, at_once=False)
        return back()

    @router.post("/state/payments/{payment_id}/refund")
    async def refund(payment_id: str) -> RedirectResponse:
        """Refunds all that is left of a payment, as from the cabinet."""
        shop.refund(NewRefund(payment_id, None))
        return back()
