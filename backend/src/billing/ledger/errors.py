"""What the ledger refuses.

BillingError
└── TransferIdReused    one transfer id, two different contents
"""

from __future__ import annotations

from billing.kit.errors import BillingError


class TransferIdReused(BillingError):
    """A transfer with this id is in the books already, and it says something else."""

    code = "transfer_id_reused"

    def __init__(self, transfer_id: str, field: str) -> None:
        super().__init__(
            f"Transfer {transfer_id} is in the books already with another {field}; a new intent needs a new id.",
            facts={"transfer_id": transfer_id, "field": field},
        )
        self.transfer_id = transfer_id
        self.field = field
