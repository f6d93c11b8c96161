"""What the templates are given: values only, decided and ready to be written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, Self, TypeVar

from billing.kit.money import Currency, Money
from billing.ledger.postings import TransferKind
from billing.pages.rules import Advice, FreeUsage, recommended_preset
from billing.payments.rules import Cancellation, TopupOffer
from billing.payments.service import Topup, TopupStatus
from billing.quotas.rules import FreeStanding
from billing.usage.rules import BillingSource, UsageEvent
from billing.wallets.service import Balance

T = TypeVar("T")

CUSTOM = "custom"
"""The choice that says: read the amount that was typed."""
PAYMENT_PREFIX = "pay"
# A plan's credit hangs on a payment too, but was given with it, and is not refunded when it is given up.
_PLAN_CREDIT = "plan_credit"
_DECLINED = frozenset({Cancellation.DECLINED, Cancellation.REJECTED})


@dataclass(frozen=True, slots=True)
class Widget(Generic[T]):
    """One card's content, or None where it could not be loaded; each card fails alone and can be retried alone."""

    content: T | None

    @property
    def has_failed(self) -> bool:
        """The card says so and offers to try again."""
        return self.content is None


class Section(StrEnum):
    """Where in the navigation a page stands."""

    BALANCE = "balance"
    PLAYGROUND = "playground"


@dataclass(frozen=True, slots=True)
class ChipView:
    """The balance in the header."""

    available: Money
    is_low: bool


@dataclass(frozen=True, slots=True)
class FrameView:
    """What surrounds the content for somebody who is signed in."""

    csrf_token: str
    section: Section | None
    chip: ChipView | None
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ExpiryView:
    """The granted credit that ends first."""

    amount: Money
    at: datetime


@dataclass(frozen=True, slots=True)
class BalanceView:
    """The wallet in five figures; `available` is what a call can use: paid and granted together."""

    available: Money
    paid: Money
    granted: Money
    held: Money
    debt: Money
    next_expiry: ExpiryView | None

    @classmethod
    def of(cls, balance: Balance) -> Self:
        """The wallet's balance, with the granted credit that ends first."""
        ending = [(lot.expires_at, lot.left) for lot in balance.lots if lot.is_granted and lot.expires_at is not None]
        first = min((at for at, left in ending if left.micros > 0), default=None)
        amount = sum(left.micros for at, left in ending if at == first)
        return cls(
            available=balance.available,
            paid=balance.paid,
            granted=balance.granted,
            held=balance.held,
            debt=balance.debt,
            next_expiry=ExpiryView(Money(amount, balance.currency), first) if first else None,
        )

    @property
    def shares(self) -> tuple[tuple[str, float, float], ...]:
        """Name, start and width in percent of each part, for the drawing only."""
        parts = (("paid", self.paid.micros), ("granted", self.granted.micros), ("held", self.held.micros))
        total = sum(micros for _, micros in parts)
        shares: list[tuple[str, float, float]] = []
        start = 0.0
        for name, micros in parts:
            width = round(100 * micros / total, 3) if total else 0.0
            shares.append((name, round(start, 3), width))
            start += width
        return tuple(share for share in shares if share[2] > 0)


@dataclass(frozen=True, slots=True)
class NoticeView:
    """The low-balance notice; `missing` is what a blocked call lacked when it sent the customer here."""

    advice: Advice
    missing: Money | None
    has_spent_all: bool


@dataclass(frozen=True, slots=True)
class PresetView:
    """One amount to choose."""

    amount: Money
    is_recommended: bool
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class TopupDraft:
    """What the customer has chosen and typed so far; all of it comes back through an address."""

    choice: str | None = None
    custom_typed: str = ""
    missing: str | None = None
    """What a link claims that a blocked call lacked."""
    return_to: str | None = None
    error_code: str | None = None
    """What was wrong with the last try."""


@dataclass(frozen=True, slots=True)
class TopupFormView:
    """The top-up form; `intent` makes one payment of two clicks, `error_code` says what was wrong with the last try."""

    currency: Currency
    presets: tuple[PresetView, ...]
    is_custom_allowed: bool
    is_custom_chosen: bool
    custom_typed: str
    minimum: Money
    maximum: Money
    intent: str
    missing: Money | None
    return_to: str | None
    error_code: str | None

    @classmethod
    def of(cls, offer: TopupOffer, draft: TopupDraft, *, missing: Money | None, intent: str) -> Self:
        """The form as the customer left it; at first the recommended or else the first amount is chosen."""
        recommended = recommended_preset(offer.presets, missing)
        first = recommended or next(iter(offer.presets), None)
        chosen = draft.choice or (first.to_decimal() if first else CUSTOM)
        return cls(
            currency=offer.currency,
            presets=tuple(
                PresetView(amount, amount == recommended, amount.to_decimal() == chosen) for amount in offer.presets
            ),
            is_custom_allowed=offer.is_custom_allowed,
            is_custom_chosen=chosen == CUSTOM,
            custom_typed=draft.custom_typed,
            minimum=offer.minimum,
            maximum=offer.maximum,
            intent=intent,
            missing=missing,
            return_to=draft.return_to,
            error_code=draft.error_code,
        )


class TopupState(StrEnum):
    """What the return from the payment page can say about this one payment."""

    CREDITED = "credited"
    WAITING = "waiting"
    """The provider waits for the customer, or has not told us yet that they paid."""
    PROCESSING = "processing"
    """Paid or begun; it will be finished without the customer."""
    CANCELLED = "cancelled"
    FAILED = "failed"
    UNDER_REVIEW = "under_review"
    """The provider's record differs from ours; a person looks at it."""


