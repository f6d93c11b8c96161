"""The tables of wallets, credit lots and holds."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Text, UniqueConstraint, text
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
        CheckConstraint("max_reply_cost_micros > 0", name="max_reply_cost"),
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
