"""Every account that money can stand on, with its meaning and its normal sign.

A positive balance on a wallet's account is credit that the customer has; the system accounts mirror it, so that the
whole ledger always sums to zero. `docs/reference/chart-of-accounts.md` shows this page to people.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

SystemAccount = NewType("SystemAccount", str)


class WalletAccount(StrEnum):
    """The four accounts of each wallet; they keep a running balance."""

    PAID = "wallet.paid"
    GRANTED = "wallet.granted"
    HELD = "wallet.held"
    DEBT = "wallet.debt"


class Sign(StrEnum):
    """On which side of zero an account's balance normally is."""

    POSITIVE = "positive"
    NEGATIVE = "negative"
    EITHER = "either"


@dataclass(frozen=True, slots=True)
class AccountMeaning:
    """One line of the chart."""

    name: str
    normal_sign: Sign
    meaning: str


REVENUE = SystemAccount("revenue")
PLAN_SALES = SystemAccount("plan_sales")
PROMOTIONS = SystemAccount("promotions")
BREAKAGE = SystemAccount("breakage")
REFUNDS = SystemAccount("refunds")
DISPUTES = SystemAccount("disputes")
PROVIDER_FEES = SystemAccount("provider_fees")
PAYOUTS = SystemAccount("payouts")
WRITE_OFF = SystemAccount("write_off")
ADJUSTMENTS = SystemAccount("adjustments")

_PROVIDER_PREFIX = "provider:"

CHART = (
    AccountMeaning(WalletAccount.PAID, Sign.POSITIVE, "Credit that the customer paid for and can spend."),
    AccountMeaning(WalletAccount.GRANTED, Sign.POSITIVE, "Credit that we gave and the customer can spend."),
    AccountMeaning(WalletAccount.HELD, Sign.POSITIVE, "Credit set aside for calls that have not ended."),
    AccountMeaning(
        WalletAccount.DEBT, Sign.NEGATIVE, "What the customer used beyond the credit; the next credit pays it."
    ),
    AccountMeaning("provider:<name>", Sign.NEGATIVE, "Clearing: what a payment provider took from customers for us."),
    AccountMeaning(REVENUE, Sign.POSITIVE, "What customers have been charged for use."),
    AccountMeaning(PLAN_SALES, Sign.POSITIVE, "What customers paid for plans; their periods say for which time."),
    AccountMeaning(PROMOTIONS, Sign.NEGATIVE, "Credit given away."),
    AccountMeaning(BREAKAGE, Sign.POSITIVE, "Credit that expired unused."),
    AccountMeaning(REFUNDS, Sign.EITHER, "Refunds on their way between wallet and provider."),
    AccountMeaning(DISPUTES, Sign.EITHER, "Disputed payments until they are won or lost."),
    AccountMeaning(PROVIDER_FEES, Sign.NEGATIVE, "What providers keep for their work."),
    AccountMeaning(PAYOUTS, Sign.NEGATIVE, "What providers paid out to our bank, so that clearing can empty."),
    AccountMeaning(WRITE_OFF, Sign.NEGATIVE, "Debt that we gave up."),
    AccountMeaning(ADJUSTMENTS, Sign.EITHER, "Corrections by an operator, each with a reason."),
)

_SYSTEM_NAMES = frozenset(line.name for line in CHART) - frozenset(WalletAccount)


def provider_account(provider: str) -> SystemAccount:
    """The clearing account of one payment provider."""
    return SystemAccount(_PROVIDER_PREFIX + provider)


def is_system_account(name: str) -> bool:
    """Is one of the chart's accounts that belong to no wallet."""
    return name in _SYSTEM_NAMES or (name.startswith(_PROVIDER_PREFIX) and len(name) > len(_PROVIDER_PREFIX))
