"""The statements of every change of a wallet: one that locks it and reads what the change needs, one that writes it.

They go to the driver directly, because on this path SQLAlchemy's own work would be most of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork, driver_of
from billing.wallets.models import HoldStatus
from billing.wallets.movements import WalletState
from billing.wallets.rules import NOBODY, HoldId, Lot, LotId, OperationId, Piece, Spender, WalletId


@dataclass(frozen=True, slots=True)
class StoredHold:
    """A hold as it is in the database."""

    hold_id: HoldId
    operation_id: OperationId
    amount_micros: int
    status: HoldStatus
    expires_at: datetime
    charged_micros: int | None
    is_charged_late: bool
    first_amount_micros: int | None = None
    reply_limit_micros: int | None = None
    spender: Spender = NOBODY

    @property
    def asked_micros(self) -> int:
        """What was asked when the hold was placed; it may have grown since."""
        return self.amount_micros if self.first_amount_micros is None else self.first_amount_micros


@dataclass(frozen=True, slots=True)
class Locked:
    """A wallet that nobody else changes until the transaction ends, with its spendable lots (expired ones too), the
    operation's hold, and, while that is open, the pieces that it keeps in spending order.
    """

    wallet: WalletState
    lots: list[Lot]
    hold: StoredHold | None
    pieces: list[Piece]


# The lock may have been waited for. The wallet's row is then the newest, but everything beside it is as it was when the
# statement began; `seen_version` tells, because every change writes the wallet's row, also one that moves no money.
_LOCK = """
WITH wallet AS MATERIALIZED (
    SELECT xmin AS version, currency, paid_micros, granted_micros, held_micros, debt_micros, entry_sequence,
           max_reply_cost_micros
    FROM wallets WHERE id = %(wallet_id)s FOR UPDATE
)
SELECT wallet.*, (SELECT xmin FROM wallets WHERE id = %(wallet_id)s) AS seen_version,
       lots.ids, lots.are_granted, lots.lefts, lots.expiries,
       hold.id, hold.amount_micros, hold.status, hold.expires_at, hold.charged_micros, hold.is_charged_late,
       hold.first_amount_micros, hold.reply_limit_micros, hold.person_id, hold.api_key_id,
       pieces.ids, pieces.are_granted, pieces.amounts, pieces.expiries
FROM wallet
LEFT JOIN LATERAL (
    SELECT array_agg(id) AS ids, array_agg(is_granted) AS are_granted, array_agg(left_micros) AS lefts,
           array_agg(expires_at) AS expiries
    FROM (
        SELECT id, is_granted, left_micros, expires_at FROM credit_lots
        WHERE wallet_id = %(wallet_id)s AND left_micros > 0 ORDER BY expires_at, id LIMIT 1000
    ) AS lot
) AS lots ON true
LEFT JOIN holds AS hold ON hold.wallet_id = %(wallet_id)s AND hold.operation_id = %(operation_id)s
LEFT JOIN LATERAL (
    SELECT array_agg(id) AS ids, array_agg(is_granted) AS are_granted, array_agg(amount_micros) AS amounts,
           array_agg(expires_at) AS expiries
    FROM (
        SELECT lot.id, lot.is_granted, kept.amount_micros, lot.expires_at
        FROM hold_allocations AS kept JOIN credit_lots AS lot ON lot.id = kept.lot_id
        WHERE kept.hold_id = hold.id AND hold.status = 'open'
        ORDER BY lot.expires_at NULLS LAST, lot.is_granted DESC, lot.id
    ) AS piece
) AS pieces ON true
"""


async def lock(uow: UnitOfWork, wallet_id: WalletId, operation_id: OperationId | None = None) -> Locked:
    """The wallet under its row lock, with all that a change of it needs to know, as of now."""
    driver = await driver_of(uow)
    values = {"wallet_id": wallet_id, "operation_id": operation_id}
    row = await (await driver.execute(_LOCK, values, prepare=True)).fetchone()
    assert row is not None, f"wallet {wallet_id} exists"
    if row[0] != row[8]:
        row = await (await driver.execute(_LOCK, values, prepare=True)).fetchone()
        assert row is not None, "wallets are never deleted"
    currency = Currency(row[1])
    wallet = WalletState(
        wallet_id=wallet_id,
        currency=currency,
        paid_micros=row[2],
        granted_micros=row[3],
        held_micros=row[4],
        debt_micros=row[5],
        entry_sequence=row[6],
        max_reply_cost=None if row[7] is None else Money(row[7], currency),
    )
    lots = [Lot(*lot) for lot in zip(*row[9:13], strict=True)] if row[9] else []
    hold = None
    if operation_id is not None and row[13] is not None:
        hold = StoredHold(
            hold_id=row[13],
            operation_id=operation_id,
            amount_micros=row[14],
            status=HoldStatus(row[15]),
            expires_at=row[16],
            charged_micros=row[17],
            is_charged_late=row[18],
            first_amount_micros=row[19],
            reply_limit_micros=row[20],
            spender=Spender(row[21], row[22]),
        )
    pieces = [Piece(*piece) for piece in zip(*row[23:27], strict=True)] if row[23] else []
    return Locked(wallet, lots, hold, pieces)


_MOVE = """
    lots AS (
        UPDATE credit_lots
        SET left_micros = credit_lots.left_micros + change.left_micros,
            held_micros = credit_lots.held_micros + change.held_micros
        FROM unnest(%(lots)s::text[], %(lefts)s::bigint[], %(helds)s::bigint[])
             AS change (lot_id, left_micros, held_micros)
        WHERE credit_lots.id = change.lot_id
    )
