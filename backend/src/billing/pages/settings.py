"""The settings of the customers' pages."""

from __future__ import annotations

from pydantic import Field

from billing.kit.errors import InvalidInput, SettingsError
from billing.kit.money import Currency, Money
from billing.kit.settings import SettingsGroup


class PagesSettings(SettingsGroup):
    """When a balance counts as low."""

    low_balance_threshold: str = Field(
        alias="BILLING_LOW_BALANCE_THRESHOLD",
        default="100",
        description="Below this amount, in BILLING_CURRENCY, pages say that the balance is low; 0 never does.",
    )

    def threshold(self, currency: Currency) -> Money:
        """The threshold as money.

        Raises:
            SettingsError: it is not an amount, or negative.
        """
        try:
            threshold = Money.from_decimal(self.low_balance_threshold, currency)
        except InvalidInput as error:
            raise SettingsError((f"BILLING_LOW_BALANCE_THRESHOLD: {error.sentence}",)) from None
        if threshold.micros < 0:
            raise SettingsError(("BILLING_LOW_BALANCE_THRESHOLD must not be negative.",))
        return threshold
