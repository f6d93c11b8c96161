"""The life of a payment, what may be topped up, and when a provider's payment is ours: decided purely."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from billing.kit.money import Currency, Money
from billing.payments.errors import ProviderMalformed, TopupAmountNotOffered, TopupCurrencyNotOffered

PaymentId = NewType("PaymentId", str)
RefundId = NewType("RefundId", str)
DisputeId = NewType("DisputeId", str)
ProviderPaymentId = NewType("ProviderPaymentId", str)
ProviderRefundId = NewType("ProviderRefundId", str)
ProviderDisputeId = NewType("ProviderDisputeId", str)
ProviderMethodId = NewType("ProviderMethodId", str)

TOPUP = "topup"
AUTO_TOPUP = "auto_topup"
SUBSCRIPTION = "subscription"

INTENT_LASTS = timedelta(hours=24)
"""The same account, amount and purpose within this time is the same intent, and gets the same payment."""

KEY_IS_SAFE_FOR = timedelta(hours=23)
"""YooKassa remembers an Idempotence-Key for 24 hours; later the same key would make a second payment."""

FIRST_CHECK_AFTER = timedelta(minutes=1)
"""So long after a payment or refund was begun the provider is first asked about it without anybody's doing."""

_PROVIDER_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,127}")


class PaymentState(StrEnum):
    """Where a payment stands with us; `succeeded` means paid and credited, in one transaction.

    The last three are `succeeded` and what came later; which of them a payment is in follows from its refunds and
    disputes alone.
    """

    CREATED = "created"
    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    DISPUTED = "disputed"
    """A dispute about it is open, or was lost."""


class ProviderStatus(StrEnum):
    """Where a payment stands with the provider."""

    PENDING = "pending"
    WAITING_FOR_CAPTURE = "waiting_for_capture"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class RefundStatus(StrEnum):
    """Where a refund stands; in this order, so that news which came late is told from news."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """The provider could not give the money back, or took it back again; it is ours once more."""


class RefundState(StrEnum):
    """Where a refund stands with us; in this order, and never back, unless it ended before it was heard of."""

    CREATED = "created"
    """Written here; whether the provider has heard of it is not certain."""
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Nothing was given back, or it came back; `failure` says why."""


class RefundFailure(StrEnum):
    """Why a refund gave nothing back."""

    REJECTED = "rejected"
    """The provider refused to begin it."""
    CANCELED = "canceled"
    """The provider could not give the money back, or took it back again."""
    NEVER_BEGUN = "never_begun"
    """The provider has never heard of it, and its key is too old to ask with."""


ENDED_UNHEARD = frozenset({RefundFailure.REJECTED, RefundFailure.NEVER_BEGUN})
"""We ended the refund because the provider seemed to have nothing of it; its own record of it counts for more."""


class DisputeStatus(StrEnum):
    """Where a dispute stands; in this order, because a bank may give back what it had already taken for good."""

    OPEN = "open"
    LOST = "lost"
    WON = "won"


class ReceiptStatus(StrEnum):
    """Whether the tax office has the receipt (54-FZ)."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Cancellation(StrEnum):
    """Why a payment ended without money, in our words."""

    REJECTED = "rejected"
    """The provider refused to begin it."""
    EXPIRED = "expired"
    """The customer did not pay in time."""
    DECLINED = "declined"
    """The bank or the provider refused the customer's money."""
    WITHDRAWN = "withdrawn"
    """We or the customer called it off."""
    NEVER_BEGUN = "never_begun"
    """The provider has never heard of it, and its key is too old to ask with."""


class Actor(StrEnum):
    """Who may move a payment."""

    READ_BACK = "read_back"
    """The provider's own object, fetched by us; never a notification's body, never the customer."""
    CREATION = "creation"
    """The provider's answer to our request to begin the payment."""


@dataclass(frozen=True, slots=True)
class Move:
    """One allowed step, by its name."""

    name: str
    actors: frozenset[Actor]


_EITHER = frozenset(Actor)
_READ_BACK = frozenset({Actor.READ_BACK})

PAID_STATES = frozenset(
    {PaymentState.SUCCEEDED, PaymentState.PARTIALLY_REFUNDED, PaymentState.REFUNDED, PaymentState.DISPUTED}
)
"""The customer's money came; what came later is in the state."""


