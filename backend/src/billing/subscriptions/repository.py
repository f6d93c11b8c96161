"""The statements over plans, subscriptions, grants and renewals; each decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert

from billing.customers.rules import AccountId
from billing.kit.money import Currency, Money
from billing.kit.statements import DriverStatement
from billing.kit.unit_of_work import UnitOfWork
from billing.quotas.rules import Amounts, Metric
from billing.subscriptions.models import PlanGrantRow, PlanRenewalRow, PlanRow, PlanSubscriptionRow
from billing.subscriptions.rules import (
    EndReason,
    Grant,
    Interval,
    Plan,
    PlanId,
    PlanTerms,
    RenewalId,
    RenewalStatus,
    Span,
)

_PLANS_MAX = 200
_GRANTS_MAX = 200  # of one account: years of paid periods, newest first
_GRANT_COLUMNS = [column for column in PlanGrantRow.__table__.columns if column.key != "plan_id"]
_PLAN_COLUMNS = [column.label(f"plan_{column.key}") for column in PlanRow.__table__.columns]


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an account wants of its plan. `canceled_at` says that its owner does not want another period."""

    account_id: AccountId
    will_renew: bool = False
    method_id: str | None = None
    canceled_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Renewal:
    """The automatic payment for one period, which begins at `starts_at`."""

    id: RenewalId
    account_id: AccountId
    plan_id: PlanId
    starts_at: datetime
    attempt: int
    status: RenewalStatus
    due_at: datetime | None


async def insert_plan(uow: UnitOfWork, plan: Plan) -> bool:
    """Writes a new plan; False where one of its code is on offer."""
    terms = plan.terms
    written = await uow.connection.scalar(
        insert(PlanRow)
        .values(
            id=plan.id,
            code=terms.code,
            name=terms.name,
            price_micros=terms.price.micros,
            currency=terms.price.currency,
            interval=terms.interval.value,
            included_credit_micros=terms.included_credit.micros,
            discount_percent=terms.discount_percent,
            daily_cap_micros=_micros(terms.daily_cap),
            monthly_cap_micros=_micros(terms.monthly_cap),
            created_at=plan.created_at,
            **{f"{metric}_quota": terms.quotas.of(metric) for metric in Metric},
        )
        .on_conflict_do_nothing()
        .returning(PlanRow.id)
    )
    return written is not None


async def plan_on_offer(uow: UnitOfWork, code: str, *, for_update: bool = False) -> Plan | None:
    """The plan of this code that can be bought."""
    query = select(*_PLAN_COLUMNS).where(PlanRow.code == code, PlanRow.retired_at.is_(None))
    return await _one_plan(uow, query.with_for_update() if for_update else query)


async def plan_with_id(uow: UnitOfWork, plan_id: PlanId) -> Plan | None:
    """The plan of this id, retired or not."""
    return await _one_plan(uow, select(*_PLAN_COLUMNS).where(PlanRow.id == plan_id))


async def plans(uow: UnitOfWork, *, with_retired: bool = False) -> tuple[Plan, ...]:
    """The plans on offer, or all, by code and age, 200 at the most."""
    query = select(*_PLAN_COLUMNS).order_by(PlanRow.code, PlanRow.created_at, PlanRow.id).limit(_PLANS_MAX)
    if not with_retired:
        query = query.where(PlanRow.retired_at.is_(None))
    return tuple(_plan(row) for row in (await uow.connection.execute(query)).mappings())


async def retire_plan(uow: UnitOfWork, plan_id: PlanId, at: datetime) -> None:
    """Takes the plan off the offer."""
    await uow.connection.execute(
        update(PlanRow).where(PlanRow.id == plan_id, PlanRow.retired_at.is_(None)).values(retired_at=at)
    )


async def lock_subscription(uow: UnitOfWork, account_id: AccountId, at: datetime) -> Subscription:
    """The account's row, made at first touch; nobody else writes the account's periods until the transaction ends."""
    await uow.connection.execute(
        insert(PlanSubscriptionRow).values(account_id=account_id, created_at=at).on_conflict_do_nothing()
    )
    query = _subscription_of(account_id).with_for_update()
    return _subscription((await uow.connection.execute(query)).mappings().one())


