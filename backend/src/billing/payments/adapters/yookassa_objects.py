"""How YooKassa writes payments and notifications, and what they mean to us."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, StrictBool, StrictStr, ValidationError

from billing.kit.errors import InvalidInput
from billing.kit.money import Money, parse_currency
from billing.payments.errors import ProviderMalformed
from billing.payments.ports import (
    EventSubject,
    PaymentOrder,
    ProviderEvent,
    ProviderMethod,
    ProviderPayment,
    ProviderRefund,
    ReceiptOrder,
    RefundOrder,
)
from billing.payments.rules import (
    Cancellation,
    ProviderMethodId,
    ProviderStatus,
    ReceiptStatus,
    RefundStatus,
    parse_provider_id,
    parse_provider_payment_id,
    parse_provider_refund_id,
)

_DESCRIPTION_MAX = 128
_EVENT_CLAIMS_FINAL = {"payment.succeeded": True, "payment.canceled": True, "payment.waiting_for_capture": False}
_REFUND_EVENT = "refund.succeeded"
_REFUND_STATUSES = {
    "pending": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "canceled": RefundStatus.FAILED,
}
_RECEIPT_STATUSES = {
    "pending": ReceiptStatus.PENDING,
    "succeeded": ReceiptStatus.SUCCEEDED,
    "canceled": ReceiptStatus.FAILED,
}
# Every other reason (insufficient_funds, 3d_secure_failed, general_decline, …) means that the money was refused.
_CANCELLATIONS = {
    "expired_on_confirmation": Cancellation.EXPIRED,
    "expired_on_capture": Cancellation.EXPIRED,
    "canceled_by_merchant": Cancellation.WITHDRAWN,
}


class _Amount(BaseModel):
    value: StrictStr
    currency: StrictStr


class _Recipient(BaseModel):
    account_id: StrictStr


class _Confirmation(BaseModel):
    confirmation_url: StrictStr | None = None


class _CancellationDetails(BaseModel):
    reason: StrictStr


class _Method(BaseModel):
    id: StrictStr
    saved: StrictBool = False
    title: StrictStr = ""


class _Payment(BaseModel):
    id: StrictStr
    status: ProviderStatus
    paid: StrictBool
    test: StrictBool
    amount: _Amount
    recipient: _Recipient
    metadata: dict[str, Any] = {}
    confirmation: _Confirmation | None = None
    cancellation_details: _CancellationDetails | None = None
    refunded_amount: _Amount | None = None
    income_amount: _Amount | None = None
    payment_method: _Method | None = None
    receipt_registration: StrictStr | None = None
    created_at: datetime | None = None


class _Refund(BaseModel):
    id: StrictStr
    payment_id: StrictStr
    status: StrictStr
    amount: _Amount
    metadata: dict[str, Any] = {}
    receipt_registration: StrictStr | None = None
    created_at: datetime | None = None


class Page(BaseModel):
    """One page of a list."""

    items: list[Any]
    next_cursor: StrictStr | None = None


class _EventObject(BaseModel):
    id: StrictStr
    payment_id: StrictStr | None = None


class _Event(BaseModel):
    event: StrictStr
    object: _EventObject


def as_order(order: PaymentOrder) -> dict[str, Any]:
    """The body of `POST /payments`; amounts are strings, never numbers."""
    body: dict[str, Any] = {
        "amount": as_amount(order.amount),
        "capture": True,
        "description": order.description[:_DESCRIPTION_MAX],
        "metadata": {"payment_id": order.payment_id, "account_id": order.account_id, "purpose": order.purpose},
    }
    if order.method is not None:
        body["payment_method_id"] = order.method.id
    else:
        body["confirmation"] = {"type": "redirect", "return_url": order.return_url}
    if order.saves_method:
        body["save_payment_method"] = True
    if order.receipt is not None:
        body["receipt"] = _as_receipt(order.receipt, order.amount)
    return body


def as_refund_order(order: RefundOrder) -> dict[str, Any]:
    """The body of `POST /refunds`."""
    body: dict[str, Any] = {
        "payment_id": order.provider_payment_id,
        "amount": as_amount(order.amount),
        "description": order.description[:_DESCRIPTION_MAX],
        "metadata": {"refund_id": order.refund_id},
    }
    if order.receipt is not None:
        body["receipt"] = _as_receipt(order.receipt, order.amount)
    return body


def as_amount(amount: Money) -> dict[str, str]:
    """An amount as the API takes it."""
    return {"value": amount.to_decimal(), "currency": amount.currency}


def as_time(moment: datetime) -> str:
    """A moment as lists are asked for it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def as_payment(body: object) -> ProviderPayment:
    """The provider's payment object in our words.

    Raises:
        ProviderMalformed: a member that we need is missing or is not what the documentation says.
    """
    try:
        payment = _Payment.model_validate(body)
        amount = _money(payment.amount)
        refunded = None if payment.refunded_amount is None else _money(payment.refunded_amount)
        income = None if payment.income_amount is None else _money(payment.income_amount)
    except (ValidationError, InvalidInput) as error:
        raise ProviderMalformed("The payment provider's payment object cannot be understood.") from error
    return ProviderPayment(
        id=parse_provider_payment_id(payment.id),
        shop_id=payment.recipient.account_id,
        is_test=payment.test,
        status=payment.status,
        is_paid=payment.paid,
        amount=amount,
        payment_id=_text(payment.metadata, "payment_id"),
        account_id=_text(payment.metadata, "account_id"),
        purpose=_text(payment.metadata, "purpose"),
        confirmation_url=_confirmation_url(payment.confirmation),
        cancellation=_cancellation(payment),
        refunded=refunded,
        fee=None if income is None or income.currency != amount.currency else amount - income,
        method=_method(payment.payment_method),
        receipt=_receipt_status(payment.receipt_registration),
        created_at=payment.created_at,
    )


