"""The statements of wallets, lots and holds; each is set-based and decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.types.json import Jsonb
from sqlalchemy import bindparam, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from billing.kit.money import Currency, Money
from billing.kit.round_trips import Sending
from billing.kit.statements import DriverStatement, Question, only, written
from billing.kit.unit_of_work import UnitOfWork
from billing.wallets.alerts import Alert, BillingEvent, EventKind
from billing.wallets.caps import Cap, CapKey, CapScope, Counter, Period
from billing.wallets.models import (
    BillingEventRow,
    CreditLotRow,
    HoldRow,
    HoldStatus,
    LotSource,
    SpendingLimitRow,
    WalletRow,
)
from billing.wallets.movements import WalletState
from billing.wallets.rules import HoldId, Lot, LotId, OperationId, Piece, WalletId

_LOTS_SHOWN_MAX = 1000


@dataclass(frozen=True, slots=True)
class LotView:
    """A credit lot as its owner sees it."""

    lot_id: LotId
    source: LotSource
    is_granted: bool
    left: Money
    held: Money
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Figures:
    """What a wallet holds, in five amounts of one moment."""

    currency: Currency
    paid: Money
    granted: Money
    held: Money
    debt: Money

    @property
    def available(self) -> Money:
        """What a new hold can take: credit beyond the debt, never below zero."""
        return max(self.paid + self.granted - self.debt, Money.zero(self.currency))


_STATE_COLUMNS = (
    WalletRow.id,
    WalletRow.currency,
    WalletRow.paid_micros,
    WalletRow.granted_micros,
    WalletRow.held_micros,
    WalletRow.debt_micros,
    WalletRow.entry_sequence,
    WalletRow.max_reply_cost_micros,
    WalletRow.low_balance_micros,
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


_WALLET_OF = DriverStatement(
    select(WalletRow.id).where(
        WalletRow.account_id == bindparam("account_id"), WalletRow.currency == bindparam("currency")
    ),
)


def wallet_of(account_id: str, currency: Currency) -> Question[WalletId | None]:
    """Which is the account's wallet in this currency?"""
    return Question(
        _WALLET_OF.filled(account_id=account_id, currency=currency),
        lambda rows: WalletId(found.id) if (found := only(rows)) else None,
    )


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
        low_balance_micros=row.low_balance_micros,
    )


_FIGURES = text(
    """
    SELECT wallet.currency, wallet.held_micros, wallet.debt_micros,
           coalesce(sum(lot.left_micros) FILTER (WHERE NOT lot.is_granted), 0)::bigint AS paid_micros,
           coalesce(sum(lot.left_micros) FILTER (WHERE lot.is_granted), 0)::bigint AS granted_micros
    FROM wallets AS wallet
    LEFT JOIN credit_lots AS lot
        ON lot.wallet_id = wallet.id AND lot.left_micros > 0 AND (lot.expires_at IS NULL OR lot.expires_at > :now)
    WHERE wallet.id = :wallet_id GROUP BY wallet.id
    """,
)


async def figures_of(uow: UnitOfWork, wallet_id: WalletId, now: datetime) -> Figures:
    """What the wallet holds, all of one moment; credit past its expiry is not in it, however many lots there are."""
    row = (await uow.connection.execute(_FIGURES, {"wallet_id": wallet_id, "now": now})).one()
    currency = Currency(row.currency)
    return Figures(
        currency=currency,
        paid=Money(row.paid_micros, currency),
        granted=Money(row.granted_micros, currency),
        held=Money(row.held_micros, currency),
        debt=Money(row.debt_micros, currency),
    )


