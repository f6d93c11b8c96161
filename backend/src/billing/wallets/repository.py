"""The statements of wallets, lots and holds; each is set-based and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.wallets.models import CreditLotRow, HoldRow, HoldStatus, LotSource, WalletRow
from billing.wallets.movements import WalletState
from billing.wallets.rules import HoldId, Lot, LotId, OperationId, Piece, WalletId

_LOTS_MAX = 1000  # one wallet with more unspent lots than this spends the first thousand first


@dataclass(frozen=True, slots=True)
class StoredHold:
    """A hold as it is in the database."""

    hold_id: HoldId
    operation_id: OperationId
    amount_micros: int
    status: HoldStatus
    placed_at: datetime
    expires_at: datetime
    charged_micros: int | None
    is_charged_late: bool


@dataclass(frozen=True, slots=True)
class LotView:
    """A credit lot as its owner sees it."""

    lot_id: LotId
    source: LotSource
    is_granted: bool
    left: Money
    held: Money
    expires_at: datetime | None


_STATE_COLUMNS = (
    WalletRow.id,
    WalletRow.currency,
    WalletRow.paid_micros,
    WalletRow.granted_micros,
    WalletRow.held_micros,
    WalletRow.debt_micros,
    WalletRow.entry_sequence,
    WalletRow.max_reply_cost_micros,
)


async def insert_wallet_if_absent(
    uow: UnitOfWork, wallet_id: WalletId, account_id: str, currency: Currency, at: datetime
) -> None:
    """Opens the wallet unless the account has one in this currency; a concurrent opener waits for the other."""
    await uow.connection.execute(
        insert(WalletRow)
        .values(id=wallet_id, account_id=account_id, currency=currency, created_at=at)
        .on_conflict_do_nothing(constraint="uq_wallets_account_id_currency"),
    )


async def wallet_of(uow: UnitOfWork, account_id: str, currency: Currency) -> WalletId | None:
    """The account's wallet in this currency."""
    found = await uow.connection.scalar(
        select(WalletRow.id).where(WalletRow.account_id == account_id, WalletRow.currency == currency),
    )
    return WalletId(found) if found else None


async def read_wallet(uow: UnitOfWork, wallet_id: WalletId, *, for_update: bool = False) -> WalletState:
    """The wallet's balances; with `for_update` nobody else moves its money until the transaction ends."""
    query = select(*_STATE_COLUMNS).where(WalletRow.id == wallet_id)
    row = (await uow.connection.execute(query.with_for_update() if for_update else query)).one()
    currency = Currency(row.currency)
    limit = row.max_reply_cost_micros
    return WalletState(
        wallet_id=WalletId(row.id),
        currency=currency,
        paid_micros=row.paid_micros,
        granted_micros=row.granted_micros,
        held_micros=row.held_micros,
        debt_micros=row.debt_micros,
        entry_sequence=row.entry_sequence,
        max_reply_cost=None if limit is None else Money(limit, currency),
    )


async def spendable_lots(uow: UnitOfWork, wallet_id: WalletId) -> list[Lot]:
    """The lots that have something left, expired ones too."""
    rows = await uow.connection.execute(
        select(CreditLotRow.id, CreditLotRow.is_granted, CreditLotRow.left_micros, CreditLotRow.expires_at)
        .where(CreditLotRow.wallet_id == wallet_id, CreditLotRow.left_micros > 0)
        .order_by(CreditLotRow.expires_at, CreditLotRow.id)
        .limit(_LOTS_MAX),
    )
    return [Lot(LotId(row.id), row.is_granted, row.left_micros, row.expires_at) for row in rows]


async def lot_views(uow: UnitOfWork, wallet: WalletState) -> tuple[LotView, ...]:
    """The lots that have something left or held, earliest expiry first."""
    rows = await uow.connection.execute(
        select(CreditLotRow)
        .with_only_columns(
            CreditLotRow.id,
            CreditLotRow.source,
            CreditLotRow.is_granted,
            CreditLotRow.left_micros,
            CreditLotRow.held_micros,
            CreditLotRow.expires_at,
        )
        .where(
            CreditLotRow.wallet_id == wallet.wallet_id,
            (CreditLotRow.left_micros > 0) | (CreditLotRow.held_micros > 0),
        )
        .order_by(CreditLotRow.expires_at.nulls_last(), CreditLotRow.id)
        .limit(_LOTS_MAX),
    )
    return tuple(
        LotView(
            lot_id=LotId(row.id),
            source=LotSource(row.source),
            is_granted=row.is_granted,
            left=Money(row.left_micros, wallet.currency),
            held=Money(row.held_micros, wallet.currency),
            expires_at=row.expires_at,
        )
        for row in rows
    )


