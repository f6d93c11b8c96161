"""Caps on what may be spent in a day or a month: whose, which period, and whether one more hold fits. Pure.

A cap bounds what is spent and what open holds reserve, together, in one period. A hold belongs for ever to the periods
in which it was placed, so whatever it costs later (also when it is charged late) is counted there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from zoneinfo import ZoneInfo

from billing.kit.money import Currency, Money
from billing.wallets.errors import (
    CapExceeded,
    DailyCapExceeded,
    KeyCapExceeded,
    MemberCapExceeded,
    MonthlyCapExceeded,
)


class CapScope(StrEnum):
    """Whose spending a cap bounds, and for how long."""

    DAY = "day"  # the wallet's, in a calendar day
    MONTH = "month"  # the account's in this currency, in a calendar month
    MEMBER = "member"  # one member's, in a calendar month
    KEY = "key"  # one API key's, in a calendar month


CapKey = tuple[CapScope, str]

PlanCaps = Mapping[CapScope, int]
"""What the account's plan lets its wallet spend in a day and in a month, in micros, beside the caps of its owner."""

NO_CAPS: PlanCaps = MappingProxyType({})

_REFUSAL: dict[CapScope, type[CapExceeded]] = {
    CapScope.DAY: DailyCapExceeded,
    CapScope.MONTH: MonthlyCapExceeded,
    CapScope.MEMBER: MemberCapExceeded,
    CapScope.KEY: KeyCapExceeded,
}


@dataclass(frozen=True, slots=True)
class Period:
    """A calendar day or month of some time zone, in UTC, half-open: the boundary belongs to the later one (G19)."""

    starts_at: datetime
    ends_at: datetime

    def contains(self, moment: datetime) -> bool:
        """The moment lies in it."""
        return self.starts_at <= moment < self.ends_at


@dataclass(frozen=True, slots=True)
class Counter:
    """What one cap's period has seen: `spent` in charges, `reserved` by holds that are open. No cap bounds nothing."""

    scope: CapScope
    subject: str  # the member's or key's id; empty where the scope has none
    cap_micros: int | None
    period: Period
    spent_micros: int = 0
    reserved_micros: int = 0

    @property
    def left_micros(self) -> int | None:
        """How much fits under the cap, negative where charges went beyond it; None without a cap."""
        return None if self.cap_micros is None else self.cap_micros - self.spent_micros - self.reserved_micros

    def after(self, *, spent: int = 0, reserved: int = 0) -> Counter:
        """The counter with these signed changes."""
        return replace(self, spent_micros=self.spent_micros + spent, reserved_micros=self.reserved_micros + reserved)


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap that somebody has set, with the newest period in which anybody spent under it, if there is one."""

    scope: CapScope
    subject: str
    cap_micros: int | None
    newest: Counter | None

    @property
    def key(self) -> CapKey:
        """Whose cap it is; a wallet has one of each."""
        return (self.scope, self.subject)

    def counter_at(self, now: datetime, time_zone: str) -> Counter:
        """The counter of the period that is running.

        A period once begun ends when it said, also where the account's time zone changes meanwhile; and a process
        whose clock lags behind counts in the newest period that anybody has begun. So periods never overlap, and
        never go backwards.
        """
        if self.newest is not None and now < self.newest.period.ends_at:
            return self.newest
        not_before = None if self.newest is None else self.newest.period.ends_at
        period = running_period(self.scope, now, time_zone, not_before=not_before)
        return Counter(self.scope, self.subject, self.cap_micros, period)


def running_period(scope: CapScope, now: datetime, time_zone: str, *, not_before: datetime | None = None) -> Period:
    """The calendar day or month in which `now` lies in the zone, cut off before `not_before`.

    Days of 23 and 25 hours are as long as they are. Where clocks are put back over midnight, local dates go forth and
    back; the day then began at the first midnight and ends at the next day's first one.
    """
    zone = ZoneInfo(time_zone)
    first = now.astimezone(zone).date()
    if scope is not CapScope.DAY:
        first = first.replace(day=1)
    following = _next(scope, first)
    while _midnight(following, zone) <= now:
        first, following = following, _next(scope, following)
    starts_at = _midnight(first, zone)
    return Period(starts_at if not_before is None else max(starts_at, not_before), _midnight(following, zone))


def require_within_caps(counters: Iterable[Counter], required_micros: int, currency: Currency) -> None:
    """Lets a hold of so many more micros pass if every cap has room for it: spent + reserved + required ≤ cap.

    Raises:
        CapExceeded: by the leaf of the tightest cap, the one with the least room.
    """
    bound = [(counter.left_micros, counter) for counter in counters if counter.left_micros is not None]
    exceeded = [(left, counter) for left, counter in bound if left < required_micros]
    if not exceeded:
        return
    _, counter = min(exceeded, key=lambda one: one[0])
    assert counter.cap_micros is not None, "what is exceeded is there"
    raise _REFUSAL[counter.scope](
        cap=Money(counter.cap_micros, currency),
        spent=Money(counter.spent_micros, currency),
        reserved=Money(counter.reserved_micros, currency),
        required=Money(required_micros, currency),
        resets_at=counter.period.ends_at,
    )


def tightened(counters: Iterable[Counter], plan_caps: PlanCaps) -> list[Counter]:
    """The counters with the tighter one of their own cap and the plan's; what is spent counts for both alike."""
    return [_tightened(counter, plan_caps.get(counter.scope)) for counter in counters]


def uncounted(caps: Iterable[Cap], plan_caps: PlanCaps) -> set[CapScope]:
    """The scopes of the plan's caps in which nobody counts yet, because the owner never had a cap there."""
    return set(plan_caps) - {cap.scope for cap in caps}


def placed_in(counters: Sequence[Counter], now: datetime) -> datetime:
    """The moment at which a hold counts as placed: now, or the beginning of the newest period that has begun."""
    return max((now, *(counter.period.starts_at for counter in counters)))


def _tightened(counter: Counter, plan_cap: int | None) -> Counter:
    if plan_cap is None:
        return counter
    own = counter.cap_micros
    return replace(counter, cap_micros=plan_cap if own is None else min(own, plan_cap))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of the local day: where midnight is skipped, the moment of the jump; where it is twice, once."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


def _next(scope: CapScope, first: date) -> date:
    if scope is CapScope.DAY:
        return first + timedelta(days=1)
    return (first + timedelta(days=31)).replace(day=1)
