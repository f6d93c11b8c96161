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
    IMAGES = "images"
    SPEECH_SECONDS = "speech_seconds"
    TRANSCRIPTION_SECONDS = "transcription_seconds"


_TEXT = frozenset({Metric.INPUT_TOKENS, Metric.OUTPUT_TOKENS})
"""Whoever writes needs both: one without the other is good for nothing."""


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
class Amounts:
    """So much of each metric; cached and reasoning tokens count with the pool they are part of.

    A call that has begun a second of speech or transcription has used it.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    images: int = 0
    speech_seconds: int = 0
    transcription_seconds: int = 0

    def of(self, metric: Metric) -> int:
        """The number that this metric counts."""
        match metric:
            case Metric.INPUT_TOKENS:
                return self.input_tokens
            case Metric.OUTPUT_TOKENS:
                return self.output_tokens
            case Metric.IMAGES:
                return self.images
            case Metric.SPEECH_SECONDS:
                return self.speech_seconds
            case Metric.TRANSCRIPTION_SECONDS:
                return self.transcription_seconds

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(*(self.of(metric) + other.of(metric) for metric in Metric))

    def __neg__(self) -> Amounts:
        return Amounts(*(-self.of(metric) for metric in Metric))

    def __sub__(self, other: Amounts) -> Amounts:
        return self + -other


NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class FreeTerms:
    """What is free for everybody; a limit of 0 means nothing at all, never "no limit"."""

    is_enabled: bool
    cycle_days: int
    limits: Amounts
    eligible_models: frozenset[str]


@dataclass(frozen=True, slots=True)
class Cycle:
    """One account's counters since its cycle began."""

    number: int
    starts_at: datetime
    used: Amounts
    reserved: Amounts

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
    amounts: Amounts


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

    `metrics` are those of which the terms offer something or the running cycle has taken something: one that is
    missing has the limit 0. `eligible_models` are those that can be called in this installation now; `resets_at` is
    None while no cycle runs, because the next one begins with the next use.
    """

    is_enabled: bool
    metrics: tuple[MetricStanding, ...]
    resets_at: datetime | None
    eligible_models: tuple[str, ...]

    @property
    def has_free_model(self) -> bool:
        """There is something that can be used for free at all; only then may a page promise it."""
        offered = {metric.metric for metric in self.metrics if metric.limit > 0}
        is_something_offered = offered >= _TEXT or bool(offered - _TEXT)
        return self.is_enabled and bool(self.eligible_models) and is_something_offered

    @property
    def is_left(self) -> bool:
        """A free call is possible now, if it is small enough: of all that the terms offer, something is left.

        Which models draw pictures is not known here, so nothing is promised once one of the metrics is used up.
        """
        return self.has_free_model and all(metric.left > 0 for metric in self.metrics)


def require_meaningful(terms: FreeTerms) -> None:
    """Refuses terms that could be read as "unlimited" or that never end.

    Raises:
        FreeTermsRefused: a limit is negative, or the cycle is shorter than a day or longer than ten years.
    """
    if min(terms.limits.of(metric) for metric in Metric) < 0:
        raise FreeTermsRefused("limits", "A free limit is 0, which means nothing, or more.")
    if not 1 <= terms.cycle_days <= 3650:  # noqa: PLR2004 - ten years; the table has the same bounds
        raise FreeTermsRefused("cycle_days", "A free cycle has 1 to 3650 days.")


def first_exceeded(terms: FreeTerms, taken: Amounts, estimate: Amounts) -> Metric | None:
    """The first metric that has no room for the estimate, or None if all of it fits.

    A metric that the call does not use never blocks it, however little of it is left.
    """
    needed = (metric for metric in Metric if estimate.of(metric) > 0)
    return next((m for m in needed if taken.of(m) + estimate.of(m) > terms.limits.of(m)), None)


def standing_of(terms: FreeTerms | None, cycle: Cycle | None, on_offer: frozenset[str], now: datetime) -> FreeStanding:
    """What a page or a program is told; without terms nothing is free."""
    if terms is None:
        terms = FreeTerms(is_enabled=False, cycle_days=1, limits=NOTHING, eligible_models=frozenset())
    running = None if cycle is None or cycle.is_over(terms, now) else cycle
    used, reserved = (running.used, running.reserved) if running else (NOTHING, NOTHING)
    metrics = (MetricStanding(m, terms.limits.of(m), used.of(m), reserved.of(m)) for m in Metric)
    return FreeStanding(
        is_enabled=terms.is_enabled,
        metrics=tuple(metric for metric in metrics if metric.limit or metric.used or metric.reserved),
        resets_at=running.ends_at(terms) if running else None,
        eligible_models=tuple(sorted(terms.eligible_models & on_offer)),
    )
