"""The plans' part of the one checker: paid time is what was paid for, once (G7, G10, G19)."""

from __future__ import annotations

from sqlalchemy import text

from billing.kit.unit_of_work import UnitOfWork
from billing.ledger.invariants import EVERYTHING, Drift, Extent, in_extent

_DRIFTS_SHOWN_MAX = 100

# An account's plan payments belong to the extent of its wallets.
_OF_EXTENT = f"""
    EXISTS (SELECT FROM wallets AS wallet WHERE wallet.account_id = {{account}} AND {in_extent("wallet.id")})
"""

_UNGRANTED = text(
    f"""
    SELECT coalesce(payment.id, had.payment_id) AS id, payment.state, had.payment_id AS granted
    FROM (SELECT * FROM payments WHERE purpose = 'subscription' AND succeeded_at IS NOT NULL) AS payment
    FULL JOIN plan_grants AS had ON had.payment_id = payment.id
    WHERE (payment.id IS NULL OR had.payment_id IS NULL OR payment.account_id <> had.account_id)
      AND {_OF_EXTENT.format(account="coalesce(payment.account_id, had.account_id)")}
    ORDER BY 1 LIMIT :limit
    """  # noqa: S608 - put together from constants of this file
)

_NOT_AS_PAID = text(
    f"""
    SELECT had.payment_id, payment.amount_micros, payment.currency, plan.price_micros, plan.currency AS plan_currency
    FROM plan_grants AS had JOIN payments AS payment ON payment.id = had.payment_id JOIN plans AS plan
      ON plan.id = had.plan_id
    WHERE (payment.amount_micros <> plan.price_micros OR payment.currency <> plan.currency
           OR had.months <> CASE plan.interval WHEN 'year' THEN 12 ELSE 1 END
           OR split_part(payment.subject, '/', 1) <> plan.id)
      AND {_OF_EXTENT.format(account="had.account_id")}
    ORDER BY 1 LIMIT :limit
    """  # noqa: S608 - put together from constants of this file
)

_OVERLAPPING = text(
    f"""
    SELECT one.payment_id, other.payment_id AS other_id
    FROM plan_grants AS one JOIN plan_grants AS other
      ON other.account_id = one.account_id AND other.payment_id > one.payment_id
     AND other.ended_at IS NULL AND other.starts_at < one.ends_at AND one.starts_at < other.ends_at
    WHERE one.ended_at IS NULL AND {_OF_EXTENT.format(account="one.account_id")}
    ORDER BY 1 LIMIT :limit
    """  # noqa: S608 - put together from constants of this file
)

# What was sold less what was given back or stands disputed: by the payments, and by the books.
_SALES = text(
    f"""
    SELECT payment.id, payment.amount_micros - payment.refunded_micros - coalesce(standing.micros, 0) AS kept,
           coalesce(booked.micros, 0) AS booked
    FROM payments AS payment
    LEFT JOIN LATERAL (
        SELECT sum(entry.amount_micros) AS micros FROM ledger_transfers AS transfer
        JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id AND entry.account = 'plan_sales'
        WHERE transfer.reference = payment.id
    ) AS booked ON true
    LEFT JOIN LATERAL (
        SELECT sum(amount_micros) AS micros FROM disputes WHERE payment_id = payment.id AND state <> 'won'
    ) AS standing ON true
    WHERE payment.purpose = 'subscription' AND payment.succeeded_at IS NOT NULL
      AND payment.amount_micros - payment.refunded_micros - coalesce(standing.micros, 0) <> coalesce(booked.micros, 0)
      AND {_OF_EXTENT.format(account="payment.account_id")}
    ORDER BY 1 LIMIT :limit
    """  # noqa: S608 - put together from constants of this file
)

_CREDIT = text(
    f"""
    SELECT had.payment_id, plan.included_credit_micros - had.credit_taken_micros AS included, given.micros AS given
    FROM plan_grants AS had JOIN plans AS plan ON plan.id = had.plan_id
    JOIN LATERAL (
        SELECT -sum(entry.amount_micros) AS micros FROM ledger_transfers AS transfer
        JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id AND entry.account = 'promotions'
        WHERE transfer.reference = had.payment_id
    ) AS given ON true
    WHERE given.micros <> plan.included_credit_micros - had.credit_taken_micros
      AND {_OF_EXTENT.format(account="had.account_id")}
    ORDER BY 1 LIMIT :limit
    """  # noqa: S608 - put together from constants of this file
)


class PlanVerifier:
    """Compares paid periods with the payments that bought them, and both with the books."""

    async def drifts(self, uow: UnitOfWork, extent: Extent = EVERYTHING) -> tuple[Drift, ...]:
        """Payments without a period and periods without a payment, periods that nobody paid for at that price, paid
        time that is given twice, sales that the books do not have, credit that was given twice.
        """
        values = {**extent.values(), "limit": _DRIFTS_SHOWN_MAX}
        ungranted = await uow.connection.execute(_UNGRANTED, values)
        not_as_paid = await uow.connection.execute(_NOT_AS_PAID, values)
        overlapping = await uow.connection.execute(_OVERLAPPING, values)
        sales = await uow.connection.execute(_SALES, values)
        credit = await uow.connection.execute(_CREDIT, values)
        return (
            *(
                Drift("G10", row.id, "was paid and bought no period" if row.granted is None else "nobody paid for it")
                for row in ungranted
            ),
            *(
                Drift(
                    "G10",
                    row.payment_id,
                    f"paid {row.amount_micros} micros {row.currency} for a plan of {row.price_micros} micros "
                    f"{row.plan_currency}, or bought another plan or time than it paid for",
                )
                for row in not_as_paid
            ),
            *(Drift("G10", row.payment_id, f"its period overlaps that of {row.other_id}") for row in overlapping),
            *(Drift("G7", row.id, f"{row.kept} micros are left of it, the books sold {row.booked}") for row in sales),
            *(
                Drift(
                    "G10",
                    row.payment_id,
                    f"includes {row.included} micros of credit that did not go back, {row.given} were given",
                )
                for row in credit
            ),
        )
