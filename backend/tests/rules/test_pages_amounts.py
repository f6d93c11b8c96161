"""What a typed amount means, and how money is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.kit.money import Currency, Money
from billing.pages.errors import AmountAmbiguous, AmountTooPrecise, AmountUnreadable
from billing.pages.money_text import change_text, money_text
from billing.pages.rules import read_amount

RUB, JPY, KWD, USD = Currency("RUB"), Currency("JPY"), Currency("KWD"), Currency("USD")
NARROW, NO_BREAK, MINUS = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}", "\N{MINUS SIGN}"
READINGS = [
    ("1000", RUB, "1000"),
    ("1000.5", RUB, "1000.5"),
    ("1000,50", RUB, "1000.5"),
    ("1 000,50", RUB, "1000.5"),
    ("1,000.50", RUB, "1000.5"),
    ("1.000,50", RUB, "1000.5"),
    (f"1{NO_BREAK}000{NO_BREAK}000", RUB, "1000000"),
    (f"1{NARROW}000,5", RUB, "1000.5"),
    ("1,000,000", RUB, "1000000"),
    ("1.000.000,25", RUB, "1000000.25"),
    ("  500 ", RUB, "500"),
    ("0,5", RUB, "0.5"),
    ("007", RUB, "7"),
    ("12.345", KWD, "12.345"),
    ("0,500", KWD, "0.5"),
    ("1 000", JPY, "1000"),
]
UNREADABLE = [
    "12abc",
    "",
    " ",
    "-5",
    "+5",
    "1e3",
    "0x10",
    ".5",
    "5.",
    "1,,5",
    "1 00",
    "10 00 000",
    "1,000 000.5",
    "1,000,00",
    "1.000,5.0",
    "1 000 50",
    "₽500",
    "500 RUB",
    "\N{ARABIC-INDIC DIGIT FIVE}00",
    "\N{FULLWIDTH DIGIT FIVE}00",
    "1\u2060000",
    "9" * 14,
    "9" * 40,
]


class TestReadingAnAmount:
    @pytest.mark.parametrize(("typed", "currency", "amount"), READINGS)
    def test_thousands_and_decimals_are_understood_as_people_write_them(
        self, typed: str, currency: Currency, amount: str
    ) -> None:
        assert read_amount(typed, currency) == Money.from_decimal(amount, currency)

    @pytest.mark.parametrize("typed", UNREADABLE)
    def test_what_is_not_one_amount_is_refused(self, typed: str) -> None:
        with pytest.raises(AmountUnreadable):
            read_amount(typed, RUB)

    @pytest.mark.parametrize("typed", ["1,000", "12,345", "999,999"])
    @pytest.mark.parametrize("currency", [RUB, JPY, KWD])
    def test_a_comma_before_three_digits_is_not_guessed_about(self, typed: str, currency: Currency) -> None:
        with pytest.raises(AmountAmbiguous):
            read_amount(typed, currency)

    @pytest.mark.parametrize(
        ("typed", "currency"),
        [("12.345", RUB), ("1.000", RUB), ("1 000,505", RUB), ("0.001", USD), ("10.5", JPY), ("1.2345", KWD)],
    )
    def test_more_decimals_than_the_currency_has_are_refused(self, typed: str, currency: Currency) -> None:
        with pytest.raises(AmountTooPrecise):
            read_amount(typed, currency)

    def test_the_refusal_shows_what_was_typed_but_never_a_whole_novel(self) -> None:
        with pytest.raises(AmountUnreadable) as refusal:
            read_amount("z" * 10_000, RUB)

        assert refusal.value.facts["typed"] == "z" * 40

    @given(micros=st.integers(min_value=0, max_value=10**9), currency=st.sampled_from([RUB, JPY, KWD]))
    def test_every_payable_amount_is_read_back_as_itself(self, micros: int, currency: Currency) -> None:
        amount = Money(micros * 1000, currency).rounded_up_to_minor_unit()

        assert read_amount(amount.to_decimal(), currency) == amount


class TestWritingMoney:
    @pytest.mark.parametrize(
        ("amount", "currency", "text"),
        [
            ("1000", RUB, f"RUB{NO_BREAK}1,000.00"),
            ("12.5", RUB, f"RUB{NO_BREAK}12.50"),
            ("12.5", USD, "$12.50"),
            ("1000", JPY, "¥1,000"),
            ("12.5", KWD, f"KWD{NO_BREAK}12.500"),
            ("0", RUB, f"RUB{NO_BREAK}0.00"),
            ("-3.5", USD, "-$3.50"),
        ],
    )
    def test_the_currency_decides_the_decimals(self, amount: str, currency: Currency, text: str) -> None:
        assert money_text(Money.from_decimal(amount, currency)) == text

    @pytest.mark.parametrize(
        ("micros", "text"), [(12, "0.000012"), (3_412, "0.003412"), (1_260_396_588, "1,260.396588"), (10, "0.00001")]
    )
    def test_less_than_a_coin_is_shown_exactly(self, micros: int, text: str) -> None:
        assert money_text(Money(micros, RUB)) == f"RUB{NO_BREAK}{text}"

    def test_another_language_writes_it_its_own_way(self) -> None:
        written = money_text(Money.from_decimal("1234.5", RUB), "ru")

        assert written == f"1{NO_BREAK}234,50{NO_BREAK}₽"

    @pytest.mark.parametrize(
        ("amount", "text"),
        [("500", f"+RUB{NO_BREAK}500.00"), ("-0.01", f"{MINUS}RUB{NO_BREAK}0.01"), ("0", f"RUB{NO_BREAK}0.00")],
    )
    def test_a_change_carries_its_sign(self, amount: str, text: str) -> None:
        assert change_text(Money.from_decimal(amount, RUB)) == text
