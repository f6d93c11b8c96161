"""Receipts for the tax office (54-FZ): which payments carry one, and whom it reaches."""

from __future__ import annotations

from billing.customers.directory import AccountDirectory
from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.errors import BillingContactRequired
from billing.payments.ports import ReceiptOrder
from billing.payments.receipts_rules import ReceiptTerms, normalise_contact_email, normalise_phone
from billing.payments.records import Contact

RECEIPT_PROVIDERS = frozenset({"yookassa"})
"""Those that pass receipts on to the tax office; with others none is due."""


class TaxReceipts:
    """Orders a receipt with every payment; it reaches whom the request names, else the account's first owner."""

    def __init__(self, *, directory: AccountDirectory, terms: ReceiptTerms) -> None:
        self._directory = directory
        self._terms = terms

    async def order_for(
        self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, contact: Contact
    ) -> ReceiptOrder | None:
        """The receipt of a payment that is about to be written.

        Raises:
            BillingContactRequired: the request names nobody, and the account has no people.
        """
        if not contact.email and not contact.phone:
            contact = Contact(email=await self._directory.owner_email(uow, account_id))
            if contact.email is None:
                raise BillingContactRequired
        return ReceiptOrder(
            email=contact.email,
            phone=contact.phone,
            description=self._terms.items[purpose],
            vat_code=self._terms.vat_code,
            payment_mode=self._terms.payment_mode,
            payment_subject=self._terms.payment_subject,
            tax_system_code=self._terms.tax_system_code,
        )


def parse_contact(email: str | None, phone: str | None) -> Contact:
    """The contact that a request names, normalised; blank counts as not named.

    Raises:
        InvalidInput: what was given is no e-mail address, or no phone number.
    """
    email, phone = (email or "").strip(), (phone or "").strip()
    return Contact(
        email=normalise_contact_email(email) if email else None, phone=normalise_phone(phone) if phone else None
    )
