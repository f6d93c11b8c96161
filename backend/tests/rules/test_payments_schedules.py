"""The provider is asked often at first, then seldom, and after a week no more."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.fakes.clock import NOON
from billing.payments.rules import KEY_IS_SAFE_FOR
from billing.payments.schedules import CHECKS_AFTER, after_no_answer, next_check_at

pytestmark = pytest.mark.money

WEEK = timedelta(days=7)


def all_checks(begun_at: datetime) -> list[timedelta]:
    """How long after the beginning each check is, when every one is made on time."""
    moments, now = [], begun_at
    while (moment := next_check_at(begun_at, now=now)) is not None:
        moments.append(moment - begun_at)
        now = moment
    return moments


class TestTheSchedule:
    def test_is_the_one_that_is_promised(self) -> None:
        minutes = [check / timedelta(minutes=1) for check in all_checks(NOON)]

        assert minutes == [1, 5, 30, 120, 720, 1440, 2880, 4320, 5760, 7200, 8640, 10080]

    @pytest.mark.parametrize(
        ("age", "next_age"),
        [
            (timedelta(0), timedelta(minutes=1)),
            (timedelta(seconds=59), timedelta(minutes=1)),
            (timedelta(minutes=1), timedelta(minutes=5)),
            (timedelta(hours=3), timedelta(hours=12)),
            (timedelta(days=6, hours=1), timedelta(days=7)),
        ],
    )
    def test_goes_on_with_the_first_moment_that_is_to_come(self, age: timedelta, next_age: timedelta) -> None:
        assert next_check_at(NOON, now=NOON + age) == NOON + next_age

    @pytest.mark.parametrize("age", [WEEK, WEEK + timedelta(seconds=1), timedelta(days=400)])
    def test_ends_after_a_week(self, age: timedelta) -> None:
        assert next_check_at(NOON, now=NOON + age) is None

    def test_asks_under_the_key_while_it_is_safe_and_has_a_check_soon_after(self) -> None:
        safe = [check for check in CHECKS_AFTER if check < KEY_IS_SAFE_FOR]

        assert len(safe) == 5
        assert next_check_at(NOON, now=NOON + KEY_IS_SAFE_FOR) == NOON + timedelta(days=1)

    @given(age=st.timedeltas(timedelta(0), timedelta(days=8)))
    def test_never_stands_still(self, age: timedelta) -> None:
        moment = next_check_at(NOON, now=NOON + age)

        assert moment is None or NOON + age < moment <= NOON + WEEK


class TestAnOutage:
    @pytest.mark.parametrize(
        ("wish", "waits"),
        [
            (None, timedelta(seconds=30)),
            (1, timedelta(seconds=30)),
            (120, timedelta(minutes=2)),
            (86_400, timedelta(minutes=15)),
        ],
    )
    def test_is_waited_for_as_long_as_the_provider_wishes_within_bounds(
        self, wish: int | None, waits: timedelta
    ) -> None:
        assert after_no_answer(NOON, retry_after_seconds=wish) == NOON + waits
