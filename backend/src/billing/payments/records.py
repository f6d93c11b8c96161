"""Payments, refunds and disputes as they stand in our books, and the wish that a payment begins with: values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from billing.customers.rules import AccountId
from billing.kit.money import Money
from billing.payments.ports import MethodRef, ReceiptOrder
from billing.payments.rules import (
    INTENT_LASTS,
    Bond,
    Cancellation,
    DisputeId,
    DisputeStatus,
    PaymentId,
    PaymentState,
    ProviderDisputeId,
    ProviderPaymentId,
    ProviderRefundId,
    ReceiptStatus,
    RefundFailure,
    RefundId,
    RefundState,
)


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it stands in our books.

    `subject` says what exactly is paid for where the purpose alone does not. `method` is the saved method that the
    provider charges, `method_id` our own row of it. `refunded` is what succeeded refunds have given back,
    `disputed_at` since when a dispute about it is open or lost.
    """

    id: PaymentId
    account_id: AccountId
    purpose: str
    amount: Money
    provider: str
    shop_id: str
    is_test: bool
    return_url: str
    is_own_return: bool
    return_to: str | None
    state: PaymentState
    provider_payment_id: ProviderPaymentId | None
    confirmation_url: str | None
    cancellation: Cancellation | None
    contradiction: str | None
    created_at: datetime
    refunded: Money
    subject: str | None = None
    method_id: str | None = None
    method: MethodRef | None = None
    saves_method: bool = False
    receipt: ReceiptOrder | None = None
    receipt_status: ReceiptStatus | None = None
    disputed_at: datetime | None = None
    fee: Money | None = None
    succeeded_at: datetime | None = None
    next_check_at: datetime | None = None
    checks: int = 0

    def bond(self, provider_payment_id: ProviderPaymentId) -> Bond:
        """What the provider's object must agree with; a payment that the provider has not named yet takes this id."""
        return Bond(
            provider_payment_id=self.provider_payment_id or provider_payment_id,
            shop_id=self.shop_id,
            is_test=self.is_test,
            amount=self.amount,
            payment_id=self.id,
            account_id=self.account_id,
            purpose=self.purpose,
        )


class BegunBy(StrEnum):
    """Where a refund began."""

    OPERATOR = "operator"
    PROVIDER = "provider"
    """In the provider's cabinet; our row was made when we first saw it."""


@dataclass(frozen=True, slots=True)
class Refund:
    """Money given back of one payment; its id is the key under which the provider is asked."""

    id: RefundId
    payment_id: PaymentId
    provider: str
    amount: Money
    state: RefundState
    begun_by: BegunBy
    is_overdraft: bool
    reason: str
    created_at: datetime
    provider_refund_id: ProviderRefundId | None = None
    failure: RefundFailure | None = None
    receipt_status: ReceiptStatus | None = None
    succeeded_at: datetime | None = None
    next_check_at: datetime | None = None
    checks: int = 0


@dataclass(frozen=True, slots=True)
class Dispute:
    """A payment that its customer's bank wants back."""

    id: DisputeId
    payment_id: PaymentId
    account_id: AccountId
    provider: str
    provider_dispute_id: ProviderDisputeId
    amount: Money
    state: DisputeStatus
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Contact:
    """How the tax office's receipt reaches the customer, as the customer gave it for this payment."""

    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)


NO_CONTACT = Contact()


@dataclass(frozen=True, slots=True)
class SavedMethod:
    """A way to pay that was kept with its owner's consent: our row of it, and what the provider calls it."""

    method_id: str
    ref: MethodRef


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants to pay for; two wishes that agree in all but `return_to` and `contact` are one intent.

    `return_page` is the path of our own return page, with `{payment_id}` in it; `client_return_url`, checked already,
    replaces it. With a `method` nobody is sent anywhere. `saves_method` is the customer's recorded consent to keep
    what is paid with. For `lasts` after it was begun a payment that can still be paid is the same intent's.
    """

    account_id: AccountId
    purpose: str
    amount: Money
    return_page: str
    subject: str | None = None
    return_to: str | None = None
    client_return_url: str | None = None
    method: SavedMethod | None = None
    saves_method: bool = False
    contact: Contact = NO_CONTACT
    lasts: timedelta = INTENT_LASTS


@dataclass(frozen=True, slots=True)
class KeyClaim:
    """The client's key for its intent, and a digest of what it asked for: the same key answers the same payment."""

    operation: str
    key: str
    request_digest: str


@dataclass(frozen=True, slots=True)
class GivenBack:
    """Money that leaves what a payment bought: to its provider for a refund, out of reach for a dispute.

    `transfer_id` names it once and for all; `is_all` says that nothing of the payment is left with us after it, with
    all its refunds and standing disputes together, also where this is what came back.
    """

    amount: Money
    account: str
    transfer_id: str
    is_all: bool