def _moves_among_paid() -> dict[tuple[PaymentState, PaymentState], Move]:
    reasons = {
        PaymentState.SUCCEEDED: "nothing of it is given back or disputed any more",
        PaymentState.PARTIALLY_REFUNDED: "a part of it is given back",
        PaymentState.REFUNDED: "all of it is given back",
        PaymentState.DISPUTED: "the customer's bank wants it back",
    }
    pairs = [(before, after) for before in PAID_STATES for after in PAID_STATES if before is not after]
    return {(before, after): Move(f"{reasons[after]}; it was {before.value}", _READ_BACK) for before, after in pairs}


MOVES: dict[tuple[PaymentState, PaymentState], Move] = {
    (PaymentState.CREATED, PaymentState.PENDING): Move("the provider awaits the customer", _EITHER),
    (PaymentState.CREATED, PaymentState.WAITING_FOR_CAPTURE): Move("the customer was quicker than our record", _EITHER),
    (PaymentState.CREATED, PaymentState.SUCCEEDED): Move("paid before we recorded that it began", _EITHER),
    (PaymentState.CREATED, PaymentState.CANCELED): Move("the provider refused to begin, or ended it unseen", _EITHER),
    (PaymentState.PENDING, PaymentState.WAITING_FOR_CAPTURE): Move("the money is reserved", _EITHER),
    (PaymentState.PENDING, PaymentState.SUCCEEDED): Move("the customer paid", _EITHER),
    (PaymentState.PENDING, PaymentState.CANCELED): Move("declined, expired or called off", _EITHER),
    (PaymentState.WAITING_FOR_CAPTURE, PaymentState.SUCCEEDED): Move("the reserved money was taken", _EITHER),
    (PaymentState.WAITING_FOR_CAPTURE, PaymentState.CANCELED): Move("the reserved money was given back", _EITHER),
    # Money that the provider took is the customer's, whatever we believed before; only its own record may say so.
    (PaymentState.CANCELED, PaymentState.SUCCEEDED): Move("the provider took money after all", _READ_BACK),
    **_moves_among_paid(),
}
"""Every step that a payment may take. What is paid stays paid, whatever becomes of it later."""

LIVE_STATES = frozenset({PaymentState.CREATED, PaymentState.PENDING, PaymentState.WAITING_FOR_CAPTURE})
"""A payment that stands for its intent: it can still be paid, or is paid and not credited yet."""

UNENDED_REFUNDS = frozenset({RefundState.CREATED, RefundState.PENDING})
"""A refund of which the provider has not said the last word."""


def may_move(before: PaymentState, after: PaymentState, *, actor: Actor) -> bool:
    """This actor may take a payment from the one state to the other."""
    move = MOVES.get((before, after))
    return move is not None and actor in move.actors


def state_of(status: ProviderStatus) -> PaymentState:
    """Our state for the provider's."""
    return PaymentState(status.value)


def paid_state(amount: Money, *, refunded: Money, is_disputed: bool) -> PaymentState:
    """The state of a payment whose money came, from what came later; `is_disputed` counts open and lost disputes."""
    if is_disputed:
        return PaymentState.DISPUTED
    if refunded.micros <= 0:
        return PaymentState.SUCCEEDED
    return PaymentState.REFUNDED if refunded >= amount else PaymentState.PARTIALLY_REFUNDED


def is_all_gone(amount: Money, *, refunded: Money, disputed: Money) -> bool:
    """Nothing of a payment is left with us; `disputed` is what its open and lost disputes are about together."""
    return refunded + disputed >= amount


def is_later_refund_state(before: RefundState, after: RefundState, *, failure: RefundFailure | None) -> bool:
    """The news is news: a refund goes only forward, in the order in which its states are written.

    `failure` is why it had failed before. Where that was our own conclusion, whatever the provider says comes later:
    money that it gave back has left us, whatever we believed.
    """
    if failure in ENDED_UNHEARD:
        return True
    order = tuple(RefundState)
    return order.index(after) > order.index(before)


def is_later_dispute_status(before: DisputeStatus, after: DisputeStatus) -> bool:
    """The news is news: a dispute goes only forward, in the order in which its states are written."""
    order = tuple(DisputeStatus)
    return order.index(after) > order.index(before)


