"""The provider's objects, and how its API writes them: others are named by their ids, and expanded on request."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from testkit.simulators.stripe.refusals import InvalidRequest

_FEE_PER_MILLE = 29
_FEE_MINOR = 30
_EXPANSION_DEPTH_MAX = 4


class SessionStatus(StrEnum):
    """The life of a Checkout session."""

    OPEN = "open"
    COMPLETE = "complete"
    EXPIRED = "expired"


class IntentStatus(StrEnum):
    """The life of a payment intent, as far as it is simulated."""

    REQUIRES_PAYMENT_METHOD = "requires_payment_method"
    REQUIRES_CONFIRMATION = "requires_confirmation"
    REQUIRES_ACTION = "requires_action"
    PROCESSING = "processing"
    REQUIRES_CAPTURE = "requires_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(kw_only=True)
class ApiObject(ABC):
    """What every object has."""

    id: str
    created: int
    """Seconds since 1970, as everywhere in this API."""
    metadata: dict[str, str] = field(default_factory=dict)

    kind = ""

    def as_json(self) -> dict[str, Any]:
        """The object in its current state."""
        body = {"id": self.id, "object": self.kind, "created": self.created, "livemode": False}
        return body | {"metadata": dict(self.metadata)} | self.members()

    @abstractmethod
    def members(self) -> dict[str, Any]:
        """What objects of this kind have besides."""


@dataclass(kw_only=True)
class Customer(ApiObject):
    """Whose payment methods are kept."""

    email: str | None = None
    name: str | None = None

    kind = "customer"

    def members(self) -> dict[str, Any]:
        """Contact data."""
        return {"email": self.email, "name": self.name}


@dataclass(kw_only=True)
class PaymentMethod(ApiObject):
    """A card; `customer` is set once it is kept."""

    customer: str | None = None
    refusal: str | None = None
    """With this decline code the bank refuses each charge."""

    kind = "payment_method"

    def members(self) -> dict[str, Any]:
        """The card."""
        return {"type": "card", "card": CARD, "customer": self.customer}


@dataclass(kw_only=True)
class Intent(ApiObject):
    """A payment intent."""

    amount: int
    currency: str
    status: IntentStatus = IntentStatus.REQUIRES_PAYMENT_METHOD
    is_captured_by_hand: bool = False
    description: str | None = None
    customer: str | None = None
    payment_method: str | None = None
    setup_future_usage: str | None = None
    session: str | None = None
    """The Checkout session that it belongs to; the API does not show it here."""
    amount_received: int = 0
    latest_charge: str | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    last_payment_error: dict[str, Any] | None = None

    kind = "payment_intent"

    @property
    def amount_capturable(self) -> int:
        """What waits to be taken."""
        return self.amount if self.status is IntentStatus.REQUIRES_CAPTURE else 0

    def members(self) -> dict[str, Any]:
        """How far the payment is."""
        return {
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_received": self.amount_received,
            "currency": self.currency,
            "status": self.status.value,
            "capture_method": "manual" if self.is_captured_by_hand else "automatic_async",
            "client_secret": f"{self.id}_secret_simulated",
            "description": self.description,
            "customer": self.customer,
            "payment_method": self.payment_method,
            "payment_method_types": ["card"],
            "setup_future_usage": self.setup_future_usage,
            "latest_charge": self.latest_charge,
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "last_payment_error": self.last_payment_error,
        }


class SessionMode(StrEnum):
    """What a Checkout session is for."""

    PAYMENT = "payment"
    SETUP = "setup"
    """A card is kept, and nothing paid."""
    SUBSCRIPTION = "subscription"
    """The provider collects again and again; the payments belong to its invoices, not to the session."""


@dataclass(kw_only=True)
class Session(ApiObject):
    """A Checkout session: in the mode `payment` a page on which one customer pays once, else an old one of others."""

    amount_total: int
    currency: str
    url: str
    success_url: str
    cancel_url: str | None
    expires_at: int
    product: str
    status: SessionStatus = SessionStatus.OPEN
    is_paid: bool = False
    client_reference_id: str | None = None
    customer: str | None = None
    intent_data: dict[str, Any] = field(default_factory=dict)
    """What its payment intent will be made with, once the customer has begun to pay."""
    payment_intent: str | None = None
    mode: SessionMode = SessionMode.PAYMENT

    kind = "checkout.session"

    def members(self) -> dict[str, Any]:
        """How far the customer is; the page has an address only while it is open."""
        is_open = self.status is SessionStatus.OPEN
        has_price = self.mode is not SessionMode.SETUP
        payment_status = "paid" if self.is_paid else "unpaid"
        return {
            "mode": self.mode.value,
            "status": self.status.value,
            "payment_status": payment_status if has_price else "no_payment_required",
            "amount_subtotal": self.amount_total if has_price else None,
            "amount_total": self.amount_total if has_price else None,
            "currency": self.currency if has_price else None,
            "url": self.url if is_open else None,
            "success_url": self.success_url,
            "cancel_url": self.cancel_url,
            "expires_at": self.expires_at,
            "client_reference_id": self.client_reference_id,
            "customer": self.customer,
            "payment_intent": self.payment_intent,
            "payment_method_types": ["card"],
        }


@dataclass(kw_only=True)
class Charge(ApiObject):
    """One try to take a customer's money."""

    amount: int
    currency: str
    payment_intent: str
    payment_method: str
    customer: str | None
    description: str | None
    is_paid: bool
    is_captured: bool
    amount_captured: int = 0
    amount_refunded: int = 0
    is_disputed: bool = False
    balance_transaction: str | None = None
    failure_code: str | None = None

    kind = "charge"

    @property
    def refundable(self) -> int:
        """What can still be given back."""
        return self.amount_captured - self.amount_refunded

    def members(self) -> dict[str, Any]:
        """What became of it."""
        return {
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "balance_transaction": self.balance_transaction,
            "captured": self.is_captured,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "disputed": self.is_disputed,
            "failure_code": self.failure_code,
            "paid": self.is_paid,
            "payment_intent": self.payment_intent,
            "payment_method": self.payment_method,
            "payment_method_details": {"type": "card", "card": CARD},
            "refunded": self.is_captured and self.refundable == 0,
            "status": "succeeded" if self.is_paid else "failed",
        }


