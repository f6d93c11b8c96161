"""Whether a call fits into what is free, and what a reservation becomes: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from billing.quotas.errors import FreeTermsRefused


class Metric(StrEnum):
    """What the free quota limits."""

    INPUT_TOKENS = "input_tokens"
    OUTPUT_TOKENS = "output_tokens"


class ReservationState(StrEnum):
    """How a reservation stands. Expired means given up by the sweeper: a late result is still counted."""

    OPEN = "open"
    FINALISED = "finalised"
    RELEASED = "released"
    EXPIRED = "expired"


class Unavailable(StrEnum):
    """Why a call is not free."""

    DISABLED = "disabled"
    MODEL_NOT_ELIGIBLE = "model_not_eligible"
    EXHAUSTED = "exhausted"


@dataclass(frozen=True, slots=True)
class Tokens:
    """So many tokens in and out; cached and reasoning tokens count with the pool they are part of."""

    input: int
    output: int

    def of(self, metric: Metric) -> int:
        """The number that this metric counts."""
        return self.input if metric is Metric.INPUT_TOKENS else self.output

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(self.input + other.input, self.output + other.output)

    def __neg__(self) -> Tokens:
        return Tokens(-self.input, -self.output)


NOTHING = Tokens(0, 0)


@dataclass(frozen=True, slots=True)
class FreeTerms:
    """What is free for everybody; a limit of 0 means nothing at all, never "no limit"."""

    is_enabled: bool
    cycle_days: int
    limits: Tokens
    eligible_models: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cycle:
    """One account's counters since its cycle began."""

    number: int
    starts_at: datetime
    used: Tokens
    reserved: Tokens

    def ends_at(self, terms: FreeTerms) -> datetime:
        """The first moment that no longer belongs to the cycle (half-open, G19)."""
        return self.starts_at + timedelta(days=terms.cycle_days)

    def is_over(self, terms: FreeTerms, now: datetime) -> bool:
        """A new cycle begins with the next use."""
        return now >= self.ends_at(terms)


@dataclass(frozen=True, slots=True)
class Reserved:
    """So much of the free quota is set aside for the operation."""

    operation_id: str
    cycle_number: int
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class NotAvailable:
    """The call is not free; `metric` says which limit it would exceed."""

    reason: Unavailable
    metric: Metric | None = None


@dataclass(frozen=True, slots=True)
class MetricStanding:
    """One metric of the current cycle. What is used can exceed the limit, what is left cannot be below zero."""

    metric: Metric
    limit: int
    used: int
    reserved: int

    @property
    def left(self) -> int:
        """What a new call can still take."""
        return max(0, self.limit - self.used - self.reserved)


@dataclass(frozen=True, slots=True)
class FreeStanding:
    """Where an account stands.

    `eligible_models` are those that can be called in this installation now; `resets_at` is None while no cycle runs,
    because the next one begins with the next use.
    """

    is_enabled: bool
    metrics: tuple[MetricStanding, ...]
    resets_at: datetime | None
    eligible_models: tuple[str, ...]

    @property
    def has_free_model(self) -> bool:
        """There is something that can be used for free at all; only then may a page promise it."""
        return self.is_enabled and bool(self.eligible_models) and all(metric.limit > 0 for metric in self.metrics)

    @property
    def is_left(self) -> bool:
        """A free call is possible now, if it is small enough."""
        return self.has_free_model and all(metric.left > 0 for metric in self.metrics)


def require_meaningful(terms: FreeTerms) -> None:
    """Refuses terms that could be read as "unlimited" or that never end.

    Raises:
        FreeTermsRefused: a limit is negative, or the cycle is shorter than a day or longer than ten years.
    """
    if min(terms.limits.input, terms.limits.output) < 0:
        raise FreeTermsRefused("limits", "A free limit is 0, which means nothing, or more.")
    if not 1 <= terms.cycle_days <= 3650:  # noqa: PLR2004 - ten years; the table has the same bounds
        raise FreeTermsRefused("cycle_days", "A free cycle has 1 to 3650 days.")


def first_exceeded(terms: FreeTerms, taken: Tokens, estimate: Tokens) -> Metric | None:
    """The first metric that has no room for the estimate, or None if all of it fits."""
    after = taken + estimate
    return next((metric for metric in Metric if after.of(metric) > terms.limits.of(metric)), None)


def standing_of(terms: FreeTerms | None, cycle: Cycle | None, on_offer: frozenset[str], now: datetime) -> FreeStanding:
    """What a page or a program is told; without terms nothing is free."""
    if terms is None:
        terms = FreeTerms(is_enabled=False, cycle_days=1, limits=NOTHING, eligible_models=frozenset())
    running = None if cycle is None or cycle.is_over(terms, now) else cycle
    used, reserved = (running.used, running.reserved) if running else (NOTHING, NOTHING)
    return FreeStanding(
        is_enabled=terms.is_enabled,
        metrics=tuple(
            MetricStanding(metric, terms.limits.of(metric), used.of(metric), reserved.of(metric)) for metric in Metric
        ),
        resets_at=running.ends_at(terms) if running else None,
        eligible_models=tuple(sorted(terms.eligible_models & on_offer)),
    )
