"""Receipts for the tax office (54-FZ): what the provider takes with a payment or refund, and what becomes of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from testkit.simulators.clock import MovableClock, iso_milliseconds
from testkit.simulators.yookassa.lists import ListQuery, page_of
from testkit.simulators.yookassa.money import Amount, amount_from
from testkit.simulators.yookassa.refusals import InvalidRequest, NotFound

_ITEMS_MAX = 80
_DESCRIPTION_MAX = 128
_VAT_CODES = range(1, 13)
_TAX_SYSTEMS = range(1, 7)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s.]+")
_PHONE = re.compile(r"\+?[0-9]{11,15}")
_QUANTITY = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
_STORAGE_NUMBER = "9288000100115785"


class ReceiptStatus(StrEnum):
    """How far a receipt has come; the payment or refund shows it as `receipt_registration`."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    CANCELED = "canceled"


class ReceiptMode(StrEnum):
    """What becomes of a receipt once its money has moved."""

    SUCCEED = "succeed"
    WAIT = "wait"
    """It stays pending until somebody ends it."""
    CANCEL = "cancel"
    """The cash register refuses it."""


@dataclass(frozen=True, slots=True)
class NewReceipt:
    """Valid data for a receipt."""

    items: tuple[dict[str, Any], ...]
    tax_system_code: int | None


@dataclass(slots=True, kw_only=True)
class Receipt:
    """The receipt of a payment, or of a refund where `refund_id` is there."""

    id: str
    asked: NewReceipt
    payment_id: str
    refund_id: str | None
    created_at: datetime
    status: ReceiptStatus = ReceiptStatus.PENDING
    registered_at: datetime | None = None
    document_number: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The API's receipt object."""
        body: dict[str, Any] = {
            "id": self.id,
            "type": "payment" if self.refund_id is None else "refund",
            "payment_id": self.payment_id,
            "status": self.status.value,
            "items": [dict(item) for item in self.asked.items],
        }
        if self.refund_id is not None:
            body["refund_id"] = self.refund_id
        if self.asked.tax_system_code is not None:
            body["tax_system_code"] = self.asked.tax_system_code
        if self.registered_at is not None:
            body["registered_at"] = iso_milliseconds(self.registered_at)
            body["fiscal_document_number"] = str(self.document_number)
            body["fiscal_storage_number"] = _STORAGE_NUMBER
            body["fiscal_attribute"] = f"{self.document_number:010d}"
        return body


class Receipts:
    """The receipts of one shop, in the order of their creation."""

    def __init__(self, clock: MovableClock, new_id: Callable[[], str]) -> None:
        self._clock = clock
        self._new_id = new_id
        self.clear()

    def clear(self) -> None:
        """Forgets all receipts; new ones succeed again."""
        self._receipts: dict[str, Receipt] = {}
        self.mode = ReceiptMode.SUCCEED

    def begun(self, asked: NewReceipt | None, *, payment_id: str, refund_id: str | None = None) -> Receipt | None:
        """A receipt that waits for its money to move; None where none was asked for."""
        if asked is None:
            return None
        receipt = Receipt(
            id=f"rt-{self._new_id()}",
            asked=asked,
            payment_id=payment_id,
            refund_id=refund_id,
            created_at=self._clock.now(),
        )
        self._receipts[receipt.id] = receipt
        return receipt

    def register(self, receipt: Receipt | None) -> None:
        """The money has moved: the cash register does what the mode says."""
        if receipt is None or self.mode is ReceiptMode.WAIT:
            return
        self._end(receipt, is_good=self.mode is ReceiptMode.SUCCEED)

    def call_off(self, receipt: Receipt | None) -> None:
        """The money does not move: there is nothing to register."""
        if receipt is not None:
            self._end(receipt, is_good=False)

    def end(self, receipt_id: str, *, is_good: bool) -> Receipt:
        """The cash register's word about a pending receipt.

        Raises:
            NotFound: There is none of this id.
            InvalidRequest: It is not pending.
        """
        receipt = self.of_id(receipt_id)
        if receipt.status is not ReceiptStatus.PENDING:
            raise InvalidRequest(f"Receipt is {receipt.status}, not pending", parameter="receipt_id")
        self._end(receipt, is_good=is_good)
        return receipt

    def of_id(self, receipt_id: str) -> Receipt:
        """The receipt of this id.

        Raises:
            NotFound: There is none.
        """
        if receipt_id not in self._receipts:
            raise NotFound("Receipt doesn't exist or access denied", parameter="receipt_id")
        return self._receipts[receipt_id]

    def all(self) -> list[Receipt]:
        """Every receipt, oldest first."""
        return list(self._receipts.values())

    def listed(self, query: ListQuery) -> dict[str, Any]:
        """One page of the receipts, newest first.

        Raises:
            InvalidRequest: The cursor is not one of this list.
        """
        return page_of(self._receipts, query)

    def _end(self, receipt: Receipt, *, is_good: bool) -> None:
        receipt.status = ReceiptStatus.SUCCEEDED if is_good else ReceiptStatus.CANCELED
        if is_good:
            receipt.registered_at = self._clock.now()
            receipt.document_number = 1 + sum(other.document_number is not None for other in self.all())


