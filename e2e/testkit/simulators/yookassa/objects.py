"""Payments and refunds, and how the API writes them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from testkit.simulators.clock import iso_milliseconds
from testkit.simulators.yookassa.methods import card_as_json
from testkit.simulators.yookassa.money import Amount
from testkit.simulators.yookassa.receipts import NewReceipt, Receipt


class PaymentStatus(StrEnum):
    """The life of a payment: pending → (waiting_for_capture) → succeeded | canceled."""

    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class RefundStatus(StrEnum):
    """The life of a refund: (pending) → succeeded | canceled."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Who cancelled a payment or refund and why, in the provider's words (`payment_network`, `general_decline`)."""

    party: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """The API's `cancellation_details`."""
        return {"party": self.party, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """A valid request for a payment: with a `return_url` by redirect, with a `method_id` of what is saved."""

    amount: Amount
    return_url: str | None
    capture: bool
    description: str | None
    metadata: dict[str, str]
    merchant_customer_id: str | None
    receipt: NewReceipt | None
    method_id: str | None = None
    saves_method: bool = False


@dataclass(slots=True, kw_only=True)
class Payment:
    """A payment and everything that has happened to it."""

    id: str
    shop_id: str
    is_test: bool
    asked: NewPayment
    amount: Amount
    confirmation_url: str | None
    created_at: datetime
    confirm_until: datetime
    capture_until: datetime
    """Seven days from the payment for cards, once it is paid."""
    receipt: Receipt | None
    status: PaymentStatus = PaymentStatus.PENDING
    is_challenged: bool = False
    """The customer's bank waits for its customer's proof (3-D Secure)."""
    authorization: dict[str, Any] | None = None
    captured_at: datetime | None = None
    cancellation: Cancellation | None = None
    refunded_minor: int = 0
    refunding_minor: int = 0
    """Refunds that have not ended yet."""

    @property
    def is_paid(self) -> bool:
        """Whether the customer's money is reserved or taken."""
        return self.status in {PaymentStatus.WAITING_FOR_CAPTURE, PaymentStatus.SUCCEEDED}

    @property
    def refundable_minor(self) -> int:
        """What can still be refunded, in minor units."""
        if self.status is not PaymentStatus.SUCCEEDED:
            return 0
        return self.amount.minor - self.refunded_minor - self.refunding_minor

    @property
    def method_id(self) -> str:
        """The id of what it is paid with: a saved one's own, else that of the payment."""
        return self.asked.method_id or self.id

    @property
    def is_method_saved(self) -> bool:
        """Whether what it is paid with can be charged again; that is known only once the payment has succeeded."""
        saves = self.asked.saves_method and self.status is PaymentStatus.SUCCEEDED
        return saves or self.asked.method_id is not None

    def as_json(self) -> dict[str, Any]:
        """The API's payment object in the current status."""
        body: dict[str, Any] = {
            "id": self.id,
            "status": self.status.value,
            "amount": self.amount.as_json(),
            "recipient": {"account_id": self.shop_id, "gateway_id": str(int(self.shop_id) + 200)},
            "created_at": iso_milliseconds(self.created_at),
            "test": self.is_test,
            "paid": self.is_paid,
            "refundable": self.refundable_minor > 0,
            "metadata": dict(self.asked.metadata),
        }
        return body | self._as_asked() | self._by_status()

    def _as_asked(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if self.asked.description is not None:
            members["description"] = self.asked.description
        if self.asked.merchant_customer_id is not None:
            members["merchant_customer_id"] = self.asked.merchant_customer_id
        if self.receipt is not None:
            members["receipt_registration"] = self.receipt.status.value
        return members

    def _by_status(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if self.authorization is not None:
            members["payment_method"] = card_as_json(self.method_id, is_saved=self.is_method_saved)
            members["authorization_details"] = self.authorization
        match self.status:
            case PaymentStatus.PENDING:
                members["confirmation"] = {
                    "type": "redirect",
                    "return_url": self.asked.return_url,
                    "confirmation_url": self.confirmation_url,
                }
            case PaymentStatus.WAITING_FOR_CAPTURE:
                members["expires_at"] = iso_milliseconds(self.capture_until)
            case PaymentStatus.SUCCEEDED:
                members["captured_at"] = iso_milliseconds(_known(self.captured_at))
                members["income_amount"] = self.amount.after_fee().as_json()
                members["refunded_amount"] = Amount(self.refunded_minor, self.amount.currency).as_json()
            case PaymentStatus.CANCELED if self.cancellation is not None:
                members["cancellation_details"] = self.cancellation.as_json()
        return members


@dataclass(slots=True, kw_only=True)
class Refund:
    """Money given back, or about to be."""

    id: str
    payment_id: str
    amount: Amount
    created_at: datetime
    receipt: Receipt | None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    status: RefundStatus = RefundStatus.PENDING
    cancellation: Cancellation | None = None

    def as_json(self) -> dict[str, Any]:
        """The API's refund object."""
        body: dict[str, Any] = {
            "id": self.id,
            "payment_id": self.payment_id,
            "status": self.status.value,
            "created_at": iso_milliseconds(self.created_at),
            "amount": self.amount.as_json(),
        }
        if self.description is not None:
            body["description"] = self.description
        if self.receipt is not None:
            body["receipt_registration"] = self.receipt.status.value
        if self.cancellation is not None:
            body["cancellation_details"] = self.cancellation.as_json()
        return body | ({"metadata": dict(self.metadata)} if self.metadata else {})


def _known(moment: datetime | None) -> datetime:
    assert moment is not None, "this status comes with its moment"
    return moment
