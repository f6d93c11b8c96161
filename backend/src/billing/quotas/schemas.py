"""What the free quota looks like in JSON."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from billing.quotas.rules import (
    ELIGIBLE_MODELS_MAX,
    LIMIT_MAX,
    NOTHING,
    Amounts,
    BurnOrder,
    FreeStanding,
    FreeTerms,
    Metric,
    StartsReport,
)

_VERSION_MAX = 2**31 - 2


class FreeMetricView(BaseModel):
    """One limit and how much of it is left."""

    metric: Metric
    limit: int
    used: int
    reserved: int
    left: int


class FreeLimitsView(BaseModel):
    """What is free, and what of it is left; `resets_at` is null until the first use starts a cycle.

    A metric that is missing has no free quota. Without a verified e-mail there is no free model.
    """

    is_enabled: bool
    is_verified: bool
    burn_order: BurnOrder
    has_free_model: bool
    eligible_models: list[str]
    metrics: list[FreeMetricView]
    resets_at: datetime | None

    @classmethod
    def of(cls, standing: FreeStanding) -> Self:
        """This standing."""
        return cls(
            is_enabled=standing.is_enabled,
            is_verified=standing.is_verified,
            burn_order=standing.burn_order,
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


class BurnOrderView(BaseModel):
    """What an account spends first."""

    model_config = ConfigDict(extra="forbid")

    burn_order: BurnOrder


class FreeAmountsView(BaseModel):
    """So much of each metric in a cycle; 0, or nothing said, is none."""

    model_config = ConfigDict(extra="forbid")

    input_tokens: int = Field(default=0, ge=0, le=LIMIT_MAX)
    output_tokens: int = Field(default=0, ge=0, le=LIMIT_MAX)
    images: int = Field(default=0, ge=0, le=LIMIT_MAX)
    speech_seconds: int = Field(default=0, ge=0, le=LIMIT_MAX)
    transcription_seconds: int = Field(default=0, ge=0, le=LIMIT_MAX)

    @classmethod
    def of(cls, amounts: Amounts) -> Self:
        """These amounts."""
        return cls(**{metric.value: amounts.of(metric) for metric in Metric})


class FreeTermsView(BaseModel):
    """The terms in force; version 0 says that there never were any."""

    version: int
    is_enabled: bool
    cycle_days: int
    limits: FreeAmountsView
    eligible_models: list[str]

    @classmethod
    def of(cls, version: int, terms: FreeTerms | None) -> Self:
        """These terms."""
        terms = terms or FreeTerms(is_enabled=False, cycle_days=1, limits=NOTHING, eligible_models=frozenset())
        return cls(
            version=version,
            is_enabled=terms.is_enabled,
            cycle_days=terms.cycle_days,
            limits=FreeAmountsView.of(terms.limits),
            eligible_models=sorted(terms.eligible_models),
        )


class FreeTermsChange(BaseModel):
    """New terms as a whole; `expected_version` is the version that they replace."""

    model_config = ConfigDict(extra="forbid")

    expected_version: int = Field(ge=0, le=_VERSION_MAX)
    is_enabled: bool
    cycle_days: int = Field(ge=1, le=3650)
    limits: FreeAmountsView
    eligible_models: list[str] = Field(max_length=ELIGIBLE_MODELS_MAX)
    reason: str

    def terms(self) -> FreeTerms:
        """The terms that are asked for."""
        return FreeTerms(
            is_enabled=self.is_enabled,
            cycle_days=self.cycle_days,
            limits=Amounts(**self.limits.model_dump()),
            eligible_models=frozenset(self.eligible_models),
        )


class NetworkStartsView(BaseModel):
    """One network: who began there, and who was refused."""

    network: str
    starts: int
    refused_accounts: int
    refused_attempts: int
    last_at: datetime


class RefusedStartsView(BaseModel):
    """One account that was refused its start from one network on one day."""

    account_id: str
    network: str
    attempts: int
    first_at: datetime
    last_at: datetime


class StartsReportView(BaseModel):
    """First starts and refused ones since a moment."""

    since: datetime
    networks: list[NetworkStartsView]
    refusals: list[RefusedStartsView]

    @classmethod
    def of(cls, report: StartsReport) -> Self:
        """This report."""
        return cls(
            since=report.since,
            networks=[
                NetworkStartsView(
                    network=part.network,
                    starts=part.starts,
                    refused_accounts=part.refused_accounts,
                    refused_attempts=part.refused_attempts,
                    last_at=part.last_at,
                )
                for part in report.networks
            ],
            refusals=[
                RefusedStartsView(
                    account_id=part.start.account_id,
                    network=part.start.network,
                    attempts=part.attempts,
                    first_at=part.first_at,
                    last_at=part.last_at,
                )
                for part in report.refusals
            ],
        )
