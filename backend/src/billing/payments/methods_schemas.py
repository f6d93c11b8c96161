"""What saved payment methods look like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel

from billing.payments.methods_repository import PaymentMethod


class PaymentMethodView(BaseModel):
    """A saved way to pay; `consent_at` is when its owner agreed that it is kept."""

    id: str
    provider: str
    title: str
    consent_at: datetime

    @classmethod
    def of(cls, method: PaymentMethod) -> Self:
        """The method as JSON shows it; what the provider calls it stays with us."""
        return cls(id=method.id, provider=method.provider, title=method.title, consent_at=method.consent_at)


class PaymentMethodList(BaseModel):
    """The account's saved ways to pay, newest first."""

    items: list[PaymentMethodView]
