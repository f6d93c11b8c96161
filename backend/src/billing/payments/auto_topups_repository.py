"""Automatic top-ups in the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.customers.rules import AccountId
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.auto_topups_models import CLAIM, AutoTopupRow
from billing.payments.auto_topups_rules import AutoTopupTerms, OffReason, Pace
from billing.payments.methods_models import PaymentMethodRow
from billing.payments.models import DisputeRow, PaymentRow
from billing.payments.rules import AUTO_TOPUP, LIVE_STATES, DisputeStatus, PaymentId, PaymentState
from billing.wallets.caps import Period
from billing.wallets.rules import WalletId
from billing.wallets.watching import below

CLAIM_NAME = str(CLAIM.name)
"""What the database names when a second one is begun while one is under way."""


@dataclass(frozen=True, slots=True)
class AutoTopup:
    """When one wallet tops itself up, by how much and with what; `off_reason` says why it does not any more.

    `agreement_id` names exactly these terms, to which the owner agreed at `consent_at`.
    """

    account_id: AccountId
    agreement_id: str
    wallet_id: WalletId
    terms: AutoTopupTerms
    method_id: str
    consent_at: datetime
    pace: Pace
    limited_until: datetime | None
    off_reason: OffReason | None


async def find(uow: UnitOfWork, account_id: AccountId, *, for_update: bool = False) -> AutoTopup | None:
    """The account's automatic top-up, on or off."""
    statement = select(AutoTopupRow.__table__).where(AutoTopupRow.account_id == account_id)
    statement = statement.with_for_update() if for_update else statement
    row = (await uow.connection.execute(statement)).mappings().one_or_none()
    return None if row is None else _auto_topup(row)


async def put(uow: UnitOfWork, auto_topup: AutoTopup) -> None:
    """Turns it on with these terms, whether there was one before or not."""
    terms, pace = auto_topup.terms, auto_topup.pace
    new = insert(AutoTopupRow).values(
        account_id=auto_topup.account_id,
        agreement_id=auto_topup.agreement_id,
        wallet_id=auto_topup.wallet_id,
        currency=terms.amount.currency,
        threshold_micros=terms.threshold.micros,
        amount_micros=terms.amount.micros,
        monthly_limit_micros=terms.monthly_limit.micros,
        method_id=auto_topup.method_id,
        consent_at=auto_topup.consent_at,
        declines=pace.declines,
        not_before=pace.not_before,
    )
    amounts = ("threshold_micros", "amount_micros", "monthly_limit_micros")
    changes = {
        name: new.excluded[name]
        for name in ("agreement_id", *amounts, "method_id", "consent_at", "declines", "not_before")
    }
    await uow.connection.execute(
        new.on_conflict_do_update(
            constraint="pk_auto_topups",
            set_={**changes, "limited_until": None, "off_reason": None, "off_at": None},
        ),
    )


