"""What a wallet refuses.

BillingError
├── InsufficientFunds         the credit does not cover the most that the call can cost
├── MaxReplyCostExceeded      the call can cost more than its owner allows for one reply
├── OperationEnded            the operation has ended in another way already
└── OperationReused           the operation has a hold of another amount already
"""

from __future__ import annotations

from billing.kit.errors import BillingError
from billing.kit.money import Money


class InsufficientFunds(BillingError):
    """The credit does not cover the most that the call can cost; `available` is always less than `required`."""

    code = "insufficient_funds"

    def __init__(self, available: Money, required: Money) -> None:
        assert available < required, "funds that suffice are never called insufficient"
        super().__init__(
            f"The wallet has {available} available, and this call can cost up to {required}.",
            facts={
                "available": available.to_decimal(),
                "required": required.to_decimal(),
                "currency": required.currency,
            },
        )
        self.available = available
        self.required = required


class MaxReplyCostExceeded(BillingError):
    """The call can cost more than the wallet's owner, or the client itself, allows for one reply."""

    code = "max_reply_cost_exceeded"

    def __init__(self, limit: Money, required: Money) -> None:
        super().__init__(
            f"One reply may cost at most {limit}, and this one can cost up to {required}.",
            facts={"limit": limit.to_decimal(), "required": required.to_decimal(), "currency": required.currency},
        )
        self.limit = limit
        self.required = required


class OperationEnded(BillingError):
    """An operation ends once (G2): it was settled, released or charged differently before."""

    code = "operation_ended"

    def __init__(self, operation_id: str, ending: str) -> None:
        super().__init__(f"Operation {operation_id} has ended already: {ending}.", facts={"operation_id": operation_id})
        self.operation_id = operation_id
        self.ending = ending


class OperationReused(BillingError):
    """The operation id has a hold of another amount; a new call needs a new operation."""

    code = "operation_reused"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"Operation {operation_id} has a hold of another amount already.", facts={"operation_id": operation_id}
        )
        self.operation_id = operation_id
