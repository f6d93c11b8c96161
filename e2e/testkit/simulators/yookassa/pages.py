"""The pages for people: the payment page, where customers pay, and the state page, where operators look on."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import jinja2
from fastapi import APIRouter, Form, Query, status
from fastapi.responses import HTMLResponse, RedirectResponse

from testkit.simulators.human_pages import add_notification_actions, templates_in
from testkit.simulators.notifications import DeliveryMode, Notifier
from testkit.simulators.yookassa.objects import PaymentStatus
from testkit.simulators.yookassa.refusals import InvalidRequest
from testkit.simulators.yookassa.requests import NewRefund
from testkit.simulators.yookassa.shop import CHALLENGE_PATH, CHECKOUT_PATH, Shop


def pages_router(shop: Shop, notifier: Notifier) -> APIRouter:
    """Routes for the payment page and the state page."""
    templates = templates_in(Path(__file__).parent)
    router = APIRouter(default_response_class=HTMLResponse)
    pages = _PaymentPages(shop, templates)
    _add_payment_page(router, shop, pages)
    _add_challenge_page(router, shop, pages)
    _add_state_page(router, shop, notifier, templates)
    add_notification_actions(router, notifier)
    return router


class _PaymentPages:
    """What the customer sees of a payment."""

    def __init__(self, shop: Shop, templates: jinja2.Environment) -> None:
        self._shop = shop
        self._templates = templates

    def show(self, payment_id: str, *, template: str = "payment.html", status_code: int = 200) -> HTMLResponse:
        """The page of a payment as it is now; one that is over says so and leads back to the shop."""
        payment = self._shop.payment(payment_id)
        is_payable = payment.status is PaymentStatus.PENDING
        html = self._templates.get_template(template if is_payable else "payment.html").render(
            payment=payment.as_json(),
            return_url=payment.asked.return_url,
            is_payable=is_payable,
            checkout_path=CHECKOUT_PATH,
        )
        return HTMLResponse(html, status_code=status_code)

    def after(self, payment_id: str, act: Callable[[str], object]) -> HTMLResponse | RedirectResponse:
        """Does what the customer chose and sends them back to the shop; 409 and the page again if it is too late."""
        try:
            act(payment_id)
        except InvalidRequest:
            return self.show(payment_id, status_code=status.HTTP_409_CONFLICT)
        return RedirectResponse(
            self._shop.payment(payment_id).asked.return_url or "/", status_code=status.HTTP_303_SEE_OTHER
        )


def _add_payment_page(router: APIRouter, shop: Shop, pages: _PaymentPages) -> None:
    choices: dict[str, Callable[[str], object]] = {"pay": shop.pay, "decline": shop.decline, "abandon": shop.payment}

    @router.get(CHECKOUT_PATH)
    async def show(order_id: Annotated[str, Query(alias="orderId")]) -> HTMLResponse:
        """The payment page."""
        return pages.show(order_id)

    @router.post(CHECKOUT_PATH)
    async def act(
        order_id: Annotated[str, Form(alias="orderId")],
        action: Annotated[Literal["pay", "decline", "abandon", "prove"], Form()],
    ) -> Any:
        """Does what the customer chose; `prove` leads to their bank first."""
        if action != "prove":
            return pages.after(order_id, choices[action])
        try:
            shop.challenge(order_id)
        except InvalidRequest:
            return pages.show(order_id, status_code=status.HTTP_409_CONFLICT)
        return RedirectResponse(f"{CHALLENGE_PATH}?orderId={order_id}", status_code=status.HTTP_303_SEE_OTHER)


def _add_challenge_page(router: APIRouter, shop: Shop, pages: _PaymentPages) -> None:
    @router.get(CHALLENGE_PATH)
    async def show(order_id: Annotated[str, Query(alias="orderId")]) -> HTMLResponse:
        """The page of the customer's bank."""
        return pages.show(order_id, template="challenge.html")

    @router.post(CHALLENGE_PATH)
    async def answer(
        order_id: Annotated[str, Form(alias="orderId")], action: Annotated[Literal["confirm", "fail"], Form()]
    ) -> Any:
        """Gives the bank the right proof, or a wrong one."""
        return pages.after(order_id, lambda payment: shop.answer_challenge(payment, is_right=action == "confirm"))


def _add_state_page(router: APIRouter, shop: Shop, notifier: Notifier, templates: jinja2.Environment) -> None:
    def back() -> RedirectResponse:
        return RedirectResponse("/", status_code=status.HTTP_303_SEE_OTHER)

    @router.get("/")
    async def show_state() -> HTMLResponse:
        """Payments, refunds, receipts and notifications, newest first."""
        html = templates.get_template("state.html").render(
            shop_id=shop.id,
            payments=[payment.as_json() for payment in reversed(shop.all_payments())],
            refunds=[refund.as_json() for refund in reversed(shop.refunds.all())],
            receipts=[receipt.as_json() for receipt in reversed(shop.receipts.all())],
            notifications=list(reversed(notifier.all())),
            mode=notifier.mode,
            modes=list(DeliveryMode),
            webhook=notifier.target,
        )
        return HTMLResponse(html)

    @router.post("/state/payments/{payment_id}/refund")
    async def refund(payment_id: str) -> RedirectResponse:
        """Refunds all that is left of a payment, as from the cabinet."""
        shop.refund(NewRefund(payment_id, None))
        return back()

    @router.post("/state/refunds/{refund_id}/{action}")
    async def end_refund(refund_id: str, action: Literal["succeed", "cancel"]) -> RedirectResponse:
        """Ends a pending refund."""
        shop.end_refund(refund_id, is_good=action == "succeed")
        return back()

    @router.post("/state/receipts/{receipt_id}/{action}")
    async def end_receipt(receipt_id: str, action: Literal["succeed", "cancel"]) -> RedirectResponse:
        """Ends a pending receipt."""
        shop.receipts.end(receipt_id, is_good=action == "succeed")
        return back()
