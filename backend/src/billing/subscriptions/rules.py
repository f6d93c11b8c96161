"""Plans, the periods that payments buy, what a running period gives, and when renewals are tried: decided purely."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from billing.kit.money import Currency, Money
from billing.quotas.rules import LIMIT_MAX, NOTHING, Amounts, Metric
from billing.subscriptions.errors import PaidFarAhead, PlanRefused

PlanId = NewType("PlanId", str)
RenewalId = NewType("RenewalId", str)

RENEWS_BEFORE = timedelta(hours=36)
"""So long before a paid period ends its renewal is first tried: all its retries come before the end."""

RENEWS_AFTER_MAX = timedelta(days=3)
"""So long after a period's end a renewal is still made up for, should no worker have run before."""

RETRY_WAITS = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
"""How long to wait after each declined charge; one more decline and the plan is left to expire."""

ATTEMPTS_IN_SERIES = len(RETRY_WAITS) + 1
"""So often one renewal is tried by itself; whoever resumes the plan afterwards begins another series."""

PAID_AHEAD_MAX = timedelta(days=731)
"""No more is sold while this much is paid already."""

_CODE = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
_NAME_LENGTH_MAX = 100
_PERCENT_MAX = 100
_RENEWS = "renews"


class Interval(StrEnum):
    """How long one paid period is, in calendar months of UTC."""

    MONTH = "month"
    YEAR = "year"

    @property
    def months(self) -> int:
        """The number of months."""
        match self:
            case Interval.MONTH:
                return 1
            case Interval.YEAR:
                return 12


class EndReason(StrEnum):
    """Why a period ended before its time."""

    CANCELED = "canceled"
    """Its owner gave the rest of it up."""
    REFUNDED = "refunded"
    """All that was paid for it was given back."""


