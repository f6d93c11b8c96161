"""Which calendar day or month is running, where clocks jump too, and whether one more hold fits under a cap."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import NOON
from billing.wallets.alerts import cap_alerts
from billing.wallets.caps import Cap, CapScope, Counter, Period, placed_in, require_within_caps, running_period
from billing.wallets.errors import CapExceeded, DailyCapExceeded, KeyCapExceeded

DAY = Period(NOON.replace(hour=0), NOON.replace(hour=0) + timedelta(days=1))
# Half hours, jumps at midnight, before and after it, back over it, and one that skipped a whole day.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/Sao_Paulo",
    "America/St_Johns",
    "America/Havana",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Australia/Lord_Howe",
)

moments = st.datetimes(datetime(1995, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
micros = st.integers(0, 10**12)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def counter(cap: str | None, spent: str = "0", reserved: str = "0", scope: CapScope = CapScope.DAY) -> Counter:
    return Counter(scope, "", None if cap is None else rub(cap).micros, DAY, rub(spent).micros, rub(reserved).micros)


class TestPeriods:
    @given(moment=moments, zone=st.sampled_from(ZONES), scope=st.sampled_from(CapScope))
    def test_every_moment_lies_in_its_period_and_no_other(self, moment: datetime, zone: str, scope: CapScope) -> None:
        period = running_period(scope, moment, zone)

        assert period.contains(moment)
        assert running_period(scope, period.ends_at, zone).starts_at == period.ends_at
        assert running_period(scope, period.ends_at - timedelta(microseconds=1), zone) == period
        assert not period.contains(period.ends_at)

    @pytest.mark.parametrize(
        ("zone", "moment", "starts_at", "ends_at"),
        [
            pytest.param("Asia/Tokyo", "2026-03-02T15:00", "2026-03-02T15:00", "2026-03-03T15:00", id="ahead"),
            pytest.param("Europe/Berlin", "2026-03-29T12:00", "2026-03-28T23:00", "2026-03-29T22:00", id="23 hours"),
            pytest.param("Europe/Berlin", "2026-10-25T12:00", "2026-10-24T22:00", "2026-10-25T23:00", id="25 hours"),
            pytest.param("Africa/Cairo", "2023-04-28T12:00", "2023-04-27T22:00", "2023-04-28T21:00", id="no midnight"),
            pytest.param(
                "America/Havana", "2026-11-01T12:00", "2026-11-01T04:00", "2026-11-02T05:00", id="two of them"
            ),
            pytest.param("Pacific/Apia", "2011-12-30T10:00", "2011-12-30T10:00", "2011-12-31T10:00", id="skipped day"),
        ],
    )
    def test_days_are_as_long_as_the_zone_makes_them(
        self, zone: str, moment: str, starts_at: str, ends_at: str
    ) -> None:
        assert running_period(CapScope.DAY, utc(moment), zone) == Period(utc(starts_at), utc(ends_at))

    def test_a_date_that_comes_twice_is_not_begun_again(self) -> None:
        # In 2006 clocks of St. John's went from 00:01 back to 23:01 of the day before.
        first_midnight = utc("2006-10-29T02:30")
        back_in_the_day_before = first_midnight + timedelta(minutes=30)

        period = running_period(CapScope.DAY, back_in_the_day_before, "America/St_Johns")

        assert back_in_the_day_before.astimezone(ZoneInfo("America/St_Johns")).day == 28
        assert period.starts_at == first_midnight

    def test_months_end_with_the_year(self) -> None:
        period = running_period(CapScope.MONTH, utc("2026-12-31T20:59"), "Europe/Moscow")

        assert period == Period(utc("2026-11-30T21:00"), utc("2026-12-31T21:00"))

    def test_a_period_goes_on_to_its_end_and_the_next_begins_there(self) -> None:
        cap = Cap(CapScope.DAY, "", 5, Counter(CapScope.DAY, "", 5, DAY, spent_micros=3))

        assert cap.counter_at(DAY.ends_at - timedelta(microseconds=1), "Asia/Tokyo").spent_micros == 3
        following = cap.counter_at(DAY.ends_at, "Asia/Tokyo")
        assert (following.spent_micros, following.period) == (0, Period(DAY.ends_at, utc("2026-03-03T15:00")))

    def test_who_lags_behind_is_placed_where_the_period_begins(self) -> None:
        assert placed_in([counter("5")], DAY.starts_at - timedelta(seconds=3)) == DAY.starts_at
        assert placed_in([counter("5")], NOON) == NOON
        assert placed_in([], NOON) == NOON


class TestRoom:
    @given(cap=micros, spent=micros, reserved=micros, required=micros)
    def test_exactly_what_fits_passes(self, cap: int, spent: int, reserved: int, required: int) -> None:
        one = Counter(CapScope.DAY, "", cap, DAY, spent, reserved)

        if spent + reserved + required <= cap:
            require_within_caps([one], required, RUB)
        else:
            with pytest.raises(DailyCapExceeded):
                require_within_caps([one], required, RUB)

    def test_without_a_cap_everything_passes(self) -> None:
        require_within_caps([counter(None, "100")], 10**15, RUB)

    def test_the_one_with_the_least_room_answers_with_its_own_figures(self) -> None:
        wide, tight = counter("10", "1", "1"), counter("6", "3", "1", CapScope.KEY)

        with pytest.raises(KeyCapExceeded) as refusal:
            require_within_caps([wide, tight], rub("9").micros, RUB)

        facts = (refusal.value.cap, refusal.value.spent, refusal.value.reserved, refusal.value.required)
        assert facts == (rub("6"), rub("3"), rub("1"), rub("9"))

    def test_a_cap_of_nothing_is_a_cap(self) -> None:
        with pytest.raises(CapExceeded):
            require_within_caps([counter("0")], 1, RUB)


class TestCrossings:
    @given(cap=st.integers(1, 1000), before=st.integers(0, 2000), more=st.integers(0, 2000))
    def test_a_threshold_is_crossed_when_it_was_not_reached_before(self, cap: int, before: int, more: int) -> None:
        one = Counter(CapScope.DAY, "", cap, DAY, spent_micros=before)

        told = {alert.payload["percent"] for alert in cap_alerts(one, one.after(spent=more), RUB)}

        assert told == {percent for percent in (80, 100) if before * 100 < cap * percent <= (before + more) * 100}

    @pytest.mark.parametrize("cap", [None, "0"])
    def test_without_a_cap_and_under_one_of_nothing_there_is_no_threshold(self, cap: str | None) -> None:
        assert cap_alerts(counter(cap), counter(cap, "5"), RUB) == []
