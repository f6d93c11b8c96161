"""The tables of endpoints, their secrets, messages, and what was delivered where."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class WebhookEndpointRow(Table):
    """An address that an account wants to be told at; `due_at` is when somebody should look at what waits for it."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (
        CheckConstraint("status IN ('enabled', 'disabled')", name="status"),
        CheckConstraint("disabled_reason IN ('owner', 'failing', 'gone')", name="disabled_reason"),
        CheckConstraint(
            "(status = 'disabled') = (disabled_at IS NOT NULL) AND (disabled_at IS NULL) = (disabled_reason IS NULL)",
            name="disabled",
        ),
        CheckConstraint("status = 'enabled' OR due_at IS NULL", name="due_at"),
        CheckConstraint("cardinality(event_types) > 0", name="event_types"),
        Index(None, "account_id", "id"),
        Index("ix_webhook_endpoints_due_at", "due_at", postgresql_where=text("due_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    url: Mapped[str] = mapped_column(Text)
    description: Mapped[str] = mapped_column(Text)
    event_types: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    status: Mapped[str] = mapped_column(Text)
    disabled_reason: Mapped[str | None] = mapped_column(Text)
    disabled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    failing_since: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    last_failed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class WebhookSecretRow(Table):
    """Which secrets of an endpoint there are; the secrets themselves are derived and stored nowhere."""

    __tablename__ = "webhook_secrets"

    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), primary_key=True)
    generation: Mapped[int] = mapped_column(Integer, primary_key=True)
    key_fingerprint: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class WebhookMessageRow(Table):
    """What happened to an account; a trigger writes one with each billing event, in the event's own transaction."""

    __tablename__ = "webhook_messages"
    __table_args__ = (
        UniqueConstraint("position"),
        Index(None, "account_id", "occurred_at"),
        Index(None, "occurred_at"),
        Index("ix_webhook_messages_unrouted", "position", postgresql_where=text("routed_at IS NULL")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    type: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, object]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    routed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class WebhookDeliveryRow(Table):
    """One message on its way to one endpoint; `position` is the order in which an endpoint gets them."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint("status IN ('waiting', 'delivered', 'given_up', 'canceled')", name="status"),
        CheckConstraint("(status = 'waiting') = (due_at IS NOT NULL)", name="due_at"),
        CheckConstraint("(status = 'waiting') = (ended_at IS NULL)", name="ended_at"),
        UniqueConstraint("endpoint_id", "position"),
        Index(None, "message_id"),
        Index("ix_webhook_deliveries_ended_at", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
        Index(
            "uq_webhook_deliveries_endpoint_id_message_id",
            "endpoint_id",
            "message_id",
            unique=True,
            postgresql_where=text("NOT is_replay"),
        ),
        Index("ix_webhook_deliveries_waiting", "endpoint_id", "position", postgresql_where=text("status = 'waiting'")),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    endpoint_id: Mapped[str] = mapped_column(ForeignKey("webhook_endpoints.id", ondelete="CASCADE"))
    position: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    message_id: Mapped[str] = mapped_column(ForeignKey("webhook_messages.id"))
    is_replay: Mapped[bool]
    status: Mapped[str] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer)
    last_outcome: Mapped[str | None] = mapped_column(Text)
    last_status: Mapped[int | None] = mapped_column(SmallInteger)
    last_attempted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    due_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
