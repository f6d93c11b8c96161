"""Which payments, refunds and disputes are due to be asked about; the first two are leased, for workers share them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Row, and_, exists, func, null, or_, select, union_all, update

from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.comparison import StuckObject
from billing.payments.models import DisputeRow, PaymentRow, RefundRow
from billing.payments.ports import PaymentProvider
from billing.payments.records import Payment
from billing.payments.repository import payment_of
from billing.payments.rules import LIVE_STATES, UNENDED_REFUNDS, DisputeStatus, PaymentId


@dataclass(frozen=True, slots=True)
class Due:
    """Something whose moment has come; it is this worker's until `leased_until`."""

    id: str
    provider: str
    created_at: datetime
    due_at: datetime
    leased_until: datetime


class DuePayment(Due):
    """A payment."""


class DueRefund(Due):
    """A refund."""


async def is_anything_due(uow: UnitOfWork, now: datetime) -> bool:
    """Some payment's or refund's moment has come."""
    payments = exists().where(PaymentRow.next_check_at <= now)
    refunds = exists().where(RefundRow.next_check_at <= now)
    return bool((await uow.connection.execute(select(or_(payments, refunds)))).scalar_one())


async def lease(uow: UnitOfWork, *, now: datetime, until: datetime, limit: int) -> tuple[DuePayment | DueRefund, ...]:
    """Takes the payments and refunds whose moment has come, the longest overdue first, so many of each at the most.

    Nobody else gets them before `until`.
    """
    payments = await _lease(uow, PaymentRow, now=now, until=until, limit=limit)
    refunds = await _lease(uow, RefundRow, now=now, until=until, limit=limit)
    leased: list[DuePayment | DueRefund] = [
        *(DuePayment(row.id, row.provider, row.created_at, row.due_at, until) for row in payments),
        *(DueRefund(row.id, row.provider, row.created_at, row.due_at, until) for row in refunds),
    ]
    return tuple(sorted(leased, key=lambda one: (one.due_at, one.created_at, one.id)))


async def put_back(uow: UnitOfWork, due: DuePayment | DueRefund, *, at: datetime | None, counts: bool) -> bool:
    """Says when the leased one is due next, None for never; says whether it still has not ended.

    One that has ended meanwhile is due no more; a lease that somebody else has taken over is left alone.
    """
    kind, unfinished = (PaymentRow, LIVE_STATES) if isinstance(due, DuePayment) else (RefundRow, UNENDED_REFUNDS)
    written = await uow.connection.execute(
        update(kind)
        .where(kind.id == due.id, kind.next_check_at == due.leased_until, kind.state.in_(unfinished))
        .values(next_check_at=at, checks=kind.checks + int(counts))
        .returning(kind.id)
    )
    return written.scalar_one_or_none() is not None


async def stuck(uow: UnitOfWork, *, limit: int) -> tuple[StuckObject, ...]:
    """What has not ended and is due no more, and what its provider contradicts; oldest first."""
    payments = select(
        PaymentRow.id,
        PaymentRow.account_id,
        PaymentRow.state,
        PaymentRow.amount_micros,
        PaymentRow.currency,
        PaymentRow.created_at,
        PaymentRow.contradiction,
    ).where(
        or_(
            and_(PaymentRow.state.in_(LIVE_STATES), PaymentRow.next_check_at.is_(None)),
            PaymentRow.contradiction.is_not(None),
        )
    )
    refunds = (
        select(
            RefundRow.id,
            PaymentRow.account_id,
            RefundRow.state,
            RefundRow.amount_micros,
            RefundRow.currency,
            RefundRow.created_at,
            null().label("contradiction"),
        )
        .join(PaymentRow, PaymentRow.id == RefundRow.payment_id)
        .where(RefundRow.state.in_(UNENDED_REFUNDS), RefundRow.next_check_at.is_(None))
    )
    both = union_all(payments, refunds).subquery()
    rows = await uow.connection.execute(select(both).order_by(both.c.created_at, both.c.id).limit(limit))
    return tuple(
        StuckObject(
            id=row.id,
            account_id=row.account_id,
            state=row.state,
            amount=Money(row.amount_micros, Currency(row.currency)),
            created_at=row.created_at,
            contradiction=row.contradiction,
        )
        for row in rows
    )


async def payments_in_dispute(
    uow: UnitOfWork, provider: PaymentProvider, *, asked_before: datetime, limit: int
) -> tuple[Payment, ...]:
    """The shop's payments with an open dispute that nobody has asked about since, the longest ago first.

    Of a dispute that is open, `updated_at` says when it was last asked about.
    """
    waiting = (
        select(DisputeRow.payment_id, func.min(DisputeRow.updated_at).label("asked_at"))
        .where(DisputeRow.state == DisputeStatus.OPEN.value, DisputeRow.updated_at <= asked_before)
        .group_by(DisputeRow.payment_id)
        .subquery()
    )
    statement = (
        select(PaymentRow.__table__)
        .join(waiting, waiting.c.payment_id == PaymentRow.id)
        .where(PaymentRow.provider == provider.name, PaymentRow.shop_id == provider.shop_id)
        .order_by(waiting.c.asked_at, PaymentRow.id)
        .limit(limit)
    )
    return tuple(payment_of(row._asdict()) for row in await uow.connection.execute(statement))


async def dispute_asked(uow: UnitOfWork, payment_id: PaymentId, *, at: datetime) -> None:
    """Says that the payment's disputes which are still open have been asked about."""
    await uow.connection.execute(
        update(DisputeRow)
        .where(DisputeRow.payment_id == payment_id, DisputeRow.state == DisputeStatus.OPEN.value)
        .values(updated_at=at)
    )


async def _lease(
    uow: UnitOfWork, kind: type[PaymentRow | RefundRow], *, now: datetime, until: datetime, limit: int
) -> Sequence[Row[str, str, datetime, datetime]]:
    due = (
        select(kind.id, kind.next_check_at.label("due_at"))
        .where(kind.next_check_at <= now)
        .order_by(kind.next_check_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    leased = await uow.connection.execute(
        update(kind)
        .where(kind.id == due.c.id)
        .values(next_check_at=until)
        .returning(kind.id, kind.provider, kind.created_at, due.c.due_at)
    )
    return leased.all()
