"""A price is a pure function of quantities, rates and discount, exact and rounded once."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import new_rate, snapshot
from backend.tests.builders.wallets import RUB, rub
from billing.pricing.errors import DiscountRefused, PriceUnknown, RateRefused
from billing.pricing.rules import (
    DISPLAY_UNITS,
    IMAGE_CLASSES,
    PER,
    UNITS_OF,
    MissingRates,
    Modality,
    RateSnapshot,
    Unit,
    display_price_of,
    highest_price_of,
    image_quantities,
    missing_rates,
    price_of,
    require_meaningful,
)

BIGINT_MAX = 2**63 - 1
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


class TestAPriceOfEveryUnit:
    @pytest.mark.parametrize("unit", list(Unit))
    def test_is_the_published_price_for_as_many_as_it_is_for(self, unit: Unit) -> None:
        rates = snapshot({unit: 7})

        assert price_of({unit: PER[unit]}, rates).micros == 7

    @pytest.mark.parametrize("unit", list(Unit))
    def test_shown_to_people_is_exact(self, unit: Unit) -> None:
        rate = snapshot({unit: 7}).rates[unit]
        _, quantity = DISPLAY_UNITS[unit]

        assert display_price_of(rate) == price_of({unit: quantity}, snapshot({unit: 7}))

    @pytest.mark.parametrize("unit", [unit for unit in Unit if unit is not Unit.REQUEST])
    def test_that_has_no_rate_is_refused_and_never_free(self, unit: Unit) -> None:
        """Incident 18: unknown models were free."""
        rates = snapshot({Unit.REQUEST: 1})

        with pytest.raises(PriceUnknown):
            price_of({unit: 1}, rates)
        assert price_of({unit: 0}, rates).micros == 0

    def test_of_a_request_without_surcharge_is_nothing(self) -> None:
        assert price_of({Unit.REQUEST: 1}, snapshot({Unit.INPUT: 1, Unit.OUTPUT: 1})).micros == 0

    @given(quantities=QUANTITIES, rates=SNAPSHOTS, more=COUNTS, unit=st.sampled_from(Unit))
    def test_grows_with_what_is_used(
        self, quantities: dict[Unit, int], rates: RateSnapshot, more: int, unit: Unit
    ) -> None:
        grown = {**quantities, unit: quantities[unit] + more}

        assert price_of(grown, rates) >= price_of(quantities, rates)

    @given(quantities=QUANTITIES, rates=SNAPSHOTS)
    def test_of_the_whole_is_never_above_that_of_its_parts(
        self, quantities: dict[Unit, int], rates: RateSnapshot
    ) -> None:
        """One rounding for each operation: rounding each pool would charge up to a micro too much for each."""
        parts = sum(price_of({unit: count}, rates).micros for unit, count in quantities.items())

        assert parts - len(Unit) < price_of(quantities, rates).micros <= parts

    @given(prices=st.fixed_dictionaries(dict.fromkeys(Unit, st.integers(min_value=1, max_value=10**9))))
    def test_counts_every_pool_once(self, prices: dict[Unit, int]) -> None:
        rates = snapshot(prices)
        one_of_each = {unit: PER[unit] for unit in Unit}

        assert price_of(one_of_each, rates).micros == sum(prices.values())

    @given(quantities=QUANTITIES, rates=SNAPSHOTS, discount=st.decimals(0, 100, places=3))
    def test_with_any_discount_is_between_nothing_and_the_raw_price(
        self, quantities: dict[Unit, int], rates: RateSnapshot, discount: Decimal
    ) -> None:
        """Incident 17: a discount above 100 % credited the customer."""
        assert 0 <= price_of(quantities, rates, discount).micros <= price_of(quantities, rates).micros


class TestImages:
    @pytest.mark.parametrize(
        ("size", "unit"),
        [
            ((256, 256), Unit.IMAGE_SMALL),
            ((512, 512), Unit.IMAGE_SMALL),
            ((513, 1), Unit.IMAGE_MEDIUM),
            ((1, 1024), Unit.IMAGE_MEDIUM),
            ((1024, 1025), Unit.IMAGE_LARGE),
            ((1536, 1024), Unit.IMAGE_LARGE),
        ],
    )
    def test_are_of_the_class_of_their_longer_side(self, size: tuple[int, int], unit: Unit) -> None:
        rates = snapshot(dict.fromkeys(IMAGE_CLASSES, 5))

        assert dict(image_quantities([size, size], rates)) == {unit: 2}

    def test_are_counted_in_pixels_where_pixels_are_priced_and_never_twice(self) -> None:
        rates = snapshot({Unit.IMAGE_PIXELS: 5, **dict.fromkeys(IMAGE_CLASSES, 5)})

        assert image_quantities([(10, 20), (1, 1)], rates) == {Unit.IMAGE_PIXELS: 201}

    @pytest.mark.parametrize("priced", [(), (Unit.IMAGE_SMALL, Unit.IMAGE_MEDIUM), (Unit.INPUT, Unit.OUTPUT)])
    def test_without_a_price_for_every_size_are_refused(self, priced: tuple[Unit, ...]) -> None:
        with pytest.raises(PriceUnknown):
            image_quantities([(1, 1)], snapshot(dict.fromkeys(priced, 5)))


class TestUnits:
    def test_of_tokens_and_characters_are_all_priced_by_the_million(self) -> None:
        """Incident 19: price per token and per thousand tokens mixed up."""
        assert {PER[unit] for unit in Unit if unit.endswith(("tokens", "characters"))} == {1_000_000}

    def test_belong_to_a_modality_that_can_be_completed_with_them(self) -> None:
        for modality, units in UNITS_OF.items():
            assert snapshot(dict.fromkeys(units, 1)).is_complete_for(modality)
            assert not snapshot({Unit.REQUEST: 1}).is_complete_for(modality)

    @pytest.mark.parametrize(
        ("modality", "enough"),
        [
            (Modality.TEXT, [(Unit.INPUT, Unit.OUTPUT)]),
            (Modality.EMBEDDINGS, [(Unit.EMBEDDING,)]),
            (Modality.IMAGE, [(Unit.IMAGE_PIXELS,), IMAGE_CLASSES]),
            (Modality.SPEECH, [(Unit.SPEECH_CHARACTERS,)]),
            (Modality.TRANSCRIPTION, [(Unit.TRANSCRIPTION_MS,)]),
        ],
    )
    def test_that_are_enough_for_a_modality_cannot_do_without_any(
        self, modality: Modality, enough: list[tuple[Unit, ...]]
    ) -> None:
        for units in enough:
            assert snapshot(dict.fromkeys(units, 1)).is_complete_for(modality)
            for left_out in units:
                fewer = {unit: 1 for unit in units if unit is not left_out}
                assert not snapshot(fewer).is_complete_for(modality)


class TestMissingRates:
    def test_are_the_fewest_that_would_complete_a_modality(self) -> None:
        priced = {
            ("pictures", Modality.IMAGE, Unit.IMAGE_SMALL),
            ("pictures", Modality.TEXT, Unit.INPUT),
            ("whole", Modality.SPEECH, Unit.SPEECH_CHARACTERS),
            ("not-served", Modality.TEXT, Unit.INPUT),
        }

        missing = missing_rates({"whole", "pictures", "bare"}, RUB, priced)

        assert missing == [
            MissingRates("bare", RUB, None, ()),
            MissingRates("pictures", RUB, Modality.IMAGE, (Unit.IMAGE_PIXELS,)),
            MissingRates("pictures", RUB, Modality.TEXT, (Unit.OUTPUT,)),
        ]


class TestARateToBePublished:
    def test_at_a_price_is_fine(self) -> None:
        require_meaningful(new_rate("m", Unit.INPUT, "60"))

    def test_that_is_free_on_purpose_is_fine(self) -> None:
        require_meaningful(new_rate("m", Unit.INPUT, "0", is_free=True))

    @pytest.mark.parametrize(("price", "is_free"), [("0", False), ("-1", False), ("-1", True), ("1", True)])
    def test_that_contradicts_itself_is_refused(self, price: str, is_free: bool) -> None:  # noqa: FBT001 - a table's column
        with pytest.raises(RateRefused):
            require_meaningful(new_rate("m", Unit.INPUT, price, is_free=is_free))

    @pytest.mark.parametrize(("unit", "quantity"), [(Unit.TRANSCRIPTION_MS, 24 * 60 * 60 * 1000), (Unit.INPUT, 10**7)])
    def test_is_small_enough_for_what_it_prices_to_be_booked(self, unit: Unit, quantity: int) -> None:
        dearest = new_rate("m", unit, "100000000")

        require_meaningful(dearest)
        with pytest.raises(RateRefused):
            require_meaningful(new_rate("m", unit, "100000000.000001"))

        cost = price_of({unit: quantity}, snapshot({unit: dearest.price.micros}))
        assert cost.micros < BIGINT_MAX

    @pytest.mark.parametrize("name", ["", "=m", "+m", "-m", "@m", " m", "two words", "m" * 201, "m\n"])
    def test_of_a_model_or_provider_without_a_proper_name_is_refused(self, name: str) -> None:
        rate = new_rate("m", Unit.INPUT, "1")

        for spoilt in (replace(rate, model=name), replace(rate, provider=name)):
            with pytest.raises(RateRefused):
                require_meaningful(spoilt)

    def test_in_a_unit_that_its_modality_does_not_count_is_refused(self) -> None:
        with pytest.raises(RateRefused):
            require_meaningful(replace(new_rate("m", Unit.INPUT, "1"), modality=Modality.IMAGE))


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
