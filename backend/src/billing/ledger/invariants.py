"""The ledger's part of the one checker: transfers sum to zero and running balances follow their entries (G1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import text

from billing.kit.unit_of_work import UnitOfWork

_DRIFTS_SHOWN_MAX = 100

_UNBALANCED = text(
    """
    SELECT transfer_id, currency, sum(amount_micros) AS total
    FROM ledger_entries GROUP BY transfer_id, currency HAVING sum(amount_micros) <> 0
    ORDER BY transfer_id LIMIT :limit
    """,
)
_WITHOUT_ENTRIES = text(
    """
    SELECT transfer.id FROM ledger_transfers AS transfer
    WHERE NOT EXISTS (SELECT FROM ledger_entries AS entry WHERE entry.transfer_id = transfer.id)
    ORDER BY transfer.id LIMIT :limit
    """,
)
_BROKEN_CHAIN = text(
    """
    SELECT * FROM (
        SELECT wallet_id, account, sequence, balance_after_micros,
               sum(amount_micros) OVER (PARTITION BY wallet_id, account ORDER BY sequence) AS expected,
               sequence - row_number() OVER (PARTITION BY wallet_id ORDER BY sequence) AS gap
        FROM ledger_entries WHERE wallet_id IS NOT NULL
    ) AS chain
    WHERE balance_after_micros <> expected OR gap <> 0
    ORDER BY wallet_id, sequence LIMIT :limit
    """,
)


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that is not as an invariant says: which invariant, about what, and both numbers in a sentence."""

    invariant: str
    subject: str
    sentence: str


class Verifier(Protocol):
    """One capability's part of `billing ledger verify`."""

    async def drifts(self, uow: UnitOfWork) -> tuple[Drift, ...]:
        """Every drift that a consistent view of the database shows, a hundred per check at the most."""
        ...


class LedgerVerifier:
    """Checks the books by themselves, whatever wallets say."""

    async def drifts(self, uow: UnitOfWork) -> tuple[Drift, ...]:
        """Transfers that do not sum to zero, transfers without entries, and balances that do not follow."""
        limit = {"limit": _DRIFTS_SHOWN_MAX}
        unbalanced = await uow.connection.execute(_UNBALANCED, limit)
        empty = await uow.connection.execute(_WITHOUT_ENTRIES, limit)
        broken = await uow.connection.execute(_BROKEN_CHAIN, limit)
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
        )
