"""What the record of usage refuses.

BillingError
└── UsageEventReused    one operation, two different accounts of what it used
"""

from __future__ import annotations

from billing.kit.errors import BillingError


class UsageEventReused(BillingError):
    """The operation has a usage event already, and it says something else."""

    code = "usage_event_reused"

    def __init__(self, operation_id: str) -> None:
        super().__init__(
            f"The use of operation {operation_id} is recorded already, and differently.",
            facts={"operation_id": operation_id},
        )
        self.operation_id = operation_id
