"""Receipts in the database: those that wait for the tax office, and those that it does not have."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from billing.customers.rules import AccountId
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.receipts_rules import UnregisteredReceipt
from billing.payments.rules import PaymentId, ReceiptStatus

RECEIPTS_SHOWN_MAX = 200

_LEASE_WAITING = text(
    """
    WITH waiting AS (
        SELECT id FROM payments
        WHERE receipt_terms IS NOT NULL AND receipt_status IS DISTINCT FROM 'succeeded'
          AND coalesce(receipt_status, 'pending') = 'pending' AND succeeded_at > :since
        UNION
        SELECT refund.payment_id FROM refunds AS refund JOIN payments AS payment ON payment.id = refund.payment_id
        WHERE payment.receipt_terms IS NOT NULL AND refund.receipt_status IS DISTINCT FROM 'succeeded'
          AND coalesce(refund.receipt_status, 'pending') = 'pending' AND refund.succeeded_at > :since
    ), due AS (
        SELECT waiting.id FROM waiting
        JOIN payments AS payment ON payment.id = waiting.id
        LEFT JOIN receipt_checks AS earlier ON earlier.payment_id = waiting.id
        WHERE payment.provider = :provider AND payment.shop_id = :shop_id
          AND coalesce(earlier.checked_at <= :before, true)
        ORDER BY earlier.checked_at NULLS FIRST, waiting.id LIMIT :limit
    )
    INSERT INTO receipt_checks (payment_id, checked_at) SELECT id, :now FROM due
    ON CONFLICT ON CONSTRAINT pk_receipt_checks DO UPDATE SET checked_at = excluded.checked_at
    WHERE receipt_checks.checked_at <= :before
    RETURNING payment_id
    """
)

_UNREGISTERED = text(
    """
    SELECT * FROM (
        SELECT id AS payment_id, NULL AS refund_id, account_id, amount_micros, currency, receipt_status, succeeded_at
        FROM payments
        WHERE receipt_terms IS NOT NULL AND receipt_status IS DISTINCT FROM 'succeeded' AND succeeded_at IS NOT NULL
        UNION ALL
        SELECT refund.payment_id, refund.id, payment.account_id, refund.amount_micros, refund.currency,
               refund.receipt_status, refund.succeeded_at
        FROM refunds AS refund JOIN payments AS payment ON payment.id = refund.payment_id
        WHERE payment.receipt_terms IS NOT NULL AND refund.receipt_status IS DISTINCT FROM 'succeeded'
          AND refund.succeeded_at IS NOT NULL
    ) AS receipt
    WHERE NOT :only_failed OR receipt_status = 'failed'
    ORDER BY succeeded_at DESC, payment_id, refund_id NULLS FIRST LIMIT :limit
    """
)


async def lease_waiting(
    uow: UnitOfWork, *, provider: str, shop_id: str, since: datetime, before: datetime, now: datetime, limit: int
) -> tuple[PaymentId, ...]:
    """Takes payments with receipts that wait, never asked ones first; nobody else gets them before they are due again.

    Money that moved before `since` is not asked about any more; what was asked about after `before` not yet again.
    """
    values = {
        "provider": provider,
        "shop_id": shop_id,
        "since": since,
        "before": before,
        "now": now,
        "limit": limit,
    }
    return tuple(sorted(PaymentId(found) for found in await uow.connection.scalars(_LEASE_WAITING, values)))


async def unregistered(uow: UnitOfWork, *, only_failed: bool, limit: int) -> tuple[UnregisteredReceipt, ...]:
    """Receipts of money that has moved, which the tax office does not have, newest first, 200 at the most."""
    values = {"only_failed": only_failed, "limit": max(1, min(limit, RECEIPTS_SHOWN_MAX))}
    return tuple(
        UnregisteredReceipt(
            payment_id=PaymentId(row.payment_id),
            refund_id=row.refund_id,
            account_id=AccountId(row.account_id),
            amount=Money(row.amount_micros, Currency(row.currency)),
            status=ReceiptStatus.PENDING if row.receipt_status is None else ReceiptStatus(row.receipt_status),
            succeeded_at=row.succeeded_at,
        )
        for row in await uow.connection.execute(_UNREGISTERED, values)
    )
