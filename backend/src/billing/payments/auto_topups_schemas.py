"""What an automatic top-up looks like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from billing.kit.money import Money, parse_currency
from billing.payments.auto_topups import AutoTopupStanding
from billing.payments.auto_topups_rules import AutoTopupTerms, OffReason
from billing.payments.schemas import MoneyView


class AutoTopupRequest(BaseModel):
    """Terms to agree to: below `threshold`, `amount` is charged, in a calendar month `monthly_limit` at the most."""

    model_config = ConfigDict(extra="forbid")

    threshold: str = Field(max_length=64, examples=["100.00"])
    amount: str = Field(max_length=64, examples=["500.00"])
    monthly_limit: str = Field(max_length=64, examples=["2000.00"])
    currency: str = Field(max_length=16, examples=["RUB"])
    method_id: str = Field(max_length=64)
    consent: StrictBool = Field(description="True: the owner agrees to be charged by these terms.")

    def terms(self) -> AutoTopupTerms:
        """The three amounts.

        Raises:
            InvalidInput: one of them, or the currency, cannot be read.
        """
        currency = parse_currency(self.currency)
        return AutoTopupTerms(
            threshold=Money.from_decimal(self.threshold, currency),
            amount=Money.from_decimal(self.amount, currency),
            monthly_limit=Money.from_decimal(self.monthly_limit, currency),
        )


class AutoTopupView(BaseModel):
    """An automatic top-up; `off_reason` says why it is off, `declines` counts in a row.

    `charged` is what the running calendar month has charged or still may, `in_flight` the payment that is under way.
    """

    is_on: bool
    off_reason: OffReason | None
    threshold: MoneyView
    amount: MoneyView
    monthly_limit: MoneyView
    charged: MoneyView
    resets_at: datetime
    method_id: str
    consent_at: datetime
    declines: int
    not_before: datetime
    in_flight: str | None

    @classmethod
    def of(cls, standing: AutoTopupStanding) -> Self:
        """The automatic top-up as JSON shows it."""
        auto_topup = standing.auto_topup
        terms = auto_topup.terms
        return cls(
            is_on=auto_topup.off_reason is None,
            off_reason=auto_topup.off_reason,
            threshold=MoneyView.of(terms.threshold),
            amount=MoneyView.of(terms.amount),
            monthly_limit=MoneyView.of(terms.monthly_limit),
            charged=MoneyView.of(standing.charged),
            resets_at=standing.resets_at,
            method_id=auto_topup.method_id,
            consent_at=auto_topup.consent_at,
            declines=auto_topup.pace.declines,
            not_before=auto_topup.pace.not_before,
            in_flight=standing.in_flight,
        )
