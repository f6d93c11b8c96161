"""What the ledger refuses.

BillingError
├── LedgerAccountUnknown    the chart of accounts has no such account
├── TransferIdReused        one transfer id, two different contents
└── TransferUnknown         a correction names a transfer that this wallet does not have
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


class LedgerAccountUnknown(BillingError):
    """The chart of accounts has no system account of this name."""

    code = "ledger_account_unknown"

    def __init__(self, account: str) -> None:
        super().__init__(f"The chart of accounts has no {account}.", facts={"account": account})
        self.account = account


class TransferUnknown(BillingError):
    """A correction names the transfer that it mends; this wallet has none with that id."""

    code = "transfer_unknown"

    def __init__(self, transfer_id: str) -> None:
        super().__init__(f"This wallet has no transfer {transfer_id}.", facts={"transfer_id": transfer_id})
        self.transfer_id = transfer_id