async def insert_lot(
    uow: UnitOfWork,
    lot: Lot,
    *,
    wallet_id: WalletId,
    source: LotSource,
    amount_micros: int,
    origin: str,
    at: datetime,
) -> None:
    """Stores a new lot; it can have less left than its amount when debt was paid from it at once."""
    await uow.connection.execute(
        insert(CreditLotRow).values(
            id=lot.lot_id,
            wallet_id=wallet_id,
            source=source.value,
            is_granted=lot.is_granted,
            amount_micros=amount_micros,
            left_micros=lot.left_micros,
            origin=origin,
            created_at=at,
            expires_at=lot.expires_at,
        ),
    )


async def store_balances(uow: UnitOfWork, wallet: WalletState) -> None:
    """Writes the balances as they are after a transfer; the row is locked by this transaction."""
    await uow.connection.execute(
        _STORE_BALANCES,
        {
            "wallet_id": wallet.wallet_id,
            "paid": wallet.paid_micros,
            "granted": wallet.granted_micros,
            "held": wallet.held_micros,
            "debt": wallet.debt_micros,
            "sequence": wallet.entry_sequence,
        },
    )


_STORE_BALANCES = text(
    """
    UPDATE wallets SET paid_micros = :paid, granted_micros = :granted, held_micros = :held, debt_micros = :debt,
                       entry_sequence = :sequence
    WHERE id = :wallet_id
    """,
)

_CHANGE_LOTS = text(
    """
    UPDATE credit_lots
    SET left_micros = credit_lots.left_micros + change.left_micros,
        held_micros = credit_lots.held_micros + change.held_micros
    FROM unnest(CAST(:lots AS text[]), CAST(:lefts AS bigint[]), CAST(:helds AS bigint[]))
         AS change (lot_id, left_micros, held_micros)
    WHERE credit_lots.id = change.lot_id
    """,
)


async def change_lots(uow: UnitOfWork, changes: Mapping[LotId, tuple[int, int]]) -> None:
    """Adds (left, held) micros to each lot, in one statement."""
    if not changes:
        return
    ordered = sorted(changes.items())
    await uow.connection.execute(
        _CHANGE_LOTS,
        {
            "lots": [lot for lot, _ in ordered],
            "lefts": [left for _, (left, _) in ordered],
            "helds": [held for _, (_, held) in ordered],
        },
    )


_INSERT_HOLD = text(
    """
    WITH hold AS (
        INSERT INTO holds (id, wallet_id, operation_id, amount_micros, status, placed_at, expires_at)
        VALUES (:hold_id, :wallet_id, :operation_id, :amount, 'open', :placed_at, :expires_at)
        RETURNING id
    )
    INSERT INTO hold_allocations (hold_id, lot_id, amount_micros)
    SELECT hold.id, piece.lot_id, piece.amount_micros
    FROM hold, unnest(CAST(:lots AS text[]), CAST(:amounts AS bigint[])) AS piece (lot_id, amount_micros)
    """,
)


async def insert_hold(uow: UnitOfWork, wallet_id: WalletId, hold: StoredHold, pieces: Sequence[Piece]) -> None:
    """Stores an open hold with the pieces that it keeps."""
    await uow.connection.execute(
        _INSERT_HOLD,
        {
            "hold_id": hold.hold_id,
            "wallet_id": wallet_id,
            "operation_id": hold.operation_id,
            "amount": hold.amount_micros,
            "placed_at": hold.placed_at,
            "expires_at": hold.expires_at,
            "lots": [piece.lot_id for piece in pieces],
            "amounts": [piece.micros for piece in pieces],
        },
    )


