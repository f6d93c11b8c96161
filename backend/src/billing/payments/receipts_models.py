"""The table of receipts that are asked about."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import DateTime, ForeignKey, Index, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from billing.kit.database import Table
from billing.payments.models import PaymentRow, RefundRow


class ReceiptCheckRow(Table):
    """When the provider was last asked what became of a payment's receipts, its refunds' included."""

    __tablename__ = "receipt_checks"

    payment_id: Mapped[str] = mapped_column(Text, ForeignKey("payments.id"), primary_key=True)
    checked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# Receipts that have not ended well: few, and of one moment, however many payments there are.
Index(
    "ix_payments_receipt_unregistered",
    PaymentRow.succeeded_at,
    postgresql_where=text("receipt_terms IS NOT NULL AND receipt_status IS DISTINCT FROM 'succeeded'"),
)
Index(
    "ix_refunds_receipt_unregistered",
    RefundRow.succeeded_at,
    postgresql_where=text("succeeded_at IS NOT NULL AND receipt_status IS DISTINCT FROM 'succeeded'"),
)
