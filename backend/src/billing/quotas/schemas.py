"""What the free quota looks like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel

from billing.quotas.rules import FreeStanding, Metric


class FreeMetricView(BaseModel):
    """One limit and how much of it is left."""

    metric: Metric
    limit: int
    used: int
    reserved: int
    left: int


class FreeLimitsView(BaseModel):
    """What is free, and what of it is left; `resets_at` is null until the first use starts a cycle."""

    is_enabled: bool
    has_free_model: bool
    eligible_models: list[str]
    metrics: list[FreeMetricView]
    resets_at: datetime | None

    @classmethod
    def of(cls, standing: FreeStanding) -> Self:
        """This standing."""
        return cls(
            is_enabled=standing.is_enabled,
            has_free_model=standing.has_free_model,
            eligible_models=list(standing.eligible_models),
            metrics=[
                FreeMetricView(
                    metric=part.metric, limit=part.limit, used=part.used, reserved=part.reserved, left=part.left
                )
                for part in standing.metrics
            ],
            resets_at=standing.resets_at,
        )
