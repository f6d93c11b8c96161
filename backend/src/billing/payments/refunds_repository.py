"""Refunds in the database."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.models import RefundRow
from billing.payments.records import BegunBy, Refund
from billing.payments.rules import (
    PaymentId,
    ProviderRefundId,
    ReceiptStatus,
    RefundFailure,
    RefundId,
    RefundState,
)

_SHOWN_MAX = 1000


async def insert_refund(uow: UnitOfWork, refund: Refund) -> None:
    """Writes a new refund."""
    await uow.connection.execute(
        insert(RefundRow).values(
            id=refund.id,
            payment_id=refund.payment_id,
            provider=refund.provider,
            amount_micros=refund.amount.micros,
            currency=refund.amount.currency,
            state=refund.state,
            begun_by=refund.begun_by,
            is_overdraft=refund.is_overdraft,
            reason=refund.reason,
            provider_refund_id=refund.provider_refund_id,
            next_check_at=refund.next_check_at,
            created_at=refund.created_at,
            updated_at=refund.created_at,
        )
    )


async def find_refund(uow: UnitOfWork, refund_id: str) -> Refund | None:
    """The refund of this id."""
    row = (await uow.connection.execute(_ALL.where(RefundRow.id == refund_id))).mappings().one_or_none()
    return None if row is None else refund_of(row)


async def refunds_of(uow: UnitOfWork, payment_id: PaymentId) -> list[Refund]:
    """The payment's refunds, oldest first, a thousand at the most."""
    statement = _ALL.where(RefundRow.payment_id == payment_id)
    rows = await uow.connection.execute(statement.order_by(RefundRow.created_at, RefundRow.id).limit(_SHOWN_MAX))
    return [refund_of(row) for row in rows.mappings()]


async def refunds_named(
    uow: UnitOfWork, provider: str, provider_ids: Collection[str], our_ids: Collection[str]
) -> list[Refund]:
    """The refunds that a provider's objects stand for, by its ids and by ours, whichever payment they belong to."""
    statement = _ALL.where(
        RefundRow.provider == provider, or_(RefundRow.provider_refund_id.in_(provider_ids), RefundRow.id.in_(our_ids))
    )
    rows = await uow.connection.execute(statement.order_by(RefundRow.id).limit(_SHOWN_MAX))
    return [refund_of(row) for row in rows.mappings()]


async def update_refund(uow: UnitOfWork, refund_id: RefundId, *, at: datetime, **changes: Any) -> Refund:
    """Changes where a refund stands; the caller holds its payment's lock."""
    statement = (
        update(RefundRow)
        .where(RefundRow.id == refund_id)
        .values(updated_at=at, **changes)
        .returning(*RefundRow.__table__.columns)
    )
    return refund_of((await uow.connection.execute(statement)).mappings().one())


def refund_of(row: RowMapping) -> Refund:
    """The refund that a row of the table (all columns) is."""
    provider_id = row["provider_refund_id"]
    return Refund(
        id=RefundId(row["id"]),
        payment_id=PaymentId(row["payment_id"]),
        provider=row["provider"],
        amount=Money(row["amount_micros"], Currency(row["currency"])),
        state=RefundState(row["state"]),
        begun_by=BegunBy(row["begun_by"]),
        is_overdraft=row["is_overdraft"],
        reason=row["reason"],
        created_at=row["created_at"],
        provider_refund_id=None if provider_id is None else ProviderRefundId(provider_id),
        failure=None if row["failure"] is None else RefundFailure(row["failure"]),
        receipt_status=None if row["receipt_status"] is None else ReceiptStatus(row["receipt_status"]),
        succeeded_at=row["succeeded_at"],
        next_check_at=row["next_check_at"],
        checks=row["checks"],
    )


_ALL = select(RefundRow.__table__)