@dataclass(frozen=True, slots=True)
class TopupView:
    """One payment as its owner sees it; `return_to` leads back to where a call was blocked."""

    id: str
    state: TopupState
    amount: Money
    return_to: str | None

    @classmethod
    def of(cls, topup: Topup) -> Self:
        """What can be said about this payment and about no other."""
        return cls(topup.payment_id, _state_of(topup), topup.amount, topup.return_to)


@dataclass(frozen=True, slots=True)
class MeterView:
    """One free limit: a stable metric name, and how much of it a call can still take."""

    metric: str
    left: int
    limit: int


@dataclass(frozen=True, slots=True)
class FreeLimitsView:
    """The free limits of this cycle and the models for which they count."""

    is_enabled: bool
    has_free_model: bool
    meters: tuple[MeterView, ...]
    models: tuple[str, ...]
    resets_at: datetime | None

    @classmethod
    def of(cls, standing: FreeStanding) -> Self:
        """The account's standing."""
        return cls(
            is_enabled=standing.is_enabled,
            has_free_model=standing.has_free_model,
            meters=tuple(MeterView(metric.metric, metric.left, metric.limit) for metric in standing.metrics),
            models=standing.eligible_models,
            resets_at=standing.resets_at,
        )

    @property
    def free_usage(self) -> FreeUsage:
        """Whether a free call is possible, for the low-balance notice; every limit must have something left."""
        return FreeUsage(
            is_enabled=self.is_enabled,
            has_something_left=bool(self.meters) and all(meter.left > 0 for meter in self.meters),
            has_free_model=self.has_free_model,
        )


class ActivityKind(StrEnum):
    """What an entry of the latest activity is about."""

    TOPUP = "topup"
    GRANT = "grant"
    EXPIRY = "expiry"
    REFUND = "refund"
    DISPUTE = "dispute"
    CORRECTION = "correction"
    CALL = "call"
    FREE_CALL = "free_call"


def _what_moved(kind: TransferKind, *, is_for_payment: bool) -> ActivityKind:
    if kind is TransferKind.CREDIT:
        return ActivityKind.TOPUP if is_for_payment else ActivityKind.GRANT
    if kind is TransferKind.REFUND:
        return ActivityKind.REFUND if is_for_payment else ActivityKind.EXPIRY
    if kind is TransferKind.DISPUTE:
        return ActivityKind.DISPUTE
    is_correction = kind in {TransferKind.ADJUSTMENT, TransferKind.WRITE_OFF}
    return ActivityKind.CORRECTION if is_correction else ActivityKind.EXPIRY


@dataclass(frozen=True, slots=True)
class ActivityView:
    """One line of the latest activity; `change` is signed."""

    kind: ActivityKind
    at: datetime
    change: Money
    model: str | None = None
    is_estimated: bool = False

    @classmethod
    def of_transfer(cls, kind: TransferKind, at: datetime, change: Money, *, name: str, reference: str) -> Self:
        """Money that came in or went; `name` is the transfer's within its wallet, `reference` what it is about."""
        is_for_payment = reference.startswith(f"{PAYMENT_PREFIX}_") and not name.startswith(_PLAN_CREDIT)
        return cls(_what_moved(kind, is_for_payment=is_for_payment), at, change)

    @classmethod
    def of_call(cls, event: UsageEvent) -> Self:
        """One call, charged or free."""
        is_free = event.billing_source is BillingSource.LEAD_MAGNET
        kind = ActivityKind.FREE_CALL if is_free else ActivityKind.CALL
        return cls(kind, event.occurred_at, -event.charged, event.model_asked, event.is_estimated)


@dataclass(frozen=True, slots=True)
class ActivityListView:
    """The latest lines, newest first."""

    lines: tuple[ActivityView, ...]


@dataclass(frozen=True, slots=True)
class BalancePageView:
    """Everything on the balance page, each part loaded by itself."""

    balance: Widget[BalanceView]
    notice: NoticeView | None
    topup: Widget[TopupView] | None
    topup_id: str | None
    form: TopupFormView | None
    """None for somebody whose role may not top up."""
    free_limits: Widget[FreeLimitsView]
    activity: Widget[ActivityListView]


@dataclass(frozen=True, slots=True)
class AnswerView:
    """A model's answer and what it cost."""

    text: str
    model: str
    charged: Money
    available: Money
    is_free: bool
    operation_id: str


@dataclass(frozen=True, slots=True)
class BlockedView:
    """A call that the wallet could not cover, and where to go about it."""

    required: Money
    missing: Money
    topup_path: str


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """What came of a prompt: at most one of answer, blocked, error; none of them before the first prompt."""

    answer: AnswerView | None = None
    blocked: BlockedView | None = None
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class SignInView:
    """The sign-in form."""

    csrf_token: str
    return_to: str | None
    email: str = ""
    error_code: str | None = None


@dataclass(frozen=True, slots=True)
class RefusalView:
    """A page that cannot be shown, and why; `request_id` is empty where the server gave none."""

    status: int
    code: str
    request_id: str


def _state_of(topup: Topup) -> TopupState:
    if topup.is_under_review:
        return TopupState.UNDER_REVIEW
    match topup.status:
        case (
            TopupStatus.SUCCEEDED | TopupStatus.PARTIALLY_REFUNDED | TopupStatus.REFUNDED | TopupStatus.DISPUTED
        ):  # it was credited once; what came of it later stands among the movements
            return TopupState.CREDITED
        case TopupStatus.PENDING:
            return TopupState.WAITING
        case TopupStatus.PROCESSING:
            return TopupState.PROCESSING
        case TopupStatus.CANCELED:
            return TopupState.FAILED if topup.cancellation in _DECLINED else TopupState.CANCELLED
