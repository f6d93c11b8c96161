"""Amounts of money as whole millionths of one currency."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import NewType

from babel.numbers import get_currency_precision, is_currency

from billing.kit.errors import InvalidInput

Currency = NewType("Currency", str)

MICROS_PER_UNIT = 1_000_000
_MICRO_DIGITS = 6
_AMOUNT_LIMIT_MICROS = 10**18  # a bigint column holds nine times as much, so sums of two amounts never overflow
_DECIMAL = re.compile(r"-?\d{1,13}(\.\d+)?", re.ASCII)


def parse_currency(code: str) -> Currency:
    """The ISO 4217 code as a currency, upper case.

    Raises:
        InvalidInput: nobody knows such a currency.
    """
    upper = code.strip().upper()
    if not is_currency(upper):
        raise InvalidInput("currency", f"{code[:16]!r} is not an ISO 4217 currency code.")
    return Currency(upper)


def minor_digits(currency: Currency) -> int:
    """How many decimals the currency's smallest coin has (RUB 2, JPY 0, KWD 3; source: CLDR)."""
    return get_currency_precision(currency)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount of one currency, counted in millionths, so that the price of one token fits.

    Arithmetic and comparison across currencies is a bug in the caller and raises `CurrencyMismatchError`.
    """

    micros: int
    currency: Currency

    @classmethod
    def zero(cls, currency: Currency) -> Money:
        """Nothing, in this currency."""
        return cls(0, currency)

    @classmethod
    def from_decimal(cls, text: str, currency: Currency) -> Money:
        """Reads "12.5" exactly; the point is the only separator.

        Raises:
            InvalidInput: not a plain decimal, more than six decimals, or beyond what a ledger column holds.
        """
        if not _DECIMAL.fullmatch(text):
            raise InvalidInput("amount", f"{text[:40]!r} is not a decimal amount such as 12.50.")
        scaled = Decimal(text).scaleb(_MICRO_DIGITS)
        if scaled != scaled.to_integral_value():
            raise InvalidInput("amount", f"{text[:40]!r} has more than six decimals.")
        if abs(scaled) > _AMOUNT_LIMIT_MICROS:
            raise InvalidInput("amount", f"{text[:40]!r} is larger than any amount we can book.")
        return cls(int(scaled), currency)

    def to_decimal(self) -> str:
        """The exact decimal string, with at least the currency's own number of decimals: "12.50", "0.000012"."""
        exact = Decimal(self.micros).scaleb(-_MICRO_DIGITS)
        whole, _, fraction = f"{exact:f}".partition(".")
        fraction = fraction.rstrip("0").ljust(minor_digits(self.currency), "0")
        return f"{whole}.{fraction}" if fraction else whole

    def is_whole_minor_units(self) -> bool:
        """Can be paid: has no more decimals than the currency's smallest coin."""
        return self.micros % self._minor_unit_micros() == 0

    def rounded_up_to_minor_unit(self) -> Money:
        """The smallest payable amount that is not less than this one."""
        step = self._minor_unit_micros()
        return Money(-(-self.micros // step) * step, self.currency)

    def rounded_down_to_minor_unit(self) -> Money:
        """The largest payable amount that is not more than this one."""
        step = self._minor_unit_micros()
        return Money(self.micros // step * step, self.currency)

    def _minor_unit_micros(self) -> int:
        return int(10 ** (_MICRO_DIGITS - minor_digits(self.currency)))

    def __add__(self, other: Money) -> Money:
        self._require_same_currency(other)
        return Money(self.micros + other.micros, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._require_same_currency(other)
        return Money(self.micros - other.micros, self.currency)

    def __neg__(self) -> Money:
        return Money(-self.micros, self.currency)

    def __lt__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.micros < other.micros

    def __le__(self, other: Money) -> bool:
        self._require_same_currency(other)
        return self.micros <= other.micros

    def __gt__(self, other: Money) -> bool:
        return not self <= other

    def __ge__(self, other: Money) -> bool:
        return not self < other

    def __str__(self) -> str:
        return f"{self.to_decimal()} {self.currency}"

    def _require_same_currency(self, other: Money) -> None:
        if self.currency != other.currency:
            raise CurrencyMismatchError(self.currency, other.currency)


class CurrencyMismatchError(TypeError):
    """Two currencies met in one calculation: always a bug in our code, never the client's fault (G18)."""

    def __init__(self, one: Currency, other: Currency) -> None:
        super().__init__(f"{one} and {other} cannot be added or compared")
