"""When a wallet tops itself up, and when it leaves off: decided purely."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from billing.kit.errors import InvalidInput
from billing.kit.money import Money
from billing.payments.rules import Cancellation, TopupOffer

DECLINE_WAITS = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=24))
"""How long nothing is tried after the first, the second and the third decline in a row."""

DECLINES_MAX = len(DECLINE_WAITS)
"""After so many declines in a row the automatic top-up is off until its owner turns it on again."""


class OffReason(StrEnum):
    """Why an automatic top-up does nothing any more; its owner can turn it on again."""

    TURNED_OFF = "turned_off"
    """Its owner did."""
    DECLINED = "declined"
    """The bank refused three times in a row."""
    METHOD_REMOVED = "method_removed"
    """The owner removed what it pays with."""
    NOT_OFFERED = "not_offered"
    """Its amount is no preset any more."""
    CONTACT_MISSING = "contact_missing"
    """A receipt is due, and the account has no e-mail to send it to."""
    ACCOUNT_CLOSED = "account_closed"
    """Nobody acts for the account any more."""


_DECLINES = frozenset({Cancellation.DECLINED, Cancellation.REJECTED, Cancellation.EXPIRED})


@dataclass(frozen=True, slots=True)
class AutoTopupTerms:
    """What the owner has agreed to: below `threshold`, `amount` is charged, and in a calendar month no more than that.

    All three are of one currency.
    """

    threshold: Money
    amount: Money
    monthly_limit: Money


@dataclass(frozen=True, slots=True)
class Pace:
    """How often was declined in a row, and before when nothing is tried."""

    declines: int
    not_before: datetime

    @property
    def has_had_enough(self) -> bool:
        """It leaves off."""
        return self.declines >= DECLINES_MAX


def check_terms(terms: AutoTopupTerms, offer: TopupOffer) -> None:
    """Lets terms pass that can be kept.

    Raises:
        TopupCurrencyNotOffered, TopupAmountNotOffered: the amount is not on offer.
        InvalidInput: it is no preset, the threshold is not above zero or beyond the largest top-up, or the limit does
            not leave room for one.
    """
    offer.check(terms.amount)
    if terms.amount not in offer.presets:
        raise InvalidInput("amount", "An automatic top-up charges one of the amounts on offer, not one of your own.")
    if terms.threshold.micros <= 0 or terms.threshold > offer.maximum:
        raise InvalidInput("threshold", f"The threshold is above zero and at the most {offer.maximum}.")
    if terms.monthly_limit < terms.amount:
        raise InvalidInput("monthly_limit", "The monthly limit leaves no room for a single top-up.")


def pace_after_begin(pace: Pace, *, now: datetime, cool_off: timedelta) -> Pace:
    """One has begun: the next one waits, whatever becomes of this one."""
    return Pace(pace.declines, max(pace.not_before, now + cool_off))


def pace_after_success(pace: Pace, *, now: datetime, cool_off: timedelta) -> Pace:
    """The money came: earlier declines are forgotten."""
    return Pace(0, max(pace.not_before, now + cool_off))


def pace_after_end(pace: Pace, cancellation: Cancellation | None, *, now: datetime) -> Pace:
    """It ended without money: the longer it was refused, the longer nothing is tried.

    A payment that expired counts as declined, because a bank wanted its customer, who was not there; one that was
    called off does not.
    """
    if cancellation not in _DECLINES:
        return pace
    declines = min(pace.declines + 1, DECLINES_MAX)
    return Pace(declines, now + DECLINE_WAITS[declines - 1])


def pace_when_set(pace: Pace, *, is_same_method: bool, now: datetime) -> Pace:
    """The owner sets terms: another method is tried at once, the same one not before the last decline's wait is over.

    The pause after a top-up that worked stays in either case.
    """
    if not is_same_method:
        return Pace(0, now if pace.declines else pace.not_before)
    return Pace(0 if pace.has_had_enough else pace.declines, pace.not_before)


def has_room(terms: AutoTopupTerms, *, charged: Money) -> bool:
    """One more fits under the limit of the month in which so much was charged, or still may be."""
    return charged + terms.amount <= terms.monthly_limit
