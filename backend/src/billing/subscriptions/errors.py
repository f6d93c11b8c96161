"""What subscriptions refuse.

BillingError
├── PlanNotFound            no plan of this code is on offer, and none of this id ever was
├── PlanExists              a plan of this code is on offer already
├── PlanRefused             a plan that cannot be meant: no price, a discount above 100 per cent, another currency
├── SubscriptionNotFound    the account has no paid period that runs or is to come
├── RenewalNotPossible      nothing can be charged without the customer: no saved method
└── PaidFarAhead            so much is paid already that no more is sold
"""

from __future__ import annotations

from datetime import datetime

from billing.kit.errors import BillingError


class PlanNotFound(BillingError):
    """No such plan can be bought."""

    code = "plan_not_found"

    def __init__(self, plan: str) -> None:
        super().__init__("There is no such plan on offer.", facts={"plan": plan[:64]})


class PlanExists(BillingError):
    """The code is taken while its plan is on offer."""

    code = "plan_exists"

    def __init__(self, plan: str) -> None:
        super().__init__(f"A plan {plan} is on offer already; retire it first.", facts={"plan": plan})


class PlanRefused(BillingError):
    """A plan that nobody can mean."""

    code = "plan_refused"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence, facts={"field": field})


class SubscriptionNotFound(BillingError):
    """Nothing paid runs or is to come."""

    code = "subscription_not_found"

    def __init__(self) -> None:
        super().__init__("There is no plan that runs here.")


class RenewalNotPossible(BillingError):
    """Without a saved method nothing is charged while its owner is away."""

    code = "renewal_not_possible"

    def __init__(self) -> None:
        super().__init__("The plan cannot renew itself without a saved payment method.")


class PaidFarAhead(BillingError):
    """Nobody needs to pay for years to come."""

    code = "plan_paid_far_ahead"

    def __init__(self, paid_until: datetime) -> None:
        super().__init__(
            f"This is paid until {paid_until.isoformat()} already; later periods are not sold yet.",
            facts={"paid_until": paid_until.isoformat()},
        )