def receipt_from(value: object, *, total: Amount, is_demanded: bool) -> NewReceipt | None:
    """Reads the member `receipt` of a payment or refund over `total`.

    Raises:
        InvalidRequest: The shop must send one and did not, or it is not what the documentation demands.
    """
    if value in (None, {}):
        if is_demanded:
            raise InvalidRequest("Receipt is missing or illegal", parameter="receipt")
        return None
    if not isinstance(value, dict):
        raise InvalidRequest("Must be an object", parameter="receipt")
    _check_customer(value)
    items = value.get("items")
    if not isinstance(items, list) or not 1 <= len(items) <= _ITEMS_MAX:
        raise InvalidRequest(f"Must have 1 to {_ITEMS_MAX} items", parameter="receipt.items")
    minor = sum(_checked_item(item, total.currency) for item in items)
    if minor != total.minor:
        raise InvalidRequest("The items do not add up to the amount", parameter="receipt.items")
    tax_system_code = value.get("tax_system_code")
    if tax_system_code is not None and tax_system_code not in _TAX_SYSTEMS:
        raise InvalidRequest("Must be a code from 1 to 6", parameter="receipt.tax_system_code")
    return NewReceipt(tuple(items), tax_system_code)


def _check_customer(receipt: dict[str, Any]) -> None:
    customer = receipt.get("customer") or receipt
    email, phone = customer.get("email"), customer.get("phone")
    if email is None and phone is None:
        raise InvalidRequest("An e-mail address or a phone number is needed", parameter="receipt.customer")
    if email is not None and not _EMAIL.fullmatch(email):
        raise InvalidRequest("Must be an e-mail address", parameter="receipt.customer.email")
    if phone is not None and not _PHONE.fullmatch(phone):
        raise InvalidRequest("Must be a phone number (ITU-T E.164)", parameter="receipt.customer.phone")


def _checked_item(item: Any, currency: str) -> int:
    """What one line costs, in minor units: its price times its quantity."""
    if not isinstance(item, dict):
        raise InvalidRequest("Must be an object", parameter="receipt.items")
    description, quantity = item.get("description"), str(item.get("quantity"))
    if not isinstance(description, str) or not 1 <= len(description) <= _DESCRIPTION_MAX:
        raise InvalidRequest(f"1 to {_DESCRIPTION_MAX} characters", parameter="receipt.items.description")
    if not _QUANTITY.fullmatch(quantity):
        raise InvalidRequest("Must be a positive decimal string", parameter="receipt.items.quantity")
    if item.get("vat_code") not in _VAT_CODES:
        raise InvalidRequest("Must be a code from 1 to 12", parameter="receipt.items.vat_code")
    price = amount_from(item.get("amount"))
    if price.currency != currency:
        raise InvalidRequest("Must be the currency of the amount", parameter="receipt.items.amount.currency")
    whole, _, decimals = quantity.partition(".")
    return price.minor * int(whole + decimals.ljust(3, "0")) // 1000
