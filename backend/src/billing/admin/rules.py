"""What makes a hold odd, which amounts can be moved, and what is recorded when an operator decides about a hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from enum import StrEnum

from billing.customers.rules import AccountId, PersonId
from billing.kit.errors import InvalidInput
from billing.kit.money import Money
from billing.usage.rules import BillingSource, EstimateReason, UsageEvent
from billing.wallets.models import HoldStatus
from billing.wallets.oversight import WatchedHold

OPEN_FOR_LONG = timedelta(hours=1)
_UNKNOWN = "unknown"


class Oddity(StrEnum):
    """Why an operator may want to look at a hold; one hold can be odd in several ways."""

    OVERDUE = "overdue"
    OPEN_FOR_LONG = "open_for_long"
    EXPIRED_UNCHARGED = "expired_uncharged"
    CHARGED_LATE = "charged_late"
    MADE_DEBT = "made_debt"
    CHARGED_BEYOND_HOLD = "charged_beyond_hold"


def oddities_of(hold: WatchedHold, now: datetime) -> tuple[Oddity, ...]:
    """All that is odd about the hold; an ordinary one has nothing."""
    is_open = hold.status is HoldStatus.OPEN
    is_expired = hold.status is HoldStatus.EXPIRED
    found = {
        Oddity.OVERDUE: is_open and hold.expires_at <= now,
        Oddity.OPEN_FOR_LONG: is_open and hold.placed_at <= now - OPEN_FOR_LONG,
        Oddity.EXPIRED_UNCHARGED: is_expired and hold.charged is None,
        Oddity.CHARGED_LATE: hold.is_charged_late,
        Oddity.MADE_DEBT: hold.made_debt,
        Oddity.CHARGED_BEYOND_HOLD: hold.charged is not None and hold.charged > hold.amount,
    }
    return tuple(oddity for oddity, is_so in found.items() if is_so)


def check_amount(amount: Money, *, is_zero_allowed: bool = False) -> Money:
    """An amount that can be moved.

    Raises:
        InvalidInput: negative, or nothing at all where something must move.
    """
    if amount.micros < 0:
        raise InvalidInput("amount", "The amount must not be negative.")
    if amount.micros == 0 and not is_zero_allowed:
        raise InvalidInput("amount", "The amount must be above zero.")
    return amount


def facts_of(hold: WatchedHold) -> Mapping[str, object]:
    """The hold as the audit trail keeps it."""
    return {
        "status": hold.status.value,
        "amount": str(hold.amount),
        "charged": None if hold.charged is None else str(hold.charged),
        "is_charged_late": hold.is_charged_late,
    }


def event_by_operator(hold: WatchedHold, charged: Money, metered: UsageEvent | None, at: datetime) -> UsageEvent:
    """The usage event of a charge that an operator decided about (G4).

    It says what had been metered of a stream; of another call nothing is known but who made it and what it is charged.
    """
    known = metered or _nothing_metered(hold)
    return replace(
        known,
        charged=charged,
        raw_cost=max(known.raw_cost, charged),
        estimate_reason=EstimateReason.OPERATOR,
        occurred_at=at,
    )


def _nothing_metered(hold: WatchedHold) -> UsageEvent:
    nothing = Money.zero(hold.amount.currency)
    return UsageEvent(
        operation_id=hold.operation_id,
        account_id=AccountId(hold.account_id),
        wallet_id=hold.wallet_id,
        person_id=None if hold.person_id is None else PersonId(hold.person_id),
        api_key_id=hold.api_key_id,
        billing_source=BillingSource.PAYG,
        door=_UNKNOWN,
        provider=None,
        model_asked=_UNKNOWN,
        model_priced=_UNKNOWN,
        model_used=_UNKNOWN,
        quantities={},
        raw_cost=nothing,
        charged=nothing,
        discount_percent=0,
        rates={},
        estimate_reason=EstimateReason.OPERATOR,
        latency_ms=0,
        correlation_id=None,
        occurred_at=hold.placed_at,
    )
