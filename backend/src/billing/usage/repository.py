"""The statements over the table of usage events."""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import Row, select
from sqlalchemy.dialects.postgresql import insert

from billing.customers.rules import AccountId, PersonId
from billing.kit.money import Currency, Money
from billing.kit.round_trips import Sending
from billing.kit.statements import DriverStatement, only, sent, written
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.rules import Unit
from billing.usage.models import UsageEventRow
from billing.usage.rules import TOKENS, BillingSource, EstimateReason, UsageEvent
from billing.wallets.rules import OperationId, WalletId

_COLUMNS = [column.name for column in UsageEventRow.__table__.columns if column.server_default is None]
_INSERT_NEW = DriverStatement(insert(UsageEventRow), columns=_COLUMNS)
_INSERT_ONCE = DriverStatement(
    insert(UsageEventRow)
    .on_conflict_do_nothing(index_elements=[UsageEventRow.operation_id])
    .returning(UsageEventRow.operation_id),
    columns=_COLUMNS,
)


async def insert_event(uow: UnitOfWork, event: UsageEvent) -> bool:
    """Writes the event; False if its operation has one already."""
    (inserted,) = await sent(uow, _filled(_INSERT_ONCE, event))
    return only(inserted.rows) is not None


async def insert_new_event(uow: UnitOfWork, event: UsageEvent) -> None:
    """Writes the event of an operation that has none; it fails if there is one. A write that may wait."""
    await written(uow, _filled(_INSERT_NEW, event))


def _filled(statement: DriverStatement, event: UsageEvent) -> Sending:
    return statement.filled(
        operation_id=event.operation_id,
        account_id=event.account_id,
        wallet_id=event.wallet_id,
        person_id=event.person_id,
        api_key_id=event.api_key_id,
        billing_source=event.billing_source.value,
        door=event.door,
        provider=event.provider,
        model_asked=event.model_asked,
        model_priced=event.model_priced,
        model_used=event.model_used,
        **{unit.value: event.quantities[unit] for unit in TOKENS},
        units=Jsonb({unit.value: count for unit, count in event.quantities.items() if unit not in TOKENS}),
        raw_cost_micros=event.raw_cost.micros,
        charged_micros=event.charged.micros,
        currency=event.charged.currency,
        discount_percent=event.discount_percent,
        rates=Jsonb(event.rates),
        estimate_reason=event.estimate_reason.value if event.estimate_reason else None,
        latency_ms=event.latency_ms,
        correlation_id=event.correlation_id,
        occurred_at=event.occurred_at,
    )


async def event_of(uow: UnitOfWork, operation_id: OperationId) -> UsageEvent | None:
    """The operation's event, or None."""
    query = select(UsageEventRow).where(UsageEventRow.operation_id == operation_id)
    row = (await uow.connection.execute(query)).one_or_none()
    return None if row is None else _as_event(row)


async def events_before(
    uow: UnitOfWork, account_id: AccountId, position: str | None, limit: int
) -> tuple[UsageEvent, ...]:
    """The account's events with smaller operation ids than the position, newest first."""
    query = select(UsageEventRow).where(UsageEventRow.account_id == account_id)
    if position is not None:
        query = query.where(UsageEventRow.operation_id < position)
    rows = await uow.connection.execute(query.order_by(UsageEventRow.operation_id.desc()).limit(limit))
    return tuple(map(_as_event, rows))


def _as_event(row: Row[Any]) -> UsageEvent:
    currency = Currency(row.currency)
    return UsageEvent(
        operation_id=OperationId(row.operation_id),
        account_id=AccountId(row.account_id),
        wallet_id=WalletId(row.wallet_id),
        person_id=None if row.person_id is None else PersonId(row.person_id),
        api_key_id=row.api_key_id,
        billing_source=BillingSource(row.billing_source),
        door=row.door,
        provider=row.provider,
        model_asked=row.model_asked,
        model_priced=row.model_priced,
        model_used=row.model_used,
        quantities={
            **{unit: getattr(row, unit.value) for unit in TOKENS},
            **{Unit(name): count for name, count in row.units.items()},
        },
        raw_cost=Money(row.raw_cost_micros, currency),
        charged=Money(row.charged_micros, currency),
        discount_percent=row.discount_percent,
        rates=row.rates,
        estimate_reason=None if row.estimate_reason is None else EstimateReason(row.estimate_reason),
        latency_ms=row.latency_ms,
        correlation_id=row.correlation_id,
        occurred_at=row.occurred_at,
    )
