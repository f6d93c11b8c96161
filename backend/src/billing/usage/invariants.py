"""The record of usage's part of the one checker: usage is what was charged, operation by operation (G4)."""

from __future__ import annotations

from sqlalchemy import text

from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.invariants import EVERYTHING, Drift, Extent, in_extent

_DRIFTS_SHOWN_MAX = 100

# A charge of nothing moves nothing, so it stands in no book; its event says zero as well.
_DRIFTS = text(
    f"""
    WITH charge AS (
        SELECT transfer.reference AS operation_id, revenue.currency, sum(revenue.amount_micros) AS micros
        FROM ledger_transfers AS transfer
        JOIN ledger_entries AS revenue ON revenue.transfer_id = transfer.id AND revenue.account = 'revenue'
        WHERE transfer.kind IN ('charge', 'late_charge')
          AND EXISTS (
              SELECT FROM ledger_entries AS own
              WHERE own.transfer_id = transfer.id AND own.wallet_id IS NOT NULL AND {in_extent("own.wallet_id")}
          )
        GROUP BY transfer.reference, revenue.currency
    ), event AS (
        SELECT operation_id, currency, charged_micros AS micros FROM usage_events
        WHERE {in_extent("usage_events.wallet_id")}
    )
    SELECT operation_id, currency, coalesce(charge.micros, 0) AS charged, coalesce(event.micros, 0) AS recorded
    FROM charge FULL JOIN event USING (operation_id, currency)
    WHERE coalesce(charge.micros, 0) <> coalesce(event.micros, 0) OR (charge.micros <> 0 AND event.micros IS NULL)
    ORDER BY operation_id LIMIT :limit
    """,  # noqa: S608 - put together from constants of our own code
)


class UsageVerifier:
    """Compares every charge in the books with the usage event of its operation."""

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Every operation whose charge and event differ, or of which one is missing."""
        rows = await uow.connection.execute(_DRIFTS, {**extent.values(), "limit": _DRIFTS_SHOWN_MAX})
        return tuple(
            Drift("G4", row.operation_id, f"the books charged {row.charged} micros, the event says {row.recorded}")
            for row in rows
        )
