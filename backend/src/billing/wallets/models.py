"""The tables of wallets, credit lots, holds, caps with their counters, and what accounts are told."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class LotSource(StrEnum):
    """Where credit came from; only a top-up is paid credit, everything else was given."""

    TOPUP = "topup"
    INCLUDED = "included"
    PROMOTION = "promotion"
    ADJUSTMENT = "adjustment"
    REFUND_RETURN = "refund_return"

    @property
    def is_granted(self) -> bool:
        """Credit of this source was given, not bought."""
        return self not in {LotSource.TOPUP, LotSource.REFUND_RETURN}


class HoldStatus(StrEnum):
    """A hold is open once and ends once."""

    OPEN = "open"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


class WalletRow(Table):
    """One wallet; its balances follow its ledger entries (G1)."""

    __tablename__ = "wallets"
    __table_args__ = (
        UniqueConstraint("account_id", "currency", name="uq_wallets_account_id_currency"),
        CheckConstraint(
            "paid_micros >= 0 AND granted_micros >= 0 AND held_micros >= 0 AND debt_micros >= 0", name="floors"
        ),
        CheckConstraint("max_reply_cost_micros >= 0", name="max_reply_cost"),
        CheckConstraint("low_balance_micros >= 0", name="low_balance"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    currency: Mapped[str] = mapped_column(Text)
    paid_micros: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    granted_micros: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    held_micros: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    debt_micros: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    entry_sequence: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    max_reply_cost_micros: Mapped[int | None] = mapped_column(BigInteger)
    low_balance_micros: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class CreditLotRow(Table):
    """Credit that came in one piece."""

    __tablename__ = "credit_lots"
    __table_args__ = (
        CheckConstraint("source IN ('topup', 'included', 'promotion', 'adjustment', 'refund_return')", name="source"),
        CheckConstraint(
            "amount_micros > 0 AND left_micros >= 0 AND held_micros >= 0"
            " AND left_micros + held_micros <= amount_micros",
            name="left_within_amount",
        ),
        Index("ix_credit_lots_spendable", "wallet_id", postgresql_where=text("left_micros > 0")),
        Index(
            "ix_credit_lots_expiring",
            "expires_at",
            postgresql_where=text("left_micros > 0 AND expires_at IS NOT NULL"),
        ),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    wallet_id: Mapped[str] = mapped_column(ForeignKey("wallets.id"))
    source: Mapped[str] = mapped_column(Text)
    is_granted: Mapped[bool]
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    left_micros: Mapped[int] = mapped_column(BigInteger)
    held_micros: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    origin: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class HoldRow(Table):
    """Credit set aside for one operation, and how the operation ended."""

    __tablename__ = "holds"
    __table_args__ = (
        UniqueConstraint("wallet_id", "operation_id", name="uq_holds_wallet_id_operation_id"),
        CheckConstraint("amount_micros >= 0", name="amount"),
        CheckConstraint("first_amount_micros >= 0 AND first_amount_micros < amount_micros", name="has_grown"),
        CheckConstraint("status IN ('open', 'settled', 'released', 'expired')", name="status"),
        CheckConstraint("(status = 'open') = (ended_at IS NULL)", name="ends_once"),
        CheckConstraint(
            "CASE status WHEN 'settled' THEN charged_micros >= 0 AND NOT is_charged_late"
            " WHEN 'expired' THEN is_charged_late = (charged_micros IS NOT NULL)"
            " ELSE charged_micros IS NULL AND NOT is_charged_late END",
            name="charge",
        ),
        Index("ix_holds_due", "expires_at", postgresql_where=text("status = 'open'")),
        Index(
            "ix_holds_odd",
            "ended_at",
            postgresql_where=text("status = 'expired' OR charged_micros > amount_micros"),
        ),
        Index("ix_holds_wallet_id_placed_at", "wallet_id", "placed_at"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    wallet_id: Mapped[str] = mapped_column(ForeignKey("wallets.id"))
    operation_id: Mapped[str] = mapped_column(Text)
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(Text)
    placed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    expires_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    ended_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    end_reason: Mapped[str | None] = mapped_column(Text)
    charged_micros: Mapped[int | None] = mapped_column(BigInteger)
    is_charged_late: Mapped[bool] = mapped_column(server_default=text("false"))
    # What was asked at first, where the hold has grown since; and the client's own limit for this reply.
    first_amount_micros: Mapped[int | None] = mapped_column(BigInteger)
    reply_limit_micros: Mapped[int | None] = mapped_column(BigInteger)
    # Of our own rows, without foreign keys: a hold outlives nobody, and two more checks on every call would.
    person_id: Mapped[str | None] = mapped_column(Text)
    api_key_id: Mapped[str | None] = mapped_column(Text)


class HoldAllocationRow(Table):
    """Which lot gave how much to a hold."""

    __tablename__ = "hold_allocations"
    __table_args__ = (CheckConstraint("amount_micros > 0", name="amount"),)

    hold_id: Mapped[str] = mapped_column(ForeignKey("holds.id"), primary_key=True)
    lot_id: Mapped[str] = mapped_column(ForeignKey("credit_lots.id"), primary_key=True)
    amount_micros: Mapped[int] = mapped_column(BigInteger)


class SpendingLimitRow(Table):
    """A cap on what may be spent in a period; a cap that was taken away stays as null, and its counters go on."""

    __tablename__ = "spending_limits"
    __table_args__ = (
        CheckConstraint("scope IN ('day', 'month', 'member', 'key')", name="scope"),
        CheckConstraint("(scope IN ('day', 'month')) = (subject = '')", name="subject"),
        CheckConstraint("cap_micros >= 0", name="cap"),
    )

    wallet_id: Mapped[str] = mapped_column(ForeignKey("wallets.id"), primary_key=True)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    cap_micros: Mapped[int | None] = mapped_column(BigInteger)


class SpendingPeriodRow(Table):
    """What was spent, and what open holds reserve, of the holds that were placed in one period of one cap (G3)."""

    __tablename__ = "spending_periods"
    __table_args__ = (
        ForeignKeyConstraint(
            ["wallet_id", "scope", "subject"],
            ["spending_limits.wallet_id", "spending_limits.scope", "spending_limits.subject"],
        ),
        CheckConstraint("starts_at < ends_at", name="ends_after_it_began"),
        CheckConstraint("spent_micros >= 0 AND reserved_micros >= 0", name="floors"),
    )

    wallet_id: Mapped[str] = mapped_column(Text, primary_key=True)
    scope: Mapped[str] = mapped_column(Text, primary_key=True)
    subject: Mapped[str] = mapped_column(Text, primary_key=True)
    starts_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    ends_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    spent_micros: Mapped[int] = mapped_column(BigInteger)
    reserved_micros: Mapped[int] = mapped_column(BigInteger)


class BillingEventRow(Table):
    """Something that an account is told; written once per crossing, in the transaction that caused it."""

    __tablename__ = "billing_events"
    __table_args__ = (
        UniqueConstraint("wallet_id", "crossing", name="uq_billing_events_wallet_id_crossing"),
        CheckConstraint("kind ~ '^[a-z_]+[.][a-z_]+$'", name="kind"),
        Index(None, "account_id", "id"),
    )

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    wallet_id: Mapped[str] = mapped_column(ForeignKey("wallets.id"))
    kind: Mapped[str] = mapped_column(Text)
    subject: Mapped[str] = mapped_column(Text)
    crossing: Mapped[str] = mapped_column(Text)
    payload: Mapped[dict[str, object]] = mapped_column(JSONB)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
