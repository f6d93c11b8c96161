"""The wallets' part of the one checker: balances, lots, holds, caps and books agree (G1, G2, G3, G18, G19)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sqlalchemy import text

from billing.kit.clock import Clock
from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.invariants import EVERYTHING, Drift, Extent, in_extent

_DRIFTS_SHOWN_MAX = 100
_OVERDUE_AFTER = timedelta(minutes=1)

Values = Mapping[str, object]

# The books, the wallet's row and its lots are three tellings of one story.
_BALANCES = text(
    f"""
    SELECT wallet.id, wallet.paid_micros, wallet.granted_micros, wallet.held_micros, wallet.debt_micros,
           books.paid AS books_paid, books.granted AS books_granted, books.held AS books_held, books.debt AS books_debt,
           lots.paid AS lots_paid, lots.granted AS lots_granted, lots.held AS lots_held
    FROM wallets AS wallet
    LEFT JOIN (
        SELECT wallet_id,
               coalesce(sum(amount_micros) FILTER (WHERE account = 'wallet.paid'), 0) AS paid,
               coalesce(sum(amount_micros) FILTER (WHERE account = 'wallet.granted'), 0) AS granted,
               coalesce(sum(amount_micros) FILTER (WHERE account = 'wallet.held'), 0) AS held,
               -coalesce(sum(amount_micros) FILTER (WHERE account = 'wallet.debt'), 0) AS debt
        FROM ledger_entries WHERE wallet_id IS NOT NULL AND {in_extent("ledger_entries.wallet_id")} GROUP BY wallet_id
    ) AS books ON books.wallet_id = wallet.id
    LEFT JOIN (
        SELECT wallet_id,
               coalesce(sum(left_micros) FILTER (WHERE NOT is_granted), 0) AS paid,
               coalesce(sum(left_micros) FILTER (WHERE is_granted), 0) AS granted,
               sum(held_micros) AS held
        FROM credit_lots GROUP BY wallet_id
    ) AS lots ON lots.wallet_id = wallet.id
    WHERE {in_extent("wallet.id")} AND (
        (wallet.paid_micros, wallet.granted_micros, wallet.held_micros, wallet.debt_micros)
            IS DISTINCT FROM (coalesce(books.paid, 0), coalesce(books.granted, 0), coalesce(books.held, 0),
                              coalesce(books.debt, 0))
        OR (wallet.paid_micros, wallet.granted_micros, wallet.held_micros)
            IS DISTINCT FROM (coalesce(lots.paid, 0), coalesce(lots.granted, 0), coalesce(lots.held, 0))
    )
    ORDER BY wallet.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_RESERVED = text(
    f"""
    SELECT wallet.id, wallet.held_micros, coalesce(sum(hold.amount_micros), 0) AS open_holds
    FROM wallets AS wallet LEFT JOIN holds AS hold ON hold.wallet_id = wallet.id AND hold.status = 'open'
    WHERE {in_extent("wallet.id")}
    GROUP BY wallet.id HAVING wallet.held_micros <> coalesce(sum(hold.amount_micros), 0)
    ORDER BY wallet.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_KEPT_BY_LOTS = text(
    f"""
    SELECT lot.id, lot.held_micros, coalesce(kept.micros, 0) AS kept
    FROM credit_lots AS lot
    LEFT JOIN (
        SELECT piece.lot_id, sum(piece.amount_micros) AS micros
        FROM hold_allocations AS piece JOIN holds AS hold ON hold.id = piece.hold_id AND hold.status = 'open'
        GROUP BY piece.lot_id
    ) AS kept ON kept.lot_id = lot.id
    WHERE lot.held_micros <> coalesce(kept.micros, 0) AND {in_extent("lot.wallet_id")}
    ORDER BY lot.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_CHARGES = text(
    f"""
    SELECT hold.operation_id, coalesce(hold.charged_micros, 0) AS charged, coalesce(booked.micros, 0) AS booked,
           coalesce(booked.times, 0) AS times
    FROM holds AS hold
    LEFT JOIN (
        SELECT transfer.reference, wallet.wallet_id, sum(revenue.amount_micros) AS micros, count(*) AS times
        FROM ledger_transfers AS transfer
        JOIN ledger_entries AS revenue ON revenue.transfer_id = transfer.id AND revenue.account = 'revenue'
        JOIN LATERAL (
            SELECT min(wallet_id) AS wallet_id FROM ledger_entries WHERE transfer_id = transfer.id
        ) AS wallet ON true
        WHERE transfer.kind IN ('charge', 'late_charge')
          AND transfer.reference IN (SELECT operation_id FROM holds WHERE {in_extent("holds.wallet_id")})
        GROUP BY transfer.reference, wallet.wallet_id
    ) AS booked ON booked.reference = hold.operation_id AND booked.wallet_id = hold.wallet_id
    WHERE {in_extent("hold.wallet_id")}
      AND (coalesce(hold.charged_micros, 0) <> coalesce(booked.micros, 0) OR coalesce(booked.times, 0) > 1)
    ORDER BY hold.operation_id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_OVERDUE = text(
    f"""
    SELECT operation_id, expires_at FROM holds
    WHERE status = 'open' AND expires_at < :before AND {in_extent("holds.wallet_id")}
    ORDER BY expires_at, id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_CURRENCIES = text(
    f"""
    SELECT DISTINCT wallet.id, wallet.currency, entry.currency AS booked
    FROM wallets AS wallet JOIN ledger_entries AS entry ON entry.wallet_id = wallet.id
    WHERE entry.currency <> wallet.currency AND {in_extent("wallet.id")}
    ORDER BY wallet.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_IS_OF_CAP = """
    CASE counter.scope WHEN 'member' THEN hold.person_id = counter.subject
                       WHEN 'key' THEN hold.api_key_id = counter.subject
                       ELSE true END
"""

# A hold belongs for ever to the periods in which it was placed, however and whenever it ends.
_COUNTERS = text(
    f"""
    SELECT counter.wallet_id, counter.scope, counter.subject, counter.starts_at,
           counter.spent_micros, counter.reserved_micros,
           coalesce(sum(hold.charged_micros), 0) AS charged,
           coalesce(sum(hold.amount_micros) FILTER (WHERE hold.status = 'open'), 0) AS kept
    FROM spending_periods AS counter
    LEFT JOIN holds AS hold
        ON hold.wallet_id = counter.wallet_id AND hold.placed_at >= counter.starts_at
       AND hold.placed_at < counter.ends_at AND {_IS_OF_CAP}
    WHERE {in_extent("counter.wallet_id")}
    GROUP BY counter.wallet_id, counter.scope, counter.subject, counter.starts_at
    HAVING counter.spent_micros <> coalesce(sum(hold.charged_micros), 0)
        OR counter.reserved_micros <> coalesce(sum(hold.amount_micros) FILTER (WHERE hold.status = 'open'), 0)
    ORDER BY counter.wallet_id, counter.starts_at LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_UNCOUNTED = text(
    f"""
    SELECT counter.wallet_id, counter.scope, counter.subject, min(hold.operation_id) AS operation_id
    FROM (
        SELECT wallet_id, scope, subject, min(starts_at) AS starts_at FROM spending_periods
        GROUP BY wallet_id, scope, subject
    ) AS counter
    JOIN holds AS hold ON hold.wallet_id = counter.wallet_id AND hold.placed_at >= counter.starts_at AND {_IS_OF_CAP}
    WHERE {in_extent("counter.wallet_id")} AND NOT EXISTS (
        SELECT FROM spending_periods AS period
        WHERE period.wallet_id = counter.wallet_id AND period.scope = counter.scope
          AND period.subject = counter.subject
          AND hold.placed_at >= period.starts_at AND hold.placed_at < period.ends_at
    )
    GROUP BY counter.wallet_id, counter.scope, counter.subject ORDER BY counter.wallet_id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)

_OVERLAPPING = text(
    f"""
    SELECT * FROM (
        SELECT wallet_id, scope, subject, starts_at,
               lag(ends_at) OVER (PARTITION BY wallet_id, scope, subject ORDER BY starts_at) AS earlier_ends_at
        FROM spending_periods
    ) AS counter
    WHERE earlier_ends_at > starts_at AND {in_extent("counter.wallet_id")}
    ORDER BY wallet_id, starts_at LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)


class WalletVerifier:
    """Checks wallets against the books, their lots and their holds."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Balances that disagree, holds that no lot keeps, charges that the books do not have, holds that never end,
        caps whose counters are not what their holds say.
        """
        values = {**extent.values(), "limit": _DRIFTS_SHOWN_MAX}
        return (
            *await self._balances(uow, values),
            *await self._holds(uow, values),
            *await self._charges(uow, values),
            *await self._overdue(uow, values),
            *await self._currencies(uow, values),
            *await self._counters(uow, values),
        )

    async def _balances(self, uow: UnitOfWork, values: Values) -> list[Drift]:
        rows = await uow.connection.execute(_BALANCES, values)
        return [
            Drift(
                "G1",
                row.id,
                f"the wallet says paid {row.paid_micros}, granted {row.granted_micros}, held {row.held_micros}, "
                f"debt {row.debt_micros} micros; the books {row.books_paid}, {row.books_granted}, {row.books_held}, "
                f"{row.books_debt}; the lots {row.lots_paid}, {row.lots_granted}, {row.lots_held}",
            )
            for row in rows
        ]

    async def _holds(self, uow: UnitOfWork, values: Values) -> list[Drift]:
        reserved = await uow.connection.execute(_RESERVED, values)
        kept = await uow.connection.execute(_KEPT_BY_LOTS, values)
        return [
            *(
                Drift("G3", row.id, f"held {row.held_micros} micros, open holds sum to {row.open_holds}")
                for row in reserved
            ),
            *(Drift("G1", row.id, f"keeps {row.held_micros} micros, open holds took {row.kept}") for row in kept),
        ]

    async def _charges(self, uow: UnitOfWork, values: Values) -> list[Drift]:
        rows = await uow.connection.execute(_CHARGES, values)
        return [
            Drift(
                "G2",
                row.operation_id,
                f"charged {row.charged} micros, the books say {row.booked} in {row.times} transfers",
            )
            for row in rows
        ]

    async def _overdue(self, uow: UnitOfWork, values: Values) -> list[Drift]:
        before = self._clock.now() - _OVERDUE_AFTER
        rows = await uow.connection.execute(_OVERDUE, {**values, "before": before})
        return [
            Drift("G2", row.operation_id, f"the hold expired at {row.expires_at} and is still open") for row in rows
        ]

    async def _currencies(self, uow: UnitOfWork, values: Values) -> list[Drift]:
        rows = await uow.connection.execute(_CURRENCIES, values)
        return [Drift("G18", row.id, f"a wallet in {row.currency} has entries in {row.booked}") for row in rows]

    async def _counters(self, uow: UnitOfWork, values: Values) -> list[Drift]:
        counters = await uow.connection.execute(_COUNTERS, values)
        uncounted = await uow.connection.execute(_UNCOUNTED, values)
        overlapping = await uow.connection.execute(_OVERLAPPING, values)
        return [
            *(
                Drift(
                    "G3",
                    row.wallet_id,
                    f"the {row.scope} {row.subject} from {row.starts_at} says spent {row.spent_micros}, reserved "
                    f"{row.reserved_micros} micros; its holds {row.charged} and {row.kept}",
                )
                for row in counters
            ),
            *(
                Drift("G3", row.wallet_id, f"operation {row.operation_id} counts in no {row.scope} {row.subject}")
                for row in uncounted
            ),
            *(
                Drift("G19", row.wallet_id, f"the {row.scope} {row.subject} from {row.starts_at} begins too early")
                for row in overlapping
            ),
        ]