async def find_subscription(uow: UnitOfWork, account_id: AccountId) -> Subscription:
    """What the account wants; nothing where it never had a plan."""
    row = (await uow.connection.execute(_subscription_of(account_id))).mappings().one_or_none()
    return Subscription(account_id) if row is None else _subscription(row)


async def write_subscription(uow: UnitOfWork, wanted: Subscription) -> None:
    """Writes what the account wants from now on; the caller holds its lock."""
    await uow.connection.execute(
        update(PlanSubscriptionRow)
        .where(PlanSubscriptionRow.account_id == wanted.account_id)
        .values(will_renew=wanted.will_renew, method_id=wanted.method_id, canceled_at=wanted.canceled_at)
    )


async def grants_of(uow: UnitOfWork, account_id: AccountId) -> tuple[Grant, ...]:
    """The account's paid periods, the latest first, 200 at the most."""
    query = (
        _grants()
        .where(PlanGrantRow.account_id == account_id)
        .order_by(PlanGrantRow.starts_at.desc(), PlanGrantRow.payment_id.desc())
        .limit(_GRANTS_MAX)
    )
    return tuple(_grant(row) for row in (await uow.connection.execute(query)).mappings())


async def grant_of_payment(uow: UnitOfWork, payment_id: str) -> Grant | None:
    """What the payment bought."""
    query = _grants().where(PlanGrantRow.payment_id == payment_id)
    row = (await uow.connection.execute(query)).mappings().one_or_none()
    return None if row is None else _grant(row)


async def insert_grant(uow: UnitOfWork, account_id: AccountId, grant: Grant, *, at: datetime) -> None:
    """Writes the period that a payment bought; the caller holds the account's lock and has looked for an earlier one.

    Raises:
        sqlalchemy.exc.IntegrityError: the payment has bought a period, or another begins at the same moment: a bug.
    """
    await uow.connection.execute(
        insert(PlanGrantRow).values(
            payment_id=grant.payment_id,
            account_id=account_id,
            plan_id=grant.plan.id,
            anchor_at=grant.span.anchor_at,
            months_before=grant.span.months_before,
            months=grant.span.months,
            starts_at=grant.span.starts_at,
            ends_at=grant.span.ends_at,
            granted_at=at,
        )
    )


async def end_grant(
    uow: UnitOfWork, payment_id: str, reason: EndReason, at: datetime, *, credit_taken_micros: int
) -> None:
    """Ends a period before its time, with what of its credit went back."""
    await uow.connection.execute(
        update(PlanGrantRow)
        .where(PlanGrantRow.payment_id == payment_id, PlanGrantRow.ended_at.is_(None))
        .values(ended_at=at, end_reason=reason.value, credit_taken_micros=credit_taken_micros)
    )


async def restore_grant(uow: UnitOfWork, payment_id: str) -> None:
    """Lets a period that was ended run again, within its own bounds."""
    await uow.connection.execute(
        update(PlanGrantRow)
        .where(PlanGrantRow.payment_id == payment_id)
        .values(ended_at=None, end_reason=None, credit_taken_micros=0)
    )


async def note_credit_given(uow: UnitOfWork, payment_id: str, at: datetime) -> None:
    """The period's included credit is in the wallet, or its plan includes none."""
    await uow.connection.execute(
        update(PlanGrantRow).where(PlanGrantRow.payment_id == payment_id).values(credit_given_at=at)
    )


async def accounts_with_credit_due(uow: UnitOfWork, now: datetime, *, limit: int) -> list[AccountId]:
    """Accounts with a period that has begun and whose credit is not in the wallet yet, the longest waiting first."""
    query = (
        select(PlanGrantRow.account_id)
        .where(PlanGrantRow.credit_given_at.is_(None), PlanGrantRow.ended_at.is_(None), PlanGrantRow.starts_at <= now)
        .group_by(PlanGrantRow.account_id)
        .order_by(func.min(PlanGrantRow.starts_at), PlanGrantRow.account_id)
        .limit(limit)
    )
    return [AccountId(account_id) for account_id in await uow.connection.scalars(query)]


