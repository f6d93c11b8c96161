"""The control API of this simulator: what the payer, the dashboard, the banks and the network do."""

from collections.abc import Callable
from typing import Any, Literal

from fastapi import APIRouter, status
from pydantic import BaseModel, ConfigDict, Field

from testkit.simulators.notifications import Notifier
from testkit.simulators.notifications_control import notifications_router
from testkit.simulators.stripe.books import Books
from testkit.simulators.stripe.objects import (
    ApiObject,
    Charge,
    Customer,
    Dispute,
    Intent,
    PaymentMethod,
    Refund,
    Session,
    SessionMode,
)
from testkit.simulators.stripe.payments import REFUSAL, Payments
from testkit.simulators.stripe.requests import NewIntent, NewRefund
from testkit.simulators.stripe.reversals import Reversals

_MINOR_MAX = 99_999_999


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Decline(_Body):
    code: str = REFUSAL


class _Refusal(_Body):
    code: str | None = REFUSAL


class _Reservation(_Body):
    amount: int = Field(ge=1, le=_MINOR_MAX)
    currency: str = Field(pattern="^[a-z]{3}$")
    metadata: dict[str, str] = Field(default_factory=dict)


class _SessionOfOthers(_Body):
    mode: Literal[SessionMode.SETUP, SessionMode.SUBSCRIPTION]


class _DashboardRefund(_Body):
    of: str
    amount: int | None = Field(default=None, ge=1)


class _RefundMode(_Body):
    are_held: bool


class _Ending(_Body):
    is_good: bool


class _NewDispute(_Body):
    of: str
    amount: int | None = Field(default=None, ge=1)
    is_warning: bool = False


class _Judgement(_Body):
    is_won: bool


def account_router(
    books: Books,
    payments: Payments,
    reversals: Reversals,
    notifier: Notifier,
    *,
    start_over: Callable[[], None],
) -> APIRouter:
    """Routes under `/control` for state, sessions, cards, refunds, disputes, the webhook and its events."""
    router = APIRouter(prefix="/control")
    _add_state(router, books, payments, notifier, start_over)
    _add_payer(router, books, payments)
    _add_refunds(router, reversals)
    _add_disputes(router, reversals)
    router.include_router(notifications_router(notifier))
    return router


def _add_state(
    router: APIRouter, books: Books, payments: Payments, notifier: Notifier, start_over: Callable[[], None]
) -> None:
    @router.get("/state")
    async def read_state() -> dict[str, Any]:
        """Everything the simulator knows, oldest first, in the API's own shape."""
        payments.let_things_expire()
        kinds: dict[str, type[ApiObject]] = {
            "customers": Customer,
            "sessions": Session,
            "intents": Intent,
            "methods": PaymentMethod,
            "charges": Charge,
            "refunds": Refund,
            "disputes": Dispute,
        }
        return {
            "account_id": books.account_id,
            **{name: [item.as_json() for item in books.all(kind)] for name, kind in kinds.items()},
            "notifications": notifier.all(),
            "mode": notifier.mode,
            "webhook": notifier.target,
        }

    @router.post("/reset")
    async def reset() -> dict[str, Any]:
        """Forgets everything; the webhook is the one of the start again. The clock stays: it never goes back."""
        start_over()
        return {"reset": True}


def _add_payer(router: APIRouter, books: Books, payments: Payments) -> None:
    steps: dict[str, Callable[[str], Session]] = {
        "pay": payments.pay,
        "challenge": payments.ask_for_owner,
        "expire": payments.expire,
        "process": payments.begin_slowly,
        "arrive": lambda session_id: payments.end_slowly(session_id, is_good=True),
        "fail": lambda session_id: payments.end_slowly(session_id, is_good=False),
    }

    @router.post("/sessions/{session_id}/{step}")
    async def act(
        session_id: str,
        step: Literal["pay", "decline", "challenge", "expire", "process", "arrive", "fail"],
        why: _Decline | None = None,
    ) -> dict[str, Any]:
        """What a customer does on the page, or the time; the last three are for methods that take days."""
        if step == "decline":
            return payments.refuse_card(session_id, (why or _Decline()).code).as_json()
        return steps[step](session_id).as_json()

    @router.post("/sessions", status_code=status.HTTP_201_CREATED)
    async def add_session_of_others(asked: _SessionOfOthers) -> dict[str, Any]:
        """Another program of the account has used a page for something that is no payment."""
        return payments.add_session_of_others(asked.mode).as_json()

    @router.post("/reservations", status_code=status.HTTP_201_CREATED)
    async def reserve(asked: _Reservation) -> dict[str, Any]:
        """A payment that is paid and waits for its capture."""
        intent = NewIntent(
            amount=asked.amount,
            currency=asked.currency,
            is_captured_by_hand=True,
            metadata=asked.metadata,
            payment_method="pm_card_visa",
            is_confirmed=True,
        )
        return payments.create_intent(intent).as_json()

    @router.post("/methods/{method_id}/refusal")
    async def refuse_method(method_id: str, wanted: _Refusal) -> dict[str, Any]:
        """From now on the bank refuses each charge of this kept card, with this code; None means it does not."""
        method = books.get(PaymentMethod, method_id)
        method.refusal = wanted.code
        return method.as_json()


def _add_refunds(router: APIRouter, reversals: Reversals) -> None:
    @router.post("/refunds", status_code=status.HTTP_201_CREATED)
    async def refund_in_the_dashboard(asked: _DashboardRefund) -> dict[str, Any]:
        """Somebody refunds at the provider; without an amount, all that is left."""
        return reversals.refund(NewRefund(of=asked.of, amount=asked.amount)).as_json()

    @router.put("/refunds/mode")
    async def hold_refunds(wanted: _RefundMode) -> dict[str, Any]:
        """Whether new refunds stay pending."""
        reversals.are_refunds_held = wanted.are_held
        return {"are_held": reversals.are_refunds_held}

    @router.post("/refunds/{refund_id}/end")
    async def end_refund(refund_id: str, wanted: _Ending) -> dict[str, Any]:
        """A refund arrives, or comes back."""
        return reversals.end_refund(refund_id, is_good=wanted.is_good).as_json()


def _add_disputes(router: APIRouter, reversals: Reversals) -> None:
    @router.post("/disputes", status_code=status.HTTP_201_CREATED)
    async def dispute(asked: _NewDispute) -> dict[str, Any]:
        """The customer's bank wants the money back."""
        return reversals.dispute(asked.of, amount=asked.amount, is_warning=asked.is_warning).as_json()

    @router.post("/disputes/{dispute_id}/close")
    async def close_dispute(dispute_id: str, wanted: _Judgement) -> dict[str, Any]:
        """The bank decides."""
        return reversals.close_dispute(dispute_id, is_won=wanted.is_won).as_json()
