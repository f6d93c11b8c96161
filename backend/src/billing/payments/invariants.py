"""The payments' part of the one checker: what a provider took is what the books say, payment by payment (G7)."""

from __future__ import annotations

from sqlalchemy import text

from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.invariants import EVERYTHING, Drift, Extent, in_extent

_DRIFTS_SHOWN_MAX = 100

# An account's payments belong to the extent of its wallets.
_OF_EXTENT = f"""
    (CAST(:wallet_id AS text) IS NULL AND CAST(:since AS timestamptz) IS NULL
     OR EXISTS (SELECT FROM wallets AS wallet WHERE wallet.account_id = payment.account_id
                AND {in_extent("wallet.id")}))
"""

# The provider's clearing account mirrors what it took: less what was given back and what disputes took for good.
# Its fees are between it and us.
_CLEARING = text(
    f"""
    SELECT payment.id, payment.state, coalesce(booked.micros, 0) AS booked, coalesce(booked.reserved, 0) AS reserved,
           expected.micros AS expected, expected.reserved AS expected_reserved
    FROM payments AS payment
    CROSS JOIN LATERAL (
        SELECT CASE WHEN payment.succeeded_at IS NULL THEN 0 ELSE payment.amount_micros END
               - coalesce((SELECT sum(amount_micros) FROM refunds
                           WHERE payment_id = payment.id AND state = 'succeeded'), 0)
               - coalesce((SELECT sum(amount_micros) FROM disputes
                           WHERE payment_id = payment.id AND state = 'lost'), 0) AS micros,
               coalesce((SELECT sum(amount_micros) FROM disputes
                         WHERE payment_id = payment.id AND state = 'open'), 0) AS reserved
    ) AS expected
    LEFT JOIN LATERAL (
        SELECT -sum(entry.amount_micros) FILTER (WHERE entry.account = 'provider:' || payment.provider) AS micros,
               sum(entry.amount_micros) FILTER (WHERE entry.account = 'disputes') AS reserved
        FROM ledger_transfers AS transfer JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
        WHERE transfer.reference = payment.id AND transfer.kind <> 'provider_fee'
    ) AS booked ON true
    WHERE (coalesce(booked.micros, 0), coalesce(booked.reserved, 0)) <> (expected.micros, expected.reserved)
      AND {_OF_EXTENT}
    ORDER BY payment.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of this file
)

# The payment's row against its refunds and disputes: three tellings of one story.
_FACTS = text(
    f"""
    SELECT payment.id, payment.state, payment.refunded_micros, coalesce(given.micros, 0) AS given,
           payment.disputed_at IS NOT NULL AS says_disputed, standing.is_disputed
    FROM payments AS payment
    LEFT JOIN LATERAL (
        SELECT sum(amount_micros) AS micros FROM refunds WHERE payment_id = payment.id AND state = 'succeeded'
    ) AS given ON true
    CROSS JOIN LATERAL (
        SELECT EXISTS (SELECT FROM disputes WHERE payment_id = payment.id AND state <> 'won') AS is_disputed
    ) AS standing
    WHERE (payment.refunded_micros <> coalesce(given.micros, 0)
           OR (payment.disputed_at IS NOT NULL) <> standing.is_disputed
           OR payment.succeeded_at IS NOT NULL AND payment.state <> CASE
                WHEN standing.is_disputed THEN 'disputed'
                WHEN payment.refunded_micros = 0 THEN 'succeeded'
                WHEN payment.refunded_micros < payment.amount_micros THEN 'partially_refunded'
                ELSE 'refunded' END)
      AND {_OF_EXTENT}
    ORDER BY payment.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of this file
)

# Our books alone do not show a refund that the provider made and we took for refused; that it has named it does.
_UNHEARD = text(
    f"""
    SELECT refund.id, refund.failure, refund.provider_refund_id
    FROM refunds AS refund JOIN payments AS payment ON payment.id = refund.payment_id
    WHERE refund.failure IN ('rejected', 'never_begun') AND refund.provider_refund_id IS NOT NULL
      AND {_OF_EXTENT}
    ORDER BY refund.id LIMIT :limit
    """,  # noqa: S608 - put together from constants of this file
)


class PaymentVerifier:
    """Checks payments against the books, and against their refunds and disputes."""

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Payments whose money the books do not have, or have twice; payments whose state contradicts their facts;
        refunds that the provider has named and we say it never heard of.
        """
        values = {**extent.values(), "limit": _DRIFTS_SHOWN_MAX}
        clearing = await uow.connection.execute(_CLEARING, values)
        facts = await uow.connection.execute(_FACTS, values)
        unheard = await uow.connection.execute(_UNHEARD, values)
        return (
            *(
                Drift(
                    "G7",
                    row.id,
                    f"the {row.state} payment should stand in the books with {row.expected} micros and "
                    f"{row.expected_reserved} disputed; they say {row.booked} and {row.reserved}",
                )
                for row in clearing
            ),
            *(
                Drift(
                    "G17",
                    row.id,
                    f"the {row.state} payment says {row.refunded_micros} micros given back and disputed "
                    f"{row.says_disputed}; its refunds say {row.given}, its disputes {row.is_disputed}",
                )
                for row in facts
            ),
            *(
                Drift(
                    "G7",
                    row.id,
                    f"the refund ended as {row.failure}, as if the provider had nothing of it, which calls it "
                    f"{row.provider_refund_id}; read its payment back",
                )
                for row in unheard
            ),
        )
