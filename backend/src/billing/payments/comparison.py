"""Where our record of a payment or refund and its provider's differ, one named kind after the other. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NewType

from billing.kit.money import Money
from billing.payments.ports import ProviderPayment, ProviderRefund
from billing.payments.records import Payment, Refund
from billing.payments.rules import LIVE_STATES, PAID_STATES, PaymentState, ProviderStatus, RefundState, RefundStatus

DifferenceId = NewType("DifferenceId", str)

Facts = Mapping[str, str | None]

WINDOW_OVERLAP = timedelta(days=3)
"""What began so shortly before the end of a run is compared by the next run once more: lists lag, states move."""

WINDOW_MAX = timedelta(days=31)

_OUR_PREFIXES = ("pay_", "rfd_")


class DifferenceKind(StrEnum):
    """In which way our books and the provider's differ."""

    MISSING_HERE = "missing_here"
    """The provider has a payment that names one of ours, and we have no such row: a backup was restored."""
    FOREIGN = "foreign"
    """The shop has a payment or a refund that we never asked for."""
    MISSING_THERE = "missing_there"
    """We have a payment that the provider does not know."""
    IDENTITY = "identity"
    """The two do not agree whose payment it is, or what for."""
    AMOUNT = "amount"
    CURRENCY = "currency"
    STATUS = "status"
    """Paid with the one and not with the other, or in dispute."""
    REFUND = "refund"
    """What was given back differs."""
    FEE = "fee"
    """What the provider keeps for its work differs from what we booked."""
    UNREADABLE = "unreadable"
    """The provider has something whose record makes no sense to us."""


class Resolution(StrEnum):
    """How a person ended a difference."""

    ADOPTED = "adopted"
    """The provider's object became our row, with all that follows from it."""
    ACCEPTED = "accepted"
    """It is known and stays, as it is now; another difference of the same object is told again."""
    IGNORED = "ignored"
    """The object is none of our business, whatever becomes of it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs. `object_id` is the provider's name of it, or ours where the provider has none."""

    kind: DifferenceKind
    object_id: str
    payment_id: str | None
    ours: Facts = field(default_factory=dict)
    theirs: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Shop:
    """Whose books are compared with ours."""

    provider: str
    shop_id: str


@dataclass(frozen=True, slots=True)
class RecordedDifference:
    """A difference as it stands in our list."""

    id: DifferenceId
    shop: Shop
    difference: Difference
    found_at: datetime
    last_seen_at: datetime
    resolution: Resolution | None
    resolved_at: datetime | None


@dataclass(frozen=True, slots=True)
class Run:
    """What one comparison looked at and came to."""

    since: datetime
    until: datetime
    payments: int
    refunds: int
    healed: int
    differences: int


@dataclass(frozen=True, slots=True)
class LastRun:
    """Until when the newest run compared, and when it finished."""

    until: datetime
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class Window:
    """A half-open time."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class StuckObject:
    """A payment or refund that nothing finishes any more by itself; `contradiction` names what its provider denies."""

    id: str
    account_id: str
    state: str
    amount: Money
    created_at: datetime
    contradiction: str | None


def names_one_of_ours(text: str | None) -> bool:
    """The text that came along with a payment or refund is an id such as we give."""
    return text is not None and text.startswith(_OUR_PREFIXES)


def difference_without_row(seen: ProviderPayment) -> Difference | None:
    """What it means that we have no row for this payment: nothing, if no money came or can come."""
    if seen.status is ProviderStatus.CANCELED:
        return None
    kind = DifferenceKind.MISSING_HERE if names_one_of_ours(seen.payment_id) else DifferenceKind.FOREIGN
    return Difference(kind, seen.id, seen.payment_id, theirs=facts_of_seen(seen))


def difference_without_object(booked: Payment) -> Difference | None:
    """What it means that the provider does not know the payment: nothing, if we say too that no money came."""
    if booked.state is PaymentState.CANCELED:
        return None
    return Difference(
        DifferenceKind.MISSING_THERE, booked.provider_payment_id or booked.id, booked.id, ours=facts_of_booked(booked)
    )


def unreadable(object_id: str, payment_id: str | None = None) -> Difference:
    """An object of the provider's of which we understand no more than its name."""
    return Difference(DifferenceKind.UNREADABLE, object_id, payment_id)


def payment_differences(booked: Payment, seen: ProviderPayment) -> tuple[Difference, ...]:
    """All that differs between our row and the provider's payment of it, in a fixed order.

    Amounts of different currencies are not compared (G18); what a payment without money was refunded is not either.
    """
    kinds = _kinds(booked, seen)
    ours, theirs = facts_of_booked(booked), facts_of_seen(seen)
    return tuple(Difference(kind, seen.id, booked.id, ours, theirs) for kind in kinds)


def refund_difference(booked: Refund, seen: ProviderRefund) -> Difference | None:
    """What differs between our row of a refund and the provider's refund."""
    is_same = booked.provider_refund_id in {None, seen.id}
    if is_same and (booked.amount, booked.state.value) == (seen.amount, seen.status.value):
        return None
    ours, theirs = facts_of_booked_refund(booked), facts_of_refund(seen)
    return Difference(DifferenceKind.REFUND, seen.id, booked.payment_id, ours, theirs)


