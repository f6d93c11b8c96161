"""Whether a call fits into what is free, and what a reservation becomes: pure decisions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from billing.customers.rules import AccountId
from billing.kit.client_address import network_of
from billing.kit.errors import BillingError
from billing.quotas.errors import FreeQuotaUnavailable, FreeTermsRefused, QuotaExceeded


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
    """Why a call is not free.

    `WALLET_FIRST` is the account's own choice; `START_RATE` means that too many people have begun from one network.
    """

    DISABLED = "disabled"
    MODEL_NOT_ELIGIBLE = "model_not_eligible"
    EXHAUSTED = "exhausted"
    WALLET_FIRST = "wallet_first"
    EMAIL_NOT_VERIFIED = "email_not_verified"
    START_RATE = "start_rate"


class BurnOrder(StrEnum):
    """What an account spends first: the free quota, its wallet, or the free quota and nothing else."""

    FREE_FIRST = "free_first"
    WALLET_FIRST = "wallet_first"
    FREE_ONLY = "free_only"


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


LIMIT_MAX = 10**12
ELIGIBLE_MODELS_MAX = 1000
_MODEL_NAME_LENGTH_MAX = 200

NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class FreeTerms:
    """What is free for everybody; a limit of 0 means nothing at all, never "no limit"."""

    is_enabled: bool
    cycle_days: int
    limits: Amounts
    eligible_models: frozenset[str]

    def with_extra(self, extra: Amounts) -> FreeTerms:
        """The same terms with so much more of each metric."""
        return self if extra == NOTHING else replace(self, limits=self.limits + extra)

    def to_json(self) -> dict[str, object]:
        """The terms as the audit trail keeps them."""
        return {
            "is_enabled": self.is_enabled,
            "cycle_days": self.cycle_days,
            "limits": {metric.value: self.limits.of(metric) for metric in Metric},
            "eligible_models": sorted(self.eligible_models),
        }


@dataclass(frozen=True, slots=True)
class Cycle:
    """One person's counters since their cycle began."""

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
class RefusedStart:
    """Somebody could not begin, because too many have begun from this network within a day."""

    account_id: AccountId
    network: str


@dataclass(frozen=True, slots=True)
class RefusedStarts:
    """How often one account was refused its start from one network on one day."""

    start: RefusedStart
    attempts: int
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True)
class NetworkStarts:
    """How many people began from one network, how many accounts were refused there, and how often."""

    network: str
    starts: int
    refused_accounts: int
    refused_attempts: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class StartsReport:
    """What operators see of first starts since a moment: what happened, and no guess about anybody."""

    since: datetime
    networks: tuple[NetworkStarts, ...]
    refusals: tuple[RefusedStarts, ...]


@dataclass(frozen=True, slots=True)
class NotAvailable:
    """The call is not free. Where it is `EXHAUSTED`, `metric` says which limit it would exceed and the numbers why:
    `used` counts what is set aside too, so that `used` and `required` together are above `limit`.

    `refused_start` is for `QuotaService.record_refused_start`, in a transaction of its own: the caller's may be rolled
    back.
    """

    reason: Unavailable
    metric: Metric | None = None
    limit: int = 0
    used: int = 0
    required: int = 0
    burn_order: BurnOrder = BurnOrder.FREE_FIRST
    refused_start: RefusedStart | None = None

    def refusal(self) -> BillingError:
        """What an account is told that spends nothing but its free quota."""
        if self.metric is None:
            return FreeQuotaUnavailable(self.reason)
        return QuotaExceeded(self.metric, limit=self.limit, used=self.used, required=self.required)


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose free quota an account uses, and in which order the account spends."""

    holder_id: str | None
    burn_order: BurnOrder


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

    `is_verified` says whether somebody whose e-mail was verified stands behind the account: nobody else has a free
    quota. `metrics` are those of which the terms offer something or the running cycle has taken something: one that is
    missing has the limit 0. `eligible_models` are those that can be called in this installation now; `resets_at` is
    None while no cycle runs, because the next one begins with the next use.
    """

    is_enabled: bool
    metrics: tuple[MetricStanding, ...]
    resets_at: datetime | None
    eligible_models: tuple[str, ...]
    burn_order: BurnOrder = BurnOrder.FREE_FIRST
    is_verified: bool = True

    @property
    def has_free_model(self) -> bool:
        """There is something that can be used for free at all; only then may a page promise it."""
        offered = {metric.metric for metric in self.metrics if metric.limit > 0}
        is_something_offered = offered >= _TEXT or bool(offered - _TEXT)
        return self.is_enabled and self.is_verified and bool(self.eligible_models) and is_something_offered

    @property
    def is_left(self) -> bool:
        """A free call is possible now, if it is small enough: of all that the terms offer, something is left.

        Which models draw pictures is not known here, so nothing is promised once one of the metrics is used up.
        """
        return self.has_free_model and all(metric.left > 0 for metric in self.metrics)


