"""What top-ups look like in JSON."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from billing.kit.money import Money
from billing.payments.rules import Cancellation, TopupOffer
from billing.payments.service import Topup, TopupStatus

_TEXT_LENGTH_MAX = 4096
_CONTACT_LENGTH_MAX = 254


class MoneyView(BaseModel):
    """An amount as an exact decimal string, and its currency."""

    amount: str
    currency: str

    @classmethod
    def of(cls, money: Money) -> Self:
        """The amount as JSON shows it."""
        return cls(amount=money.to_decimal(), currency=money.currency)


class TopupRequest(BaseModel):
    """How much to top up, and where to come back to: a path inside the application, or an allowed address.

    `saves_method` is the customer's consent to keep what is paid with; a contact is where the receipt goes.
    """

    model_config = ConfigDict(extra="forbid")

    amount: str = Field(max_length=64, examples=["500.00"])
    currency: str = Field(max_length=16, examples=["RUB"])
    return_to: str | None = Field(default=None, max_length=_TEXT_LENGTH_MAX)
    return_url: str | None = Field(default=None, max_length=_TEXT_LENGTH_MAX)
    saves_method: StrictBool = False
    contact_email: str | None = Field(default=None, max_length=_CONTACT_LENGTH_MAX, repr=False)
    contact_phone: str | None = Field(default=None, max_length=_CONTACT_LENGTH_MAX, repr=False)


class TopupView(BaseModel):
    """A top-up; `confirmation_url` is there exactly while it waits to be paid, `cancellation` when it was canceled."""

    payment_id: str
    status: TopupStatus
    amount: MoneyView
    confirmation_url: str | None
    cancellation: Cancellation | None
    return_to: str | None
    refunded: MoneyView

    @classmethod
    def of(cls, topup: Topup) -> Self:
        """The top-up as JSON shows it."""
        return cls(
            payment_id=topup.payment_id,
            status=topup.status,
            amount=MoneyView.of(topup.amount),
            confirmation_url=topup.confirmation_url,
            cancellation=topup.cancellation,
            return_to=topup.return_to,
            refunded=MoneyView.of(topup.refunded),
        )


class TopupOfferView(BaseModel):
    """What can be topped up; unless `is_custom_allowed`, only the presets."""

    currency: str
    presets: list[str]
    is_custom_allowed: bool
    minimum: str
    maximum: str

    @classmethod
    def of(cls, offer: TopupOffer) -> Self:
        """The offer as JSON shows it."""
        return cls(
            currency=offer.currency,
            presets=[preset.to_decimal() for preset in offer.presets],
            is_custom_allowed=offer.is_custom_allowed,
            minimum=offer.minimum.to_decimal(),
            maximum=offer.maximum.to_decimal(),
        )
