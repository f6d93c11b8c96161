"""What a usage event says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from billing.customers.rules import AccountId, PersonId
from billing.kit.money import Money
from billing.pricing.rules import Unit
from billing.wallets.rules import OperationId, WalletId


class BillingSource(StrEnum):
    """Who pays for an operation."""

    PAYG = "payg"
    LEAD_MAGNET = "lead_magnet"


class EstimateReason(StrEnum):
    """Why the quantities are our own count and not the provider's."""

    USAGE_MISSING = "usage_missing"
    USAGE_INVALID = "usage_invalid"


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One operation: who, what, how much, at which rates, and what was charged.

    `raw_cost` is the price without discount, also where nothing was charged; `rates` is the snapshot from which it can
    be computed again. `correlation_id` is the client's own word and decides nothing.
    """

    operation_id: OperationId
    account_id: AccountId
    wallet_id: WalletId
    person_id: PersonId | None
    api_key_id: str | None
    billing_source: BillingSource
    model_asked: str
    model_priced: str
    model_used: str
    quantities: Mapping[Unit, int]
    raw_cost: Money
    charged: Money
    discount_percent: int
    rates: Mapping[str, object]
    estimate_reason: EstimateReason | None
    latency_ms: int
    correlation_id: str | None
    occurred_at: datetime

    @property
    def is_estimated(self) -> bool:
        """The quantities are our own count."""
        return self.estimate_reason is not None
