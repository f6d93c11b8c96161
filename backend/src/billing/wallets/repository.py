"""The statements of wallets, lots and holds; each is set-based and decides nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.wallets.alerts import Alert
from billing.wallets.models import BillingEventRow, CreditLotRow, HoldRow, HoldStatus, LotSource, WalletRow
from billing.wallets.movements import WalletState
from billing.wallets.rules import HoldId, Lot, LotId, OperationId, Piece, WalletId

_LOTS_MAX = 1000  # one wallet with more unspent lots than this spends the first thousand first


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


@dataclass(frozen=True, slots=True)
class DueHold:
    """An open hold past its expiry."""

    wallet_id: WalletId
    operation_id: OperationId
    hold_id: HoldId
    expires_at: datetime


async def due_holds(uow: UnitOfWork, now: datetime, limit: int, *, after: DueHold | None = None) -> list[DueHold]:
    """Open holds past their expiry, longest overdue first, from behind `after`; ended ones are not even looked at
    (partial index).
    """
    query = select(HoldRow.wallet_id, HoldRow.operation_id, HoldRow.id, HoldRow.expires_at).where(
        HoldRow.status == HoldStatus.OPEN.value, HoldRow.expires_at <= now
    )
    if after is not None:
        query = query.where(tuple_(HoldRow.expires_at, HoldRow.id) > tuple_(after.expires_at, after.hold_id))
    rows = await uow.connection.execute(query.order_by(HoldRow.expires_at, HoldRow.id).limit(limit))
    return [DueHold(WalletId(row[0]), OperationId(row[1]), HoldId(row[2]), row[3]) for row in rows]


async def wallets_with_expired_credit(
    uow: UnitOfWork, now: datetime, limit: int, *, after: WalletId | None = None
) -> list[WalletId]:
    """Wallets that have credit left in lots past their expiry, by their ids, from behind `after`."""
    rows = await uow.connection.execute(
        select(CreditLotRow.wallet_id)
        .distinct()
        .where(CreditLotRow.left_micros > 0, CreditLotRow.expires_at <= now, CreditLotRow.wallet_id > (after or ""))
        .order_by(CreditLotRow.wallet_id)
        .limit(limit),
    )
    return [WalletId(row.wallet_id) for row in rows]


async def expired_lots(uow: UnitOfWork, wallet_id: WalletId, now: datetime, limit: int) -> list[Piece]:
    """What is left in the wallet's lots past their expiry, the oldest first."""
    rows = await uow.connection.execute(
        select(CreditLotRow.id, CreditLotRow.is_granted, CreditLotRow.left_micros, CreditLotRow.expires_at)
        .where(CreditLotRow.wallet_id == wallet_id, CreditLotRow.left_micros > 0, CreditLotRow.expires_at <= now)
        .order_by(CreditLotRow.expires_at, CreditLotRow.id)
        .limit(limit),
    )
    return [Piece(LotId(row.id), row.is_granted, row.left_micros, row.expires_at) for row in rows]


async def insert_events(
    uow: UnitOfWork, wallet_id: WalletId, events: Sequence[tuple[str, Alert]], *, at: datetime
) -> None:
    """Records alerts under these ids; a crossing that was told before is not told again."""
    account_id = select(WalletRow.account_id).where(WalletRow.id == wallet_id).scalar_subquery()
    for event_id, alert in events:
        await uow.connection.execute(
            insert(BillingEventRow)
            .values(
                id=event_id,
                account_id=account_id,
                wallet_id=wallet_id,
                kind=alert.kind.value,
                subject=alert.subject,
                crossing=alert.crossing,
                payload=dict(alert.payload),
                occurred_at=at,
            )
            .on_conflict_do_nothing(constraint="uq_billing_events_wallet_id_crossing"),
        )