async def lot_views(uow: UnitOfWork, wallet_id: WalletId, currency: Currency, now: datetime) -> tuple[LotView, ...]:
    """The lots that have something left or held and have not expired, earliest expiry first, a thousand at the most."""
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
            CreditLotRow.wallet_id == wallet_id,
            (CreditLotRow.left_micros > 0) | (CreditLotRow.held_micros > 0),
            CreditLotRow.expires_at.is_(None) | (CreditLotRow.expires_at > now),
        )
        .order_by(CreditLotRow.expires_at.nulls_last(), CreditLotRow.id)
        .limit(_LOTS_SHOWN_MAX),
    )
    return tuple(
        LotView(
            lot_id=LotId(row.id),
            source=LotSource(row.source),
            is_granted=row.is_granted,
            left=Money(row.left_micros, currency),
            held=Money(row.held_micros, currency),
            expires_at=row.expires_at,
        )
        for row in rows
    )


_INSERT_LOT = DriverStatement(
    insert(CreditLotRow),
    columns=(
        "id",
        "wallet_id",
        "source",
        "is_granted",
        "amount_micros",
        "left_micros",
        "origin",
        "created_at",
        "expires_at",
    ),
)


def insert_lot(
    lot: Lot, *, wallet_id: WalletId, source: LotSource, amount_micros: int, origin: str, at: datetime
) -> Sending:
    """What stores a new lot; it can have less left than its amount when debt was paid from it at once."""
    return _INSERT_LOT.filled(
        id=lot.lot_id,
        wallet_id=wallet_id,
        source=source.value,
        is_granted=lot.is_granted,
        amount_micros=amount_micros,
        left_micros=lot.left_micros,
        origin=origin,
        created_at=at,
        expires_at=lot.expires_at,
    )


async def lots_of_origin(uow: UnitOfWork, wallet_id: WalletId, origin: str) -> frozenset[LotId]:
    """The wallet's lots that came from this payment or grant and have something left."""
    rows = await uow.connection.execute(
        select(CreditLotRow.id).where(
            CreditLotRow.wallet_id == wallet_id, CreditLotRow.origin == origin, CreditLotRow.left_micros > 0
        )
    )
    return frozenset(LotId(row.id) for row in rows)


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


_INSERT_EVENT = DriverStatement(
    """
    INSERT INTO billing_events (id, account_id, wallet_id, kind, subject, crossing, payload, occurred_at)
    VALUES (%(id)s, (SELECT account_id FROM wallets WHERE id = %(wallet_id)s), %(wallet_id)s, %(kind)s, %(subject)s,
            %(crossing)s, %(payload)s, %(at)s)
    ON CONFLICT ON CONSTRAINT uq_billing_events_wallet_id_crossing DO NOTHING
    """
)


async def insert_events(
    uow: UnitOfWork, wallet_id: WalletId, events: Sequence[tuple[str, Alert]], *, at: datetime
) -> None:
    """Records alerts under these ids; a crossing that was told before is not told again. Writes that may wait."""
    rows = [
        _INSERT_EVENT.filled(
            id=event_id,
            wallet_id=wallet_id,
            kind=alert.kind.value,
            subject=alert.subject,
            crossing=alert.crossing,
            payload=Jsonb(dict(alert.payload)),
            at=at,
        )
        for event_id, alert in events
    ]
    if rows:
        await written(uow, *rows)


async def events_of(uow: UnitOfWork, account_id: str, *, before: str | None, limit: int) -> list[BillingEvent]:
    """The account's events, newest first, from behind the one with the id `before`."""
    query = select(BillingEventRow).with_only_columns(
        BillingEventRow.id,
        BillingEventRow.kind,
        BillingEventRow.subject,
        BillingEventRow.payload,
        BillingEventRow.occurred_at,
    )
    query = query.where(BillingEventRow.account_id == account_id)
    if before is not None:
        query = query.where(BillingEventRow.id < before)
    rows = await uow.connection.execute(query.order_by(BillingEventRow.id.desc()).limit(limit))
    return [BillingEvent(row.id, EventKind(row.kind), row.subject, row.payload, row.occurred_at) for row in rows]


