"""The table of automatic top-ups."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table
from billing.payments.models import PaymentRow


class AutoTopupRow(Table):
    """When one wallet tops itself up, by how much and with what; whoever begins or ends a top-up of it holds its lock.

    That only one is under way stands on the payments: a partial unique index over those that are live.
    """

    __tablename__ = "auto_topups"
    __table_args__ = (
        UniqueConstraint("agreement_id"),
        UniqueConstraint("wallet_id"),
        CheckConstraint(
            "threshold_micros > 0 AND amount_micros > 0 AND monthly_limit_micros >= amount_micros", name="amounts"
        ),
        CheckConstraint("declines BETWEEN 0 AND 3", name="declines"),
        CheckConstraint(
            "off_reason IN ('turned_off', 'declined', 'method_removed', 'not_offered', 'contact_missing',"
            " 'account_closed')",
            name="off_reason",
        ),
        CheckConstraint("(off_reason IS NULL) = (off_at IS NULL)", name="off_at"),
        Index("ix_auto_topups_due", "not_before", "account_id", postgresql_where=text("off_reason IS NULL")),
        Index(None, "method_id"),
    )

    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"), primary_key=True)
    agreement_id: Mapped[str] = mapped_column(Text)
    """Names the terms that the owner agreed to; every payment under them has it as its subject."""
    wallet_id: Mapped[str] = mapped_column(Text, ForeignKey("wallets.id"))
    currency: Mapped[str] = mapped_column(Text)
    threshold_micros: Mapped[int] = mapped_column(BigInteger)
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    monthly_limit_micros: Mapped[int] = mapped_column(BigInteger)
    method_id: Mapped[str] = mapped_column(Text, ForeignKey("payment_methods.id"))
    consent_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    declines: Mapped[int] = mapped_column(Integer)
    """How many ended without money since the last one that worked."""
    not_before: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    limited_until: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The end of the month whose limit leaves no room for another one."""
    off_reason: Mapped[str | None] = mapped_column(Text)
    off_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


CLAIM = Index(
    "uq_payments_auto_topup_in_flight",
    PaymentRow.account_id,
    PaymentRow.currency,
    unique=True,
    postgresql_where=text("purpose = 'auto_topup' AND state IN ('created', 'pending', 'waiting_for_capture')"),
)
"""Lets one automatic top-up of a wallet be under way, and no second one."""
