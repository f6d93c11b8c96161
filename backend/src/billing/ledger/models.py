"""The ledger's two tables. Nobody but the schema's owner can change or delete a row, and a trigger refuses besides."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, DateTime, ForeignKey, Index, Integer, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table


class TransferRow(Table):
    """One transfer; `occurred_at` is the business's moment, `recorded_at` the database's."""

    __tablename__ = "ledger_transfers"
    __table_args__ = (Index("ix_ledger_transfers_recorded_at", "recorded_at", postgresql_using="brin"),)

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text)
    occurred_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    recorded_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.clock_timestamp())
    reference: Mapped[str] = mapped_column(Text, index=True)
    corrects: Mapped[str | None] = mapped_column(ForeignKey("ledger_transfers.id"))
    details: Mapped[dict[str, str]] = mapped_column(JSONB)


class EntryRow(Table):
    """One entry; entries on wallet accounts are numbered within the wallet without gaps."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        CheckConstraint("amount_micros <> 0", name="moves_something"),
        CheckConstraint(
            "(wallet_id IS NULL) = (account NOT LIKE 'wallet.%')"
            " AND (wallet_id IS NULL) = (balance_after_micros IS NULL)"
            " AND (wallet_id IS NULL) = (sequence IS NULL)",
            name="wallet_entries_are_whole",
        ),
        CheckConstraint(
            "CASE account WHEN 'wallet.debt' THEN balance_after_micros <= 0 ELSE balance_after_micros >= 0 END",
            name="balance_has_its_sign",
        ),
        Index("uq_ledger_entries_wallet_id_sequence", "wallet_id", "sequence", unique=True),
        Index(
            "ix_ledger_entries_last_of_account",
            "wallet_id",
            "account",
            "sequence",
            postgresql_where=text("account <> 'wallet.held' AND wallet_id IS NOT NULL"),
        ),
    )

    transfer_id: Mapped[str] = mapped_column(ForeignKey("ledger_transfers.id"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    account: Mapped[str] = mapped_column(Text)
    wallet_id: Mapped[str | None] = mapped_column(Text)
    amount_micros: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(Text)
    balance_after_micros: Mapped[int | None] = mapped_column(BigInteger)
    sequence: Mapped[int | None] = mapped_column(BigInteger)
