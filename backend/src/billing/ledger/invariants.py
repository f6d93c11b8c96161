"""The ledger's part of the one checker: transfers sum to zero and running balances follow their entries (G1)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import text

from billing.kit.unit_of_work import UnitOfWork

_DRIFTS_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Extent:
    """What to check: everything, or one wallet, or the wallets that moved since a moment, each as a whole."""

    wallet_id: str | None = None
    since: datetime | None = None

    def values(self) -> dict[str, object]:
        """The parameters of `in_extent`."""
        return {"wallet_id": self.wallet_id, "since": self.since}


EVERYTHING = Extent()


def in_extent(column: str) -> str:
    """The SQL condition that the wallet which this column names is to be checked."""
    return f"""
        (CAST(:wallet_id AS text) IS NULL OR {column} = CAST(:wallet_id AS text))
        AND (CAST(:since AS timestamptz) IS NULL OR {column} IN (
            SELECT moved.wallet_id FROM ledger_entries AS moved
            JOIN ledger_transfers AS lately ON lately.id = moved.transfer_id
            WHERE lately.recorded_at >= CAST(:since AS timestamptz)
        ))
    """  # noqa: S608 - put together from names of columns that stand in our own code


# A transfer is checked as a whole: all its entries, those of system accounts too.
_UNBALANCED = text(
    """
    SELECT entry.transfer_id, entry.currency, sum(entry.amount_micros) AS total
    FROM ledger_entries AS entry JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    WHERE (CAST(:since AS timestamptz) IS NULL OR transfer.recorded_at >= CAST(:since AS timestamptz))
      AND (CAST(:wallet_id AS text) IS NULL OR transfer.id IN (
          SELECT own.transfer_id FROM ledger_entries AS own WHERE own.wallet_id = CAST(:wallet_id AS text)
      ))
    GROUP BY entry.transfer_id, entry.currency HAVING sum(entry.amount_micros) <> 0
    ORDER BY entry.transfer_id LIMIT :limit
    """,
)
_WITHOUT_ENTRIES = text(
    """
    SELECT transfer.id FROM ledger_transfers AS transfer
    WHERE NOT EXISTS (SELECT FROM ledger_entries AS entry WHERE entry.transfer_id = transfer.id)
      AND (CAST(:since AS timestamptz) IS NULL OR transfer.recorded_at >= CAST(:since AS timestamptz))
      AND CAST(:wallet_id AS text) IS NULL
    ORDER BY transfer.id LIMIT :limit
    """,
)
_BROKEN_CHAIN = text(
    f"""
    SELECT * FROM (
        SELECT wallet_id, account, sequence, balance_after_micros,
               sum(amount_micros) OVER (PARTITION BY wallet_id, account ORDER BY sequence) AS expected,
               sequence - row_number() OVER (PARTITION BY wallet_id ORDER BY sequence) AS gap
        FROM ledger_entries WHERE wallet_id IS NOT NULL AND {in_extent("ledger_entries.wallet_id")}
    ) AS chain
    WHERE balance_after_micros <> expected OR gap <> 0
    ORDER BY wallet_id, sequence LIMIT :limit
    """,  # noqa: S608 - put together from constants of this file
)
_TWO_CURRENCIES = text(
    f"""
    SELECT wallet_id, min(currency) AS one, max(currency) AS other
    FROM ledger_entries WHERE wallet_id IS NOT NULL AND {in_extent("ledger_entries.wallet_id")}
    GROUP BY wallet_id HAVING min(currency) <> max(currency)
    ORDER BY wallet_id LIMIT :limit
    """,  # noqa: S608 - put together from constants of this file
)


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as an invariant says: which invariant, about what, and both numbers in a sentence."""

    invariant: str
    subject: str
    sentence: str


class Verifier(Protocol):
    """One capability's part of `billing ledger verify`."""

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Every drift in this extent that a consistent view of the database shows, a hundred per check at the most."""
        ...


class LedgerVerifier:
    """Checks the books by themselves, whatever wallets say."""

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Transfers that do not sum to zero, transfers without entries, balances that do not follow, mixed money."""
        values = {**extent.values(), "limit": _DRIFTS_SHOWN_MAX}
        unbalanced = await uow.connection.execute(_UNBALANCED, values)
        empty = await uow.connection.execute(_WITHOUT_ENTRIES, values)
        broken = await uow.connection.execute(_BROKEN_CHAIN, values)
        mixed = await uow.connection.execute(_TWO_CURRENCIES, values)
        return (
            *(Drift("G1", row.transfer_id, f"entries sum to {row.total} micros {row.currency}") for row in unbalanced),
            *(Drift("G1", row.id, "the transfer has no entries") for row in empty),
            *(
                Drift(
                    "G1",
                    f"{row.wallet_id} {row.account}",
                    f"entry {row.sequence} says {row.balance_after_micros} micros, its predecessors {row.expected}",
                )
                for row in broken
            ),
            *(Drift("G18", row.wallet_id, f"its entries are in {row.one} and in {row.other}") for row in mixed),
        )
