"""The table of messages that crossed our border."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class InboxMessageRow(Table):
    """One notification of a provider, stored once however often it arrives."""

    __tablename__ = "inbox_messages"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'done', 'ignored', 'quarantined', 'given_up')", name="status"),
        CheckConstraint("(status = 'waiting') = (due_at IS NOT NULL)", name="due_at"),
        UniqueConstraint("provider", "digest"),
        Index("ix_inbox_messages_due_at", "due_at", postgresql_where=text("status = 'waiting'")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    provider: Mapped[str] = mapped_column(Text)
    digest: Mapped[str] = mapped_column(Text)
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    handled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
