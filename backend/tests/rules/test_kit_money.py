"""Money is exact, knows its currency, and never meets another one."""

from __future__ import annotations

import operator
from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kit.errors import InvalidInput
from billing.kit.money import MICROS_PER_UNIT, Currency, CurrencyMismatchError, Money, minor_digits, parse_currency

RUB, JPY, KWD = Currency("RUB"), Currency("JPY"), Currency("KWD")
LARGEST_MICROS = 10**18

currencies = st.sampled_from([RUB, JPY, KWD, Currency("USD")])
amounts = st.integers(-LARGEST_MICROS, LARGEST_MICROS)


class TestReading:
    @given(micros=amounts, currency=currencies)
    def test_what_is_written_reads_back_as_the_same_amount(self, micros: int, currency: Currency) -> None:
        amount = Money(micros, currency)

        assert Money.from_decimal(amount.to_decimal(), currency) == amount

    @given(micros=amounts, currency=currencies)
    def test_what_is_written_is_the_exact_value(self, micros: int, currency: Currency) -> None:
        assert Decimal(Money(micros, currency).to_decimal()) * MICROS_PER_UNIT == micros

    @pytest.mark.parametrize(
        ("text", "micros"),
        [("0.000001", 1), ("-0.5", -500_000), ("12.500000000", 12_500_000), ("007", 7_000_000), ("-0", 0)],
    )
    def test_a_plain_decimal_is_read_exactly(self, text: str, micros: int) -> None:
        assert Money.from_decimal(text, RUB) == Money(micros, RUB)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            " 1",
            "1 ",
            "1,5",
            "1 000",
            "1e3",
            "+1",
            ".5",
            "5.",
            "NaN",
            "Infinity",
            "0x10",
            "--1",
            "\u0661",
            "1\n",
            "1_000",
        ],
    )
    def test_anything_but_a_plain_decimal_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            Money.from_decimal(text, RUB)

    def test_a_seventh_decimal_is_refused_and_not_rounded(self) -> None:
        with pytest.raises(InvalidInput, match="more than six decimals"):
            Money.from_decimal("0.0000001", RUB)

    @pytest.mark.parametrize("text", ["1000000000000.000001", "-1000000000000.000001", "9999999999999"])
    def test_an_amount_that_no_ledger_column_should_hold_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="larger than any amount"):
            Money.from_decimal(text, RUB)

    def test_the_refused_text_is_repeated_only_in_part(self) -> None:
        with pytest.raises(InvalidInput) as refusal:
            Money.from_decimal("x" * 1000, RUB)

        assert len(refusal.value.sentence) < 100


class TestWriting:
    @pytest.mark.parametrize(
        ("micros", "currency", "text"),
        [
            (12_500_000, RUB, "12.50"),
            (12, RUB, "0.000012"),
            (0, RUB, "0.00"),
            (-1_005_000, RUB, "-1.005"),
            (1_500_000_000, JPY, "1500"),
            (500_000, JPY, "0.5"),
            (1_000_000, KWD, "1.000"),
        ],
    )
    def test_the_string_has_at_least_the_decimals_of_its_coins(
        self, micros: int, currency: Currency, text: str
    ) -> None:
        assert Money(micros, currency).to_decimal() == text

    def test_the_currency_is_written_beside_the_amount(self) -> None:
        assert str(Money(12_500_000, RUB)) == "12.50 RUB"


class TestMinorUnits:
    @pytest.mark.parametrize(("currency", "digits"), [(RUB, 2), (JPY, 0), (KWD, 3)])
    def test_each_currency_has_its_own_number_of_decimals(self, currency: Currency, digits: int) -> None:
        assert minor_digits(currency) == digits

    @pytest.mark.parametrize(
        ("text", "currency", "is_payable"),
        [
            ("1.23", RUB, True),
            ("1.234", RUB, False),
            ("1", JPY, True),
            ("1.5", JPY, False),
            ("1.234", KWD, True),
            ("1.2345", KWD, False),
        ],
    )
    def test_only_whole_coins_can_be_paid(self, text: str, currency: Currency, is_payable: bool) -> None:  # noqa: FBT001 - a column of the table above
        assert Money.from_decimal(text, currency).is_whole_minor_units() is is_payable

    @given(micros=amounts, currency=currencies)
    def test_rounding_up_gives_the_smallest_payable_amount_that_is_not_less(
        self, micros: int, currency: Currency
    ) -> None:
        amount = Money(micros, currency)

        payable = amount.rounded_up_to_minor_unit()

        coin = 10 ** (6 - minor_digits(currency))
        assert payable.is_whole_minor_units()
        assert 0 <= payable.micros - micros < coin

    @given(micros=amounts, currency=currencies)
    def test_rounding_down_gives_the_largest_payable_amount_that_is_not_more(
        self, micros: int, currency: Currency
    ) -> None:
        amount = Money(micros, currency)

        payable = amount.rounded_down_to_minor_unit()

        coin = 10 ** (6 - minor_digits(currency))
        assert payable.is_whole_minor_units()
        assert 0 <= micros - payable.micros < coin


class TestArithmetic:
    @given(one=amounts, other=amounts)
    def test_adding_and_taking_away_cancel_exactly(self, one: int, other: int) -> None:
        amount = Money(one, RUB)

        assert amount + Money(other, RUB) - Money(other, RUB) == amount
        assert amount + -amount == Money.zero(RUB)

    @given(one=amounts, other=amounts)
    def test_amounts_are_ordered_like_their_micros(self, one: int, other: int) -> None:
        left, right = Money(one, RUB), Money(other, RUB)

        assert (left < right, left <= right, left > right, left >= right) == (
            one < other,
            one <= other,
            one > other,
            one >= other,
        )

    @pytest.mark.parametrize(
        "combine", [operator.add, operator.sub, operator.lt, operator.le, operator.gt, operator.ge]
    )
    def test_two_currencies_never_meet(self, combine: Callable[[Money, Money], object]) -> None:
        with pytest.raises(CurrencyMismatchError, match=r"JPY and RUB|RUB and JPY"):
            combine(Money(1, RUB), Money(1, JPY))

    def test_the_same_number_of_another_currency_is_not_equal(self) -> None:
        assert Money(1, RUB) != Money(1, JPY)

    @pytest.mark.parametrize("factor", [0.5, 2, Decimal(2)])
    def test_money_is_not_multiplied_by_anything(self, factor: object) -> None:
        with pytest.raises(TypeError):
            Money(1, RUB) * factor  # type: ignore[operator]  # that it does not type-check is what is shown here


class TestCurrencies:
    @pytest.mark.parametrize("text", ["RUB", "rub", " rub "])
    def test_a_code_is_read_in_any_case(self, text: str) -> None:
        assert parse_currency(text) == RUB

    @pytest.mark.parametrize("text", ["", "XYZ", "RU", "roubles", "₽", "RUB\0"])
    def test_an_unknown_code_is_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="not an ISO 4217"):
            parse_currency(text)
