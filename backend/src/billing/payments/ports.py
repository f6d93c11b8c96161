"""What payments ask of a provider, in our words; each adapter translates."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from billing.kit.money import Money
from billing.payments.rules import (
    Cancellation,
    DisputeStatus,
    ProviderDisputeId,
    ProviderMethodId,
    ProviderPaymentId,
    ProviderRefundId,
    ProviderStatus,
    ReceiptStatus,
    RefundStatus,
)


@dataclass(frozen=True, slots=True)
class ReceiptOrder:
    """What the tax office is told of a payment or a refund (54-FZ): one line, and whom its customer can be reached by.

    `email` or `phone` (digits alone) is there. `description` has 128 characters at the most.
    """

    email: str | None = field(repr=False)
    phone: str | None = field(repr=False)
    description: str
    vat_code: int
    payment_mode: str
    payment_subject: str
    tax_system_code: int | None


@dataclass(frozen=True, slots=True)
class MethodRef:
    """A way to pay that the customer let the provider keep for us; `customer` is the provider's name for its owner."""

    id: ProviderMethodId
    customer: str | None = None


@dataclass(frozen=True, slots=True)
class PaymentOrder:
    """What the provider is asked to collect.

    It is made from the stored payment alone, so that a repetition under the same `key` says the same to the letter.
    With a `method` nobody is sent anywhere: the provider charges what it has kept. `saves_method` asks it to keep what
    the customer pays with, to which the customer has consented.
    """

    key: str
    amount: Money
    description: str
    return_url: str
    payment_id: str
    account_id: str
    purpose: str
    method: MethodRef | None = None
    saves_method: bool = False
    receipt: ReceiptOrder | None = None


@dataclass(frozen=True, slots=True)
class RefundOrder:
    """What the provider is asked to give back; made from the stored refund alone, like a payment's order."""

    key: str
    provider_payment_id: ProviderPaymentId
    amount: Money
    refund_id: str
    description: str
    receipt: ReceiptOrder | None = None


@dataclass(frozen=True, slots=True)
class ProviderMethod:
    """What a payment was made with; `is_saved` means that it can be charged again without its owner."""

    id: ProviderMethodId
    is_saved: bool
    title: str
    customer: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """A payment as its provider reports it; the three texts are what we gave along, None where it came back without.

    `refunded` is what has been given back of it so far, `fee` what the provider keeps, None where it does not say.
    """

    id: ProviderPaymentId
    shop_id: str
    is_test: bool
    status: ProviderStatus
    is_paid: bool
    amount: Money
    payment_id: str | None
    account_id: str | None
    purpose: str | None
    confirmation_url: str | None = None
    cancellation: Cancellation | None = None
    refunded: Money | None = None
    fee: Money | None = None
    is_disputed: bool = False
    method: ProviderMethod | None = None
    receipt: ReceiptStatus | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProviderRefund:
    """Money given back as its provider reports it; `refund_id` is what we gave along, None for one begun elsewhere."""

    id: ProviderRefundId
    payment_id: ProviderPaymentId
    status: RefundStatus
    amount: Money
    refund_id: str | None = None
    receipt: ReceiptStatus | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ProviderDispute:
    """A payment that its customer's bank wants back, as the provider reports it."""

    id: ProviderDisputeId
    payment_id: ProviderPaymentId
    status: DisputeStatus
    amount: Money


class EventSubject(StrEnum):
    """What a notification is about."""

    PAYMENT = "payment"
    REFUND = "refund"
    DISPUTE = "dispute"


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """What a notification claims; only a hint for what to ask about.

    `subject` is None where the event is of a kind that we have no use for. `payment_id` is the payment to look at;
    for an event about a refund that does not name its payment it is None and `refund_id` leads there. `claims_final`
    says that the payment should be read back as ended.
    """

    kind: str
    subject: EventSubject | None
    payment_id: ProviderPaymentId | None = None
    refund_id: ProviderRefundId | None = None
    claims_final: bool = False


class PaymentProvider(Protocol):
    """A payment provider. Each call may raise any `ProviderFailure`; no call is made inside a transaction."""

    @property
    def name(self) -> str:
        """How our records and books call this provider."""
        ...

    @property
    def shop_id(self) -> str:
        """The shop that collects for us; a payment of any other shop is not ours."""
        ...

    @property
    def is_test(self) -> bool:
        """The shop moves play money; a payment that says otherwise is not ours."""
        ...

    async def create_payment(self, order: PaymentOrder) -> ProviderPayment:
        """Begins a payment, or finds the one that this order's key began before.

        Raises:
            ProviderFailure: after `ProviderAmbiguous` and `ProviderMalformed` the payment may exist.
        """
        ...

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """The payment as it is now.

        Raises:
            ProviderObjectUnknown: there is none of this id.
            ProviderFailure: it could not be asked.
        """
        ...

    async def capture(self, payment_id: ProviderPaymentId, amount: Money, *, key: str) -> ProviderPayment:
        """Takes the money that a payment reserved; `amount` is all of it or less, the rest is given back.

        Raises:
            ProviderRejected: nothing is reserved, or less.
            ProviderFailure: as for `create_payment`.
        """
        ...

    async def cancel(self, payment_id: ProviderPaymentId, *, key: str) -> ProviderPayment:
        """Gives back what a payment reserved, or calls off one that nobody has paid where the provider can do that.

        Raises:
            ProviderRejected: it cannot be called off any more, or not by us.
            ProviderFailure: as for `create_payment`.
        """
        ...

    async def refund(self, order: RefundOrder) -> ProviderRefund:
        """Gives money back, or finds what this order's key gave back before.

        Raises:
            ProviderRejected: more than is left of the payment, or a payment that cannot be refunded.
            ProviderFailure: after `ProviderAmbiguous` and `ProviderMalformed` the refund may exist.
        """
        ...

    async def get_refund(self, refund_id: ProviderRefundId) -> ProviderRefund:
        """The refund as it is now.

        Raises:
            ProviderObjectUnknown: there is none of this id.
            ProviderFailure: it could not be asked.
        """
        ...

    async def refunds_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderRefund, ...]:
        """All refunds of one payment, whoever began them, in whatever state.

        Raises:
            ProviderFailure: it could not be asked.
        """
        ...

    async def disputes_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderDispute, ...]:
        """All disputes about one payment; none with a provider that has no disputes.

        Raises:
            ProviderFailure: it could not be asked.
        """
        ...

    def list_payments(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderPayment]:
        """The shop's payments that were begun in this half-open time, fetched page by page as they are read.

        Raises:
            ProviderListHoles: at the end, after all others: single objects make no sense.
            ProviderFailure: while reading, it could not be asked.
        """
        ...

    def list_refunds(self, *, since: datetime, until: datetime) -> AsyncIterator[ProviderRefund]:
        """The shop's refunds that were begun in this half-open time, fetched page by page as they are read.

        Raises:
            ProviderListHoles: at the end, after all others: single objects make no sense.
            ProviderFailure: while reading, it could not be asked.
        """
        ...

    def parse_event(self, body: str) -> ProviderEvent:
        """What a notification's body (valid JSON) claims.

        Raises:
            ProviderMalformed: it names no event, or an object id that cannot be one.
        """
        ...
