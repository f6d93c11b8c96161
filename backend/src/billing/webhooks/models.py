"""The tables of messages that crossed our border, and of how many were turned away."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Date, DateTime, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class InboxMessageRow(Table):
    """One notification of a provider, stored once however often it arrives."""

    __tablename__ = "inbox_messages"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'done', 'ignored', 'quarantined', 'given_up')", name="status"),
        CheckConstraint("(status = 'waiting') = (due_at IS NOT NULL)", name="due_at"),
        UniqueConstraint("provider", "digest"),
        UniqueConstraint("provider", "event_id"),
        Index("ix_inbox_messages_due_at", "due_at", postgresql_where=text("status = 'waiting'")),
        Index("ix_inbox_messages_status_id", "status", "id"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    event_id: Mapped[str | None] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    handled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class WebhookRefusalRow(Table):
    """How many notifications were turned away at a provider's door on a day, for one reason."""

    __tablename__ = "webhook_refusals"
    __table_args__ = (CheckConstraint("count > 0", name="count"),)

    provider: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[str] = mapped_column(Text, primary_key=True)
    counted_on: Mapped[date] = mapped_column(Date, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)
