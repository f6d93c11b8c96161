"""What a usage event looks like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel

from billing.kit.pagination import Page
from billing.pricing.rules import Unit
from billing.pricing.schemas import MoneyView
from billing.usage.rules import BillingSource, EstimateReason, UsageEvent


class UsageEventView(BaseModel):
    """One operation's use and charge; `raw_cost` is the price that free use would have had."""

    operation_id: str
    occurred_at: datetime
    billing_source: BillingSource
    model: str
    quantities: dict[Unit, int]
    raw_cost: MoneyView
    charged: MoneyView
    is_estimated: bool
    estimate_reason: EstimateReason | None
    latency_ms: int
    correlation_id: str | None

    @classmethod
    def of(cls, event: UsageEvent) -> Self:
        """This event, without what is nobody's business but ours."""
        return cls(
            operation_id=event.operation_id,
            occurred_at=event.occurred_at,
            billing_source=event.billing_source,
            model=event.model_priced,
            quantities=dict(event.quantities),
            raw_cost=MoneyView.of(event.raw_cost),
            charged=MoneyView.of(event.charged),
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