def require_meaningful(terms: FreeTerms) -> None:
    """Refuses terms that could be read as "unlimited" or that never end.

    Raises:
        FreeTermsRefused: a limit is negative or beyond all counting, the cycle is shorter than a day or longer than ten
            years, or a model has no name.
    """
    if not all(0 <= terms.limits.of(metric) <= LIMIT_MAX for metric in Metric):
        raise FreeTermsRefused("limits", "A free limit is 0, which means nothing, or more, up to a trillion.")
    if len(terms.eligible_models) > ELIGIBLE_MODELS_MAX or not all(map(_is_model_name, terms.eligible_models)):
        raise FreeTermsRefused("eligible_models", "Free models are up to 1000 names of 1 to 200 printable characters.")
    if not 1 <= terms.cycle_days <= 3650:  # noqa: PLR2004 - ten years; the table has the same bounds
        raise FreeTermsRefused("cycle_days", "A free cycle has 1 to 3650 days.")


def first_exceeded(terms: FreeTerms, taken: Amounts, estimate: Amounts) -> Metric | None:
    """The first metric that has no room for the estimate, or None if all of it fits.

    A metric that the call does not use never blocks it, however little of it is left.
    """
    needed = (metric for metric in Metric if estimate.of(metric) > 0)
    return next((m for m in needed if taken.of(m) + estimate.of(m) > terms.limits.of(m)), None)


def growth_to(wanted: Amounts, reserved: Amounts) -> Amounts:
    """How much of each metric is missing; where more is reserved than wanted, nothing is."""
    return Amounts(*(max(0, wanted.of(metric) - reserved.of(metric)) for metric in Metric))


def exhausted(terms: FreeTerms, taken: Amounts, estimate: Amounts, burn_order: BurnOrder) -> NotAvailable | None:
    """Why the estimate does not fit beside what is taken, or None if it does."""
    metric = first_exceeded(terms, taken, estimate)
    if metric is None:
        return None
    return NotAvailable(
        Unavailable.EXHAUSTED,
        metric,
        limit=terms.limits.of(metric),
        used=taken.of(metric),
        required=estimate.of(metric),
        burn_order=burn_order,
    )


def neighbourhood_of(client: str) -> str:
    """The network whose first starts count together: an IPv4 address's /24, an IPv6 address's /64, or "unknown"."""
    return network_of(client, ipv4_prefix=24)


def _is_model_name(text: str) -> bool:
    return 1 <= len(text) <= _MODEL_NAME_LENGTH_MAX and text.isprintable()


def standing_of(
    terms: FreeTerms | None,
    cycle: Cycle | None,
    on_offer: frozenset[str],
    now: datetime,
    *,
    burn_order: BurnOrder = BurnOrder.FREE_FIRST,
    is_verified: bool = True,
) -> FreeStanding:
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
        burn_order=burn_order,
        is_verified=is_verified,
    )
