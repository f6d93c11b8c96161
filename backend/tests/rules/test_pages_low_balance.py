"""When the low-balance notice appears, and what it may promise."""

from __future__ import annotations

from itertools import product

import pytest

from billing.kit.money import Currency, Money
from billing.pages.rules import Advice, FreeUsage, is_low, low_balance_advice, read_missing, recommended_preset

pytestmark = pytest.mark.trust

RUB = Currency("RUB")


def rub(amount: str) -> Money:
    """So many roubles."""
    return Money.from_decimal(amount, RUB)


THRESHOLD = rub("100")
ALL_FREE = FreeUsage(is_enabled=True, has_something_left=True, has_free_model=True)
SWITCHES = list(product([True, False], repeat=3))


class TestTheLowBalance:
    @pytest.mark.parametrize(
        ("available", "expected"), [("99.999999", True), ("100", False), ("100.000001", False), ("0", True)]
    )
    def test_begins_strictly_below_the_threshold(self, available: str, *, expected: bool) -> None:
        assert is_low(rub(available), THRESHOLD) is expected

    def test_a_threshold_of_nothing_is_never_reached(self) -> None:
        assert not is_low(rub("0"), rub("0"))


class TestTheAdvice:
    @pytest.mark.parametrize(("is_enabled", "has_something_left", "has_free_model"), SWITCHES)
    def test_free_use_is_promised_only_where_all_three_hold(
        self, *, is_enabled: bool, has_something_left: bool, has_free_model: bool
    ) -> None:
        free = FreeUsage(is_enabled=is_enabled, has_something_left=has_something_left, has_free_model=has_free_model)

        advice = low_balance_advice(available=rub("3"), threshold=THRESHOLD, missing=None, free_usage=free)

        is_available = is_enabled and has_something_left and has_free_model
        assert advice is (Advice.USE_FREE if is_available else Advice.TOP_UP)

    def test_nothing_is_promised_while_the_quota_store_is_silent(self) -> None:
        advice = low_balance_advice(available=rub("3"), threshold=THRESHOLD, missing=None, free_usage=None)

        assert advice is Advice.TOP_UP

    def test_enough_money_needs_no_advice(self) -> None:
        advice = low_balance_advice(available=rub("100"), threshold=THRESHOLD, missing=None, free_usage=ALL_FREE)

        assert advice is Advice.NONE

    @pytest.mark.parametrize(("free", "expected"), [(ALL_FREE, Advice.USE_FREE), (None, Advice.TOP_UP)])
    def test_a_blocked_call_is_explained_at_any_balance(self, free: FreeUsage | None, expected: Advice) -> None:
        advice = low_balance_advice(available=rub("5000"), threshold=THRESHOLD, missing=rub("0.01"), free_usage=free)

        assert advice is expected


class TestTheMissingAmount:
    @pytest.mark.parametrize("text", ["12.34", "0.000001"])
    def test_a_plain_positive_decimal_is_taken_as_said(self, text: str) -> None:
        assert read_missing(text, RUB) == rub(text)

    @pytest.mark.parametrize("text", [None, "", "0", "-5", "1,5", "12abc", "<script>", "1e9", "9" * 30])
    def test_anything_else_counts_as_not_said(self, text: str | None) -> None:
        assert read_missing(text, RUB) is None


class TestTheRecommendedAmount:
    PRESETS = (rub("1000"), rub("100"), rub("500"))

    @pytest.mark.parametrize(
        ("missing", "expected"), [("1", "100"), ("100", "100"), ("100.01", "500"), ("501", "1000")]
    )
    def test_is_the_smallest_preset_that_is_enough(self, missing: str, expected: str) -> None:
        assert recommended_preset(self.PRESETS, rub(missing)) == rub(expected)

    def test_nothing_is_recommended_without_a_need(self) -> None:
        assert recommended_preset(self.PRESETS, None) is None

    def test_nothing_is_recommended_where_no_preset_is_enough(self) -> None:
        assert recommended_preset(self.PRESETS, rub("1000.01")) is None
