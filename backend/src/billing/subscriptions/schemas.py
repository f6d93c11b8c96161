"""What plans and subscriptions look like in JSON."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from billing.kit.money import Money
from billing.payments.records import Contact
from billing.payments.rules import Cancellation
from billing.payments.schemas import MoneyView
from billing.quotas.rules import Metric
from billing.subscriptions.rules import Grant, Interval, Plan
from billing.subscriptions.service import Order, Purchase, PurchaseStatus, Standing, SubscriptionStatus

_TEXT_LENGTH_MAX = 4096
_CONTACT_LENGTH_MAX = 254
_ID_LENGTH_MAX = 64


class PlanView(BaseModel):
    """A plan and what it gives in each paid period; `quotas` names only what it adds to."""

    code: str
    name: str
    price: MoneyView
    interval: Interval
    included_credit: MoneyView
    discount_percent: int
    daily_cap: MoneyView | None
    monthly_cap: MoneyView | None
    quotas: dict[str, int]

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The plan as JSON shows it."""
        terms = plan.terms
        return cls(
            code=terms.code,
            name=terms.name,
            price=MoneyView.of(terms.price),
            interval=terms.interval,
            included_credit=MoneyView.of(terms.included_credit),
            discount_percent=terms.discount_percent,
            daily_cap=_money(terms.daily_cap),
            monthly_cap=_money(terms.monthly_cap),
            quotas={metric.value: terms.quotas.of(metric) for metric in Metric if terms.quotas.of(metric)},
        )


class PlanRecordView(PlanView):
    """A plan as operators see it."""

    id: str
    created_at: datetime
    retired_at: datetime | None

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """The plan as JSON shows it."""
        view = PlanView.of(plan)
        return cls(**dict(view), id=plan.id, created_at=plan.created_at, retired_at=plan.retired_at)


class PlanList(BaseModel):
    """The plans on offer."""

    items: list[PlanView]


class PeriodView(BaseModel):
    """A paid period: from its first moment to the first moment after it."""

    payment_id: str
    plan: PlanView
    starts_at: datetime
    ends_at: datetime

    @classmethod
    def of(cls, grant: Grant) -> Self:
        """The period as JSON shows it."""
        return cls(
            payment_id=grant.payment_id,
            plan=PlanView.of(grant.plan),
            starts_at=grant.span.starts_at,
            ends_at=grant.span.ends_at,
        )


class SubscriptionView(BaseModel):
    """What the account has paid for; `running` is null between and after paid periods."""

    status: SubscriptionStatus
    running: PeriodView | None
    ahead: list[PeriodView]
    paid_until: datetime | None
    will_renew: bool
    method_id: str | None
    canceled_at: datetime | None

    @classmethod
    def of(cls, standing: Standing) -> Self:
        """The standing as JSON shows it."""
        return cls(
            status=standing.status,
            running=None if standing.running is None else PeriodView.of(standing.running),
            ahead=[PeriodView.of(grant) for grant in standing.ahead],
            paid_until=standing.paid_until,
            will_renew=standing.will_renew,
            method_id=standing.method_id,
            canceled_at=standing.canceled_at,
        )


class RenewRequest(BaseModel):
    """How to pay for one more period: with a saved method, or on the provider's page.

    `renews` is the customer's consent that the same method pays for the following periods too. The contact is for the
    receipt, where one is due.
    """

    model_config = ConfigDict(extra="forbid")

    method_id: str | None = Field(default=None, max_length=_ID_LENGTH_MAX)
    renews: StrictBool = False
    return_to: str | None = Field(default=None, max_length=_TEXT_LENGTH_MAX)
    return_url: str | None = Field(default=None, max_length=_TEXT_LENGTH_MAX)
    contact_email: str | None = Field(default=None, max_length=_CONTACT_LENGTH_MAX, repr=False)
    contact_phone: str | None = Field(default=None, max_length=_CONTACT_LENGTH_MAX, repr=False)

    def order(self) -> Order:
        """What the customer wants."""
        return Order(
            method_id=self.method_id,
            renews=self.renews,
            return_to=self.return_to,
            return_url=self.return_url,
            contact=Contact(self.contact_email, self.contact_phone),
        )


class PurchaseRequest(RenewRequest):
    """Which plan to buy, and how to pay for it."""

    plan: str = Field(max_length=_ID_LENGTH_MAX)


class When(StrEnum):
    """When a canceled plan ends."""

    NOW = "now"
    PERIOD_END = "period_end"


class CancelRequest(BaseModel):
    """When the plan shall end; `now` gives up the rest of what is paid."""

    model_config = ConfigDict(extra="forbid")

    when: When


class ResumeRequest(BaseModel):
    """With which saved method the plan shall renew itself; without one, with the one that it had."""

    model_config = ConfigDict(extra="forbid")

    method_id: str | None = Field(default=None, max_length=_ID_LENGTH_MAX)


class PurchaseView(BaseModel):
    """A plan payment; `confirmation_url` is there exactly while it waits to be paid."""

    payment_id: str
    status: PurchaseStatus
    amount: MoneyView
    confirmation_url: str | None
    cancellation: Cancellation | None
    return_to: str | None

    @classmethod
    def of(cls, purchase: Purchase) -> Self:
        """The purchase as JSON shows it."""
        return cls(
            payment_id=purchase.payment_id,
            status=purchase.status,
            amount=MoneyView.of(purchase.amount),
            confirmation_url=purchase.confirmation_url,
            cancellation=purchase.cancellation,
            return_to=purchase.return_to,
        )


def _money(money: Money | None) -> MoneyView | None:
    return None if money is None else MoneyView.of(money)
