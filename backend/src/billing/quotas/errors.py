"""What the free quota refuses.

BillingError
├── ReservationEnded     the operation's reservation has ended in another way already
└── FreeTermsRefused     terms that nobody can mean
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
    """A limit below zero, or a cycle without a length."""

    code = "free_terms_refused"

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__(sentence, facts={"field": field})
        self.field = field
