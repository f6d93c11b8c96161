"""The statements over the table of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb
from sqlalchemy import Row, bindparam, delete, insert, select, update

from billing.customers.rules import AccountId, PersonId
from billing.gateway.models import CheckpointRow
from billing.kit.money import Currency, Money
from billing.kit.statements import DriverStatement, sent, written
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.rules import Unit
from billing.quotas.rules import Amounts, Metric
from billing.usage.rules import BillingSource, EstimateReason, UsageEvent
from billing.wallets.rules import OperationId, WalletId


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The usage event as it would be if the stream ended here, and what free quotas would count.

    `event.occurred_at` is when this was metered; `has_delivered` says whether there is anything to book at all.
    """

    event: UsageEvent
    free: Amounts
    has_delivered: bool
    began_at: datetime


_INSERT_CHECKPOINT = DriverStatement(
    insert(CheckpointRow), columns=[column.name for column in CheckpointRow.__table__.columns]
)
_PROGRESS = (
    "event",
    "quantities",
    "free_amounts",
    "raw_cost_micros",
    "estimate_reason",
    "has_delivered",
    "metered_at",
    "lease_until",
)
_WRITE_PROGRESS = DriverStatement(
    update(CheckpointRow)
    .where(CheckpointRow.operation_id == bindparam("stream"))
    .values({name: bindparam(name) for name in _PROGRESS}),
)
_CLAIM = DriverStatement(delete(CheckpointRow).where(CheckpointRow.operation_id == bindparam("stream")))


async def insert_checkpoint(uow: UnitOfWork, checkpoint: Checkpoint, lease_until: datetime) -> None:
    """The stream's row, with the transaction that lets the stream in. A write that may wait."""
    event = checkpoint.event
    row = _INSERT_CHECKPOINT.filled(
        operation_id=event.operation_id,
        account_id=event.account_id,
        wallet_id=event.wallet_id,
        billing_source=event.billing_source.value,
        currency=event.raw_cost.currency,
        began_at=checkpoint.began_at,
        lease_until=lease_until,
        **_progress(checkpoint),
    )
    await written(uow, row)


async def write_progress(
    uow: UnitOfWork, checkpoint: Checkpoint, lease_until: datetime, *, is_last: bool = False
) -> bool:
    """What the stream has used by now; False if somebody else has ended the stream. `is_last` commits it at once."""
    progress = _WRITE_PROGRESS.filled(
        stream=checkpoint.event.operation_id, lease_until=lease_until, **_progress(checkpoint)
    )
    (done,) = await sent(uow, progress, is_last=is_last)
    return bool(done.changed)


async def renew_leases(uow: UnitOfWork, operations: Sequence[OperationId], lease_until: datetime) -> None:
    """These streams' process is alive."""
    await uow.connection.execute(
        update(CheckpointRow).where(CheckpointRow.operation_id.in_(operations)).values(lease_until=lease_until)
    )


async def claim(uow: UnitOfWork, operation_id: OperationId) -> bool:
    """Takes the right to end the stream; False if somebody else has ended it. Waits for whoever is about to."""
    return bool(await _CLAIM.changed(uow, stream=operation_id))


async def abandoned(uow: UnitOfWork, now: datetime, limit: int) -> tuple[OperationId, ...]:
    """The streams whose lease has run out, longest ago first."""
    query = (
        select(CheckpointRow.operation_id)
        .where(CheckpointRow.lease_until <= now)
        .order_by(CheckpointRow.lease_until, CheckpointRow.operation_id)
        .limit(limit)
    )
    return tuple(OperationId(found) for found in await uow.connection.scalars(query))


