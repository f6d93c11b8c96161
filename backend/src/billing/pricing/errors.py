"""What pricing refuses.

BillingError
├── PriceUnknown        no complete price for this use of a model in this currency: never free
├── RateRefused         a rate that nobody can mean
└── DiscountRefused     a discount outside 0 to 100 per cent
"""

from __future__ import annotations

from decimal import Decimal

from billing.kit.errors import BillingError
from billing.kit.money import Currency


class PriceUnknown(BillingError):
    """What the call needs has no rate in the wallet's currency now; nothing is converted, nothing is free."""

    code = "price_unknown"

    def __init__(self, model: str, currency: Currency, modality: str) -> None:
        super().__init__(
            f"The model {model} has no complete price for {modality} in {currency}, so it cannot be called.",
            facts={"model": model, "currency": currency, "modality": modality},
        )
        self.model = model
        self.modality = modality
        self.currency = currency


class RateRefused(BillingError):
    """A rate contradicts itself: free at a price, or priced at nothing without being called free."""

    code = "rate_refused"

    def __init__(self, model: str, unit: str, reason: str) -> None:
        super().__init__(
            f"The rate of {model} for {unit} cannot be published: {reason}.", facts={"model": model, "unit": unit}
        )
        self.model = model
        self.unit = unit


class DiscountRefused(BillingError):
    """More than 100 per cent would pay the customer, less than 0 would be a surcharge."""

    code = "discount_refused"

    def __init__(self, discount_percent: int | Decimal) -> None:
        super().__init__(
            f"A discount is from 0 to 100 per cent, not {discount_percent}.",
            facts={"discount_percent": str(discount_percent)},
        )
        self.discount_percent = discount_percent
