"""Payments in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.customers.rules import AccountId
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.models import PaymentRow
from billing.payments.rules import LIVE_STATES, Bond, Cancellation, PaymentId, PaymentState, ProviderPaymentId


@dataclass(frozen=True, slots=True)
class Payment:
    """A payment as it stands in our books."""

    id: PaymentId
    account_id: AccountId
    purpose: str
    amount: Money
    provider: str
    shop_id: str
    is_test: bool
    return_url: str
    is_own_return: bool
    return_to: str | None
    state: PaymentState
    provider_payment_id: ProviderPaymentId | None
    confirmation_url: str | None
    cancellation: Cancellation | None
    contradiction: str | None
    created_at: datetime

    def bond(self, provider_payment_id: ProviderPaymentId) -> Bond:
        """What the provider's object must agree with; a payment that the provider has not named yet takes this id."""
        return Bond(
            provider_payment_id=self.provider_payment_id or provider_payment_id,
            shop_id=self.shop_id,
            is_test=self.is_test,
            amount=self.amount,
            payment_id=self.id,
            account_id=self.account_id,
            purpose=self.purpose,
        )


@dataclass(frozen=True, slots=True)
class Intent:
    """What a customer wants to pay for; two equal intents within a day are one."""

    account_id: AccountId
    amount: Money
    purpose: str
    client_return_url: str | None
    provider: str
    shop_id: str


async def lock_intents(uow: UnitOfWork, account_id: AccountId) -> None:
    """Lets the account's requests for payments pass one by one, so that two clicks cannot both find nothing."""
    await uow.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"payments:{account_id}", 0))))


async def find_live(uow: UnitOfWork, intent: Intent, *, since: datetime) -> Payment | None:
    """The newest payment that stands for this intent: it may still be paid, or is paid and not credited yet."""
    returns_to_client = intent.client_return_url is not None
    statement = (
        select(PaymentRow.__table__)
        .where(
            PaymentRow.account_id == intent.account_id,
            PaymentRow.created_at > since,
            PaymentRow.state.in_(LIVE_STATES),
            PaymentRow.amount_micros == intent.amount.micros,
            PaymentRow.currency == intent.amount.currency,
            PaymentRow.purpose == intent.purpose,
            PaymentRow.provider == intent.provider,
            PaymentRow.shop_id == intent.shop_id,
            PaymentRow.is_own_return.is_(not returns_to_client),
        )
        .order_by(PaymentRow.created_at.desc(), PaymentRow.id.desc())
        .limit(1)
    )
    if returns_to_client:
        statement = statement.where(PaymentRow.return_url == intent.client_return_url)
    row = (await uow.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _payment(row)


async def insert_payment(uow: UnitOfWork, payment: Payment) -> None:
    """Writes a new payment."""
    await uow.connection.execute(
        insert(PaymentRow).values(
            id=payment.id,
            account_id=payment.account_id,
            purpose=payment.purpose,
            amount_micros=payment.amount.micros,
            currency=payment.amount.currency,
            provider=payment.provider,
            shop_id=payment.shop_id,
            is_test=payment.is_test,
            return_url=payment.return_url,
            is_own_return=payment.is_own_return,
            return_to=payment.return_to,
            state=payment.state,
            created_at=payment.created_at,
            updated_at=payment.created_at,
        )
    )


async def find(uow: UnitOfWork, payment_id: str, *, for_update: bool = False) -> Payment | None:
    """The payment of this id."""
    statement = select(PaymentRow.__table__).where(PaymentRow.id == payment_id)
    statement = statement.with_for_update() if for_update else statement
    row = (await uow.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _payment(row)


async def find_by_provider_id(
    uow: UnitOfWork, provider: str, provider_payment_id: ProviderPaymentId
) -> PaymentId | None:
    """Which payment of ours the provider's payment belongs to, as far as we have recorded it."""
    statement = select(PaymentRow.id).where(
        PaymentRow.provider == provider, PaymentRow.provider_payment_id == provider_payment_id
    )
    found = (await uow.connection.execute(statement)).scalar_one_or_none()
    return None if found is None else PaymentId(found)


async def update_payment(uow: UnitOfWork, payment_id: PaymentId, *, at: datetime, **changes: Any) -> Payment:
    """Changes where a payment stands; the caller holds its lock."""
    statement = (
        update(PaymentRow)
        .where(PaymentRow.id == payment_id)
        .values(updated_at=at, **changes)
        .returning(*PaymentRow.__table__.columns)
    )
    return _payment((await uow.connection.execute(statement)).mappings().one())


def _payment(row: RowMapping) -> Payment:
    return Payment(
        id=PaymentId(row["id"]),
        account_id=AccountId(row["account_id"]),
        purpose=row["purpose"],
        amount=Money(row["amount_micros"], Currency(row["currency"])),
        provider=row["provider"],
        shop_id=row["shop_id"],
        is_test=row["is_test"],
        return_url=row["return_url"],
        is_own_return=row["is_own_return"],
        return_to=row["return_to"],
        state=PaymentState(row["state"]),
        provider_payment_id=None
        if row["provider_payment_id"] is None
        else ProviderPaymentId(row["provider_payment_id"]),
        confirmation_url=row["confirmation_url"],
        cancellation=None if row["cancellation"] is None else Cancellation(row["cancellation"]),
        contradiction=row["contradiction"],
        created_at=row["created_at"],
    )
