"""Saved payment methods in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, exists, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.methods_models import PaymentMethodRow
from billing.payments.models import PaymentRow
from billing.payments.ports import MethodRef
from billing.payments.records import Payment
from billing.payments.rules import LIVE_STATES, ProviderMethodId

METHODS_SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class PaymentMethod:
    """A way to pay that is kept with its owner's consent; one that was removed is never charged again."""

    id: str
    account_id: AccountId
    provider: str
    shop_id: str
    ref: MethodRef
    title: str
    consent_at: datetime
    removed_at: datetime | None


async def put(
    uow: UnitOfWork, method_id: str, payment: Payment, *, ref: MethodRef, title: str, consent_at: datetime
) -> None:
    """Keeps the method that this payment saved; one that is kept already stays the same row.

    A method that its owner has removed comes back by a later consent only, however late an earlier payment is heard of
    again; and never into another account.
    """
    row = PaymentMethodRow
    new = insert(row).values(
        id=method_id,
        account_id=payment.account_id,
        provider=payment.provider,
        shop_id=payment.shop_id,
        provider_method_id=ref.id,
        provider_customer=ref.customer,
        title=title,
        payment_id=payment.id,
        consent_at=consent_at,
    )
    await uow.connection.execute(
        new.on_conflict_do_update(
            constraint="uq_payment_methods_provider_shop_id_provider_method_id",
            set_={
                "payment_id": new.excluded.payment_id,
                "title": new.excluded.title,
                "consent_at": new.excluded.consent_at,
                "removed_at": None,
            },
            where=(row.account_id == new.excluded.account_id)
            & (row.consent_at < new.excluded.consent_at)
            & or_(row.removed_at.is_(None), row.removed_at < new.excluded.consent_at),
        ),
    )


async def methods_of(uow: UnitOfWork, account_id: AccountId) -> tuple[PaymentMethod, ...]:
    """What the account has saved and not removed, newest first, a hundred at the most."""
    statement = (
        select(PaymentMethodRow.__table__)
        .where(PaymentMethodRow.account_id == account_id, PaymentMethodRow.removed_at.is_(None))
        .order_by(PaymentMethodRow.id.desc())
        .limit(METHODS_SHOWN_MAX)
    )
    return tuple(_method(row) for row in (await uow.connection.execute(statement)).mappings())


async def find(
    uow: UnitOfWork, account_id: AccountId, method_id: str, *, for_update: bool = False
) -> PaymentMethod | None:
    """The account's method of this id, removed or not; somebody else's is none."""
    statement = select(PaymentMethodRow.__table__).where(
        PaymentMethodRow.id == method_id, PaymentMethodRow.account_id == account_id
    )
    statement = statement.with_for_update() if for_update else statement
    row = (await uow.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _method(row)


async def mark_removed(uow: UnitOfWork, method_id: str, *, at: datetime) -> None:
    """Notes when its owner took the consent back."""
    await uow.connection.execute(update(PaymentMethodRow).where(PaymentMethodRow.id == method_id).values(removed_at=at))


def _method(row: RowMapping) -> PaymentMethod:
    return PaymentMethod(
        id=row["id"],
        account_id=AccountId(row["account_id"]),
        provider=row["provider"],
        shop_id=row["shop_id"],
        ref=MethodRef(ProviderMethodId(row["provider_method_id"]), row["provider_customer"]),
        title=row["title"],
        consent_at=row["consent_at"],
        removed_at=row["removed_at"],
    )


async def kept_from(uow: UnitOfWork, payment_id: str) -> str | None:
    """The id of the method that was last kept by this payment; None where none was, or it was removed."""
    query = (
        select(PaymentMethodRow.id)
        .where(PaymentMethodRow.payment_id == payment_id, PaymentMethodRow.removed_at.is_(None))
        .order_by(PaymentMethodRow.consent_at.desc(), PaymentMethodRow.id.desc())
        .limit(1)
    )
    found: str | None = (await uow.connection.execute(query)).scalar_one_or_none()
    return found


async def is_under_way(uow: UnitOfWork, account_id: AccountId, *, purpose: str, subject: str) -> bool:
    """A payment of the account that charges a saved method for exactly this has begun and has not ended."""
    query = exists().where(
        PaymentRow.account_id == account_id,
        PaymentRow.purpose == purpose,
        PaymentRow.subject == subject,
        PaymentRow.method_id.is_not(None),
        PaymentRow.state.in_(LIVE_STATES),
    )
    return bool(await uow.connection.scalar(select(query)))
