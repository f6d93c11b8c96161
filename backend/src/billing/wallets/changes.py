"""The statements of every change of a wallet: one that locks it and reads what the change needs, one that writes it.

They go to the driver directly, because on this path SQLAlchemy's own work would be most of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from billing.kit.money import Currency, Money
from billing.kit.round_trips import Sending
from billing.kit.statements import DriverStatement, sent
from billing.kit.unit_of_work import UnitOfWork
from billing.wallets.caps import Cap, CapScope, Counter, Period
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
    placed_at: datetime
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
    """A wallet that nobody else changes until the transaction ends, with all its spendable lots, the operation's hold,
    and, while that is open, the pieces that it keeps in spending order.

    `caps` are those that bind the hold's spender, each with the period in which the hold was placed, or, where there is
    no hold, with its newest one.
    """

    wallet: WalletState
    lots: list[Lot]
    hold: StoredHold | None
    pieces: list[Piece]
    caps: list[Cap]

    def counters(self) -> list[Counter]:
        """The counters of the periods in which the hold was placed; there are none of before a cap was first set."""
        assert self.hold is not None, "these are the counters of a hold"
        newest = (cap.newest for cap in self.caps)
        return [one for one in newest if one is not None and one.period.contains(self.hold.placed_at)]


_LOCK = DriverStatement("SELECT FROM wallets WHERE id = %(wallet_id)s FOR UPDATE")

# Sent together with the lock, in one round trip, but begun by the server only when the lock is held: a statement sees
# everything as it was when it began, so one that waited for the lock itself would see lots that are spent already.
_READ = DriverStatement("""
WITH wallet AS MATERIALIZED (
    SELECT currency, paid_micros, granted_micros, held_micros, debt_micros, entry_sequence,
           max_reply_cost_micros, low_balance_micros
    FROM wallets WHERE id = %(wallet_id)s
)
SELECT wallet.*,
       lots.ids, lots.are_granted, lots.lefts, lots.expiries,
       pieces.ids, pieces.are_granted, pieces.amounts, pieces.expiries,
       caps.scopes, caps.subjects, caps.caps, caps.starts, caps.ends, caps.spents, caps.reserveds,
       hold.id, hold.amount_micros, hold.status, hold.placed_at, hold.expires_at, hold.charged_micros,
       hold.is_charged_late, hold.first_amount_micros, hold.reply_limit_micros, hold.person_id, hold.api_key_id
