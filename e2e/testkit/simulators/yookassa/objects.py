"""Payments and refunds, and how the API writes them."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from testkit.simulators.clock import iso_milliseconds

_MINOR_PER_UNIT = 100
_FEE_PER_MILLE = 35


class PaymentStatus(StrEnum):
    """The life of a payment: pending → (waiting_for_capture) → succeeded | canceled."""

    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True)
class Amount:
    """Money of one currency in its minor units; every currency that this provider takes has two decimals."""

    minor: int
    currency: str

    def as_json(self) -> dict[str, str]:
        """The amount with a decimal string, as in `{"value": "100.00", "currency": "RUB"}`."""
        units, rest = divmod(self.minor, _MINOR_PER_UNIT)
        return {"value": f"{units}.{rest:02d}", "currency": self.currency}

    def after_fee(self) -> "Amount":
        """What the shop receives: the amount less the provider's fee of 3.5 %, rounded to the nearest minor unit."""
        return Amount(self.minor - (self.minor * _FEE_PER_MILLE + 500) // 1000, self.currency)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Who cancelled a payment and why, in the provider's words (`payment_network`, `general_decline`)."""

    party: str
    reason: str

    def as_json(self) -> dict[str, str]:
        """The API's `cancellation_details`."""
        return {"party": self.party, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPayment:
    """A valid request for a payment."""

    amount: Amount
    return_url: str
    capture: bool
    description: str | None
    metadata: dict[str, str]
    merchant_customer_id: str | None
    wants_receipt: bool


@dataclass(slots=True, kw_only=True)
class Payment:
    """A payment and everything that has happened to it."""

    id: str
    shop_id: str
    asked: NewPayment
    amount: Amount
    confirmation_url: str
    created_at: datetime
    confirm_until: datetime
    capture_until: datetime
    """Seven days from the payment for cards, once it is paid."""
    status: PaymentStatus = PaymentStatus.PENDING
    authorization: dict[str, Any] | None = None
    captured_at: datetime | None = None
    cancellation: Cancellation | None = None
    refunded_minor: int = 0

    @property
    def is_paid(self) -> bool:
        """Whether the customer's money is reserved or taken."""
        return self.status in {PaymentStatus.WAITING_FOR_CAPTURE, PaymentStatus.SUCCEEDED}

    @property
    def refundable_minor(self) -> int:
        """What can still be refunded, in minor units."""
        return self.amount.minor - self.refunded_minor if self.status is PaymentStatus.SUCCEEDED else 0

    def as_json(self) -> dict[str, Any]:
        """The API's payment object in the current status."""
        body: dict[str, Any] = {
            "id": self.id,
            "status": self.status.value,
            "amount": self.amount.as_json(),
            "recipient": {"account_id": self.shop_id, "gateway_id": str(int(self.shop_id) + 200)},
            "created_at": iso_milliseconds(self.created_at),
            "test": True,
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
        if self.asked.wants_receipt:
            members["receipt_registration"] = (
                "succeeded" if self.status is PaymentStatus.SUCCEEDED else self._receipt_before_success()
            )
        return members

    def _receipt_before_success(self) -> str:
        return "canceled" if self.status is PaymentStatus.CANCELED else "pending"

    def _by_status(self) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if self.authorization is not None:
            members |= {"payment_method": _card(self.id), "authorization_details": self.authorization}
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Refund:
    """Money given back; in the test shop a refund succeeds at once."""

    id: str
    payment_id: str
    amount: Amount
    created_at: datetime
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The API's refund object."""
        body: dict[str, Any] = {
            "id": self.id,
            "payment_id": self.payment_id,
            "status": "succeeded",
            "created_at": iso_milliseconds(self.created_at),
            "amount": self.amount.as_json(),
        }
        if self.description is not None:
            body["description"] = self.description
        return body | ({"metadata": dict(self.metadata)} if self.metadata else {})


def _known(moment: datetime | None) -> datetime:
    assert moment is not None, "this status comes with its moment"
    return moment


def _card(payment_id: str) -> dict[str, Any]:
    return {
        "type": "bank_card",
        "id": payment_id,
        "saved": False,
        "status": "inactive",
        "title": "Bank card *4444",
        "card": {
            "first6": "555555",
            "last4": "4444",
            "expiry_month": "12",
            "expiry_year": "2049",
            "card_type": "MasterCard",
            "issuer_country": "RU",
        },
    }
