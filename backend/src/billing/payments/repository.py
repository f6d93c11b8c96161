"""Payments in the database."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.customers.rules import AccountId
from billing.kit.money import Currency, Money
from billing.kit.round_trips import Sending
from billing.kit.statements import DriverStatement, sent
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.models import PaymentRow
from billing.payments.ports import MethodRef, ReceiptOrder
from billing.payments.records import Payment, Wish
from billing.payments.rules import (
    LIVE_STATES,
    Cancellation,
    PaymentId,
    PaymentState,
    ProviderMethodId,
    ProviderPaymentId,
    ReceiptStatus,
)


async def lock_intents(uow: UnitOfWork, account_id: AccountId) -> None:
    """Lets nobody else begin a payment for this account until the transaction ends."""
    await uow.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"payments:{account_id}", 0))))


async def find_live(uow: UnitOfWork, wish: Wish, *, provider: str, shop_id: str, now: datetime) -> Payment | None:
    """The newest payment of the same intent that can still be paid, or is paid and not credited yet."""
    returns_to_client = wish.client_return_url is not None
    method_id = None if wish.method is None else wish.method.method_id
    statement = (
        select(PaymentRow.__table__)
        .where(
            PaymentRow.account_id == wish.account_id,
            PaymentRow.created_at > now - wish.lasts,
            PaymentRow.state.in_(LIVE_STATES),
            PaymentRow.amount_micros == wish.amount.micros,
            PaymentRow.currency == wish.amount.currency,
            PaymentRow.purpose == wish.purpose,
            PaymentRow.subject.is_not_distinct_from(wish.subject),
            PaymentRow.method_id.is_not_distinct_from(method_id),
            PaymentRow.saves_method.is_(wish.saves_method),
            PaymentRow.provider == provider,
            PaymentRow.shop_id == shop_id,
            PaymentRow.is_own_return.is_(not returns_to_client),
        )
        .order_by(PaymentRow.created_at.desc(), PaymentRow.id.desc())
        .limit(1)
    )
    if returns_to_client:
        statement = statement.where(PaymentRow.return_url == wish.client_return_url)
    row = (await uow.connection.execute(statement)).one_or_none()
    return None if row is None else payment_of(row._asdict())


async def insert_payment(uow: UnitOfWork, payment: Payment) -> None:
    """Writes a new payment."""
    receipt = payment.receipt
    await uow.connection.execute(
        insert(PaymentRow).values(
            id=payment.id,
            account_id=payment.account_id,
            purpose=payment.purpose,
            subject=payment.subject,
            amount_micros=payment.amount.micros,
            currency=payment.amount.currency,
            provider=payment.provider,
            shop_id=payment.shop_id,
            is_test=payment.is_test,
            return_url=payment.return_url,
            is_own_return=payment.is_own_return,
            return_to=payment.return_to,
            method_id=payment.method_id,
            provider_method_id=None if payment.method is None else payment.method.id,
            provider_customer=None if payment.method is None else payment.method.customer,
            saves_method=payment.saves_method,
            contact_email=None if receipt is None else receipt.email,
            contact_phone=None if receipt is None else receipt.phone,
            receipt_terms=None if receipt is None else _terms_of(receipt),
            state=payment.state,
            next_check_at=payment.next_check_at,
            created_at=payment.created_at,
            updated_at=payment.created_at,
        )
    )


# A notification passes all of these, and notifications come in bursts.
_FIND = select(PaymentRow.__table__).where(PaymentRow.id == bindparam("payment_id"))
_READ, _LOCK = DriverStatement(_FIND), DriverStatement(_FIND.with_for_update())
_NAMED = DriverStatement(
    select(PaymentRow.id).where(
        PaymentRow.provider == bindparam("provider"),
        PaymentRow.provider_payment_id == bindparam("provider_payment_id"),
    )
)


async def find(uow: UnitOfWork, payment_id: str, *, for_update: bool = False) -> Payment | None:
    """The payment of this id."""
    row = await (_LOCK if for_update else _READ).row(uow, payment_id=payment_id)
    return None if row is None else payment_of(row._asdict())


async def find_by_provider_id(
    uow: UnitOfWork, provider: str, provider_payment_id: ProviderPaymentId
) -> PaymentId | None:
    """Which payment of ours the provider's payment belongs to, as far as we have recorded it."""
    found = await _NAMED.row(uow, provider=provider, provider_payment_id=provider_payment_id)
    return None if found is None else PaymentId(found.id)


