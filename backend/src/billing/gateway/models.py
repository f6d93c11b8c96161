"""The table of checkpoints: one row for each stream under way."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, CheckConstraint, DateTime, ForeignKey, Index, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class CheckpointRow(Table):
    """What one stream has used so far, and until when its process is trusted to be alive."""

    __tablename__ = "gateway_checkpoints"
    __table_args__ = (
        CheckConstraint("billing_source IN ('payg', 'lead_magnet', 'subscription')", name="billing_source"),
        CheckConstraint("raw_cost_micros >= 0", name="raw_cost"),
        Index(None, "lease_until"),
    )

    operation_id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"))
    wallet_id: Mapped[str] = mapped_column(Text, ForeignKey("wallets.id"))
    billing_source: Mapped[str] = mapped_column(Text)
    event: Mapped[dict[str, object]] = mapped_column(JSONB)
    quantities: Mapped[dict[str, int]] = mapped_column(JSONB)
    free_amounts: Mapped[dict[str, int]] = mapped_column(JSONB)
    raw_cost_micros: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    estimate_reason: Mapped[str | None] = mapped_column(Text)
    has_delivered: Mapped[bool] = mapped_column(Boolean)
    began_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    metered_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
