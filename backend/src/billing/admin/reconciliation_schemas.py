"""What differences, and what nothing finishes any more, look like to operators in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from billing.payments.comparison import RecordedDifference, StuckObject
from billing.payments.records import Payment
from billing.pricing.schemas import MoneyView


class DecisionRequest(BaseModel):
    """Why a difference is ended."""

    model_config = ConfigDict(extra="forbid")

    reason: str


class AdoptionRequest(DecisionRequest):
    """The same for adopting; `subject` says what exactly a plan's payment paid for."""

    subject: str | None = Field(default=None, max_length=200)


class DifferenceView(BaseModel):
    """One way in which the provider's books and ours differ; `resolution` is there once somebody has decided."""

    difference_id: str
    kind: str
    provider: str
    shop_id: str
    object_id: str
    payment_id: str | None
    ours: dict[str, str | None]
    theirs: dict[str, str | None]
    found_at: datetime
    last_seen_at: datetime
    resolution: str | None
    resolved_at: datetime | None

    @classmethod
    def of(cls, found: RecordedDifference) -> Self:
        """The difference as JSON shows it."""
        difference = found.difference
        return cls(
            difference_id=found.id,
            kind=difference.kind.value,
            provider=found.shop.provider,
            shop_id=found.shop.shop_id,
            object_id=difference.object_id,
            payment_id=difference.payment_id,
            ours=dict(difference.ours),
            theirs=dict(difference.theirs),
            found_at=found.found_at,
            last_seen_at=found.last_seen_at,
            resolution=None if found.resolution is None else found.resolution.value,
            resolved_at=found.resolved_at,
        )


class DifferenceList(BaseModel):
    """Differences, newest first."""

    items: list[DifferenceView]


class DecisionView(BaseModel):
    """What became of a difference."""

    difference_id: str
    resolution: str


class AdoptionView(DecisionView):
    """The payment that it became."""

    payment_id: str
    account_id: str
    state: str
    amount: MoneyView

    @classmethod
    def of(cls, difference_id: str, payment: Payment, resolution: str) -> Self:
        """The adopted payment as JSON shows it."""
        return cls(
            difference_id=difference_id,
            resolution=resolution,
            payment_id=payment.id,
            account_id=payment.account_id,
            state=payment.state.value,
            amount=MoneyView.of(payment.amount),
        )


class StuckView(BaseModel):
    """A payment or refund that needs a person; `contradiction` names what its provider denies, if it does."""

    id: str
    account_id: str
    state: str
    amount: MoneyView
    created_at: datetime
    contradiction: str | None

    @classmethod
    def of(cls, stuck: StuckObject) -> Self:
        """It as JSON shows it."""
        return cls(
            id=stuck.id,
            account_id=stuck.account_id,
            state=stuck.state,
            amount=MoneyView.of(stuck.amount),
            created_at=stuck.created_at,
            contradiction=stuck.contradiction,
        )


class StuckList(BaseModel):
    """What needs a person, oldest first."""

    items: list[StuckView]