async def accounts_to_renew(uow: UnitOfWork, *, since: datetime, before: datetime, limit: int) -> list[AccountId]:
    """Accounts whose last paid period ends after `since` and by `before`, and whose renewal nobody has begun; the
    earliest end first.
    """
    last = (
        select(PlanGrantRow.account_id, func.max(PlanGrantRow.ends_at).label("ends_at"))
        .where(PlanGrantRow.ended_at.is_(None), PlanGrantRow.ends_at > since)
        .group_by(PlanGrantRow.account_id)
        .subquery()
    )
    is_claimed = (
        select(PlanRenewalRow.id)
        .where(PlanRenewalRow.account_id == last.c.account_id, PlanRenewalRow.starts_at == last.c.ends_at)
        .exists()
    )
    query = (
        select(last.c.account_id)
        .join(PlanSubscriptionRow, PlanSubscriptionRow.account_id == last.c.account_id)
        .where(PlanSubscriptionRow.will_renew, last.c.ends_at <= before, ~is_claimed)
        .order_by(last.c.ends_at, last.c.account_id)
        .limit(limit)
    )
    return [AccountId(account_id) for account_id in await uow.connection.scalars(query)]


async def insert_renewal(uow: UnitOfWork, renewal: Renewal, *, at: datetime) -> bool:
    """Claims the period for one automatic payment; False where it was claimed before."""
    claimed = await uow.connection.scalar(
        insert(PlanRenewalRow)
        .values(
            id=renewal.id,
            account_id=renewal.account_id,
            plan_id=renewal.plan_id,
            starts_at=renewal.starts_at,
            attempt=renewal.attempt,
            status=renewal.status.value,
            due_at=renewal.due_at,
            created_at=at,
        )
        .on_conflict_do_nothing()
        .returning(PlanRenewalRow.id)
    )
    return claimed is not None


