"""The tables of payments, refunds and disputes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class PaymentRow(Table):
    """One payment: written before the provider hears of it, and under whose id the provider is asked."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount_micros > 0", name="amount"),
        CheckConstraint(
            "state IN ('created', 'pending', 'waiting_for_capture', 'succeeded', 'canceled', 'partially_refunded',"
            " 'refunded', 'disputed')",
            name="state",
        ),
        CheckConstraint(
            "(state IN ('succeeded', 'partially_refunded', 'refunded', 'disputed')) = (succeeded_at IS NOT NULL)",
            name="succeeded_at",
        ),
        CheckConstraint("(state = 'canceled') = (cancellation IS NOT NULL)", name="cancellation"),
        CheckConstraint(
            "state IN ('created', 'canceled') OR provider_payment_id IS NOT NULL", name="provider_payment_id"
        ),
        CheckConstraint("receipt_status IN ('pending', 'succeeded', 'failed')", name="receipt_status"),
        CheckConstraint(
            "receipt_terms IS NULL OR contact_email IS NOT NULL OR contact_phone IS NOT NULL", name="receipt_terms"
        ),
        CheckConstraint("refunded_micros BETWEEN 0 AND amount_micros", name="refunded"),
        CheckConstraint("succeeded_at IS NOT NULL OR (refunded_micros = 0 AND disputed_at IS NULL)", name="given_back"),
        CheckConstraint("checks >= 0", name="checks"),
        UniqueConstraint("provider", "provider_payment_id"),
        Index("ix_payments_account_id", "account_id", text("created_at DESC")),
        Index("ix_payments_created_at", "created_at", "id"),
        Index("ix_payments_next_check_at", "next_check_at", postgresql_where=text("next_check_at IS NOT NULL")),
        Index(
            "ix_payments_stuck",
            "created_at",
            postgresql_where=text(
                "contradiction IS NOT NULL OR (next_check_at IS NULL"
                " AND state IN ('created', 'pending', 'waiting_for_capture'))"
            ),
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"))
    purpose: Mapped[str] = mapped_column(Text)
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    provider: Mapped[str] = mapped_column(Text)
    shop_id: Mapped[str] = mapped_column(Text)
    is_test: Mapped[bool] = mapped_column(Boolean)
    return_url: Mapped[str] = mapped_column(Text)
    """Where the provider sends the customer back to: part of the keyed request, so that it never changes."""
    is_own_return: Mapped[bool] = mapped_column(Boolean)
    """The return address is our own return page, not one that the client chose."""
    return_to: Mapped[str | None] = mapped_column(Text)
    """The path inside the application that our return page leads back to."""
    state: Mapped[str] = mapped_column(Text)
    provider_payment_id: Mapped[str | None] = mapped_column(Text)
    confirmation_url: Mapped[str | None] = mapped_column(Text)
    cancellation: Mapped[str | None] = mapped_column(Text)
    contradiction: Mapped[str | None] = mapped_column(Text)
    """What did not agree when the provider's object was last compared with this row; NULL when all did."""
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    succeeded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    subject: Mapped[str | None] = mapped_column(Text)
    """What exactly is paid for, where the purpose alone does not say: the id of the purpose's own row."""
    method_id: Mapped[str | None] = mapped_column(Text)
    """The saved method that is charged, as our own row; None where the customer pays on the provider's page."""
    provider_method_id: Mapped[str | None] = mapped_column(Text)
    provider_customer: Mapped[str | None] = mapped_column(Text)
    saves_method: Mapped[bool] = mapped_column(Boolean)
    """The customer has consented that what is paid with is kept."""
    contact_email: Mapped[str | None] = mapped_column(Text)
    contact_phone: Mapped[str | None] = mapped_column(Text)
    receipt_terms: Mapped[dict[str, object] | None] = mapped_column(JSONB(none_as_null=True))
    """The rest of the receipt that was ordered with the payment; part of the keyed request like the contact."""
    receipt_status: Mapped[str | None] = mapped_column(Text)
    refunded_micros: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    """What its refunds have given back by our books; the sum of those that have succeeded."""
    disputed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """Since when a dispute about it is open or lost."""
    fee_micros: Mapped[int | None] = mapped_column(BigInteger)
    next_check_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the provider is asked again without anybody's doing; NULL when there is nothing to wait for."""
    checks: Mapped[int] = mapped_column(Integer, server_default=text("0"))


class RefundRow(Table):
    """Money given back of one payment: written before the provider hears of it, or when we first see it there."""

    __tablename__ = "refunds"
    __table_args__ = (
        CheckConstraint("amount_micros > 0", name="amount"),
        CheckConstraint("state IN ('created', 'pending', 'succeeded', 'failed')", name="state"),
        CheckConstraint("begun_by IN ('operator', 'provider')", name="begun_by"),
        CheckConstraint("state <> 'succeeded' OR succeeded_at IS NOT NULL", name="succeeded_at"),
        CheckConstraint("(state = 'failed') = (failure IS NOT NULL)", name="failure"),
        CheckConstraint("state IN ('created', 'failed') OR provider_refund_id IS NOT NULL", name="provider_refund_id"),
        CheckConstraint("receipt_status IN ('pending', 'succeeded', 'failed')", name="receipt_status"),
        CheckConstraint("checks >= 0", name="checks"),
        UniqueConstraint("provider", "provider_refund_id"),
        Index("ix_refunds_payment_id", "payment_id"),
        Index("ix_refunds_created_at", "created_at", "id"),
        Index("ix_refunds_next_check_at", "next_check_at", postgresql_where=text("next_check_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    payment_id: Mapped[str] = mapped_column(Text, ForeignKey("payments.id"))
    provider: Mapped[str] = mapped_column(Text)
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    begun_by: Mapped[str] = mapped_column(Text)
    is_overdraft: Mapped[bool] = mapped_column(Boolean)
    """It may give back more than the customer has left of the payment."""
    reason: Mapped[str] = mapped_column(Text)
    provider_refund_id: Mapped[str | None] = mapped_column(Text)
    failure: Mapped[str | None] = mapped_column(Text)
    receipt_status: Mapped[str | None] = mapped_column(Text)
    next_check_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    checks: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    succeeded_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class DisputeRow(Table):
    """A payment that its customer's bank wants back."""

    __tablename__ = "disputes"
    __table_args__ = (
        CheckConstraint("amount_micros > 0", name="amount"),
        CheckConstraint("state IN ('open', 'lost', 'won')", name="state"),
        UniqueConstraint("provider", "provider_dispute_id"),
        Index("ix_disputes_payment_id", "payment_id"),
        Index("ix_disputes_standing", "account_id", postgresql_where=text("state <> 'won'")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    payment_id: Mapped[str] = mapped_column(Text, ForeignKey("payments.id"))
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"))
    provider: Mapped[str] = mapped_column(Text)
    provider_dispute_id: Mapped[str] = mapped_column(Text)
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
