"""Whom a receipt (54-FZ) reaches and what it says: contacts from outside are checked, terms are read, purely."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from billing.customers.rules import normalise_email
from billing.kit.errors import InvalidInput

RECEIPT_TEXT_MAX = 128
"""A line of a receipt has so many characters at the most."""

_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{5,30}", re.ASCII)
_NOT_DIGITS = re.compile(r"[^0-9]", re.ASCII)
_PHONE_DIGITS_MIN, _PHONE_DIGITS_MAX = 10, 15  # ITU-T E.164 has 15 at the most; with its country no number has below 10
_NATIONAL_DIGITS = 11
_NATIONAL_PREFIX, _COUNTRY = "8", "7"


@dataclass(frozen=True, slots=True)
class Contact:
    """How a customer is reached: a normalised e-mail, or a phone number in digits, or both; never neither."""

    email: str | None = field(default=None, repr=False)
    phone: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        assert self.email or self.phone, "a contact that reaches nobody is no contact"


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

    def for_purpose(self, purpose: str) -> dict[str, object]:
        """The terms of one payment's receipt as they are stored with it, so that later settings do not change it."""
        return {
            "description": self.items[purpose],
            "vat_code": self.vat_code,
            "payment_mode": self.payment_mode,
            "payment_subject": self.payment_subject,
            "tax_system_code": self.tax_system_code,
        }


def parse_contact(email: str | None, phone: str | None) -> Contact | None:
    """The contact that a request names, normalised; None where it names none (blank counts as none).

    Raises:
        InvalidInput: what was given is no e-mail address, or no phone number.
    """
    email, phone = (email or "").strip(), (phone or "").strip()
    if not email and not phone:
        return None
    return Contact(email=_email(email) if email else None, phone=normalise_phone(phone) if phone else None)


def normalise_phone(text: str) -> str:
    """The number's digits with its country (E.164 without the plus), which is how receipts take it.

    A number of eleven digits that begins with 8 and without a plus is a Russian one, dialled from inside the country.

    Raises:
        InvalidInput: not 10 to 15 digits, or anything else than digits and what people write between them.
    """
    digits = _NOT_DIGITS.sub("", text)
    if not _PHONE.fullmatch(text.strip()) or not _PHONE_DIGITS_MIN <= len(digits) <= _PHONE_DIGITS_MAX:
        raise InvalidInput("contact_phone", "This is not a phone number with its country.")
    is_national = len(digits) == _NATIONAL_DIGITS and text.strip().startswith(_NATIONAL_PREFIX)
    return _COUNTRY + digits[1:] if is_national else digits


def _email(text: str) -> str:
    try:
        return normalise_email(text)
    except InvalidInput as refusal:
        raise InvalidInput("contact_email", refusal.sentence) from None