FROM wallet
LEFT JOIN LATERAL (
    SELECT array_agg(id) AS ids, array_agg(is_granted) AS are_granted, array_agg(left_micros) AS lefts,
           array_agg(expires_at) AS expiries
    FROM (
        SELECT id, is_granted, left_micros, expires_at FROM credit_lots
        WHERE wallet_id = %(wallet_id)s AND left_micros > 0
          AND (expires_at IS NULL OR expires_at > coalesce(%(now)s::timestamptz, '-infinity'))
        ORDER BY expires_at, id LIMIT %(lots_max)s::bigint
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
LEFT JOIN LATERAL (
    SELECT array_agg(cap.scope) AS scopes, array_agg(cap.subject) AS subjects, array_agg(cap.cap_micros) AS caps,
           array_agg(period.starts_at) AS starts, array_agg(period.ends_at) AS ends,
           array_agg(period.spent_micros) AS spents, array_agg(period.reserved_micros) AS reserveds
    FROM spending_limits AS cap
    LEFT JOIN LATERAL (
        SELECT starts_at, ends_at, spent_micros, reserved_micros FROM spending_periods AS one
        WHERE one.wallet_id = cap.wallet_id AND one.scope = cap.scope AND one.subject = cap.subject
          AND one.starts_at <= coalesce(hold.placed_at, 'infinity')
        ORDER BY starts_at DESC LIMIT 1
    ) AS period ON true
    WHERE cap.wallet_id = %(wallet_id)s
      AND CASE cap.scope WHEN 'member' THEN cap.subject = coalesce(hold.person_id, %(person_id)s::text)
                         WHEN 'key' THEN cap.subject = coalesce(hold.api_key_id, %(api_key_id)s::text)
                         ELSE true END
) AS caps ON true
""")
_LOTS, _PIECES, _CAPS, _HOLD = slice(8, 12), slice(12, 16), slice(16, 23), slice(23, 34)
_LOTS_MAX = 1000


async def lock(
    uow: UnitOfWork,
    wallet_id: WalletId,
    operation_id: OperationId | None = None,
    *,
    now: datetime | None = None,
    spender: Spender = NOBODY,
) -> Locked:
    """The wallet under its row lock, with all that a change of it needs to know; lots past `now` are left out.

    `spender` says whose caps are read where the operation has no hold yet. A wallet that has a thousand unspent lots
    and more is read again with all of them: what is not seen cannot be spent.
    """
    values = {
        "wallet_id": wallet_id,
        "operation_id": operation_id,
        "now": now,
        "lots_max": _LOTS_MAX,
        "person_id": spender.person_id,
        "api_key_id": spender.api_key_id,
    }
    read = (await sent(uow, _LOCK.filled(wallet_id=wallet_id), _READ.filled(**values)))[1]
    if read.rows and len(read.rows[0][_LOTS.start] or ()) == _LOTS_MAX:
        (read,) = await sent(uow, _READ.filled(**{**values, "lots_max": None}))
    assert read.rows, f"wallet {wallet_id} exists"
    row = read.rows[0]
    currency = Currency(row[0])
    return Locked(
        wallet=WalletState(
            wallet_id=wallet_id,
            currency=currency,
            paid_micros=row[1],
            granted_micros=row[2],
            held_micros=row[3],
            debt_micros=row[4],
            entry_sequence=row[5],
            max_reply_cost=None if row[6] is None else Money(row[6], currency),
            low_balance_micros=row[7],
        ),
        lots=[Lot(*lot) for lot in zip(*row[_LOTS], strict=True)] if row[_LOTS.start] else [],
        hold=None if operation_id is None else _stored_hold(operation_id, *row[_HOLD]),
        pieces=[Piece(*piece) for piece in zip(*row[_PIECES], strict=True)] if row[_PIECES.start] else [],
        caps=[_cap(*cap) for cap in zip(*row[_CAPS], strict=True)] if row[_CAPS.start] else [],
    )


def _stored_hold(operation_id: OperationId, hold_id: HoldId | None, *columns: Any) -> StoredHold | None:
    if hold_id is None:
        return None
    amount, status, placed_at, expires_at, charged, is_late, first_amount, reply_limit, person_id, api_key_id = columns
    return StoredHold(
        hold_id=hold_id,
        operation_id=operation_id,
        amount_micros=amount,
        status=HoldStatus(status),
        placed_at=placed_at,
        expires_at=expires_at,
        charged_micros=charged,
        is_charged_late=is_late,
        first_amount_micros=first_amount,
        reply_limit_micros=reply_limit,
        spender=Spender(person_id, api_key_id),
    )


def _cap(scope: str, subject: str, cap_micros: int | None, *period: Any) -> Cap:
    starts_at, ends_at, spent, reserved = period
    newest = None
    if starts_at is not None:
        newest = Counter(CapScope(scope), subject, cap_micros, Period(starts_at, ends_at), spent, reserved)
    return Cap(CapScope(scope), subject, cap_micros, newest)


# Each array stands in a SELECT of its own: a planner that saw how short it is would plan the statement anew each time.
_MOVE = """
    lots AS (
        UPDATE credit_lots
        SET left_micros = credit_lots.left_micros + change.left_micros,
            held_micros = credit_lots.held_micros + change.held_micros
        FROM unnest((SELECT %(lots)s::text[]), (SELECT %(lefts)s::bigint[]), (SELECT %(helds)s::bigint[]))
             AS change (lot_id, left_micros, held_micros)
        WHERE credit_lots.id = change.lot_id
    )
UPDATE wallets SET paid_micros = %(paid)s, granted_micros = %(granted)s, held_micros = %(held)s, debt_micros = %(debt)s,
                   entry_sequence = %(sequence)s
WHERE id = %(wallet_id)s
"""

# Only where caps are: the most wallets have none, and an empty statement part is work too.
_COUNT = """
    counted AS (
        INSERT INTO spending_periods
            (wallet_id, scope, subject, starts_at, ends_at, spent_micros, reserved_micros)
        SELECT %(wallet_id)s, counter.*
        FROM unnest((SELECT %(scopes)s::text[]), (SELECT %(subjects)s::text[]), (SELECT %(starts)s::timestamptz[]),
                    (SELECT %(ends)s::timestamptz[]), (SELECT %(spents)s::bigint[]), (SELECT %(reserveds)s::bigint[])
             ) AS counter
        ON CONFLICT (wallet_id, scope, subject, starts_at)
        DO UPDATE SET spent_micros = excluded.spent_micros, reserved_micros = excluded.reserved_micros
    ),
"""

_PLACE = """
    hold AS (
        INSERT INTO holds (id, wallet_id, operation_id, amount_micros, status, placed_at, expires_at,
                           reply_limit_micros, person_id, api_key_id)
        VALUES (%(hold_id)s, %(wallet_id)s, %(operation_id)s, %(amount)s, 'open', %(placed_at)s, %(expires_at)s,
                %(reply_limit)s, %(person_id)s, %(api_key_id)s)
    ),
    allocation AS (
        INSERT INTO hold_allocations (hold_id, lot_id, amount_micros)
        SELECT %(hold_id)s, piece.lot_id, piece.amount_micros
        FROM unnest((SELECT %(lots)s::text[]), (SELECT %(helds)s::bigint[])) AS piece (lot_id, amount_micros)
    ),
"""

_GROW = """
    hold AS (
        UPDATE holds SET amount_micros = %(amount)s, first_amount_micros = %(first_amount)s, expires_at = %(expires_at)s
        WHERE id = %(hold_id)s
    ),
    allocation AS (
        INSERT INTO hold_allocations AS kept (hold_id, lot_id, amount_micros)
        SELECT %(hold_id)s, piece.lot_id, piece.amount_micros
        FROM unnest((SELECT %(lots)s::text[]), (SELECT %(helds)s::bigint[])) AS piece (lot_id, amount_micros)
        ON CONFLICT (hold_id, lot_id) DO UPDATE SET amount_micros = kept.amount_micros + excluded.amount_micros
    ),
"""

_END = """
    hold AS (
        UPDATE holds SET status = %(status)s, ended_at = coalesce(ended_at, %(at)s), end_reason = %(reason)s,
                         charged_micros = %(charged)s, is_charged_late = %(is_late)s
        WHERE id = %(hold_id)s
    ),
"""

_MOVE_ONLY = DriverStatement(f"WITH {_MOVE}")
# Each change of a hold, without and with counters.
_PLACE_HOLD = tuple(DriverStatement(f"WITH {_PLACE} {count} {_MOVE}") for count in ("", _COUNT))
_GROW_HOLD = tuple(DriverStatement(f"WITH {_GROW} {count} {_MOVE}") for count in ("", _COUNT))
_END_HOLD = tuple(DriverStatement(f"WITH {_END} {count} {_MOVE}") for count in ("", _COUNT))

LotChanges = Mapping[LotId, tuple[int, int]]


def move(after: WalletState, lots: LotChanges) -> Sending:
    """What writes the wallet's balances and adds (left, held) micros to each lot."""
    return _MOVE_ONLY.filled(**_movement(after, lots))


def place_hold(after: WalletState, hold: StoredHold, pieces: Sequence[Piece], counters: Sequence[Counter]) -> Sending:
    """What writes a new open hold with the pieces that it keeps, the wallet as it is then, and its caps' counters."""
    changes = {piece.lot_id: (-piece.micros, piece.micros) for piece in pieces}
    values = {
        **_movement(after, changes),
        **(_counted(counters) if counters else {}),
        "hold_id": hold.hold_id,
        "operation_id": hold.operation_id,
        "amount": hold.amount_micros,
        "placed_at": hold.placed_at,
        "expires_at": hold.expires_at,
        "reply_limit": hold.reply_limit_micros,
        "person_id": hold.spender.person_id,
        "api_key_id": hold.spender.api_key_id,
    }
    return _PLACE_HOLD[bool(counters)].filled(**values)


def grow_hold(after: WalletState, hold: StoredHold, pieces: Sequence[Piece], counters: Sequence[Counter]) -> Sending:
    """What writes the hold as it is after it grew by these pieces, the wallet as it is then, and its caps' counters."""
    changes = {piece.lot_id: (-piece.micros, piece.micros) for piece in pieces}
    values = {
        **_movement(after, changes),
        **(_counted(counters) if counters else {}),
        "hold_id": hold.hold_id,
        "amount": hold.amount_micros,
        "first_amount": hold.first_amount_micros,
        "expires_at": hold.expires_at,
    }
    return _GROW_HOLD[bool(counters)].filled(**values)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a hold ends, or how the operation of an expired one is charged after all."""

    hold_id: HoldId
    status: HoldStatus
    at: datetime
    reason: str | None = None
    charged_micros: int | None = None
    is_late: bool = False


def end_hold(after: WalletState, ending: Ending, lots: LotChanges, counters: Sequence[Counter]) -> Sending:
    """What writes how the hold ended, the wallet as it is then, and its caps' counters."""
    values = {
        **_movement(after, lots),
        **(_counted(counters) if counters else {}),
        "hold_id": ending.hold_id,
        "status": ending.status.value,
        "at": ending.at,
        "reason": ending.reason,
        "charged": ending.charged_micros,
        "is_late": ending.is_late,
    }
    return _END_HOLD[bool(counters)].filled(**values)


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


def _counted(counters: Sequence[Counter]) -> dict[str, object]:
    return {
        "scopes": [counter.scope.value for counter in counters],
        "subjects": [counter.subject for counter in counters],
        "starts": [counter.period.starts_at for counter in counters],
        "ends": [counter.period.ends_at for counter in counters],
        "spents": [counter.spent_micros for counter in counters],
        "reserveds": [counter.reserved_micros for counter in counters],
    }
