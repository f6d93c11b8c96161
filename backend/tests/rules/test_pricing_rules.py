"""A price is a pure function of quantities, rates and discount, exact and rounded once."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import new_rate, snapshot
from backend.tests.builders.wallets import rub
from billing.pricing.errors import DiscountRefused, RateRefused
from billing.pricing.rules import PER, RateSnapshot, Unit, highest_price_of, price_of, require_meaningful

COUNTS = st.integers(min_value=0, max_value=10_000_000)
PRICES = st.integers(min_value=0, max_value=10**12)
QUANTITIES = st.fixed_dictionaries(dict.fromkeys(Unit, COUNTS))
SNAPSHOTS = st.fixed_dictionaries(dict.fromkeys(Unit, PRICES)).map(snapshot)


class TestThePriceOfAnOperation:
    def test_is_the_sum_of_its_pools_at_their_rates(self) -> None:
        rates = snapshot({Unit.INPUT: 60_000_000, Unit.CACHED_INPUT: 15_000_000, Unit.OUTPUT: 240_000_000})

        price = price_of({Unit.INPUT: 400, Unit.CACHED_INPUT: 600, Unit.OUTPUT: 100}, rates)

        assert price == rub("0.057")

    def test_of_one_million_tokens_is_the_published_price(self) -> None:
        rates = snapshot({Unit.INPUT: 60_000_000, Unit.OUTPUT: 240_000_000})

        assert price_of({Unit.INPUT: 1_000_000}, rates) == rub("60")
        assert price_of({Unit.OUTPUT: 1_000_000}, rates) == rub("240")

    def test_is_rounded_up_once_and_not_pool_by_pool(self) -> None:
        rates = snapshot({Unit.INPUT: 400_000, Unit.OUTPUT: 400_000})

        price = price_of({Unit.INPUT: 1, Unit.OUTPUT: 1}, rates)

        assert price.micros == 1

    def test_of_a_pool_without_a_rate_is_that_of_the_plain_pool(self) -> None:
        rates = snapshot({Unit.INPUT: 60_000_000, Unit.OUTPUT: 240_000_000})

        assert price_of({Unit.CACHED_INPUT: 10}, rates) == price_of({Unit.INPUT: 10}, rates)
        assert price_of({Unit.REASONING: 10}, rates) == price_of({Unit.OUTPUT: 10}, rates)

    @pytest.mark.parametrize(("discount", "price"), [(0, "10"), (15, "8.5"), (Decimal("12.5"), "8.75"), (100, "0")])
    def test_is_less_by_the_discount(self, discount: int | Decimal, price: str) -> None:
        rates = snapshot({Unit.INPUT: 10_000_000, Unit.OUTPUT: 1})

        assert price_of({Unit.INPUT: 1_000_000}, rates, discount) == rub(price)

    @pytest.mark.parametrize("discount", [-1, 101, Decimal("100.000001"), Decimal("-0.1")])
    def test_with_a_discount_outside_0_to_100_is_refused(self, discount: int | Decimal) -> None:
        with pytest.raises(DiscountRefused):
            price_of({Unit.INPUT: 1}, snapshot({Unit.INPUT: 1, Unit.OUTPUT: 1}), discount)

    @given(quantities=QUANTITIES, rates=SNAPSHOTS, discount=st.integers(min_value=0, max_value=100))
    def test_is_the_exact_amount_rounded_up_by_less_than_a_micro(
        self, quantities: dict[Unit, int], rates: RateSnapshot, discount: int
    ) -> None:
        exact = sum(
            Fraction(quantity * rates.rate_of(unit).price.micros, PER[unit]) for unit, quantity in quantities.items()
        ) * Fraction(100 - discount, 100)

        price = price_of(quantities, rates, discount).micros

        assert 0 <= price - exact < 1
        assert 0 <= price <= price_of(quantities, rates).micros

    @given(quantities=QUANTITIES, rates=SNAPSHOTS)
    def test_is_never_above_the_highest_price_of_the_same_tokens(
        self, quantities: dict[Unit, int], rates: RateSnapshot
    ) -> None:
        reshuffled = {
            **quantities,
            Unit.INPUT: 0,
            Unit.CACHED_INPUT: quantities[Unit.INPUT] + quantities[Unit.CACHED_INPUT],
            Unit.OUTPUT: quantities[Unit.OUTPUT] + quantities[Unit.REASONING],
            Unit.REASONING: 0,
        }

        assert price_of(quantities, rates) <= highest_price_of(rates, reshuffled) == highest_price_of(rates, quantities)


class TestARateToBePublished:
    def test_at_a_price_is_fine(self) -> None:
        require_meaningful(new_rate("m", Unit.INPUT, "60"))

    def test_that_is_free_on_purpose_is_fine(self) -> None:
        require_meaningful(new_rate("m", Unit.INPUT, "0", is_free=True))

    @pytest.mark.parametrize(("price", "is_free"), [("0", False), ("-1", False), ("-1", True), ("1", True)])
    def test_that_contradicts_itself_is_refused(self, price: str, is_free: bool) -> None:  # noqa: FBT001 - a table's column
        with pytest.raises(RateRefused):
            require_meaningful(new_rate("m", Unit.INPUT, price, is_free=is_free))


class TestASnapshot:
    def test_without_output_or_input_is_not_complete(self) -> None:
        assert not snapshot({Unit.INPUT: 1}).is_complete
        assert not snapshot({Unit.OUTPUT: 1, Unit.REASONING: 1}).is_complete
        assert snapshot({Unit.INPUT: 1, Unit.OUTPUT: 1}).is_complete

    def test_is_free_only_if_all_of_it_is(self) -> None:
        assert snapshot({Unit.INPUT: 0, Unit.OUTPUT: 0}).is_free
        assert not snapshot({Unit.INPUT: 0, Unit.OUTPUT: 1}).is_free

    def test_says_in_json_all_that_a_price_needs(self) -> None:
        described = snapshot({Unit.INPUT: 7, Unit.OUTPUT: 9}, at=datetime(2026, 1, 1, tzinfo=UTC)).to_json()

        assert (described["currency"], described["modality"]) == ("RUB", "text")
        assert described["rates"] == [
            {
                "id": f"rat_{unit.value}",
                "unit": unit.value,
                "price_micros": micros,
                "per": 1_000_000,
                "is_free": False,
                "provider": "tests",
                "version": 1,
                "effective_from": "2026-01-01T00:00:00+00:00",
            }
            for unit, micros in ((Unit.INPUT, 7), (Unit.OUTPUT, 9))
        ]
