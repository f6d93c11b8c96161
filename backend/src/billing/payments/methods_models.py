"""The table of saved payment methods."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class PaymentMethodRow(Table):
    """A way to pay that the provider keeps for us, with its owner's consent."""

    __tablename__ = "payment_methods"
    __table_args__ = (
        UniqueConstraint("provider", "shop_id", "provider_method_id"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"))
    provider: Mapped[str] = mapped_column(Text)
    shop_id: Mapped[str] = mapped_column(Text)
    provider_method_id: Mapped[str] = mapped_column(Text)
    provider_customer: Mapped[str | None] = mapped_column(Text)
    title: Mapped[str] = mapped_column(Text)
    payment_id: Mapped[str] = mapped_column(Text, ForeignKey("payments.id"))
    """The payment with which it was saved, and on which the consent stands."""
    consent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
