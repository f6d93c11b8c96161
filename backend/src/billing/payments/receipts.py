"""Receipts for the tax office (54-FZ): which payments carry one, whom it reaches, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from billing.customers.directory import AccountDirectory
from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.errors import BillingContactRequired
from billing.payments.ports import ReceiptOrder
from billing.payments.receipts_rules import Contact, ReceiptTerms

RECEIPT_PROVIDERS = frozenset({"yookassa"})
"""Those that pass receipts on to the tax office; elsewhere none is due."""


@dataclass(frozen=True, slots=True)
class ReceiptDue:
    """What a payment's receipt needs, as it is stored with the payment before its provider is asked."""

    contact: Contact = field(repr=False)
    terms: Mapping[str, object]


class Receipts:
    """Says what a new payment's receipt needs; without terms none is due anywhere."""

    def __init__(self, *, directory: AccountDirectory, terms: ReceiptTerms | None) -> None:
        self._directory = directory
        self._terms = terms

    async def due(
        self, uow: UnitOfWork, account_id: AccountId, *, provider: str, purpose: str, given: Contact | None
    ) -> ReceiptDue | None:
        """The receipt of a payment that is about to be written; None where none is due.

        It reaches the contact that the request gave, else the e-mail of the account's first owner.

        Raises:
            BillingContactRequired: neither is there.
        """
        if self._terms is None or provider not in RECEIPT_PROVIDERS:
            return None
        contact = given or await self._contact_of(uow, account_id)
        if contact is None:
            raise BillingContactRequired
        return ReceiptDue(contact, self._terms.for_purpose(purpose))

    async def _contact_of(self, uow: UnitOfWork, account_id: AccountId) -> Contact | None:
        email = await self._directory.owner_email(uow, account_id)
        return None if email is None else Contact(email=email)


def receipt_order(*, email: str | None, phone: str | None, terms: Mapping[str, Any] | None) -> ReceiptOrder | None:
    """The receipt of a payment or of its refund, made from what is stored with the payment alone."""
    if terms is None:
        return None
    return ReceiptOrder(
        email=email,
        phone=phone,
        description=terms["description"],
        vat_code=terms["vat_code"],
        payment_mode=terms["payment_mode"],
        payment_subject=terms["payment_subject"],
        tax_system_code=terms["tax_system_code"],
    )