def parse_provider_id(text: object) -> str:
    """An id from outside that may enter a URL: letters, digits, `-` and `_`, at most 128.

    Raises:
        ProviderMalformed: it is anything else.
    """
    if not (isinstance(text, str) and _PROVIDER_ID.fullmatch(text)):
        raise ProviderMalformed("A payment provider's object has an id that cannot be one.")
    return text


def parse_provider_payment_id(text: object) -> ProviderPaymentId:
    """A payment's id from outside, as `parse_provider_id` has it."""
    return ProviderPaymentId(parse_provider_id(text))


def parse_provider_refund_id(text: object) -> ProviderRefundId:
    """A refund's id from outside, as `parse_provider_id` has it."""
    return ProviderRefundId(parse_provider_id(text))


def key_is_safe(created_at: datetime, *, now: datetime) -> bool:
    """The provider still knows the key of a payment of this age, so that asking again cannot make a second one."""
    return now - created_at < KEY_IS_SAFE_FOR


@dataclass(frozen=True, slots=True)
class Bond:
    """What must agree between our record and the provider's object before money moves."""

    provider_payment_id: str
    shop_id: str
    is_test: bool
    amount: Money
    payment_id: str | None
    account_id: str | None
    purpose: str | None


def differences(ours: Bond, theirs: Bond) -> tuple[str, ...]:
    """The names of what does not agree, in a fixed order; empty when the payment is ours in every respect."""
    pairs = (
        ("provider_payment_id", ours.provider_payment_id, theirs.provider_payment_id),
        ("shop", ours.shop_id, theirs.shop_id),
        ("test", ours.is_test, theirs.is_test),
        ("currency", ours.amount.currency, theirs.amount.currency),
        ("amount", ours.amount.micros, theirs.amount.micros),
        ("payment", ours.payment_id, theirs.payment_id),
        ("owner", ours.account_id, theirs.account_id),
        ("purpose", ours.purpose, theirs.purpose),
    )
    return tuple(name for name, one, other in pairs if one != other)


@dataclass(frozen=True, slots=True)
class TopupOffer:
    """What can be topped up: the one source for the API, the public configuration and the page."""

    currency: Currency
    presets: tuple[Money, ...]
    is_custom_allowed: bool
    minimum: Money
    maximum: Money

    def check(self, amount: Money) -> None:
        """Accepts an amount that is on offer.

        Raises:
            TopupCurrencyNotOffered: it is of another currency.
            TopupAmountNotOffered: not a preset and no custom amounts, outside the limits, or not payable in coins.
        """
        if amount.currency != self.currency:
            raise TopupCurrencyNotOffered(amount.currency, self.currency)
        if amount in self.presets:
            return
        if not self.is_custom_allowed:
            raise self._refusal(amount, f"{amount} is not one of the amounts on offer.")
        if not self.minimum <= amount <= self.maximum:
            raise self._refusal(amount, f"{amount} is not between {self.minimum} and {self.maximum}.")
        if not amount.is_whole_minor_units():
            raise self._refusal(amount, f"{amount} is finer than the smallest coin of {self.currency}.")

    def _refusal(self, amount: Money, sentence: str) -> TopupAmountNotOffered:
        return TopupAmountNotOffered(
            sentence, amount=amount, minimum=self.minimum, maximum=self.maximum, presets=self.presets
        )


def problems_of_offer(offer: TopupOffer) -> tuple[str, ...]:
    """What makes an offer unusable, each as a sentence for the operator; empty when it can be sold."""
    payable: Collection[Money] = (*offer.presets, offer.minimum, offer.maximum)
    problems = []
    if not offer.presets and not offer.is_custom_allowed:
        problems.append("BILLING_TOPUP_PRESETS is empty and custom amounts are off: nothing can be topped up.")
    if any(amount.micros <= 0 or not amount.is_whole_minor_units() for amount in payable):
        problems.append(f"Top-up amounts must be positive and payable in coins of {offer.currency}.")
    if offer.minimum > offer.maximum:
        problems.append("BILLING_TOPUP_MIN is greater than BILLING_TOPUP_MAX.")
    return tuple(problems)
