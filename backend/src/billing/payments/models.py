"""The table of payments."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, DateTime, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class PaymentRow(Table):
    """One payment: written before the provider hears of it, and under whose id the provider is asked."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount_micros > 0", name="amount"),
        CheckConstraint(
            "state IN ('created', 'pending', 'waiting_for_capture', 'succeeded', 'canceled')", name="state"
        ),
        CheckConstraint("(state = 'succeeded') = (succeeded_at IS NOT NULL)", name="succeeded_at"),
        CheckConstraint("(state = 'canceled') = (cancellation IS NOT NULL)", name="cancellation"),
        CheckConstraint(
            "state IN ('created', 'canceled') OR provider_payment_id IS NOT NULL", name="provider_payment_id"
        ),
        UniqueConstraint("provider", "provider_payment_id"),
        Index("ix_payments_account_id", "account_id", text("created_at DESC")),
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
