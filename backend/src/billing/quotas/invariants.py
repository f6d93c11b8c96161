"""The free quota's part of the one checker: counters are what their reservations add up to, and what was used (G9)."""

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


# Free seconds of speech are counted from characters, and free pictures from pictures that are priced by their pixels:
# those are compared where they are measured, in the gateway. Tokens and seconds of recordings are the event's own.
_WITHOUT_EVENT = text(
    """
    WITH counted AS (
        SELECT * FROM free_quota_reservations WHERE state = 'finalised'
          AND (CAST(:wallet_id AS text) IS NULL
               OR account_id IN (SELECT account_id FROM wallets WHERE id = CAST(:wallet_id AS text)))
    ), event AS (
        SELECT operation_id, account_id, door, occurred_at,
               input_tokens + cached_input_tokens + coalesce((units ->> 'embedding_tokens')::bigint, 0) AS tokens_in,
               output_tokens + reasoning_tokens AS tokens_out,
               ceil(coalesce((units ->> 'transcription_milliseconds')::numeric, 0) / 1000) AS seconds_heard
        FROM usage_events WHERE billing_source = 'lead_magnet'
          AND (CAST(:wallet_id AS text) IS NULL OR wallet_id = CAST(:wallet_id AS text))
    )
    SELECT operation_id, counted.account_id IS NOT NULL AS is_counted, event.account_id IS NOT NULL AS is_recorded
    FROM counted FULL JOIN event USING (operation_id)
    WHERE (counted.account_id IS DISTINCT FROM event.account_id
           OR counted.transcription_seconds_used <> event.seconds_heard
           OR (event.door IN ('chat/completions', 'completions', 'responses', 'embeddings')
               AND (counted.input_tokens_used, counted.output_tokens_used)
                   <> (event.tokens_in, event.tokens_out)))
      AND (CAST(:since AS timestamptz) IS NULL
           OR coalesce(counted.ended_at, event.occurred_at) >= CAST(:since AS timestamptz))
    ORDER BY operation_id LIMIT :limit
    """,
)


class FreeUsageVerifier:
    """Compares every free operation that was counted with its usage event, and the other way round."""

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Every operation that only one of the two knows, or of which they say different things."""
        rows = await uow.connection.execute(_WITHOUT_EVENT, {**extent.values(), "limit": _DRIFTS_SHOWN_MAX})
        return tuple(
            Drift(
                "G9",
                row.operation_id,
                "free use was counted and recorded differently"
                if row.is_counted and row.is_recorded
                else f"free use was {'counted and not recorded' if row.is_counted else 'recorded and not counted'}",
            )
            for row in rows
        )
