"""The ledger's statements: one to post a transfer, a few to read it back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from billing.kit.money import Currency, Money
from billing.kit.round_trips import Sending
from billing.kit.statements import DriverStatement, sent, written
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.chart_of_accounts import SystemAccount, WalletAccount
from billing.ledger.postings import BookedContent, Transfer, TransferKind

_POST = """
    WITH transfer AS (
        INSERT INTO ledger_transfers (id, kind, occurred_at, reference, corrects, details)
        VALUES (%(id)s, %(kind)s, %(occurred_at)s, %(reference)s, %(corrects)s, %(details)s::jsonb)
        {on_conflict}
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
_POST_ONCE = DriverStatement(_POST.format(on_conflict="ON CONFLICT (id) DO NOTHING"))
_POST_NEW = DriverStatement(_POST.format(on_conflict=""))

_CONTENT = DriverStatement(
    """
    SELECT transfer.kind, transfer.reference, transfer.corrects, transfer.details,
           array_agg(
               concat_ws(' ', entry.account, coalesce(entry.wallet_id, '-'), entry.amount_micros, entry.currency)
               ORDER BY entry.position
           ) AS entries
    FROM ledger_transfers AS transfer
    JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
    WHERE transfer.id = %(id)s
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


_IS_OF_WALLET = text(
    "SELECT EXISTS (SELECT FROM ledger_entries WHERE transfer_id = :id AND wallet_id = :wallet_id)",
)

# A wallet's entries are recorded in the order of their numbers, because each is written under the wallet's lock. So the
# last one before a moment is found by halving, without an index of its own; the numbers have no gaps.
_BALANCES_AT = text(
    """
    WITH RECURSIVE halving (low, high) AS (
        SELECT 0::bigint, coalesce(max(sequence), 0) FROM ledger_entries WHERE wallet_id = :wallet_id
        UNION ALL
        SELECT CASE WHEN middle.is_before THEN middle.sequence ELSE low END,
               CASE WHEN middle.is_before THEN high ELSE middle.sequence - 1 END
        FROM halving CROSS JOIN LATERAL (
            SELECT entry.sequence, transfer.recorded_at < :at AS is_before
            FROM ledger_entries AS entry JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
            WHERE entry.wallet_id = :wallet_id AND entry.sequence = (low + high + 1) / 2
        ) AS middle
        WHERE low < high
    )
    SELECT account.name, last.balance_after_micros, last.currency
    FROM (SELECT low FROM halving WHERE low = high) AS found
    CROSS JOIN unnest(CAST(:accounts AS text[])) AS account (name)
    CROSS JOIN LATERAL (
        SELECT balance_after_micros, currency FROM ledger_entries
        WHERE wallet_id = :wallet_id AND ledger_entries.account = account.name AND sequence <= found.low
        ORDER BY sequence DESC LIMIT 1
    ) AS last
    """,
)

_SYSTEM_BALANCES_AT = text(
    """
    SELECT entry.currency, sum(entry.amount_micros) AS micros
    FROM ledger_entries AS entry JOIN ledger_transfers AS transfer ON transfer.id = entry.transfer_id
    WHERE entry.account = :account AND entry.wallet_id IS NULL AND transfer.recorded_at < :at
    GROUP BY entry.currency ORDER BY entry.currency
    """,
)


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One movement of a wallet as its owner sees it: credit is positive, a charge negative."""

    transfer_id: str
    kind: TransferKind
    occurred_at: datetime
    reference: str
    amount: Money


async def insert_transfer(uow: UnitOfWork, transfer: Transfer, *, after: Sequence[Sending] = ()) -> bool:
    """Books the transfer with all its entries in one statement; False if its id is in the books already.

    The statements of `after` are sent before it, in the same round trip.
    """
    *_, posted = await sent(uow, *after, _posting(_POST_ONCE, transfer))
    return posted.changed == len(transfer.entries)


async def insert_new_transfer(uow: UnitOfWork, transfer: Transfer, *, after: Sequence[Sending] = ()) -> None:
    """Books a transfer whose id is new; in the books already, it fails. A write that may wait."""
    await written(uow, *after, _posting(_POST_NEW, transfer))


def _posting(statement: DriverStatement, transfer: Transfer) -> Sending:
    entries = transfer.entries
    return statement.filled(
        id=transfer.transfer_id,
        kind=transfer.kind.value,
        occurred_at=transfer.occurred_at,
        reference=transfer.reference,
        corrects=transfer.corrects,
        details=json.dumps(dict(transfer.metadata)),
        positions=list(range(len(entries))),
        accounts=[str(entry.account) for entry in entries],
        wallet_ids=[entry.wallet_id for entry in entries],
        amounts=[entry.amount_micros for entry in entries],
        currencies=[entry.currency for entry in entries],
        balances=[entry.balance_after_micros for entry in entries],
        sequences=[entry.sequence for entry in entries],
    )


async def content_of(uow: UnitOfWork, transfer_id: str) -> BookedContent | None:
    """What the books say under this id."""
    row = await _CONTENT.row(uow, id=transfer_id)
    return BookedContent(row.kind, row.reference, row.corrects, row.details, tuple(row.entries)) if row else None


async def is_of_wallet(uow: UnitOfWork, wallet_id: str, transfer_id: str) -> bool:
    """Whether the transfer has an entry on one of the wallet's accounts."""
    return bool(await uow.connection.scalar(_IS_OF_WALLET, {"wallet_id": wallet_id, "id": transfer_id}))


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


async def balances_at(uow: UnitOfWork, wallet_id: str, at: datetime) -> dict[WalletAccount, Money]:
    """The running balance of each of the wallet's accounts that had moved before the moment."""
    values = {"wallet_id": wallet_id, "at": at, "accounts": list(WalletAccount)}
    rows = await uow.connection.execute(_BALANCES_AT, values)
    return {WalletAccount(row.name): Money(row.balance_after_micros, Currency(row.currency)) for row in rows}


async def system_balances_at(uow: UnitOfWork, account: SystemAccount, at: datetime) -> tuple[Money, ...]:
    """The sum of the account's entries before the moment, one per currency."""
    rows = await uow.connection.execute(_SYSTEM_BALANCES_AT, {"account": account, "at": at})
    return tuple(Money(int(row.micros), Currency(row.currency)) for row in rows)
