"""What an account is told: caps that are nearly or wholly spent, a low balance, what became of its payments. Pure.

A threshold is crossed by a change when it was not reached before and is afterwards; nothing else remembers that it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.kit.money import Currency, Money
from billing.wallets.caps import CapScope, Counter
from billing.wallets.movements import WalletState

CAP_THRESHOLDS_PERCENT = (80, 100)

_KIND_OF_SUBJECT = {CapScope.DAY: "wallet", CapScope.MONTH: "account", CapScope.MEMBER: "member", CapScope.KEY: "key"}


class EventKind(StrEnum):
    """What can be told."""

    CAP_THRESHOLD = "wallet.cap_threshold"
    LOW_BALANCE = "wallet.low_balance"
    TOPUP_CREDITED = "topup.credited"
    PAYMENT_FAILED = "payment.failed"
    PAYMENT_STUCK = "payment.stuck"
    REFUND_SUCCEEDED = "refund.succeeded"
    REFUND_FAILED = "refund.failed"
    DISPUTE_OPENED = "dispute.opened"
    DISPUTE_WON = "dispute.won"
    DISPUTE_LOST = "dispute.lost"
    AUTO_TOPUP_DISABLED = "auto_topup.disabled"
    SUBSCRIPTION_PAID = "subscription.paid"
    SUBSCRIPTION_RENEWED = "subscription.renewed"
    SUBSCRIPTION_RENEWAL_FAILED = "subscription.renewal_failed"
    SUBSCRIPTION_ENDED = "subscription.ended"
    SUBSCRIPTION_RESTORED = "subscription.restored"


@dataclass(frozen=True, slots=True)
class Alert:
    """One crossing. `crossing` names it within its wallet, so that it is told once."""

    kind: EventKind
    subject: str
    crossing: str
    payload: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class BillingEvent:
    """An alert as it was recorded; what other capabilities have told about the account's money is one too."""

    event_id: str
    kind: EventKind
    subject: str
    payload: Mapping[str, object]
    occurred_at: datetime


def cap_alerts(before: Counter | None, after: Counter, currency: Currency) -> list[Alert]:
    """The thresholds of one cap that this change crossed; `before` is None where there was no cap.

    Charges count, reservations do not: most of them are given back. A cap of nothing has no thresholds.
    """
    cap = after.cap_micros
    if not cap:
        return []
    return [
        Alert(
            kind=EventKind.CAP_THRESHOLD,
            subject=after.subject,
            crossing=f"cap {after.scope} {after.subject} {after.period.starts_at.isoformat()} {cap} {percent}",
            payload={
                "scope": _KIND_OF_SUBJECT[after.scope],
                "per": "day" if after.scope is CapScope.DAY else "month",
                "percent": percent,
                "cap": Money(cap, currency).to_decimal(),
                "spent": Money(after.spent_micros, currency).to_decimal(),
                "currency": currency,
                "starts_at": after.period.starts_at.isoformat(),
                "resets_at": after.period.ends_at.isoformat(),
            },
        )
        for percent in CAP_THRESHOLDS_PERCENT
        if _has_reached(after, percent) and not _has_reached(before, percent)
    ]


def low_balance_alerts(before: WalletState, after: WalletState) -> list[Alert]:
    """Tells that everything that is not spent yet, also what is held, fell below the wallet's threshold."""
    threshold = after.low_balance_micros
    was_low = before.low_balance_micros is not None and before.worth_micros < before.low_balance_micros
    if threshold is None or was_low or after.worth_micros >= threshold:
        return []
    currency = after.currency
    return [
        Alert(
            kind=EventKind.LOW_BALANCE,
            subject="",
            crossing=f"low balance {after.entry_sequence} {threshold}",
            payload={
                "threshold": Money(threshold, currency).to_decimal(),
                "balance": Money(after.worth_micros, currency).to_decimal(),
                "currency": currency,
            },
        )
    ]


def _has_reached(counter: Counter | None, percent: int) -> bool:
    if counter is None or counter.cap_micros is None:
        return False
    return counter.spent_micros * 100 >= counter.cap_micros * percent