async def lease_due(
    uow: UnitOfWork, *, provider: str, shop_id: str, now: datetime, lease: timedelta, limit: int
) -> tuple[AccountId, ...]:
    """Takes those whose wallet is below its threshold and that may begin now, the longest waiting first.

    Nobody else gets them until the lease is over. Passed over are those of which one is under way, those whose method
    belongs to a shop that is not connected, and accounts about whose payments a dispute is open.
    """
    row = AutoTopupRow
    in_flight = exists().where(
        PaymentRow.account_id == row.account_id,
        PaymentRow.currency == row.currency,
        PaymentRow.purpose == AUTO_TOPUP,
        PaymentRow.state.in_(LIVE_STATES),
    )
    is_disputed = exists().where(DisputeRow.account_id == row.account_id, DisputeRow.state == DisputeStatus.OPEN.value)
    watched = (
        select(row.account_id, row.wallet_id, row.threshold_micros, row.not_before)
        .join(PaymentMethodRow, PaymentMethodRow.id == row.method_id)
        .where(
            row.off_reason.is_(None),
            row.not_before <= now,
            func.coalesce(row.limited_until, now) <= now,
            PaymentMethodRow.provider == provider,
            PaymentMethodRow.shop_id == shop_id,
            ~in_flight,
            ~is_disputed,
        )
        .subquery()
    )
    poor = below(watched).order_by(watched.c.not_before, watched.c.account_id).limit(limit).subquery()
    due = (
        select(row.account_id)
        .where(row.account_id.in_(select(poor.c.account_id)), row.not_before <= now, row.off_reason.is_(None))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    leased = await uow.connection.scalars(
        update(row).where(row.account_id == due.c.account_id).values(not_before=now + lease).returning(row.account_id)
    )
    return tuple(AccountId(account_id) for account_id in sorted(leased))


async def is_below(uow: UnitOfWork, account_id: AccountId) -> bool:
    """The account's wallet is below its threshold now."""
    watched = (
        select(AutoTopupRow.account_id, AutoTopupRow.wallet_id, AutoTopupRow.threshold_micros)
        .where(AutoTopupRow.account_id == account_id)
        .subquery()
    )
    return (await uow.connection.execute(below(watched))).first() is not None


async def in_flight(uow: UnitOfWork, account_id: AccountId, currency: Currency) -> PaymentId | None:
    """The automatic top-up that is under way."""
    found = await uow.connection.scalar(
        select(PaymentRow.id).where(
            PaymentRow.account_id == account_id,
            PaymentRow.currency == currency,
            PaymentRow.purpose == AUTO_TOPUP,
            PaymentRow.state.in_(LIVE_STATES),
        )
    )
    return None if found is None else PaymentId(found)


async def charged_in(uow: UnitOfWork, account_id: AccountId, currency: Currency, period: Period) -> Money:
    """What automatic top-ups that were begun in this period have charged or still may charge."""
    charged = await uow.connection.scalar(
        select(func.coalesce(func.sum(PaymentRow.amount_micros), 0)).where(
            PaymentRow.account_id == account_id,
            PaymentRow.currency == currency,
            PaymentRow.purpose == AUTO_TOPUP,
            PaymentRow.created_at >= period.starts_at,
            PaymentRow.created_at < period.ends_at,
            PaymentRow.state != PaymentState.CANCELED,
        )
    )
    return Money(int(charged or 0), currency)


async def set_pace(uow: UnitOfWork, account_id: AccountId, pace: Pace) -> None:
    """Writes when the next one may begin; the caller holds its lock."""
    await uow.connection.execute(
        update(AutoTopupRow)
        .where(AutoTopupRow.account_id == account_id)
        .values(declines=pace.declines, not_before=pace.not_before)
    )


async def set_limited(uow: UnitOfWork, account_id: AccountId, until: datetime) -> None:
    """Notes that the month's limit is used up; the caller holds its lock."""
    await uow.connection.execute(
        update(AutoTopupRow).where(AutoTopupRow.account_id == account_id).values(limited_until=until)
    )


async def turn_off(uow: UnitOfWork, account_id: AccountId, reason: OffReason, *, at: datetime) -> bool:
    """Turns it off; False, and nothing changes, where it was off already or never on."""
    turned = await uow.connection.scalar(
        update(AutoTopupRow)
        .where(AutoTopupRow.account_id == account_id, AutoTopupRow.off_reason.is_(None))
        .values(off_reason=reason.value, off_at=at)
        .returning(AutoTopupRow.account_id)
    )
    return turned is not None


async def turn_off_those_with(uow: UnitOfWork, method_id: str, *, at: datetime) -> None:
    """Turns off what pays with this method, because its owner has removed it."""
    await uow.connection.execute(
        update(AutoTopupRow)
        .where(AutoTopupRow.method_id == method_id, AutoTopupRow.off_reason.is_(None))
        .values(off_reason=OffReason.METHOD_REMOVED.value, off_at=at)
    )


def _auto_topup(row: RowMapping) -> AutoTopup:
    currency = Currency(row["currency"])
    return AutoTopup(
        account_id=AccountId(row["account_id"]),
        agreement_id=row["agreement_id"],
        wallet_id=WalletId(row["wallet_id"]),
        terms=AutoTopupTerms(
            threshold=Money(row["threshold_micros"], currency),
            amount=Money(row["amount_micros"], currency),
            monthly_limit=Money(row["monthly_limit_micros"], currency),
        ),
        method_id=row["method_id"],
        consent_at=row["consent_at"],
        pace=Pace(row["declines"], row["not_before"]),
        limited_until=row["limited_until"],
        off_reason=None if row["off_reason"] is None else OffReason(row["off_reason"]),
    )