def as_refund(body: object) -> ProviderRefund:
    """The provider's refund object in our words.

    Raises:
        ProviderMalformed: a member that we need is missing or is not what the documentation says.
    """
    try:
        refund = _Refund.model_validate(body)
        amount = _money(refund.amount)
    except (ValidationError, InvalidInput) as error:
        raise ProviderMalformed("The payment provider's refund object cannot be understood.") from error
    if refund.status not in _REFUND_STATUSES:
        raise ProviderMalformed("The payment provider's refund has a status that none has.")
    return ProviderRefund(
        id=parse_provider_refund_id(refund.id),
        payment_id=parse_provider_payment_id(refund.payment_id),
        status=_REFUND_STATUSES[refund.status],
        amount=amount,
        refund_id=_text(refund.metadata, "refund_id"),
        receipt=_receipt_status(refund.receipt_registration),
        created_at=refund.created_at,
    )


def as_page(body: object) -> Page:
    """One page of a list.

    Raises:
        ProviderMalformed: it is none.
    """
    try:
        return Page.model_validate(body)
    except ValidationError as error:
        raise ProviderMalformed("The payment provider's list cannot be understood.") from error


def as_event(body: object) -> ProviderEvent:
    """What a notification claims.

    Raises:
        ProviderMalformed: no event, no object, or an id that cannot be one.
    """
    try:
        event = _Event.model_validate(body)
    except ValidationError as error:
        raise ProviderMalformed("The notification cannot be understood.") from error
    if event.event == _REFUND_EVENT:
        of = event.object.payment_id
        return ProviderEvent(
            event.event,
            EventSubject.REFUND,
            payment_id=None if of is None else parse_provider_payment_id(of),
            refund_id=parse_provider_refund_id(event.object.id),
        )
    if event.event not in _EVENT_CLAIMS_FINAL:
        return ProviderEvent(event.event, subject=None)
    return ProviderEvent(
        event.event,
        EventSubject.PAYMENT,
        payment_id=parse_provider_payment_id(event.object.id),
        claims_final=_EVENT_CLAIMS_FINAL[event.event],
    )


def _as_receipt(receipt: ReceiptOrder, amount: Money) -> dict[str, Any]:
    customer = {"email": receipt.email, "phone": receipt.phone}
    body: dict[str, Any] = {
        "customer": {name: value for name, value in customer.items() if value is not None},
        "items": [
            {
                "description": receipt.description[:_DESCRIPTION_MAX],
                "quantity": "1.00",
                "amount": as_amount(amount),
                "vat_code": receipt.vat_code,
                "payment_mode": receipt.payment_mode,
                "payment_subject": receipt.payment_subject,
            }
        ],
    }
    return body if receipt.tax_system_code is None else {**body, "tax_system_code": receipt.tax_system_code}


def _money(amount: _Amount) -> Money:
    return Money.from_decimal(amount.value, parse_currency(amount.currency))


def _method(method: _Method | None) -> ProviderMethod | None:
    if method is None:
        return None
    return ProviderMethod(ProviderMethodId(parse_provider_id(method.id)), is_saved=method.saved, title=method.title)


def _receipt_status(text: str | None) -> ReceiptStatus | None:
    """A status that the documentation does not name is one that is still on its way."""
    return None if text is None else _RECEIPT_STATUSES.get(text, ReceiptStatus.PENDING)


def _text(metadata: dict[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    return value if isinstance(value, str) else None


def _confirmation_url(confirmation: _Confirmation | None) -> str | None:
    """Where the customer pays; browsers are sent there, so that it must be an http(s) address."""
    url = None if confirmation is None else confirmation.confirmation_url
    if url is not None and urlsplit(url).scheme not in {"http", "https"}:
        raise ProviderMalformed("The payment provider's confirmation address is not an http(s) address.")
    return url


def _cancellation(payment: _Payment) -> Cancellation | None:
    if payment.status is not ProviderStatus.CANCELED:
        return None
    details = payment.cancellation_details
    return Cancellation.WITHDRAWN if details is None else _CANCELLATIONS.get(details.reason, Cancellation.DECLINED)
