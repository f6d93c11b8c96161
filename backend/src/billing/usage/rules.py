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

TOKENS = (Unit.INPUT, Unit.CACHED_INPUT, Unit.OUTPUT, Unit.REASONING)
"""The units that every event speaks of, even if it is to say zero."""


class BillingSource(StrEnum):
    """Who pays for an operation."""

    PAYG = "payg"
    LEAD_MAGNET = "lead_magnet"
    SUBSCRIPTION = "subscription"


class EstimateReason(StrEnum):
    """Why the quantities are our own count and not the provider's.

    The provider gave none, or none that can be meant; it broke off its stream; the gateway itself was lost and left a
    checkpoint; an operator decided.
    """

    USAGE_MISSING = "usage_missing"
    USAGE_INVALID = "usage_invalid"
    STREAM_CUT = "stream_cut"
    GATEWAY_LOST = "gateway_lost"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """One operation: who, what, how much, at which rates, and what was charged.

    `raw_cost` is the price without discount, also where nothing was charged; `rates` is the snapshot from which it can
    be computed again. `quantities` has every kind of text token, zero or not, and of the other units those that were
    used. `door` is the route, `provider` the upstream that answered, None where that is not known any more.
    `correlation_id` is the client's own word and decides nothing.
    """

    operation_id: OperationId
    account_id: AccountId
    wallet_id: WalletId
    person_id: PersonId | None
    api_key_id: str | None
    billing_source: BillingSource
    door: str
    provider: str | None
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

    def __post_init__(self) -> None:
        """Brings the quantities into their one form, so that two accounts of the same use are equal."""
        tokens = {unit: self.quantities.get(unit, 0) for unit in TOKENS}
        others = {unit: count for unit, count in self.quantities.items() if count and unit not in TOKENS}
        object.__setattr__(self, "quantities", {**tokens, **others})

    @property
    def is_estimated(self) -> bool:
        """The quantities are our own count."""
        return self.estimate_reason is not None
