"""What the free quota refuses.

BillingError
├── ReservationEnded         the operation's reservation has ended in another way already
├── FreeTermsRefused         terms that nobody can mean
├── FreeTermsOutdated        somebody else has changed the terms since they were read
├── QuotaExceeded            the account spends nothing but its free quota, and too little of it is left
└── FreeQuotaUnavailable     the account spends nothing but its free quota, and this call has none
"""

from __future__ import annotations

from billing.kit.errors import BillingError


class ReservationEnded(BillingError):
    """A reservation ends once: with the use that was measured, or released."""

    code = "reservation_ended"

    def __init__(self, operation_id: str, state: str) -> None:
        super().__init__(
            f"The free-quota reservation of {operation_id} does not exist or has ended as {state} already.",
            facts={"operation_id": operation_id, "state": state},
        )
        self.operation_id = operation_id
        self.state = state


class FreeTermsRefused(BillingError):
    """A limit below zero, a cycle without a length, or models without names."""

    code = "free_terms_refused"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence, facts={"field": field})
        self.field = field


class FreeTermsOutdated(BillingError):
    """The terms are not those that the change was meant for; read them again."""

    code = "free_terms_outdated"

    def __init__(self, version: int) -> None:
        super().__init__(
            f"The free terms have changed meanwhile; version {version} is in force.", facts={"version": version}
        )
        self.version = version


class QuotaExceeded(BillingError):
    """Too little is left of one metric; `used` counts what running calls have set aside."""

    code = "quota_exceeded"

    def __init__(self, metric: str, *, limit: int, used: int, required: int) -> None:
        super().__init__(
            f"The call needs up to {required} of the free {metric}; {used} of {limit} are taken.",
            facts={"metric": metric, "limit": limit, "used": used, "required": required},
        )
        self.metric = metric
        self.limit = limit
        self.used = used
        self.required = required


class FreeQuotaUnavailable(BillingError):
    """This call cannot be free, however much is left; `reason` says why."""

    code = "free_quota_unavailable"

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"This call is not free ({reason}), and the account spends nothing else.", facts={"reason": reason}
        )
        self.reason = reason