UPDATE wallets SET paid_micros = %(paid)s, granted_micros = %(granted)s, held_micros = %(held)s, debt_micros = %(debt)s,
                   entry_sequence = %(sequence)s
WHERE id = %(wallet_id)s
"""

_MOVE_ONLY = f"WITH {_MOVE}"

_PLACE = f"""
WITH hold AS (
        INSERT INTO holds (id, wallet_id, operation_id, amount_micros, status, placed_at, expires_at,
                           reply_limit_micros, person_id, api_key_id)
        VALUES (%(hold_id)s, %(wallet_id)s, %(operation_id)s, %(amount)s, 'open', %(at)s, %(expires_at)s,
                %(reply_limit)s, %(person_id)s, %(api_key_id)s)
    ),
    allocation AS (
        INSERT INTO hold_allocations (hold_id, lot_id, amount_micros)
        SELECT %(hold_id)s, piece.lot_id, piece.amount_micros
        FROM unnest(%(lots)s::text[], %(helds)s::bigint[]) AS piece (lot_id, amount_micros)
    ),
    {_MOVE}
"""  # noqa: S608 - put together from constants of this file

_GROW = f"""
WITH hold AS (
        UPDATE holds SET amount_micros = %(amount)s, first_amount_micros = %(first_amount)s, expires_at = %(expires_at)s
        WHERE id = %(hold_id)s
    ),
    allocation AS (
        INSERT INTO hold_allocations AS kept (hold_id, lot_id, amount_micros)
        SELECT %(hold_id)s, piece.lot_id, piece.amount_micros
        FROM unnest(%(lots)s::text[], %(helds)s::bigint[]) AS piece (lot_id, amount_micros)
        ON CONFLICT (hold_id, lot_id) DO UPDATE SET amount_micros = kept.amount_micros + excluded.amount_micros
    ),
    {_MOVE}
"""  # noqa: S608 - put together from constants of this file

_END = f"""
WITH hold AS (
        UPDATE holds SET status = %(status)s, ended_at = coalesce(ended_at, %(at)s), end_reason = %(reason)s,
                         charged_micros = %(charged)s, is_charged_late = %(is_late)s
        WHERE id = %(hold_id)s
    ),
    {_MOVE}
"""  # noqa: S608 - put together from constants of this file

LotChanges = Mapping[LotId, tuple[int, int]]


async def write_movement(uow: UnitOfWork, after: WalletState, lots: LotChanges) -> None:
    """Writes the wallet's balances and adds (left, held) micros to each lot."""
    await (await driver_of(uow)).execute(_MOVE_ONLY, _movement(after, lots), prepare=True)


async def write_hold(
    uow: UnitOfWork, after: WalletState, hold: StoredHold, pieces: Sequence[Piece], at: datetime
) -> None:
    """Writes a new open hold with the pieces that it keeps, and the wallet as it is then."""
    changes = {piece.lot_id: (-piece.micros, piece.micros) for piece in pieces}
    values = {
        **_movement(after, changes),
        "hold_id": hold.hold_id,
        "operation_id": hold.operation_id,
        "amount": hold.amount_micros,
        "at": at,
        "expires_at": hold.expires_at,
        "reply_limit": hold.reply_limit_micros,
        "person_id": hold.spender.person_id,
        "api_key_id": hold.spender.api_key_id,
    }
    await (await driver_of(uow)).execute(_PLACE, values, prepare=True)


async def write_growth(uow: UnitOfWork, after: WalletState, hold: StoredHold, pieces: Sequence[Piece]) -> None:
    """Writes the hold as it is after it grew by these pieces, and the wallet as it is then."""
    changes = {piece.lot_id: (-piece.micros, piece.micros) for piece in pieces}
    values = {
        **_movement(after, changes),
        "hold_id": hold.hold_id,
        "amount": hold.amount_micros,
        "first_amount": hold.first_amount_micros,
        "expires_at": hold.expires_at,
    }
    await (await driver_of(uow)).execute(_GROW, values, prepare=True)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a hold ends, or how the operation of an expired one is charged after all."""

    hold_id: HoldId
    status: HoldStatus
    at: datetime
    reason: str | None = None
    charged_micros: int | None = None
    is_late: bool = False


async def write_ending(uow: UnitOfWork, after: WalletState, ending: Ending, lots: LotChanges) -> None:
    """Writes how the hold ended, and the wallet as it is then."""
    values = {
        **_movement(after, lots),
        "hold_id": ending.hold_id,
        "status": ending.status.value,
        "at": ending.at,
        "reason": ending.reason,
        "charged": ending.charged_micros,
        "is_late": ending.is_late,
    }
    await (await driver_of(uow)).execute(_END, values, prepare=True)


def _movement(after: WalletState, lots: LotChanges) -> dict[str, object]:
    return {
        "wallet_id": after.wallet_id,
        "paid": after.paid_micros,
        "granted": after.granted_micros,
        "held": after.held_micros,
        "debt": after.debt_micros,
        "sequence": after.entry_sequence,
        "lots": list(lots),
        "lefts": [left for left, _ in lots.values()],
        "helds": [held for _, held in lots.values()],
    }