async def update_payment(uow: UnitOfWork, payment_id: PaymentId, *, at: datetime, **changes: Any) -> Payment:
    """Changes where a payment stands, by the columns' names; the caller holds its lock."""
    (changed,) = await sent(uow, changing(payment_id, at=at, **changes))
    (row,) = changed.rows
    return payment_of(row._asdict())


def changing(payment_id: PaymentId, *, at: datetime, **changes: Any) -> Sending:
    """What changes where a payment stands, for whoever sends it together with other writes."""
    values = {f"new_{name}": value for name, value in changes.items()}
    return _updating(tuple(sorted(changes))).filled(payment_id=payment_id, at=at, **values)


@cache
def _updating(columns: tuple[str, ...]) -> DriverStatement:
    """What changes these columns: the rules name a dozen combinations, and each is built once."""
    statement = update(PaymentRow).where(PaymentRow.id == bindparam("payment_id"))
    values: dict[str, Any] = {name: bindparam(f"new_{name}") for name in columns}
    return DriverStatement(
        statement.values(updated_at=bindparam("at"), **values).returning(*PaymentRow.__table__.columns)
    )


def payment_of(row: Mapping[str, Any]) -> Payment:
    """The payment that a row of the table (all columns) is."""
    currency = Currency(row["currency"])
    return Payment(
        id=PaymentId(row["id"]),
        account_id=AccountId(row["account_id"]),
        purpose=row["purpose"],
        subject=row["subject"],
        amount=Money(row["amount_micros"], currency),
        provider=row["provider"],
        shop_id=row["shop_id"],
        is_test=row["is_test"],
        return_url=row["return_url"],
        is_own_return=row["is_own_return"],
        return_to=row["return_to"],
        method_id=row["method_id"],
        method=_method_of(row),
        saves_method=row["saves_method"],
        receipt=_receipt_of(row),
        receipt_status=None if row["receipt_status"] is None else ReceiptStatus(row["receipt_status"]),
        state=PaymentState(row["state"]),
        provider_payment_id=None
        if row["provider_payment_id"] is None
        else ProviderPaymentId(row["provider_payment_id"]),
        confirmation_url=row["confirmation_url"],
        cancellation=None if row["cancellation"] is None else Cancellation(row["cancellation"]),
        contradiction=row["contradiction"],
        refunded=Money(row["refunded_micros"], currency),
        disputed_at=row["disputed_at"],
        fee=None if row["fee_micros"] is None else Money(row["fee_micros"], currency),
        created_at=row["created_at"],
        succeeded_at=row["succeeded_at"],
        next_check_at=row["next_check_at"],
        checks=row["checks"],
    )


def _method_of(row: Mapping[str, Any]) -> MethodRef | None:
    if row["provider_method_id"] is None:
        return None
    return MethodRef(ProviderMethodId(row["provider_method_id"]), row["provider_customer"])


def _terms_of(receipt: ReceiptOrder) -> dict[str, object]:
    return {
        "description": receipt.description,
        "vat_code": receipt.vat_code,
        "payment_mode": receipt.payment_mode,
        "payment_subject": receipt.payment_subject,
        "tax_system_code": receipt.tax_system_code,
    }


def _receipt_of(row: Mapping[str, Any]) -> ReceiptOrder | None:
    if row["receipt_terms"] is None:
        return None
    return ReceiptOrder(email=row["contact_email"], phone=row["contact_phone"], **row["receipt_terms"])
