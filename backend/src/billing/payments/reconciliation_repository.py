"""What reconciliation reads of our payments and refunds, and where it keeps its runs and differences."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, Row, and_, exists, or_, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert

from billing.kit.unit_of_work import UnitOfWork
from billing.payments.comparison import (
    Difference,
    DifferenceId,
    DifferenceKind,
    LastRun,
    RecordedDifference,
    Resolution,
    Run,
    Shop,
)
from billing.payments.models import PaymentRow, RefundRow
from billing.payments.reconciliation_models import ReconciliationDifferenceRow, ReconciliationRunRow
from billing.payments.records import Payment, Refund
from billing.payments.refunds_repository import refund_of
from billing.payments.repository import payment_of
from billing.payments.rules import ProviderPaymentId

Place = tuple[datetime, str]
"""Where a list goes on: when the last one seen began, and its id."""


async def payments_of(
    uow: UnitOfWork, shop: Shop, *, named: Sequence[ProviderPaymentId], ids: Sequence[str]
) -> tuple[Payment, ...]:
    """Our payments that the provider knows by these names, or that have one of these ids of ours."""
    return await _payments(
        uow,
        and_(
            PaymentRow.provider == shop.provider,
            or_(PaymentRow.provider_payment_id.in_(named), PaymentRow.id.in_(ids)),
        ),
        limit=len(named) + len(ids),
    )


async def payments_begun(
    uow: UnitOfWork, shop: Shop, *, since: datetime, until: datetime, after: Place | None, limit: int
) -> tuple[Payment, ...]:
    """Our payments of this time that the provider has named, oldest first, from the one after `after` on."""
    return await _payments(
        uow,
        and_(
            PaymentRow.provider == shop.provider,
            PaymentRow.shop_id == shop.shop_id,
            PaymentRow.provider_payment_id.is_not(None),
            *_between(PaymentRow, since, until, after),
        ),
        limit=limit,
    )


async def refunds_begun(
    uow: UnitOfWork, shop: Shop, *, since: datetime, until: datetime, after: Place | None, limit: int
) -> tuple[Refund, ...]:
    """Our refunds of this time that the provider has named, oldest first, from the one after `after` on."""
    is_of_shop = exists().where(PaymentRow.id == RefundRow.payment_id, PaymentRow.shop_id == shop.shop_id)
    statement = (
        select(RefundRow.__table__)
        .where(
            RefundRow.provider == shop.provider,
            RefundRow.provider_refund_id.is_not(None),
            *_between(RefundRow, since, until, after),
            is_of_shop,
        )
        .order_by(RefundRow.created_at, RefundRow.id)
        .limit(limit)
    )
    return tuple(refund_of(row) for row in (await uow.connection.execute(statement)).mappings())


async def last_daily_run(uow: UnitOfWork, shop: Shop, *, now: datetime) -> LastRun | None:
    """The newest run of the schedule; None before the first.

    One that ended later than now was made by a clock that went wrong, and must not put off all others until then.
    """
    statement = (
        select(ReconciliationRunRow.until_at, ReconciliationRunRow.finished_at)
        .where(
            ReconciliationRunRow.provider == shop.provider,
            ReconciliationRunRow.shop_id == shop.shop_id,
            ReconciliationRunRow.is_daily,
            ReconciliationRunRow.finished_at <= now,
        )
        .order_by(ReconciliationRunRow.finished_at.desc())
        .limit(1)
    )
    row = (await uow.connection.execute(statement)).one_or_none()
    return None if row is None else LastRun(until=row.until_at, finished_at=row.finished_at)


async def insert_run(uow: UnitOfWork, shop: Shop, run: Run, *, run_id: str, is_daily: bool, at: datetime) -> None:
    """Writes down a run that came to its end."""
    await uow.connection.execute(
        insert(ReconciliationRunRow).values(
            id=run_id,
            provider=shop.provider,
            shop_id=shop.shop_id,
            is_daily=is_daily,
            since_at=run.since,
            until_at=run.until,
            payments=run.payments,
            refunds=run.refunds,
            healed=run.healed,
            differences=run.differences,
            finished_at=at,
        )
    )


async def record_difference(
    uow: UnitOfWork, shop: Shop, difference: Difference, *, new_id: DifferenceId, at: datetime
) -> DifferenceId | None:
    """Lists the difference, once while it is open, and answers its id; None where a person has decided about it.

    It is `new_id` if it was not listed yet. An accepted one comes back when either side says something else; an ignored
    object never does.
    """
    if await _is_settled(uow, shop, difference):
        return None
    listed = await uow.connection.execute(
        insert(ReconciliationDifferenceRow)
        .values(
            id=new_id,
            provider=shop.provider,
            shop_id=shop.shop_id,
            kind=difference.kind,
            object_id=difference.object_id,
            payment_id=difference.payment_id,
            ours=dict(difference.ours),
            theirs=dict(difference.theirs),
            found_at=at,
            last_seen_at=at,
        )
        .on_conflict_do_update(
            index_elements=["provider", "shop_id", "kind", "object_id"],
            index_where=ReconciliationDifferenceRow.resolved_at.is_(None),
            set_={"ours": dict(difference.ours), "theirs": dict(difference.theirs), "last_seen_at": at},
        )
        .returning(ReconciliationDifferenceRow.id)
    )
    return DifferenceId(listed.scalar_one())


async def find_difference(
    uow: UnitOfWork, difference_id: str, *, for_update: bool = False
) -> RecordedDifference | None:
    """The difference of this id."""
    statement = select(ReconciliationDifferenceRow.__table__).where(ReconciliationDifferenceRow.id == difference_id)
    statement = statement.with_for_update() if for_update else statement
    row = (await uow.connection.execute(statement)).one_or_none()
    return None if row is None else _difference(row)


async def differences(
    uow: UnitOfWork, *, kind: DifferenceKind | None, is_open: bool, limit: int
) -> tuple[RecordedDifference, ...]:
    """The newest differences, those that nobody has decided about or the others."""
    resolved_at = ReconciliationDifferenceRow.resolved_at
    statement = (
        select(ReconciliationDifferenceRow.__table__)
        .where(resolved_at.is_(None) if is_open else resolved_at.is_not(None))
        .order_by(ReconciliationDifferenceRow.found_at.desc(), ReconciliationDifferenceRow.id)
        .limit(limit)
    )
    if kind is not None:
        statement = statement.where(ReconciliationDifferenceRow.kind == kind)
    return tuple(_difference(row) for row in await uow.connection.execute(statement))


async def resolve(uow: UnitOfWork, difference_id: DifferenceId, resolution: Resolution, *, at: datetime) -> None:
    """Ends an open difference, which the caller has locked."""
    await uow.connection.execute(
        update(ReconciliationDifferenceRow)
        .where(ReconciliationDifferenceRow.id == difference_id, ReconciliationDifferenceRow.resolved_at.is_(None))
        .values(resolution=resolution, resolved_at=at)
    )


def _between(
    kind: type[PaymentRow | RefundRow], since: datetime, until: datetime, after: Place | None
) -> list[ColumnElement[bool]]:
    in_time: list[ColumnElement[bool]] = [kind.created_at >= since, kind.created_at < until]
    if after is not None:
        in_time.append(tuple_(kind.created_at, kind.id) > tuple_(*after))
    return in_time


async def _is_settled(uow: UnitOfWork, shop: Shop, difference: Difference) -> bool:
    row = ReconciliationDifferenceRow
    same_facts = and_(row.ours == dict(difference.ours), row.theirs == dict(difference.theirs))
    settled = exists().where(
        row.provider == shop.provider,
        row.shop_id == shop.shop_id,
        row.kind == difference.kind,
        row.object_id == difference.object_id,
        or_(row.resolution == Resolution.IGNORED, and_(row.resolution == Resolution.ACCEPTED, same_facts)),
    )
    return bool((await uow.connection.execute(select(settled))).scalar_one())


async def _payments(uow: UnitOfWork, condition: ColumnElement[bool], *, limit: int) -> tuple[Payment, ...]:
    statement = (
        select(PaymentRow.__table__).where(condition).order_by(PaymentRow.created_at, PaymentRow.id).limit(limit)
    )
    return tuple(payment_of(row._asdict()) for row in await uow.connection.execute(statement))


def _difference(row: Row[tuple[object, ...]]) -> RecordedDifference:
    return RecordedDifference(
        id=DifferenceId(row.id),
        shop=Shop(row.provider, row.shop_id),
        difference=Difference(
            kind=DifferenceKind(row.kind),
            object_id=row.object_id,
            payment_id=row.payment_id,
            ours=row.ours,
            theirs=row.theirs,
        ),
        found_at=row.found_at,
        last_seen_at=row.last_seen_at,
        resolution=None if row.resolution is None else Resolution(row.resolution),
        resolved_at=row.resolved_at,
    )
