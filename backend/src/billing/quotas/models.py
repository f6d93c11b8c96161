"""The tables of the free quota: its terms, the people who hold one, their cycles, and the reservations in them."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table

_METRICS = ("input_tokens", "output_tokens", "images", "speech_seconds", "transcription_seconds")
_USED = ", ".join(f"{metric}_used" for metric in _METRICS)


def _none_below_zero(kind: str) -> str:
    return " AND ".join(f"{metric}_{kind} >= 0" for metric in _METRICS)


class FreeTermsRow(Table):
    """One version of the terms; the highest counts, in every process at once."""

    __tablename__ = "free_quota_terms"
    __table_args__ = (
        CheckConstraint("cycle_days BETWEEN 1 AND 3650", name="cycle_days"),
        CheckConstraint(_none_below_zero("limit"), name="limits"),
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


class FreeHolderRow(Table):
    """One person who has begun to use the free quota; the row outlives the person's accounts.

    `identity` is a keyed digest of the mailbox. `network` is where the first start came from, until it is forgotten.
    """

    __tablename__ = "free_quota_holders"
    __table_args__ = (
        UniqueConstraint("identity"),
        CheckConstraint("octet_length(identity) = 32", name="identity_is_digest"),
        Index(None, "network", "started_at"),
        Index(None, "started_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    identity: Mapped[bytes] = mapped_column(LargeBinary)
    network: Mapped[str | None] = mapped_column(Text)
    first_account_id: Mapped[str] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class FreeRefusedStartRow(Table):
    """How often an account was refused its first start on one day, because too many came from its network."""

    __tablename__ = "free_quota_refused_starts"
    __table_args__ = (
        CheckConstraint("attempts >= 1", name="attempts"),
        CheckConstraint("last_refused_at >= first_refused_at", name="in_order"),
    )

    refused_on: Mapped[date] = mapped_column(Date, primary_key=True)
    network: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text, primary_key=True)
    attempts: Mapped[int] = mapped_column(BigInteger)
    first_refused_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    last_refused_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class FreeAccountRow(Table):
    """In which order an account spends, and whose free quota it uses; no row means the default and nobody's yet."""

    __tablename__ = "free_quota_accounts"
    __table_args__ = (CheckConstraint("burn_order IN ('free_first', 'wallet_first', 'free_only')", name="burn_order"),)

    account_id: Mapped[str] = mapped_column(Text, ForeignKey("accounts.id"), primary_key=True)
    holder_id: Mapped[str | None] = mapped_column(Text, ForeignKey("free_quota_holders.id"))
    burn_order: Mapped[str] = mapped_column(Text, server_default=text("'free_first'"))


class FreeCycleRow(Table):
    """One person's counters since a moment; the row is the lock under which calls are let in."""

    __tablename__ = "free_quota_cycles"
    __table_args__ = (
        CheckConstraint("number >= 1", name="number"),
        CheckConstraint(_none_below_zero("used"), name="used"),
        CheckConstraint(_none_below_zero("reserved"), name="reserved"),
    )

    holder_id: Mapped[str] = mapped_column(Text, ForeignKey("free_quota_holders.id"), primary_key=True)
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
    """What one operation set aside, and what it used in the end; `account_id` says for whom."""

    __tablename__ = "free_quota_reservations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["holder_id", "cycle_number"], ["free_quota_cycles.holder_id", "free_quota_cycles.number"]
        ),
        CheckConstraint("state IN ('open', 'finalised', 'released', 'expired')", name="state"),
        CheckConstraint(_none_below_zero("reserved"), name="reserved"),
        CheckConstraint(
            f"num_nonnulls({_USED}) = CASE WHEN state = 'finalised' THEN 5 ELSE 0 END AND least({_USED}, 0) >= 0",
            name="used_when_finalised",
        ),
        CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ends_once"),
        Index("ix_free_quota_reservations_due", "expires_at", postgresql_where=text("state = 'open'")),
        Index(None, "holder_id", "cycle_number"),
    )

    operation_id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(Text)
    holder_id: Mapped[str] = mapped_column(Text)
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
