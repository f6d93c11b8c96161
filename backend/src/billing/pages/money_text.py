"""The one way in which money is written for people."""

from __future__ import annotations

from decimal import Decimal

from babel import Locale
from babel.numbers import format_currency, get_currency_symbol

from billing.kit.money import Money

_SIGN = "\N{CURRENCY SIGN}"
_NO_BREAK = "\N{NO-BREAK SPACE}"


def money_text(money: Money, locale: str = "en") -> str:
    """The exact amount with its currency: the currency's decimals, and more where a call cost less than a coin.

    Nothing is rounded: what a customer reads is what the ledger holds.
    """
    amount = Decimal(money.micros).scaleb(-6)
    symbol = get_currency_symbol(money.currency, locale)
    pattern = Locale.parse(locale).currency_formats["standard"].pattern
    if symbol[-1].isalpha():
        # CLDR asks for a space between a currency written in letters and the digits; Babel leaves that to us.
        pattern = pattern.replace(f"{_SIGN}#", f"{_SIGN}{_NO_BREAK}#")
    return format_currency(amount, money.currency, format=pattern, locale=locale, decimal_quantization=False)


def change_text(money: Money, locale: str = "en") -> str:
    """An amount that came in or went out, always with its sign; nothing has none."""
    if money.micros == 0:
        return money_text(money, locale)
    sign = "+" if money.micros > 0 else "\N{MINUS SIGN}"
    return sign + money_text(Money(abs(money.micros), money.currency), locale)
