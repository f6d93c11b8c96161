"""Plans, and everything that sells them: real services, real database, the simulated provider over real HTTP."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from backend.tests.builders.wallets import rub
from billing.subscriptions.rules import Interval, Plan, PlanId, PlanTerms


def terms(**more: Any) -> PlanTerms:
    """A plan of 300 roubles a month that includes 100 roubles of credit."""
    given: dict[str, Any] = {
        "code": f"plan-{secrets.token_hex(6)}",
        "name": "Plus",
        "price": rub("300"),
        "interval": Interval.MONTH,
        "included_credit": rub("100"),
        **more,
    }
    return PlanTerms(**given)


def plan(**more: Any) -> Plan:
    """Such a plan, as it is on offer."""
    return Plan(PlanId("pln_1"), terms(**more), datetime(2026, 1, 1, tzinfo=UTC))