@dataclass(kw_only=True)
class BalanceTransaction(ApiObject):
    """What a charge did to the account's balance."""

    amount: int
    currency: str
    source: str

    kind = "balance_transaction"

    @property
    def fee(self) -> int:
        """The provider's share: 2.9 % and 30 minor units, rounded to the nearest one."""
        return (self.amount * _FEE_PER_MILLE + 500) // 1000 + _FEE_MINOR

    def members(self) -> dict[str, Any]:
        """Gross, fee and net."""
        net = self.amount - self.fee
        return {"amount": self.amount, "currency": self.currency, "fee": self.fee, "net": net, "source": self.source}


class RefundStatus(StrEnum):
    """The life of a refund; one that has succeeded may still fail."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(kw_only=True)
class Refund(ApiObject):
    """Money given back."""

    amount: int
    currency: str
    charge: str
    payment_intent: str
    status: RefundStatus
    reason: str | None = None

    kind = "refund"

    def members(self) -> dict[str, Any]:
        """What became of it."""
        failure = {"failure_reason": "lost_or_stolen_card"} if self.status is RefundStatus.FAILED else {}
        return failure | {
            "amount": self.amount,
            "currency": self.currency,
            "charge": self.charge,
            "payment_intent": self.payment_intent,
            "reason": self.reason,
            "status": self.status.value,
        }


class DisputeStatus(StrEnum):
    """The life of a dispute; one that begins with a warning has taken no money yet."""

    WARNING_NEEDS_RESPONSE = "warning_needs_response"
    WARNING_CLOSED = "warning_closed"
    NEEDS_RESPONSE = "needs_response"
    WON = "won"
    LOST = "lost"


@dataclass(kw_only=True)
class Dispute(ApiObject):
    """A charge that its customer's bank wants back."""

    amount: int
    currency: str
    charge: str
    payment_intent: str
    status: DisputeStatus

    kind = "dispute"

    def members(self) -> dict[str, Any]:
        """How it stands."""
        return {
            "amount": self.amount,
            "currency": self.currency,
            "charge": self.charge,
            "payment_intent": self.payment_intent,
            "reason": "fraudulent",
            "status": self.status.value,
        }


CARD = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2049, "country": "US", "funding": "credit"}


def expanded(body: dict[str, Any], paths: Iterable[str], find: Callable[[str], ApiObject]) -> dict[str, Any]:
    """The body with the objects on these paths (`payment_intent.latest_charge`) written out where their ids stood.

    Raises:
        InvalidRequest: a path leads nowhere, or too deep.
    """
    for path in paths:
        steps = path.split(".")
        if len(steps) > _EXPANSION_DEPTH_MAX:
            raise InvalidRequest("You cannot expand more than 4 levels of a property", parameter="expand")
        _expand(body, steps, path, find)
    return body


def _expand(body: dict[str, Any], steps: list[str], path: str, find: Callable[[str], ApiObject]) -> None:
    step, *rest = steps
    if step not in body:
        raise InvalidRequest(f"This property cannot be expanded ({path}).", parameter="expand")
    if isinstance(body[step], str):
        body[step] = find(body[step]).as_json()
    inner = body[step]
    for item in inner if isinstance(inner, list) else [inner]:
        if rest and item is not None:
            _expand(item, rest, path, find)
