"""Whom a receipt (54-FZ) reaches and what it says: contacts from outside are checked, terms are read, purely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from billing.customers.rules import AccountId, normalise_email
from billing.kit.errors import InvalidInput
from billing.kit.money import Money
from billing.payments.rules import PaymentId, ReceiptStatus

RECEIPT_TEXT_MAX = 128
"""A line of a receipt has so many characters at the most."""

_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{5,30}", re.ASCII)
_NOT_DIGITS = re.compile(r"[^0-9]", re.ASCII)
_PHONE_DIGITS_MIN, _PHONE_DIGITS_MAX = (
    11,
    15,
)  # ITU-T E.164 has 15 at the most; below 11 YooKassa is not known to take one
_NATIONAL_DIGITS = 11
_NATIONAL_PREFIX, _COUNTRY = "8", "7"


@dataclass(frozen=True, slots=True)
class ReceiptTerms:
    """What every receipt of this deployment says beside the amount; `items` names the line by the payment's purpose.

    Codes, mode and subject are those of the tax office as YooKassa's documentation lists them.
    """

    items: Mapping[str, str]
    vat_code: int
    payment_mode: str
    payment_subject: str
    tax_system_code: int | None


@dataclass(frozen=True, slots=True)
class UnregisteredReceipt:
    """A receipt that the tax office does not have (yet), of a payment or, with `refund_id`, of a refund.

    It holds nothing of the customer's contact.
    """

    payment_id: PaymentId
    refund_id: str | None
    account_id: AccountId
    amount: Money
    status: ReceiptStatus
    succeeded_at: datetime


def normalise_phone(text: str) -> str:
    """The number's digits with its country (E.164 without the plus), which is how receipts take it.

    A number of eleven digits that begins with 8 and without a plus is a Russian one, dialled from inside the country.

    Raises:
        InvalidInput: not 11 to 15 digits, or anything else than digits and what people write between them.
    """
    digits = _NOT_DIGITS.sub("", text)
    if not _PHONE.fullmatch(text.strip()) or not _PHONE_DIGITS_MIN <= len(digits) <= _PHONE_DIGITS_MAX:
        raise InvalidInput("contact_phone", "This is not a phone number with its country.")
    is_national = len(digits) == _NATIONAL_DIGITS and text.strip().startswith(_NATIONAL_PREFIX)
    return _COUNTRY + digits[1:] if is_national else digits


def normalise_contact_email(text: str) -> str:
    """The address, trimmed and in lower case.

    Raises:
        InvalidInput: it is no e-mail address.
    """
    try:
        return normalise_email(text)
    except InvalidInput as refusal:
        raise InvalidInput("contact_email", refusal.sentence) from None
