"""What a wallet refuses.

BillingError
├── CapExceeded               a cap on what may be spent in a period has no room for the call
│   ├── DailyCapExceeded      the wallet's, in a calendar day
│   ├── MonthlyCapExceeded    the account's, in a calendar month
│   ├── MemberCapExceeded     this member's, in a calendar month
│   └── KeyCapExceeded        this API key's, in a calendar month
├── InsufficientFunds         the credit does not cover the most that the call can cost
├── MaxReplyCostExceeded      the call can cost more than its owner allows for one reply
├── OperationEnded            the operation has ended in another way already
├── OperationReused           the operation has a hold of another amount already
└── WriteOffExceedsDebt       more debt is to be given up than the wallet has
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from billing.kit.errors import BillingError
from billing.kit.money import Money


class CapExceeded(BillingError):
    """A cap has no room: what is spent, what open calls reserve and what this one may cost are more together.

    Waiting helps at `resets_at`; what is reserved may come back earlier.
    """

    code = "cap_exceeded"
    whose: ClassVar[str]

    def __init__(self, *, cap: Money, spent: Money, reserved: Money, required: Money, resets_at: datetime) -> None:
        super().__init__(
            f"{self.whose} is {cap}: {spent} is spent and {reserved} reserved, and this call can cost {required} more.",
            facts={
                "cap": cap.to_decimal(),
                "spent": spent.to_decimal(),
                "reserved": reserved.to_decimal(),
                "required": required.to_decimal(),
                "currency": cap.currency,
                "resets_at": resets_at.isoformat(),
            },
        )
        self.cap = cap
        self.spent = spent
        self.reserved = reserved
        self.required = required
        self.resets_at = resets_at


class DailyCapExceeded(CapExceeded):
    """The wallet's cap for a calendar day in the account's time zone."""

    code = "daily_cap_exceeded"
    whose = "The wallet's cap for a day"


class MonthlyCapExceeded(CapExceeded):
    """The account's cap for a calendar month in its time zone."""

    code = "monthly_cap_exceeded"
    whose = "The account's cap for a month"


class MemberCapExceeded(CapExceeded):
    """This member's cap for a calendar month in the account's time zone."""

    code = "member_cap_exceeded"
    whose = "This member's cap for a month"


class KeyCapExceeded(CapExceeded):
    """This API key's cap for a calendar month in the account's time zone."""

    code = "key_cap_exceeded"
    whose = "This API key's cap for a month"


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


class WriteOffExceedsDebt(BillingError):
    """More debt is to be given up than the wallet has."""

    code = "write_off_exceeds_debt"

    def __init__(self, debt: Money, asked: Money) -> None:
        super().__init__(
            f"The wallet owes {debt}, and {asked} cannot be written off.",
            facts={"debt": debt.to_decimal(), "asked": asked.to_decimal(), "currency": debt.currency},
        )
        self.debt = debt
        self.asked = asked
