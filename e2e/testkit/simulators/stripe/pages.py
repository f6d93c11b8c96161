"""The pages for people: the Checkout page, where customers pay, and the state page, where operators look on."""

from pathlib import Path
from typing import Annotated, Any, Literal

import jinja2
from fastapi import APIRouter, Form, status
from fastapi.responses import HTMLResponse, RedirectResponse

from testkit.simulators.human_pages import add_notification_actions, templates_in
from testkit.simulators.notifications import DeliveryMode, Notifier
from testkit.simulators.stripe.books import Books
from testkit.simulators.stripe.objects import Charge, Dispute, Intent, IntentStatus, Refund, Session, SessionStatus
from testkit.simulators.stripe.payments import CHECKOUT_PATH, NEEDS_OWNER, Payments
from testkit.simulators.stripe.refusals import InvalidRequest
from testkit.simulators.stripe.requests import NewRefund
from testkit.simulators.stripe.reversals import Reversals


def pages_router(books: Books, payments: Payments, reversals: Reversals, notifier: Notifier) -> APIRouter:
    """Routes for the Checkout page and the state page."""
    templates = templates_in(Path(__file__).parent)
    router = APIRouter(default_response_class=HTMLResponse)
    _add_checkout_page(router, books, payments, templates)
    _add_state_page(router, books, notifier, templates)
    _add_state_actions(router, reversals)
    add_notification_actions(router, notifier)
    return router


def _add_checkout_page(router: APIRouter, books: Books, payments: Payments, templates: jinja2.Environment) -> None:
    def page(session_id: str, status_code: int) -> HTMLResponse:
        session = payments.session(session_id)
        intent = None if session.payment_intent is None else books.get(Intent, session.payment_intent)
        html = templates.get_template("checkout.html").render(
            session=session,
            is_open=session.status is SessionStatus.OPEN,
            is_challenged=intent is not None and intent.status is IntentStatus.REQUIRES_ACTION,
            is_refused=intent is not None and intent.last_payment_error is not None,
            return_url=session.success_url if session.is_paid else session.cancel_url or session.success_url,
        )
        return HTMLResponse(html, status_code=status_code)

    @router.get(f"{CHECKOUT_PATH}/{{session_id}}")
    async def show(session_id: str) -> HTMLResponse:
        """The page; a session that is over says so and leads back to the shop."""
        return page(session_id, status.HTTP_200_OK)

    @router.post(f"{CHECKOUT_PATH}/{{session_id}}")
    async def act(
        session_id: str,
        action: Annotated[Literal["pay", "decline", "challenge", "authenticate", "fail", "abandon"], Form()],
    ) -> Any:
        """Does what the customer chose: on to the shop, or the page again where they can go on; 409 if it is too late.

        As with the real page, a refused card is no end: another one can be tried, until the session expires.
        """
        try:
            session = payments.open_session(session_id)
            match action:
                case "pay" | "authenticate":
                    payments.pay(session_id)
                case "decline":
                    payments.refuse_card(session_id)
                case "fail":
                    payments.refuse_card(session_id, NEEDS_OWNER)
                case "challenge":
                    payments.ask_for_owner(session_id)
                case "abandon":
                    return _to(session.cancel_url or session.success_url)
        except InvalidRequest:
            return page(session_id, status.HTTP_409_CONFLICT)
        return _to(session.success_url if session.status is SessionStatus.COMPLETE else f"{CHECKOUT_PATH}/{session_id}")


def _add_state_page(router: APIRouter, books: Books, notifier: Notifier, templates: jinja2.Environment) -> None:
    @router.get("/")
    async def show_state() -> HTMLResponse:
        """Sessions, intents, refunds, disputes and events, newest first."""
        html = templates.get_template("account.html").render(
            account_id=books.account_id,
            sessions=books.all(Session)[::-1],
            intents=books.all(Intent)[::-1],
            charges={charge.id: charge for charge in books.all(Charge)},
            refunds=books.all(Refund)[::-1],
            disputes=books.all(Dispute)[::-1],
            notifications=notifier.all()[::-1],
            mode=notifier.mode,
            modes=list(DeliveryMode),
            webhook=notifier.target,
        )
        return HTMLResponse(html)


def _add_state_actions(router: APIRouter, reversals: Reversals) -> None:
    @router.post("/state/intents/{intent_id}/{action}")
    async def reverse(intent_id: str, action: Literal["refund", "dispute"]) -> RedirectResponse:
        """Refunds all that is left, as from the dashboard, or lets the customer's bank dispute the payment."""
        if action == "refund":
            reversals.refund(NewRefund(of=intent_id))
        else:
            reversals.dispute(intent_id)
        return _to("/")

    @router.post("/state/disputes/{dispute_id}/{action}")
    async def judge(dispute_id: str, action: Literal["win", "lose"]) -> RedirectResponse:
        """Lets the bank decide."""
        reversals.close_dispute(dispute_id, is_won=action == "win")
        return _to("/")


def _to(address: str) -> RedirectResponse:
    return RedirectResponse(address, status_code=status.HTTP_303_SEE_OTHER)
