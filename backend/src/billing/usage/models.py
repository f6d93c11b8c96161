"""The table of usage events: written once, with the charge, never changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class UsageEventRow(Table):
    """One operation's use and charge."""

    __tablename__ = "usage_events"
    __table_args__ = (
        CheckConstraint("billing_source IN ('payg', 'lead_magnet', 'subscription')", name="billing_source"),
        CheckConstraint("billing_source <> 'lead_magnet' OR charged_micros = 0", name="free_is_not_charged"),
        CheckConstraint("charged_micros >= 0 AND charged_micros <= raw_cost_micros", name="charged_within_raw_cost"),
        CheckConstraint("discount_percent BETWEEN 0 AND 100", name="discount_percent"),
        CheckConstraint(
            "input_tokens >= 0 AND cached_input_tokens >= 0 AND output_tokens >= 0 AND reasoning_tokens >= 0",
            name="tokens",
        ),
        CheckConstraint(
            "jsonb_typeof(units) = 'object'"
            " AND units - ARRAY['embedding_tokens', 'image_pixels', 'images_small', 'images_medium', 'images_large',"
            " 'speech_characters', 'transcription_milliseconds', 'requests'] = '{}'::jsonb"
            " AND NOT jsonb_path_exists(units, '$.* ? (@.type() != \"number\" || @ < 0 || @.floor() != @)')",
            name="units",
        ),
        CheckConstraint("latency_ms >= 0", name="latency"),
        CheckConstraint("door ~ '^[a-z_/]{1,40}$'", name="door"),
        CheckConstraint(
            "estimate_reason IN ('usage_missing', 'usage_invalid', 'stream_cut', 'gateway_lost', 'operator')",
            name="estimate_reason",
        ),
        Index(None, "account_id", "operation_id"),
        Index(None, "wallet_id"),
    )

    operation_id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"))
    wallet_id: Mapped[str] = mapped_column(Text, ForeignKey("wallets.id"))
    person_id: Mapped[str | None] = mapped_column(Text)
    api_key_id: Mapped[str | None] = mapped_column(Text)
    billing_source: Mapped[str] = mapped_column(Text)
    door: Mapped[str] = mapped_column(Text)
    provider: Mapped[str | None] = mapped_column(Text)
    model_asked: Mapped[str] = mapped_column(Text)
    model_priced: Mapped[str] = mapped_column(Text)
    model_used: Mapped[str] = mapped_column(Text)
    input_tokens: Mapped[int] = mapped_column(BigInteger)
    cached_input_tokens: Mapped[int] = mapped_column(BigInteger)
    output_tokens: Mapped[int] = mapped_column(BigInteger)
    reasoning_tokens: Mapped[int] = mapped_column(BigInteger)
    units: Mapped[dict[str, int]] = mapped_column(JSONB)
    raw_cost_micros: Mapped[int] = mapped_column(BigInteger)
    charged_micros: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    discount_percent: Mapped[int] = mapped_column(Integer)
    rates: Mapped[dict[str, object]] = mapped_column(JSONB)
    estimate_reason: Mapped[str | None] = mapped_column(Text)
    latency_ms: Mapped[int] = mapped_column(BigInteger)
    correlation_id: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
