"""Usage events as an ordinary paid call leaves them; a test says what is particular to its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from backend.tests.fakes.clock import NOON
from billing.customers.rules import AccountId
from billing.gateway.rules.doors import Door
from billing.kit.money import Money
from billing.usage.rules import BillingSource, UsageEvent
from billing.wallets.rules import OperationId, WalletId


def usage_event(
    operation_id: OperationId, account_id: AccountId, wallet_id: WalletId, charged: Money, **particular: Any
) -> UsageEvent:
    """A chat that was charged its price, at noon, with nothing else known of it but what is `particular`."""
    ordinary = UsageEvent(
        operation_id=operation_id,
        account_id=account_id,
        wallet_id=wallet_id,
        person_id=None,
        api_key_id=None,
        billing_source=BillingSource.PAYG,
        door=Door.CHAT.value,
        provider=None,
        model_asked="m",
        model_priced="m",
        model_used="m",
        quantities={},
        raw_cost=charged,
        charged=charged,
        discount_percent=0,
        rates={},
        estimate_reason=None,
        latency_ms=0,
        correlation_id=None,
        occurred_at=NOON,
    )
    return replace(ordinary, **particular)
