"""The ledger's statements: one to post a transfer, a few to read it back."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork, driver_of
from billing.ledger.postings import Transfer, TransferKind

# To the driver directly: on the path of every call SQLAlchemy's own work would be most of the time.
_POST = """
    WITH transfer AS (
        INSERT INTO ledger_transfers (id, kind, occurred_at, reference, corrects, details)
        VALUES (%(id)s, %(kind)s, %(occurred_at)s, %(reference)s, %(corrects)s, %(details)s::jsonb)
        ON CONFLICT (id) DO NOTHING
        RETURNING id
    )
    INSERT INTO ledger_entries
        (transfer_id, position, account, wallet_id, amount_micros, currency, balance_after_micros, sequence)
    SELECT transfer.id, entry.*
    FROM transfer, unnest(
        %(positions)s::integer[], %(accounts)s::text[], %(wallet_ids)s::text[], %(amounts)s::bigint[],
        %(currencies)s::text[], %(balances)s::bigint[], %(sequences)s::bigint[]
    ) AS entry
"""

_CONTENT = text(
    """
    SELECT transfer.kind, transfer.reference, transfer.corrects, transfer.details,
           array_agg(
               concat_ws(' ', entry.account, coalesce(entry.wallet_id, '-'), entry.amount_micros, entry.currency)
               ORDER BY entry.position
           ) AS entries
    FROM ledger_transfers AS transfer
    JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    WHERE transfer.id = :id
    GROUP BY transfer.id
    """,
)

# A hold and a release move money between a wallet's own accounts: nothing that a customer would call a movement.
_STATEMENT = text(
    """
    SELECT transfer.id, transfer.kind, transfer.occurred_at, transfer.reference, entry.currency,
           sum(entry.amount_micros) AS amount_micros
    FROM ledger_entries AS entry
    JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    WHERE entry.wallet_id = :wallet_id AND transfer.kind <> 'hold' AND transfer.kind <> 'release'
    GROUP BY transfer.id, entry.currency
    HAVING sum(entry.amount_micros) <> 0
    ORDER BY max(entry.sequence) DESC
    LIMIT :limit
    """,
)


@dataclass(frozen=True, slots=True)
class TransferContent:
    """What a booked transfer says, in a form that can be compared field by field."""

    kind: str
    reference: str
    corrects: str | None
    metadata: dict[str, str]
    entries: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement of a wallet as its owner sees it: credit is positive, a charge negative."""

    transfer_id: str
    kind: TransferKind
    occurred_at: datetime
    reference: str
    amount: Money


async def insert_transfer(uow: UnitOfWork, transfer: Transfer) -> bool:
    """Books the transfer with all its entries in one statement; False if its id is in the books already."""
    entries = transfer.entries
    driver = await driver_of(uow)
    result = await driver.execute(
        _POST,
        {
            "id": transfer.transfer_id,
            "kind": transfer.kind.value,
            "occurred_at": transfer.occurred_at,
            "reference": transfer.reference,
            "corrects": transfer.corrects,
            "details": json.dumps(dict(transfer.metadata)),
            "positions": list(range(len(entries))),
            "accounts": [str(entry.account) for entry in entries],
            "wallet_ids": [entry.wallet_id for entry in entries],
            "amounts": [entry.amount_micros for entry in entries],
            "currencies": [entry.currency for entry in entries],
            "balances": [entry.balance_after_micros for entry in entries],
            "sequences": [entry.sequence for entry in entries],
        },
        prepare=True,
    )
    return result.rowcount == len(entries)


async def content_of(uow: UnitOfWork, transfer_id: str) -> TransferContent | None:
    """What the books say under this id."""
    row = (await uow.connection.execute(_CONTENT, {"id": transfer_id})).one_or_none()
    return TransferContent(row.kind, row.reference, row.corrects, row.details, tuple(row.entries)) if row else None


async def statement(uow: UnitOfWork, wallet_id: str, limit: int) -> tuple[StatementLine, ...]:
    """The wallet's latest movements, newest first."""
    rows = await uow.connection.execute(_STATEMENT, {"wallet_id": wallet_id, "limit": limit})
    return tuple(
        StatementLine(
            transfer_id=row.id,
            kind=TransferKind(row.kind),
            occurred_at=row.occurred_at,
            reference=row.reference,
            amount=Money(int(row.amount_micros), Currency(row.currency)),
        )
        for row in rows
    )
