"""The tables of the free quota: its terms, each account's cycles, and the reservations in them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class FreeTermsRow(Table):
    """One version of the terms; the highest counts, in every process at once."""

    __tablename__ = "free_quota_terms"
    __table_args__ = (
        CheckConstraint("cycle_days BETWEEN 1 AND 3650", name="cycle_days"),
        CheckConstraint("input_tokens_limit >= 0 AND output_tokens_limit >= 0", name="limits"),
    )

    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    is_enabled: Mapped[bool] = mapped_column(Boolean)
    cycle_days: Mapped[int] = mapped_column(Integer)
    input_tokens_limit: Mapped[int] = mapped_column(BigInteger)
    output_tokens_limit: Mapped[int] = mapped_column(BigInteger)
    images_limit: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    speech_seconds_limit: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    transcription_seconds_limit: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    eligible_models: Mapped[list[str]] = mapped_column(ARRAY(Text))
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())


class FreeCycleRow(Table):
    """One account's counters since a moment; the row is the lock under which calls are let in."""

    __tablename__ = "free_quota_cycles"
    __table_args__ = (
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint("input_tokens_used >= 0 AND output_tokens_used >= 0", name="used"),
        CheckConstraint("input_tokens_reserved >= 0 AND output_tokens_reserved >= 0", name="reserved"),
    )

    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    input_tokens_used: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    output_tokens_used: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    images_used: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    speech_seconds_used: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    transcription_seconds_used: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    input_tokens_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    output_tokens_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    images_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    speech_seconds_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    transcription_seconds_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class FreeReservationRow(Table):
    """What one operation set aside, and what it used in the end."""

    __tablename__ = "free_quota_reservations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["account_id", "cycle_number"], ["free_quota_cycles.account_id", "free_quota_cycles.number"]
        ),
        CheckConstraint("state IN ('open', 'finalised', 'released', 'expired')", name="state"),
        CheckConstraint("input_tokens_reserved >= 0 AND output_tokens_reserved >= 0", name="reserved"),
        CheckConstraint(
            "(state = 'finalised') = (input_tokens_used IS NOT NULL)"
            " AND (state = 'finalised') = (output_tokens_used IS NOT NULL)"
            " AND coalesce(input_tokens_used, 0) >= 0 AND coalesce(output_tokens_used, 0) >= 0",
            name="used_when_finalised",
        ),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ends_once"),
        Index("ix_free_quota_reservations_due", "expires_at", postgresql_where=text("state = 'open'")),
        Index(None, "account_id", "cycle_number"),
    )

    operation_id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text)
    cycle_number: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(Text)
    input_tokens_reserved: Mapped[int] = mapped_column(BigInteger)
    output_tokens_reserved: Mapped[int] = mapped_column(BigInteger)
    images_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    speech_seconds_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    transcription_seconds_reserved: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    input_tokens_used: Mapped[int | None] = mapped_column(BigInteger)
    output_tokens_used: Mapped[int | None] = mapped_column(BigInteger)
    images_used: Mapped[int | None] = mapped_column(BigInteger)
    speech_seconds_used: Mapped[int | None] = mapped_column(BigInteger)
    transcription_seconds_used: Mapped[int | None] = mapped_column(BigInteger)
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
