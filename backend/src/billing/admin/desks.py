"""The desks of this capability in one object, which the wiring builds and endpoints and commands ask for."""

from __future__ import annotations

from dataclasses import dataclass

from billing.admin.books_desk import BooksDesk
from billing.admin.credit_desk import CreditDesk
from billing.admin.hold_desk import HoldDesk
from billing.admin.inbox_desk import InboxDesk
from billing.admin.outbound_desk import OutboundDesk
from billing.admin.payment_desk import PaymentDesk
from billing.admin.receipt_desk import ReceiptDesk
from billing.admin.reconciliation_desk import ReconciliationDesk


@dataclass(frozen=True, slots=True)
class OperatorDesks:
    """Every desk of the operators; each decides itself who may do what."""

    holds: HoldDesk
    credit: CreditDesk
    books: BooksDesk
    inbox: InboxDesk
    outbound: OutboundDesk
    payments: PaymentDesk
    reconciliation: ReconciliationDesk
    receipts: ReceiptDesk
