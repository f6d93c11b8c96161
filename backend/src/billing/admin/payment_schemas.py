"""What payments, refunds and disputes look like to operators in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from billing.kit.errors import InvalidInput
from billing.kit.money import Money, parse_currency
from billing.payments.records import Dispute, Payment, Refund
from billing.payments.refunds import PaymentFile
from billing.pricing.schemas import MoneyView


class RefundRequest(BaseModel):
    """How much to give back, all that can be where amount and currency are missing, and why.

    `overdraft` allows more than the customer has left of what was bought; the rest becomes debt.
    """

    model_config = ConfigDict(extra="forbid")

    amount: str | None = Field(default=None, max_length=64, examples=["100.00"])
    currency: str | None = Field(default=None, max_length=16, examples=["RUB"])
    overdraft: bool = False
    reason: str

    def money(self) -> Money | None:
        """The amount, None for all that can be given back.

        Raises:
            InvalidInput: one of amount and currency is missing, or cannot be what it claims to be.
        """
        if self.amount is None and self.currency is None:
            return None
        if self.amount is None or self.currency is None:
            raise InvalidInput("amount", "Give amount and currency, or neither of them.")
        return Money.from_decimal(self.amount, parse_currency(self.currency))


class RefundView(BaseModel):
    """A refund; `failure` is there exactly when it gave nothing back."""

    refund_id: str
    payment_id: str
    state: str
    amount: MoneyView
    begun_by: str
    is_overdraft: bool
    reason: str
    failure: str | None
    receipt_status: str | None
    provider_refund_id: str | None
    created_at: datetime
    succeeded_at: datetime | None

    @classmethod
    def of(cls, refund: Refund) -> Self:
        """The refund as JSON shows it."""
        return cls(
            refund_id=refund.id,
            payment_id=refund.payment_id,
            state=refund.state.value,
            amount=MoneyView.of(refund.amount),
            begun_by=refund.begun_by.value,
            is_overdraft=refund.is_overdraft,
            reason=refund.reason,
            failure=refund.failure,
            receipt_status=refund.receipt_status,
            provider_refund_id=refund.provider_refund_id,
            created_at=refund.created_at,
            succeeded_at=refund.succeeded_at,
        )


class DisputeView(BaseModel):
    """A dispute."""

    dispute_id: str
    payment_id: str
    provider_dispute_id: str
    state: str
    amount: MoneyView
    opened_at: datetime

    @classmethod
    def of(cls, dispute: Dispute) -> Self:
        """The dispute as JSON shows it."""
        return cls(
            dispute_id=dispute.id,
            payment_id=dispute.payment_id,
            provider_dispute_id=dispute.provider_dispute_id,
            state=dispute.state.value,
            amount=MoneyView.of(dispute.amount),
            opened_at=dispute.opened_at,
        )


class DisputeList(BaseModel):
    """The disputes that flag an account, oldest first; an account without any is not flagged."""

    items: list[DisputeView]


class PaymentFileView(BaseModel):
    """A payment with its refunds and disputes; whom a receipt reaches is not shown."""

    payment_id: str
    account_id: str
    purpose: str
    subject: str | None
    state: str
    amount: MoneyView
    refunded: MoneyView
    fee: MoneyView | None
    provider: str
    shop_id: str
    provider_payment_id: str | None
    cancellation: str | None
    contradiction: str | None
    receipt_status: str | None
    created_at: datetime
    succeeded_at: datetime | None
    next_check_at: datetime | None
    checks: int
    refunds: list[RefundView]
    disputes: list[DisputeView]

    @classmethod
    def of(cls, file: PaymentFile) -> Self:
        """The payment as JSON shows it."""
        payment: Payment = file.payment
        return cls(
            payment_id=payment.id,
            account_id=payment.account_id,
            purpose=payment.purpose,
            subject=payment.subject,
            state=payment.state.value,
            amount=MoneyView.of(payment.amount),
            refunded=MoneyView.of(payment.refunded),
            fee=None if payment.fee is None else MoneyView.of(payment.fee),
            provider=payment.provider,
            shop_id=payment.shop_id,
            provider_payment_id=payment.provider_payment_id,
            cancellation=payment.cancellation,
            contradiction=payment.contradiction,
            receipt_status=payment.receipt_status,
            created_at=payment.created_at,
            succeeded_at=payment.succeeded_at,
            next_check_at=payment.next_check_at,
            checks=payment.checks,
            refunds=[RefundView.of(refund) for refund in file.refunds],
            disputes=[DisputeView.of(dispute) for dispute in file.disputes],
        )
