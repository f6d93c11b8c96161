"""What a quantity costs: a pure function of measured quantities, a snapshot of rates and a discount (G6)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import NewType

from billing.kit.money import Currency, Money
from billing.pricing.errors import DiscountRefused, RateRefused

RateId = NewType("RateId", str)

_PERCENT_MAX = 100


class Unit(StrEnum):
    """What is counted. The pools are exclusive: a token is in one of them, so it is priced once."""

    INPUT = "input_tokens"
    CACHED_INPUT = "cached_input_tokens"
    OUTPUT = "output_tokens"
    REASONING = "reasoning_tokens"


# How many of a unit a rate's price buys. It belongs to the unit and is never typed in with a price, so that a price
# per thousand cannot be mistaken for one per million.
PER: Mapping[Unit, int] = {
    Unit.INPUT: 1_000_000,
    Unit.CACHED_INPUT: 1_000_000,
    Unit.OUTPUT: 1_000_000,
    Unit.REASONING: 1_000_000,
}

# Without a rate of its own, a special kind of token costs what the plain kind costs.
_PRICED_LIKE = {Unit.CACHED_INPUT: Unit.INPUT, Unit.REASONING: Unit.OUTPUT}
_REQUIRED = (Unit.INPUT, Unit.OUTPUT)

Quantities = Mapping[Unit, int]


@dataclass(frozen=True, slots=True)
class NewRate:
    """A rate to be published: what `PER[unit]` of this unit cost from `effective_from` on.

    An inactive rate withdraws the price of its unit from that moment on.
    """

    model: str
    unit: Unit
    price: Money
    effective_from: datetime
    provider: str
    is_free: bool = False
    is_active: bool = True


@dataclass(frozen=True, slots=True)
class Rate:
    """A published rate; `version` counts the rates of one model, currency and unit from 1."""

    rate_id: RateId
    unit: Unit
    price: Money
    is_free: bool
    provider: str
    version: int
    effective_from: datetime


@dataclass(frozen=True, slots=True)
class RateSnapshot:
    """The rates of one model as they stood at one moment; what is charged by it is never priced again."""

    model: str
    currency: Currency
    rates: Mapping[Unit, Rate]

    @property
    def is_complete(self) -> bool:
        """Has what any chat call needs: a price for input and one for output."""
        return all(unit in self.rates for unit in _REQUIRED)

    @property
    def is_free(self) -> bool:
        """Every unit is free on purpose."""
        return self.is_complete and all(rate.is_free for rate in self.rates.values())

    def rate_of(self, unit: Unit) -> Rate:
        """The rate at which this unit is charged."""
        return self.rates[unit] if unit in self.rates else self.rates[_PRICED_LIKE[unit]]

    def to_json(self) -> dict[str, object]:
        """Everything that is needed to compute the price again, for the usage event."""
        return {
            "model": self.model,
            "currency": self.currency,
            "rates": [
                {
                    "id": rate.rate_id,
                    "unit": rate.unit.value,
                    "price_micros": rate.price.micros,
                    "per": PER[rate.unit],
                    "is_free": rate.is_free,
                    "provider": rate.provider,
                    "version": rate.version,
                    "effective_from": rate.effective_from.isoformat(),
                }
                for rate in self.rates.values()
            ],
        }


def price_of(quantities: Quantities, snapshot: RateSnapshot, discount_percent: int | Decimal = 0) -> Money:
    """The price of the whole operation: exact until the end, then rounded once, up to the next micro.

    Never negative and never above the price without discount.

    Raises:
        DiscountRefused: the discount is not from 0 to 100 per cent.
    """
    if not 0 <= discount_percent <= _PERCENT_MAX:
        raise DiscountRefused(discount_percent)
    exact = sum((_exact(quantity, snapshot.rate_of(unit)) for unit, quantity in quantities.items()), Fraction(0))
    return Money(math.ceil(exact * (_PERCENT_MAX - Fraction(discount_percent)) / _PERCENT_MAX), snapshot.currency)


def highest_price_of(
    snapshot: RateSnapshot, *, input_tokens: int, output_tokens: int, discount_percent: int | Decimal = 0
) -> Money:
    """The most that so many tokens can cost, whichever pools they turn out to belong to."""
    dearest = {
        max(pool, key=lambda unit: snapshot.rate_of(unit).price.micros): quantity
        for pool, quantity in (
            ((Unit.INPUT, Unit.CACHED_INPUT), input_tokens),
            ((Unit.OUTPUT, Unit.REASONING), output_tokens),
        )
    }
    return price_of(dearest, snapshot, discount_percent)


def require_meaningful(rate: NewRate) -> None:
    """A zero that somebody forgot to fill in must not give a model away.

    Raises:
        RateRefused: the price is negative, zero without being called free, or not zero though it is called free.
    """
    if rate.price.micros < 0:
        raise RateRefused(rate.model, rate.unit, "a price is never negative")
    if rate.price.micros == 0 and not rate.is_free:
        raise RateRefused(rate.model, rate.unit, "a price of zero has to say that it is free")
    if rate.price.micros > 0 and rate.is_free:
        raise RateRefused(rate.model, rate.unit, "what is free has no price")


def _exact(quantity: int, rate: Rate) -> Fraction:
    assert quantity >= 0, "nobody uses less than nothing"
    return Fraction(quantity * rate.price.micros, PER[rate.unit])