_CAPS = text(
    """
    SELECT cap.scope, cap.subject, cap.cap_micros, period.*
    FROM spending_limits AS cap
    LEFT JOIN LATERAL (
        SELECT starts_at, ends_at, spent_micros, reserved_micros FROM spending_periods AS one
        WHERE one.wallet_id = cap.wallet_id AND one.scope = cap.scope AND one.subject = cap.subject
        ORDER BY starts_at DESC LIMIT 1
    ) AS period ON true
    WHERE cap.wallet_id = :wallet_id
    ORDER BY cap.scope, cap.subject LIMIT :limit
    """,
)
_CAPS_MAX = 10_000  # every member and key that ever had one; each change names a few hundred at the most

_BEGIN_COUNTING = text(
    """
    INSERT INTO spending_periods (wallet_id, scope, subject, starts_at, ends_at, spent_micros, reserved_micros)
    SELECT :wallet_id, begun.scope, begun.subject, begun.starts_at, begun.ends_at,
           coalesce(sum(hold.charged_micros), 0),
           coalesce(sum(hold.amount_micros) FILTER (WHERE hold.status = 'open'), 0)
    FROM unnest(CAST(:scopes AS text[]), CAST(:subjects AS text[]), CAST(:starts AS timestamptz[]),
                CAST(:ends AS timestamptz[])) AS begun (scope, subject, starts_at, ends_at)
    LEFT JOIN holds AS hold
        ON hold.wallet_id = :wallet_id AND hold.placed_at >= begun.starts_at AND hold.placed_at < begun.ends_at
       AND CASE begun.scope WHEN 'member' THEN hold.person_id = begun.subject
                            WHEN 'key' THEN hold.api_key_id = begun.subject
                            ELSE true END
    GROUP BY begun.scope, begun.subject, begun.starts_at, begun.ends_at
    """,
)


async def caps_of(uow: UnitOfWork, wallet_id: WalletId) -> list[Cap]:
    """Every cap that the wallet has or had, each with its newest period."""
    rows = await uow.connection.execute(_CAPS, {"wallet_id": wallet_id, "limit": _CAPS_MAX})
    return [_cap(*row) for row in rows]


async def update_limits(uow: UnitOfWork, wallet: WalletState) -> None:
    """Writes the limits that stand on the wallet's own row."""
    limit = wallet.max_reply_cost
    await uow.connection.execute(
        update(WalletRow)
        .where(WalletRow.id == wallet.wallet_id)
        .values(
            max_reply_cost_micros=None if limit is None else limit.micros,
            low_balance_micros=wallet.low_balance_micros,
        ),
    )


async def put_caps(uow: UnitOfWork, wallet_id: WalletId, caps: Mapping[CapKey, int | None]) -> None:
    """Sets these caps; None takes one away and lets its counters go on."""
    if not caps:
        return
    rows = [
        {"wallet_id": wallet_id, "scope": scope.value, "subject": subject, "cap_micros": micros}
        for (scope, subject), micros in caps.items()
    ]
    put = insert(SpendingLimitRow).values(rows)
    await uow.connection.execute(
        put.on_conflict_do_update(constraint="pk_spending_limits", set_={"cap_micros": put.excluded.cap_micros}),
    )


async def begin_counting(uow: UnitOfWork, wallet_id: WalletId, periods: Mapping[CapKey, Period]) -> None:
    """Begins to count for caps that are new, with what the holds of their periods were charged and keep already."""
    values = {
        "wallet_id": wallet_id,
        "scopes": [scope.value for scope, _ in periods],
        "subjects": [subject for _, subject in periods],
        "starts": [period.starts_at for period in periods.values()],
        "ends": [period.ends_at for period in periods.values()],
    }
    await uow.connection.execute(_BEGIN_COUNTING, values)


def _cap(
    scope: str,
    subject: str,
    cap_micros: int | None,
    starts_at: datetime | None,
    ends_at: datetime | None,
    spent_micros: int,
    reserved_micros: int,
) -> Cap:
    newest = None
    if starts_at is not None and ends_at is not None:
        period = Period(starts_at, ends_at)
        newest = Counter(CapScope(scope), subject, cap_micros, period, spent_micros, reserved_micros)
    return Cap(CapScope(scope), subject, cap_micros, newest)