async def claim_abandoned(uow: UnitOfWork, operation_id: OperationId, now: datetime) -> Checkpoint | None:
    """Takes the right to end this stream, unless it has been ended, has shown itself again, or is being ended now."""
    locked = (
        select(CheckpointRow.operation_id)
        .where(CheckpointRow.operation_id == operation_id, CheckpointRow.lease_until <= now)
        .with_for_update(skip_locked=True)
    )
    query = delete(CheckpointRow).where(CheckpointRow.operation_id.in_(locked)).returning(*CheckpointRow.__table__.c)
    row = (await uow.connection.execute(query)).one_or_none()
    return None if row is None else _as_checkpoint(row)


async def take_over(uow: UnitOfWork, operation_id: OperationId) -> Checkpoint | None:
    """Like `claim`, for whoever needs to know what was metered."""
    query = delete(CheckpointRow).where(CheckpointRow.operation_id == operation_id)
    row = (await uow.connection.execute(query.returning(*CheckpointRow.__table__.c))).one_or_none()
    return None if row is None else _as_checkpoint(row)


async def open_streams(uow: UnitOfWork, operations: Sequence[OperationId]) -> frozenset[OperationId]:
    """Those of these operations that have a checkpoint."""
    query = select(CheckpointRow.operation_id).where(CheckpointRow.operation_id.in_(operations))
    return frozenset(OperationId(found) for found in await uow.connection.scalars(query))


async def postpone(uow: UnitOfWork, operation_id: OperationId, until: datetime) -> None:
    """Lets the others go first."""
    query = update(CheckpointRow).where(CheckpointRow.operation_id == operation_id).values(lease_until=until)
    await uow.connection.execute(query)


def _progress(checkpoint: Checkpoint) -> dict[str, Any]:
    event = checkpoint.event
    return {
        "event": Jsonb(
            {
                "person_id": event.person_id,
                "api_key_id": event.api_key_id,
                "door": event.door,
                "provider": event.provider,
                "model_asked": event.model_asked,
                "model_priced": event.model_priced,
                "model_used": event.model_used,
                "discount_percent": event.discount_percent,
                "charged_micros": event.charged.micros,
                "rates": event.rates,
                "correlation_id": event.correlation_id,
            }
        ),
        "quantities": Jsonb({unit.value: quantity for unit, quantity in event.quantities.items() if quantity}),
        "free_amounts": Jsonb({metric.value: checkpoint.free.of(metric) for metric in Metric}),
        "raw_cost_micros": event.raw_cost.micros,
        "estimate_reason": None if event.estimate_reason is None else event.estimate_reason.value,
        "has_delivered": checkpoint.has_delivered,
        "metered_at": event.occurred_at,
    }


def _as_checkpoint(row: Row[Any]) -> Checkpoint:
    source, raw_cost = BillingSource(row.billing_source), Money(row.raw_cost_micros, Currency(row.currency))
    told = row.event
    # Of a stream that the version before this one let in nothing says what is charged: there were no discounts.
    undiscounted = raw_cost.micros if source is BillingSource.PAYG else 0
    event = UsageEvent(
        operation_id=OperationId(row.operation_id),
        account_id=AccountId(row.account_id),
        wallet_id=WalletId(row.wallet_id),
        person_id=None if told["person_id"] is None else PersonId(told["person_id"]),
        api_key_id=told["api_key_id"],
        billing_source=source,
        door=told["door"],
        provider=told["provider"],
        model_asked=told["model_asked"],
        model_priced=told["model_priced"],
        model_used=told["model_used"],
        quantities={Unit(unit): quantity for unit, quantity in row.quantities.items()},
        raw_cost=raw_cost,
        charged=Money(told.get("charged_micros", undiscounted), raw_cost.currency),
        discount_percent=told["discount_percent"],
        rates=told["rates"],
        estimate_reason=None if row.estimate_reason is None else EstimateReason(row.estimate_reason),
        latency_ms=int((row.metered_at - row.began_at).total_seconds() * 1000),
        correlation_id=told["correlation_id"],
        occurred_at=row.metered_at,
    )
    return Checkpoint(event, Amounts(**row.free_amounts), row.has_delivered, row.began_at)