async def lease_due_renewals(uow: UnitOfWork, *, now: datetime, until: datetime, limit: int) -> tuple[Renewal, ...]:
    """The renewals that are due, the longest waiting first; nobody else gets them before `until`."""
    due = (
        select(PlanRenewalRow.id)
        .where(PlanRenewalRow.status == RenewalStatus.OPEN.value, PlanRenewalRow.due_at <= now)
        .order_by(PlanRenewalRow.due_at, PlanRenewalRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    statement = (
        update(PlanRenewalRow)
        .where(PlanRenewalRow.id.in_(select(due.c.id)))
        .values(due_at=until)
        .returning(*PlanRenewalRow.__table__.columns)
    )
    rows = (await uow.connection.execute(statement)).mappings().all()
    return tuple(sorted((_renewal(row) for row in rows), key=lambda renewal: (renewal.starts_at, renewal.id)))


async def supersede_renewals(uow: UnitOfWork, account_id: AccountId) -> None:
    """Ends the account's renewals that nobody needs any more; one that is being paid is granted all the same."""
    await uow.connection.execute(
        update(PlanRenewalRow)
        .where(PlanRenewalRow.account_id == account_id, PlanRenewalRow.status == RenewalStatus.OPEN.value)
        .values(status=RenewalStatus.SUPERSEDED.value, due_at=None)
    )


async def account_of_renewal(uow: UnitOfWork, renewal_id: RenewalId) -> AccountId:
    """Whose renewal it is; the account is locked before its renewal."""
    query = select(PlanRenewalRow.account_id).where(PlanRenewalRow.id == renewal_id)
    return AccountId((await uow.connection.execute(query)).scalar_one())


async def find_renewal(uow: UnitOfWork, renewal_id: RenewalId) -> Renewal | None:
    """The renewal as it stands."""
    return await _one_renewal(uow, select(PlanRenewalRow.__table__).where(PlanRenewalRow.id == renewal_id))


async def lock_renewal(uow: UnitOfWork, renewal_id: RenewalId) -> Renewal | None:
    """The renewal, which nobody else moves until the transaction ends."""
    query = select(PlanRenewalRow.__table__).where(PlanRenewalRow.id == renewal_id)
    return await _one_renewal(uow, query.with_for_update())


async def lock_renewal_at(uow: UnitOfWork, account_id: AccountId, starts_at: datetime) -> Renewal | None:
    """The account's renewal of the period that begins then, which nobody else moves until the transaction ends."""
    query = select(PlanRenewalRow.__table__).where(
        PlanRenewalRow.account_id == account_id, PlanRenewalRow.starts_at == starts_at
    )
    return await _one_renewal(uow, query.with_for_update())


async def write_renewal(
    uow: UnitOfWork, renewal_id: RenewalId, *, status: RenewalStatus, attempt: int, due_at: datetime | None
) -> None:
    """Writes where the renewal stands; the caller holds its lock."""
    await uow.connection.execute(
        update(PlanRenewalRow)
        .where(PlanRenewalRow.id == renewal_id)
        .values(status=status.value, attempt=attempt, due_at=due_at)
    )


# On the gateway's hot path, in one round trip with its other questions. A period that has ended is not found here,
# whatever any tick has done or left undone.
_RUNNING = DriverStatement(
    select(
        PlanRow.discount_percent,
        PlanRow.daily_cap_micros,
        PlanRow.monthly_cap_micros,
        *(getattr(PlanRow, f"{metric}_quota") for metric in Metric),
    )
    .join(PlanGrantRow, PlanGrantRow.plan_id == PlanRow.id)
    .where(
        PlanGrantRow.account_id == bindparam("account_id"),
        PlanGrantRow.starts_at <= bindparam("now"),
        func.coalesce(PlanGrantRow.ended_at, PlanGrantRow.ends_at) > bindparam("at"),
        PlanRow.currency == bindparam("currency"),
    )
    .order_by(PlanGrantRow.starts_at.desc())
    .limit(1)
)


def running(account_id: str, currency: Currency, now: datetime) -> Any:
    """What finds what the running period of the account gives."""
    return _RUNNING.filled(account_id=account_id, currency=currency, now=now, at=now)


async def _one_plan(uow: UnitOfWork, query: Any) -> Plan | None:
    row = (await uow.connection.execute(query)).mappings().one_or_none()
    return None if row is None else _plan(row)


async def _one_renewal(uow: UnitOfWork, query: Any) -> Renewal | None:
    row = (await uow.connection.execute(query)).mappings().one_or_none()
    return None if row is None else _renewal(row)


def _subscription_of(account_id: AccountId) -> Any:
    return select(PlanSubscriptionRow.__table__).where(PlanSubscriptionRow.account_id == account_id)


def _grants() -> Any:
    return select(*_GRANT_COLUMNS, *_PLAN_COLUMNS).join(PlanRow, PlanRow.id == PlanGrantRow.plan_id)


def _subscription(row: RowMapping) -> Subscription:
    return Subscription(AccountId(row["account_id"]), row["will_renew"], row["method_id"], row["canceled_at"])


def _plan(row: RowMapping) -> Plan:
    currency = Currency(row["plan_currency"])
    terms = PlanTerms(
        code=row["plan_code"],
        name=row["plan_name"],
        price=Money(row["plan_price_micros"], currency),
        interval=Interval(row["plan_interval"]),
        included_credit=Money(row["plan_included_credit_micros"], currency),
        discount_percent=row["plan_discount_percent"],
        daily_cap=_money(row["plan_daily_cap_micros"], currency),
        monthly_cap=_money(row["plan_monthly_cap_micros"], currency),
        quotas=Amounts(*(row[f"plan_{metric}_quota"] for metric in Metric)),
    )
    return Plan(PlanId(row["plan_id"]), terms, row["plan_created_at"], row["plan_retired_at"])


def _grant(row: RowMapping) -> Grant:
    return Grant(
        payment_id=row["payment_id"],
        plan=_plan(row),
        span=Span(row["anchor_at"], row["months_before"], row["months"]),
        ended_at=row["ended_at"],
        end_reason=None if row["end_reason"] is None else EndReason(row["end_reason"]),
        credit_given_at=row["credit_given_at"],
        credit_taken_micros=row["credit_taken_micros"],
    )


def _renewal(row: RowMapping) -> Renewal:
    return Renewal(
        id=RenewalId(row["id"]),
        account_id=AccountId(row["account_id"]),
        plan_id=PlanId(row["plan_id"]),
        starts_at=row["starts_at"],
        attempt=row["attempt"],
        status=RenewalStatus(row["status"]),
        due_at=row["due_at"],
    )


def _micros(money: Money | None) -> int | None:
    return None if money is None else money.micros


def _money(micros: int | None, currency: Currency) -> Money | None:
    return None if micros is None else Money(micros, currency)
