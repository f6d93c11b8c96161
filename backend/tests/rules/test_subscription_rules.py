"""Plans and their periods, decided without a database."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.subscriptions import plan, terms
from backend.tests.builders.wallets import RUB, rub
from billing.kit.money import Currency, Money
from billing.quotas.rules import Amounts
from billing.subscriptions.errors import PaidFarAhead, PlanRefused
from billing.subscriptions.rules import (
    RENEWS_BEFORE,
    RETRY_WAITS,
    EndReason,
    Grant,
    Interval,
    PlanId,
    PlanTerms,
    RenewalId,
    Span,
    Subject,
    first_of_next_series,
    last_paid,
    months_after,
    next_span,
    paid_until,
    parse_subject,
    place_of,
    require_meaningful,
    require_room_ahead,
    retry_wait,
)

pytestmark = [pytest.mark.money]

NEW_YEARS_EVE = datetime(2027, 12, 31, 23, 30, tzinfo=UTC)
DAYS = st.floats(min_value=0, max_value=1500)
MOMENTS = DAYS.map(lambda days: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=days))
INTERVALS = st.sampled_from(Interval)


def bought(*spans: Span) -> tuple[Grant, ...]:
    """Periods that were paid for one after the other."""
    return tuple(Grant(f"pay_{number}", plan(), span) for number, span in enumerate(spans))


def on(day: str) -> datetime:
    """Noon of this day, UTC."""
    return datetime.fromisoformat(f"{day}T12:00:00+00:00")


class TestPeriods:
    @pytest.mark.parametrize(
        ("anchor", "months", "end"),
        [
            ("2026-01-31", 1, "2026-02-28"),
            ("2026-01-31", 2, "2026-03-31"),
            ("2026-01-31", 3, "2026-04-30"),
            ("2028-01-31", 1, "2028-02-29"),
            ("2028-02-29", 12, "2029-02-28"),
            ("2028-02-29", 48, "2032-02-29"),
            ("2026-11-30", 3, "2027-02-28"),
            ("2026-12-15", 1, "2027-01-15"),
            ("2026-06-15", 0, "2026-06-15"),
        ],
    )
    def test_a_period_ends_on_the_anchors_day_or_on_the_last_day_of_a_shorter_month(
        self, anchor: str, months: int, end: str
    ) -> None:
        assert months_after(on(anchor), months) == on(end)

    def test_the_time_of_day_stays(self) -> None:
        assert months_after(NEW_YEARS_EVE, 2) == datetime(2028, 2, 29, 23, 30, tzinfo=UTC)

    def test_the_first_period_begins_when_the_money_comes(self) -> None:
        now = on("2026-01-31")

        assert next_span((), Interval.MONTH, now) == Span(now, 0, 1)

    def test_the_31st_is_the_31st_again_after_a_february(self) -> None:
        now = on("2026-01-31")
        first = next_span((), Interval.MONTH, now)
        second = next_span(bought(first), Interval.MONTH, now)
        third = next_span(bought(first, second), Interval.MONTH, now)

        assert [span.ends_at for span in (first, second, third)] == [
            on("2026-02-28"),
            on("2026-03-31"),
            on("2026-04-30"),
        ]
        assert (second.starts_at, third.starts_at) == (first.ends_at, second.ends_at)

    def test_a_year_is_added_behind_a_month(self) -> None:
        month = Span(on("2026-01-31"), 0, 1)

        year = next_span(bought(month), Interval.YEAR, on("2026-02-10"))

        assert (year.starts_at, year.ends_at) == (on("2026-02-28"), on("2027-02-28"))

    def test_at_the_very_end_of_a_period_the_next_one_begins_anew(self) -> None:
        over = Span(on("2026-01-31"), 0, 1)

        assert next_span(bought(over), Interval.MONTH, over.ends_at) == Span(over.ends_at, 0, 1)

    def test_an_instant_before_its_end_a_period_is_continued(self) -> None:
        running = Span(on("2026-01-31"), 0, 1)

        span = next_span(bought(running), Interval.MONTH, running.ends_at - timedelta(microseconds=1))

        assert span == Span(running.anchor_at, 1, 1)

    def test_a_clock_that_lags_behind_begins_no_period_before_an_ended_one(self) -> None:
        ended = replace(
            bought(Span(on("2026-03-01"), 0, 1))[0], ended_at=on("2026-03-10"), end_reason=EndReason.CANCELED
        )

        assert next_span((ended,), Interval.MONTH, on("2026-03-09")).starts_at == on("2026-03-10")

    @given(st.lists(st.tuples(MOMENTS, INTERVALS), min_size=1, max_size=8))
    def test_however_payments_come_no_paid_time_is_lost_or_given_twice(
        self, payments: list[tuple[datetime, Interval]]
    ) -> None:
        grants: list[Grant] = []
        for number, (at, interval) in enumerate(sorted(payments, key=lambda one: one[0])):
            grants.append(Grant(f"pay_{number}", plan(), next_span(grants, interval, at)))

        spans = sorted((grant.span for grant in grants), key=lambda span: span.starts_at)
        assert all(one.ends_at <= other.starts_at for one, other in itertools.pairwise(spans))
        assert sum(span.months for span in spans) == sum(interval.months for _, interval in payments)

    def test_a_period_belongs_to_its_first_moment_and_not_to_its_last(self) -> None:
        (grant,) = bought(Span(on("2026-03-01"), 0, 1))

        assert grant.runs_at(on("2026-03-01"))
        assert not grant.runs_at(on("2026-04-01"))
        assert grant.is_ahead_at(on("2026-03-01") - timedelta(microseconds=1))

    def test_a_period_that_was_ended_runs_no_more(self) -> None:
        (grant,) = bought(Span(on("2026-03-01"), 0, 1))
        ended = replace(grant, ended_at=on("2026-03-10"), end_reason=EndReason.REFUNDED)

        assert ended.runs_at(on("2026-03-09"))
        assert not ended.runs_at(on("2026-03-10"))

    def test_a_period_that_was_ended_before_it_began_never_runs(self) -> None:
        (grant,) = bought(Span(on("2026-03-01"), 0, 1))
        ended = replace(grant, ended_at=on("2026-02-10"), end_reason=EndReason.REFUNDED)

        assert not ended.runs_at(on("2026-03-01"))
        assert not ended.is_ahead_at(on("2026-02-20"))


class TestWhatIsPaid:
    def test_everything_behind_each_other_counts(self) -> None:
        grants = bought(Span(on("2026-03-01"), 0, 1), Span(on("2026-03-01"), 1, 12))

        assert paid_until(grants, on("2026-03-05")) == on("2027-04-01")

    def test_nothing_is_paid_at_the_end(self) -> None:
        assert paid_until(bought(Span(on("2026-03-01"), 0, 1)), on("2026-04-01")) is None

    def test_two_years_ahead_nothing_more_is_sold(self) -> None:
        grants = bought(*(Span(on("2026-03-01"), number * 12, 12) for number in range(3)))

        with pytest.raises(PaidFarAhead):
            require_room_ahead(grants, on("2026-03-01"))
        require_room_ahead(grants[:2], on("2026-03-01"))

    def test_what_was_cut_short_is_not_what_renews(self) -> None:
        first, second = bought(Span(on("2026-03-01"), 0, 1), Span(on("2026-03-01"), 1, 1))
        refunded = replace(second, ended_at=on("2026-03-02"), end_reason=EndReason.REFUNDED)

        assert last_paid((first, refunded), since=on("2026-03-05")) == first


class TestRetries:
    def test_declines_are_tried_again_after_one_six_and_twenty_four_hours_and_no_more(self) -> None:
        waits = [retry_wait(attempt) for attempt in (1, 2, 3, 4)]

        assert waits == [timedelta(hours=1), timedelta(hours=6), timedelta(hours=24), None]

    def test_another_series_waits_like_the_first_and_has_keys_of_its_own(self) -> None:
        begins = [first_of_next_series(attempt) for attempt in (1, 4, 5, 8)]
        waits = [retry_wait(attempt) for attempt in (5, 6, 7, 8)]

        assert begins == [5, 5, 9, 9]
        assert waits == [*RETRY_WAITS, None]
        assert [place_of(attempt) for attempt in (1, 4, 5)] == [(1, 1), (1, 4), (2, 1)]

    def test_all_retries_come_before_the_paid_period_ends(self) -> None:
        assert sum(RETRY_WAITS, timedelta()) < RENEWS_BEFORE


class TestSubjects:
    @pytest.mark.parametrize(
        "subject",
        [
            Subject(PlanId("pln_1")),
            Subject(PlanId("pln_1"), renews=True),
            Subject(PlanId("pln_1"), renewal_id=RenewalId("rnw_1"), attempt=3),
        ],
    )
    def test_a_subject_is_read_as_it_was_written(self, subject: Subject) -> None:
        assert parse_subject(str(subject)) == subject

    @pytest.mark.parametrize(
        "text", [None, "", "/", "/renews", "pln_1/other", "pln_1/rnw_1/", "pln_1/rnw_1/x", "pln_1/rnw_1/²", "a/b/1/2"]
    )
    def test_nothing_else_is_a_subject(self, text: str | None) -> None:
        assert parse_subject(text) is None


class TestTerms:
    def test_an_ordinary_plan_can_be_sold(self) -> None:
        require_meaningful(terms(), currency=RUB)

    @pytest.mark.parametrize(
        ("changed", "field"),
        [
            (replace(terms(), code=""), "code"),
            (replace(terms(), code="Basic"), "code"),
            (replace(terms(), code="-basic"), "code"),
            (replace(terms(), code="a" * 65), "code"),
            (replace(terms(), name=""), "name"),
            (replace(terms(), name="a\nb"), "name"),
            (replace(terms(), discount_percent=101), "discount_percent"),
            (replace(terms(), discount_percent=-1), "discount_percent"),
            (replace(terms(), price=rub("0")), "price"),
            (replace(terms(), price=rub("-1")), "price"),
            (replace(terms(), price=rub("1.001")), "price"),
            (replace(terms(), price=Money.from_decimal("10", Currency("USD"))), "price"),
            (replace(terms(), included_credit=rub("-1")), "included_credit"),
            (replace(terms(), daily_cap=rub("-1")), "daily_cap"),
            (replace(terms(), monthly_cap=Money.from_decimal("10", Currency("USD"))), "monthly_cap"),
            (replace(terms(), quotas=Amounts(images=-1)), "quotas"),
        ],
    )
    def test_a_plan_that_cannot_be_meant_is_refused_by_its_field(self, changed: PlanTerms, field: str) -> None:
        with pytest.raises(PlanRefused) as refusal:
            require_meaningful(changed, currency=RUB)
        assert refusal.value.facts["field"] == field