async def find_hold(uow: UnitOfWork, wallet_id: WalletId, operation_id: OperationId) -> StoredHold | None:
    """The operation's hold; the caller has locked the wallet, so it does not change meanwhile."""
    row = (
        await uow.connection.execute(
            select(
                HoldRow.id,
                HoldRow.operation_id,
                HoldRow.amount_micros,
                HoldRow.status,
                HoldRow.placed_at,
                HoldRow.expires_at,
                HoldRow.charged_micros,
                HoldRow.is_charged_late,
            ).where(HoldRow.wallet_id == wallet_id, HoldRow.operation_id == operation_id),
        )
    ).one_or_none()
    if row is None:
        return None
    return StoredHold(
        hold_id=HoldId(row.id),
        operation_id=OperationId(row.operation_id),
        amount_micros=row.amount_micros,
        status=HoldStatus(row.status),
        placed_at=row.placed_at,
        expires_at=row.expires_at,
        charged_micros=row.charged_micros,
        is_charged_late=row.is_charged_late,
    )


_PIECES = text(
    """
    SELECT piece.lot_id, piece.amount_micros, lot.is_granted, lot.expires_at
    FROM hold_allocations AS piece JOIN credit_lots AS lot ON lot.id = piece.lot_id
    WHERE piece.hold_id = :hold_id
    ORDER BY lot.expires_at NULLS LAST, lot.is_granted DESC, lot.id
    """,
)


async def pieces_of(uow: UnitOfWork, hold_id: HoldId) -> list[Piece]:
    """The pieces that a hold keeps, in spending order."""
    rows = await uow.connection.execute(_PIECES, {"hold_id": hold_id})
    return [Piece(LotId(row.lot_id), row.is_granted, row.amount_micros, row.expires_at) for row in rows]


_END_HOLD = text(
    """
    UPDATE holds SET status = :status, ended_at = :ended_at, end_reason = :reason, charged_micros = :charged
    WHERE id = :hold_id AND status = 'open'
    """,
)


async def end_hold(
    uow: UnitOfWork,
    hold_id: HoldId,
    status: HoldStatus,
    *,
    at: datetime,
    reason: str | None = None,
    charged_micros: int | None = None,
) -> None:
    """Ends an open hold."""
    result = await uow.connection.execute(
        _END_HOLD,
        {"hold_id": hold_id, "status": status.value, "ended_at": at, "reason": reason, "charged": charged_micros},
    )
    assert result.rowcount == 1, "a hold ends once"


_CHARGE_LATE = text(
    """
    UPDATE holds SET charged_micros = :charged, is_charged_late = true
    WHERE id = :hold_id AND status = 'expired' AND charged_micros IS NULL
    """,
)


async def mark_charged_late(uow: UnitOfWork, hold_id: HoldId, charged_micros: int) -> None:
    """Notes that an operation whose hold had expired was charged after all."""
    result = await uow.connection.execute(_CHARGE_LATE, {"hold_id": hold_id, "charged": charged_micros})
    assert result.rowcount == 1, "an operation is charged once"


async def due_holds(uow: UnitOfWork, now: datetime, limit: int) -> list[tuple[WalletId, OperationId]]:
    """Open holds past their expiry, longest overdue first; ended ones are not even looked at (partial index)."""
    rows = await uow.connection.execute(
        select(HoldRow.wallet_id, HoldRow.operation_id)
        .where(HoldRow.status == HoldStatus.OPEN.value, HoldRow.expires_at <= now)
        .order_by(HoldRow.expires_at, HoldRow.id)
        .limit(limit),
    )
    return [(WalletId(row.wallet_id), OperationId(row.operation_id)) for row in rows]


async def wallets_with_expired_credit(uow: UnitOfWork, now: datetime, limit: int) -> list[WalletId]:
    """Wallets that have credit left in lots past their expiry, the oldest first."""
    rows = await uow.connection.execute(_EXPIRED_CREDIT, {"now": now, "limit": limit})
    return [WalletId(row.wallet_id) for row in rows]


_EXPIRED_CREDIT = text(
    """
    SELECT wallet_id, min(expires_at) AS oldest FROM credit_lots
    WHERE left_micros > 0 AND expires_at IS NOT NULL AND expires_at <= :now
    GROUP BY wallet_id ORDER BY oldest, wallet_id LIMIT :limit
    """,
)