class RenewalStatus(StrEnum):
    """Where the automatic payment for one period stands."""

    OPEN = "open"
    PAID = "paid"
    GIVEN_UP = "given_up"
    """Declined too often."""
    SUPERSEDED = "superseded"
    """Canceled, or paid in another way, before it was charged."""


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """What a plan costs and gives in each period. It never changes; a new price is a new plan.

    Caps bound what the wallet may spend while the plan runs, beside the owner's own caps; None bounds nothing.
    `quotas` are added to the free quota, for the models that are free.
    """

    code: str
    name: str
    price: Money
    interval: Interval
    included_credit: Money
    discount_percent: int = 0
    daily_cap: Money | None = None
    monthly_cap: Money | None = None
    quotas: Amounts = NOTHING

    def to_json(self) -> dict[str, object]:
        """The terms as the audit trail keeps them."""
        return {
            "code": self.code,
            "name": self.name,
            "price": self.price.to_decimal(),
            "currency": self.price.currency,
            "interval": self.interval.value,
            "included_credit": self.included_credit.to_decimal(),
            "discount_percent": self.discount_percent,
            "daily_cap": None if self.daily_cap is None else self.daily_cap.to_decimal(),
            "monthly_cap": None if self.monthly_cap is None else self.monthly_cap.to_decimal(),
            "quotas": {metric.value: self.quotas.of(metric) for metric in Metric},
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan; retired ones are not sold to anybody new."""

    id: PlanId
    terms: PlanTerms
    created_at: datetime
    retired_at: datetime | None = None


def require_meaningful(terms: PlanTerms, *, currency: Currency) -> None:
    """Lets a plan through that can be sold.

    Raises:
        PlanRefused: says which field cannot be meant, and why.
    """
    amounts = {
        "price": terms.price,
        "included_credit": terms.included_credit,
        "daily_cap": terms.daily_cap,
        "monthly_cap": terms.monthly_cap,
    }
    if not _CODE.fullmatch(terms.code):
        raise PlanRefused("code", "A plan's code is 1 to 64 lower-case letters, digits and inner hyphens.")
    if not (1 <= len(terms.name) <= _NAME_LENGTH_MAX and terms.name.isprintable()):
        raise PlanRefused("name", "A plan's name is 1 to 100 printable characters.")
    if not 0 <= terms.discount_percent <= _PERCENT_MAX:
        raise PlanRefused("discount_percent", "A discount is from 0 to 100 per cent.")
    for name, amount in amounts.items():
        if amount is not None and amount.currency != currency:
            raise PlanRefused(name, f"Plans are sold in {currency}.")
        if amount is not None and amount.micros < 0:
            raise PlanRefused(name, "An amount is not negative.")
    if terms.price.micros == 0 or not terms.price.is_whole_minor_units():
        raise PlanRefused("price", f"A price is above zero and payable in coins of {currency}.")
    if not all(0 <= terms.quotas.of(metric) <= LIMIT_MAX for metric in Metric):
        raise PlanRefused("quotas", "A quota is 0, which adds nothing, or more, up to a trillion.")


def months_after(anchor: datetime, months: int) -> datetime:
    """The anchor's day and time so many months later; where the month is too short, its last day.

    The day is always counted from the anchor, so that the 31st stays the 31st after a February.
    """
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


@dataclass(frozen=True, slots=True)
class Span:
    """A paid period: half-open, the months from `months_before` on, counted from the anchor of its chain."""

    anchor_at: datetime
    months_before: int
    months: int

    @property
    def starts_at(self) -> datetime:
        """Its first moment."""
        return months_after(self.anchor_at, self.months_before)

    @property
    def ends_at(self) -> datetime:
        """The first moment after it."""
        return months_after(self.anchor_at, self.months_before + self.months)

    def overlaps(self, other: Span) -> bool:
        """Some moment belongs to both."""
        return self.starts_at < other.ends_at and other.starts_at < self.ends_at


@dataclass(frozen=True, slots=True)
class Grant:
    """A period that one payment bought; `ended_at` is there where it ended before its time."""

    payment_id: str
    plan: Plan
    span: Span
    ended_at: datetime | None = None
    end_reason: EndReason | None = None
    credit_given_at: datetime | None = None
    credit_taken_micros: int = 0

    def runs_at(self, now: datetime) -> bool:
        """It gives what its plan says."""
        return self.span.starts_at <= now < self._end

    def is_ahead_at(self, now: datetime) -> bool:
        """It is paid and has not begun."""
        return self.ended_at is None and now < self.span.starts_at

    @property
    def _end(self) -> datetime:
        return self.span.ends_at if self.ended_at is None else min(self.ended_at, self.span.ends_at)


def next_span(grants: Iterable[Grant], interval: Interval, now: datetime) -> Span:
    """The period that a payment buys which arrives now: behind all that is paid already, else from now on.

    A period that runs is never cut, whatever plan the new one is of, so no paid day is lost. A chain of periods keeps
    the day of its first one. A process whose clock lags behind never begins a period before an earlier one's end.
    """
    known = list(grants)
    live = [grant for grant in known if grant.ended_at is None and grant.span.ends_at > now]
    if live:
        last = max(live, key=lambda grant: grant.span.ends_at).span
        return Span(last.anchor_at, last.months_before + last.months, interval.months)
    ended = (min(grant.ended_at, grant.span.ends_at) for grant in known if grant.ended_at is not None)
    return Span(max(now, *ended, now), 0, interval.months)


def paid_until(grants: Iterable[Grant], now: datetime) -> datetime | None:
    """When the last paid period ends; None where nothing runs and nothing is to come."""
    ends = [grant.span.ends_at for grant in grants if grant.runs_at(now) or grant.is_ahead_at(now)]
    return max(ends, default=None)


def last_paid(grants: Iterable[Grant], *, since: datetime) -> Grant | None:
    """The period that ends last of those that were not cut short; None where all of them ended before `since`."""
    whole = [grant for grant in grants if grant.ended_at is None and grant.span.ends_at > since]
    return max(whole, key=lambda grant: grant.span.ends_at, default=None)


def require_room_ahead(grants: Iterable[Grant], now: datetime) -> None:
    """Lets one more purchase pass.

    Raises:
        PaidFarAhead: two years are paid already.
    """
    until = paid_until(grants, now)
    if until is not None and until - now > PAID_AHEAD_MAX:
        raise PaidFarAhead(until)


def retry_wait(attempt: int) -> timedelta | None:
    """How long to wait after this attempt (the first is 1) was declined; None: no more, its series is over."""
    _, nth = place_of(attempt)
    return RETRY_WAITS[nth - 1] if nth <= len(RETRY_WAITS) else None


def place_of(attempt: int) -> tuple[int, int]:
    """Which series of attempts this one belongs to, and which of the series it is; both count from 1.

    Each attempt is the key of one payment, so their numbers only grow: 1 to 4 are the first series, 5 to 8 the second.
    """
    series, nth = divmod(attempt - 1, ATTEMPTS_IN_SERIES)
    return series + 1, nth + 1


def first_of_next_series(attempt: int) -> int:
    """The number of the attempt with which the series after this one's begins."""
    series, _ = place_of(attempt)
    return series * ATTEMPTS_IN_SERIES + 1


@dataclass(frozen=True, slots=True)
class Subject:
    """What a plan payment is for: this plan, and what its buyer agreed to.

    `renews` says that what is paid with shall pay for the following periods too. An automatic payment names its renewal
    and which attempt at it this is, so that it is never taken for a purchase or for another attempt.
    """

    plan_id: PlanId
    renews: bool = False
    renewal_id: RenewalId | None = None
    attempt: int = 0

    def __str__(self) -> str:
        if self.renewal_id is not None:
            return f"{self.plan_id}/{self.renewal_id}/{self.attempt}"
        return f"{self.plan_id}/{_RENEWS}" if self.renews else self.plan_id


def parse_subject(text: str | None) -> Subject | None:
    """The subject as it stands on a payment; None where it is not one."""
    match (text or "").split("/"):
        case [plan_id] if plan_id:
            return Subject(PlanId(plan_id))
        case [plan_id, word] if plan_id and word == _RENEWS:
            return Subject(PlanId(plan_id), renews=True)
        case [plan_id, renewal_id, attempt] if plan_id and renewal_id and attempt.isascii() and attempt.isdigit():
            return Subject(PlanId(plan_id), renewal_id=RenewalId(renewal_id), attempt=int(attempt))
        case _:
            return None