def refund_without_row(seen: ProviderRefund, payment: Payment | None) -> Difference | None:
    """What it means that we have no row for this refund: nothing, if it gave nothing back.

    Without a row for its payment either, it is foreign unless it names a refund of ours.
    """
    if seen.status is RefundStatus.FAILED:
        return None
    is_foreign = payment is None and not names_one_of_ours(seen.refund_id)
    kind = DifferenceKind.FOREIGN if is_foreign else DifferenceKind.REFUND
    return Difference(kind, seen.id, None if payment is None else payment.id, theirs=facts_of_refund(seen))


def refund_without_object(booked: Refund) -> Difference | None:
    """What it means that the provider does not know the refund: nothing, if we say too that it gave nothing back."""
    if booked.state is RefundState.FAILED:
        return None
    ours = facts_of_booked_refund(booked)
    return Difference(DifferenceKind.REFUND, booked.provider_refund_id or booked.id, booked.payment_id, ours)


def unbooked_fee(booked: Payment, seen: ProviderPayment) -> Money | None:
    """What the provider says that it keeps, where our books do not have it yet.

    A fee in another currency than the payment's (a shop that is paid out in its own) is not one of this payment's
    clearing account, and is not compared either (G18).
    """
    is_comparable = seen.fee is not None and seen.fee.currency == booked.amount.currency
    return seen.fee if booked.state in PAID_STATES and booked.fee is None and is_comparable else None


def facts_of_seen(seen: ProviderPayment) -> Facts:
    """What a person needs to judge the provider's payment by."""
    return {
        "amount": str(seen.amount),
        "status": seen.status.value,
        "refunded": _text(seen.refunded),
        "fee": _text(seen.fee),
        "disputed": str(seen.is_disputed).lower(),
        "payment_id": seen.payment_id,
        "account_id": seen.account_id,
        "purpose": seen.purpose,
    }


def facts_of_booked(booked: Payment) -> Facts:
    """What a person needs to judge our row by."""
    return {
        "amount": str(booked.amount),
        "status": booked.state.value,
        "refunded": str(booked.refunded),
        "fee": _text(booked.fee),
        "payment_id": booked.id,
        "account_id": booked.account_id,
        "purpose": booked.purpose,
    }


def facts_of_refund(seen: ProviderRefund) -> Facts:
    """What a person needs to judge the provider's refund by."""
    return {
        "amount": str(seen.amount),
        "status": seen.status.value,
        "refund_id": seen.refund_id,
        "provider_payment_id": seen.payment_id,
    }


def facts_of_booked_refund(booked: Refund) -> Facts:
    """What a person needs to judge our refund by."""
    return {
        "amount": str(booked.amount),
        "status": booked.state.value,
        "refund_id": booked.id,
        "payment_id": booked.payment_id,
    }


def window_after(last_until: datetime | None, *, now: datetime) -> Window:
    """The time that the next run compares: on from the last one, and at the most a month of it.

    After a long pause it does not reach to now; the runs after it catch up.
    """
    since = (now if last_until is None else last_until) - WINDOW_OVERLAP
    return Window(since, min(now, since + WINDOW_MAX))


def _kinds(booked: Payment, seen: ProviderPayment) -> list[DifferenceKind]:
    has_one_currency = booked.amount.currency == seen.amount.currency
    is_paid = booked.state in PAID_STATES
    found = {
        DifferenceKind.IDENTITY: not _is_same_payment(booked, seen),
        DifferenceKind.CURRENCY: not has_one_currency,
        DifferenceKind.AMOUNT: has_one_currency and booked.amount != seen.amount,
        DifferenceKind.STATUS: not _agree_on_status(booked.state, seen),
        DifferenceKind.REFUND: is_paid and has_one_currency and seen.refunded not in {None, booked.refunded},
        DifferenceKind.FEE: is_paid and _is_another_fee(booked, seen),
    }
    return [kind for kind, differs in found.items() if differs]


def _is_same_payment(booked: Payment, seen: ProviderPayment) -> bool:
    ours = (booked.id, booked.account_id, booked.purpose, booked.shop_id, booked.is_test)
    theirs = (seen.payment_id, seen.account_id, seen.purpose, seen.shop_id, seen.is_test)
    return ours == theirs and booked.provider_payment_id in {None, seen.id}


def _agree_on_status(state: PaymentState, seen: ProviderPayment) -> bool:
    match seen.status:
        case ProviderStatus.SUCCEEDED:
            return state in PAID_STATES and seen.is_disputed is (state is PaymentState.DISPUTED)
        case ProviderStatus.CANCELED:
            return state is PaymentState.CANCELED
        case ProviderStatus.PENDING | ProviderStatus.WAITING_FOR_CAPTURE:
            return state in LIVE_STATES


def _is_another_fee(booked: Payment, seen: ProviderPayment) -> bool:
    if booked.fee is None or seen.fee is None or booked.fee.currency != seen.fee.currency:
        return False
    return booked.fee != seen.fee


def _text(money: Money | None) -> str | None:
    return None if money is None else str(money)
