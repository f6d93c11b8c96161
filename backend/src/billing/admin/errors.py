"""What the operators' desk refuses.

BillingError
└── HoldNotFound      there is no hold with this id
"""

from __future__ import annotations

from billing.kit.errors import BillingError


class HoldNotFound(BillingError):
    """There is no hold with this id."""

    code = "hold_not_found"

    def __init__(self, hold_id: str) -> None:
        super().__init__("There is no hold with this id.", facts={"hold_id": hold_id})
        self.hold_id = hold_id
