"""Disputes in the database."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.customers.rules import AccountId
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.models import DisputeRow
from billing.payments.records import Dispute, Payment
from billing.payments.rules import DisputeId, DisputeStatus, PaymentId, ProviderDisputeId

_SHOWN_MAX = 1000


async def insert_dispute(uow: UnitOfWork, dispute: Dispute) -> None:
    """Writes a new dispute."""
    await uow.connection.execute(
        insert(DisputeRow).values(
            id=dispute.id,
            payment_id=dispute.payment_id,
            account_id=dispute.account_id,
            provider=dispute.provider,
            provider_dispute_id=dispute.provider_dispute_id,
            amount_micros=dispute.amount.micros,
            currency=dispute.amount.currency,
            state=dispute.state,
            opened_at=dispute.opened_at,
            updated_at=dispute.opened_at,
        )
    )


async def disputes_of(uow: UnitOfWork, payment_id: PaymentId) -> list[Dispute]:
    """The payment's disputes, oldest first, a thousand at the most."""
    statement = select(DisputeRow.__table__).where(DisputeRow.payment_id == payment_id)
    rows = await uow.connection.execute(statement.order_by(DisputeRow.opened_at, DisputeRow.id).limit(_SHOWN_MAX))
    return [_dispute(row) for row in rows.mappings()]


async def standing_of(uow: UnitOfWork, payment: Payment) -> Money:
    """What the payment's disputes that are open or lost are about together."""
    statement = select(func.coalesce(func.sum(DisputeRow.amount_micros), 0).cast(BigInteger)).where(
        DisputeRow.payment_id == payment.id, DisputeRow.state != DisputeStatus.WON.value
    )
    return Money((await uow.connection.execute(statement)).scalar_one(), payment.amount.currency)


async def standing_disputes_of(uow: UnitOfWork, account_id: str) -> list[Dispute]:
    """The account's disputes that are open or lost, oldest first, a thousand at the most."""
    statement = select(DisputeRow.__table__).where(
        DisputeRow.account_id == account_id, DisputeRow.state != DisputeStatus.WON.value
    )
    rows = await uow.connection.execute(statement.order_by(DisputeRow.opened_at, DisputeRow.id).limit(_SHOWN_MAX))
    return [_dispute(row) for row in rows.mappings()]


async def update_dispute(uow: UnitOfWork, dispute_id: DisputeId, state: DisputeStatus, *, at: datetime) -> None:
    """Changes where a dispute stands; the caller holds its payment's lock."""
    await uow.connection.execute(
        update(DisputeRow).where(DisputeRow.id == dispute_id).values(state=state.value, updated_at=at)
    )


def _dispute(row: RowMapping) -> Dispute:
    return Dispute(
        id=DisputeId(row["id"]),
        payment_id=PaymentId(row["payment_id"]),
        account_id=AccountId(row["account_id"]),
        provider=row["provider"],
        provider_dispute_id=ProviderDisputeId(row["provider_dispute_id"]),
        amount=Money(row["amount_micros"], Currency(row["currency"])),
        state=DisputeStatus(row["state"]),
        opened_at=row["opened_at"],
    )
