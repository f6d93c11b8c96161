"""When a wallet tops itself up and when it leaves off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.payments import OFFER
from backend.tests.builders.wallets import rub
from billing.kit.errors import InvalidInput
from billing.kit.money import Currency, Money
from billing.payments.auto_topups_rules import (
    AutoTopupTerms,
    Pace,
    check_terms,
    has_room,
    pace_after_begin,
    pace_after_end,
    pace_after_success,
    pace_when_set,
)
from billing.payments.errors import TopupAmountNotOffered, TopupCurrencyNotOffered
from billing.payments.rules import Cancellation

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
COOL_OFF = timedelta(minutes=10)
FRESH = Pace(0, NOON)


def terms(threshold: str = "100", amount: str = "500", limit: str = "2000") -> AutoTopupTerms:
    return AutoTopupTerms(rub(threshold), rub(amount), rub(limit))


class TestTerms:
    def test_that_can_be_kept_pass(self) -> None:
        check_terms(terms(limit="500"), OFFER)

    @pytest.mark.parametrize(
        ("wanted", "field"),
        [
            (terms(amount="700"), "amount"),
            (terms(threshold="0"), "threshold"),
            (terms(threshold="-1"), "threshold"),
            (terms(threshold="10000.01"), "threshold"),
            (terms(limit="499.99"), "monthly_limit"),
        ],
    )
    def test_that_cannot_be_kept_are_refused_by_their_field(self, wanted: AutoTopupTerms, field: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            check_terms(wanted, OFFER)

        assert refused.value.field == field

    def test_of_amounts_beyond_the_offer_are_refused_as_top_ups_are(self) -> None:
        dollars = Money.from_decimal("500", Currency("USD"))

        with pytest.raises(TopupAmountNotOffered):
            check_terms(terms(amount="99"), OFFER)
        with pytest.raises(TopupCurrencyNotOffered):
            check_terms(AutoTopupTerms(dollars, dollars, dollars), OFFER)

    def test_leave_room_up_to_the_limit_and_not_beyond(self) -> None:
        assert has_room(terms(limit="1000"), charged=rub("500"))
        assert not has_room(terms(limit="1000"), charged=rub("500.01"))


class TestPace:
    def test_declines_wait_one_six_and_twenty_four_hours_and_then_leave_off(self) -> None:
        pace, waits = FRESH, []
        for _ in range(3):
            pace = pace_after_end(pace, Cancellation.DECLINED, now=NOON)
            waits.append((pace.not_before - NOON, pace.has_had_enough))

        assert waits == [
            (timedelta(hours=1), False),
            (timedelta(hours=6), False),
            (timedelta(hours=24), True),
        ]

    @pytest.mark.parametrize("cancellation", [Cancellation.REJECTED, Cancellation.EXPIRED])
    def test_other_ends_without_money_count_as_declines(self, cancellation: Cancellation) -> None:
        assert pace_after_end(FRESH, cancellation, now=NOON) == Pace(1, NOON + timedelta(hours=1))

    @pytest.mark.parametrize("cancellation", [Cancellation.WITHDRAWN, Cancellation.NEVER_BEGUN, None])
    def test_what_was_called_off_does_not(self, cancellation: Cancellation | None) -> None:
        assert pace_after_end(FRESH, cancellation, now=NOON) == FRESH

    def test_a_success_forgets_declines_and_cools_off(self) -> None:
        assert pace_after_success(Pace(2, NOON), now=NOON, cool_off=COOL_OFF) == Pace(0, NOON + COOL_OFF)

    def test_beginning_cools_off_and_never_shortens_a_wait(self) -> None:
        waiting = Pace(1, NOON + timedelta(hours=1))

        assert pace_after_begin(FRESH, now=NOON, cool_off=COOL_OFF) == Pace(0, NOON + COOL_OFF)
        assert pace_after_begin(waiting, now=NOON, cool_off=COOL_OFF) == waiting


class TestSettingAgain:
    def test_with_the_same_method_keeps_the_wait_and_gives_three_new_tries(self) -> None:
        tired = Pace(3, NOON + timedelta(hours=24))

        assert pace_when_set(tired, is_same_method=True, now=NOON) == Pace(0, tired.not_before)
        assert pace_when_set(Pace(1, NOON), is_same_method=True, now=NOON) == Pace(1, NOON)

    def test_with_another_method_begins_at_once(self) -> None:
        tired = Pace(3, NOON + timedelta(hours=24))

        assert pace_when_set(tired, is_same_method=False, now=NOON) == Pace(0, NOON)

    def test_with_another_method_still_cools_off_after_a_success(self) -> None:
        cooling = Pace(0, NOON + COOL_OFF)

        assert pace_when_set(cooling, is_same_method=False, now=NOON) == cooling
