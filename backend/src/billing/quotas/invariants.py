"""The free quota's part of the one checker: counters are what their reservations add up to (G9)."""

from __future__ import annotations

from sqlalchemy import text

from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.invariants import EVERYTHING, Drift, Extent
from billing.quotas.rules import Metric

_DRIFTS_SHOWN_MAX = 100

_DIFFERS = " OR ".join(
    f"cycle.{metric}_used <> coalesce(sum(reservation.{metric}_used), 0) OR cycle.{metric}_reserved"
    f" <> coalesce(sum(reservation.{metric}_reserved) FILTER (WHERE reservation.state = 'open'), 0)"
    for metric in Metric
)
# What an account shares with others of its person is checked as a whole.
_IN_EXTENT = """
    (CAST(:wallet_id AS text) IS NULL OR cycle.holder_id IN (
        SELECT account.holder_id FROM free_quota_accounts AS account
        JOIN wallets ON wallets.account_id = account.account_id WHERE wallets.id = CAST(:wallet_id AS text)
    )) AND (CAST(:since AS timestamptz) IS NULL OR EXISTS (
        SELECT FROM free_quota_reservations AS lately
        WHERE lately.holder_id = cycle.holder_id AND lately.cycle_number = cycle.number
          AND coalesce(lately.ended_at, lately.placed_at) >= CAST(:since AS timestamptz)
    ))
"""
_DRIFTS = text(
    f"""
    SELECT cycle.holder_id, cycle.number
    FROM free_quota_cycles AS cycle
    LEFT JOIN free_quota_reservations AS reservation
        ON reservation.holder_id = cycle.holder_id AND reservation.cycle_number = cycle.number
    WHERE {_IN_EXTENT}
    GROUP BY cycle.holder_id, cycle.number
    HAVING {_DIFFERS}
    ORDER BY cycle.holder_id, cycle.number
    LIMIT :limit
    """,  # noqa: S608 - put together from constants of this file
)


class QuotaVerifier:
    """Checks every cycle, the running ones and those that are over."""

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Every cycle whose used or reserved amounts are not the sum of its reservations'."""
        rows = await uow.connection.execute(_DRIFTS, {**extent.values(), "limit": _DRIFTS_SHOWN_MAX})
        return tuple(
            Drift("G9", f"{row.holder_id}/{row.number}", "the cycle's counters are not the sum of its reservations")
            for row in rows
        )
