"""What a usage event looks like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel

from billing.kit.pagination import Page
from billing.pricing.rules import Unit
from billing.pricing.schemas import MoneyView
from billing.usage.rules import BillingSource, EstimateReason, UsageEvent


class UsageEventView(BaseModel):
    """One operation's use and charge; `raw_cost` is the price that free use would have had.

    `quantities` has what was used; `rates` the snapshot that it was priced by. `model` is the one whose price applied,
    `model_asked` and `model_used` are the caller's and the provider's names. `member` is the person who called.
    """

    operation_id: str
    occurred_at: datetime
    billing_source: BillingSource
    door: str
    provider: str | None
    model: str
    model_asked: str
    model_used: str
    account_id: str
    member: str | None
    api_key_id: str | None
    quantities: dict[Unit, int]
    raw_cost: MoneyView
    charged: MoneyView
    discount_percent: int
    rates: dict[str, Any]
    is_estimated: bool
    estimate_reason: EstimateReason | None
    latency_ms: int
    correlation_id: str | None

    @classmethod
    def of(cls, event: UsageEvent) -> Self:
        """This event."""
        return cls(
            operation_id=event.operation_id,
            occurred_at=event.occurred_at,
            billing_source=event.billing_source,
            door=event.door,
            provider=event.provider,
            model=event.model_priced,
            model_asked=event.model_asked,
            model_used=event.model_used,
            account_id=event.account_id,
            member=event.person_id,
            api_key_id=event.api_key_id,
            quantities={unit: count for unit, count in event.quantities.items() if count},
            raw_cost=MoneyView.of(event.raw_cost),
            charged=MoneyView.of(event.charged),
            discount_percent=event.discount_percent,
            rates=dict(event.rates),
            is_estimated=event.is_estimated,
            estimate_reason=event.estimate_reason,
            latency_ms=event.latency_ms,
            correlation_id=event.correlation_id,
        )


class UsagePage(BaseModel):
    """Some events, newest first, and where the next ones begin."""

    items: list[UsageEventView]
    next_cursor: str | None

    @classmethod
    def of(cls, page: Page[UsageEvent]) -> Self:
        """This page."""
        return cls(items=[UsageEventView.of(event) for event in page.rows], next_cursor=page.next_cursor)
