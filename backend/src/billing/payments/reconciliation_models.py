"""The tables of what two-way reconciliation compared, and what it found."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, Integer, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class ReconciliationRunRow(Table):
    """One comparison that came to its end; the next one goes on from the last of its shop."""

    __tablename__ = "reconciliation_runs"
    __table_args__ = (
        CheckConstraint("since_at < until_at", name="window"),
        Index("ix_reconciliation_runs_shop", "provider", "shop_id", text("finished_at DESC")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    shop_id: Mapped[str] = mapped_column(Text)
    is_daily: Mapped[bool]
    """Made by the schedule, which goes on from here; a person's own choice of window leaves no gap behind."""
    since_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    until_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    payments: Mapped[int] = mapped_column(Integer)
    refunds: Mapped[int] = mapped_column(Integer)
    healed: Mapped[int] = mapped_column(Integer)
    differences: Mapped[int] = mapped_column(Integer)
    finished_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class ReconciliationDifferenceRow(Table):
    """One way in which our books and a provider's differ, until a person says what becomes of it."""

    __tablename__ = "reconciliation_differences"
    __table_args__ = (
        CheckConstraint(
            "kind IN ('missing_here', 'foreign', 'missing_there', 'identity', 'amount', 'currency', 'status', "
            "'refund', 'fee', 'unreadable')",
            name="kind",
        ),
        CheckConstraint("resolution IN ('adopted', 'accepted', 'ignored')", name="resolution"),
        CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name="resolved_at"),
        Index(
            "uq_reconciliation_differences_open",
            "provider",
            "shop_id",
            "kind",
            "object_id",
            unique=True,
            postgresql_where=text("resolved_at IS NULL"),
        ),
        Index("ix_reconciliation_differences_object_id", "object_id", "kind"),
        Index("ix_reconciliation_differences_found_at", text("found_at DESC"), "id"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    shop_id: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(Text)
    object_id: Mapped[str] = mapped_column(Text)
    """The provider's id of the payment or refund, or ours where the provider has given it none."""
    payment_id: Mapped[str | None] = mapped_column(Text)
    """The payment of ours that it is about; there may be no such row, which is what one kind is about."""
    ours: Mapped[dict[str, str | None]] = mapped_column(JSONB)
    theirs: Mapped[dict[str, str | None]] = mapped_column(JSONB)
    found_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_seen_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    resolution: Mapped[str | None] = mapped_column(Text)
    resolved_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
