"""What money and prices look like in JSON."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel

from billing.kit.money import Money
from billing.pricing.rules import PER, RateSnapshot, Unit


class MoneyView(BaseModel):
    """An exact decimal string and its currency."""

    amount: str
    currency: str

    @classmethod
    def of(cls, money: Money) -> Self:
        """This amount."""
        return cls(amount=money.to_decimal(), currency=money.currency)


class UnitPriceView(BaseModel):
    """What `per` of a unit cost."""

    unit: Unit
    per: int
    price: MoneyView


class ModelPriceView(BaseModel):
    """One model's prices; `is_free` is said, never inferred from a zero."""

    model: str
    is_free: bool
    prices: list[UnitPriceView]

    @classmethod
    def of(cls, snapshot: RateSnapshot) -> Self:
        """These rates."""
        return cls(
            model=snapshot.model,
            is_free=snapshot.is_free,
            prices=[
                UnitPriceView(unit=rate.unit, per=PER[rate.unit], price=MoneyView.of(rate.price))
                for rate in snapshot.rates.values()
            ],
        )
