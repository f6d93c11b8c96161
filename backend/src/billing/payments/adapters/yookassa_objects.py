"""How YooKassa writes payments and notifications, and what they mean to us."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, StrictBool, StrictStr, ValidationError

from billing.kit.errors import InvalidInput
from billing.kit.money import Money, parse_currency
from billing.payments.errors import ProviderMalformed
from billing.payments.ports import PaymentOrder, ProviderEvent, ProviderPayment
from billing.payments.rules import Cancellation, ProviderStatus, parse_provider_payment_id

_DESCRIPTION_MAX = 128
_EVENT_CLAIMS_FINAL = {"payment.succeeded": True, "payment.canceled": True, "payment.waiting_for_capture": False}
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


class _EventObject(BaseModel):
    id: StrictStr


class _Event(BaseModel):
    event: StrictStr
    object: _EventObject


def as_order(order: PaymentOrder) -> dict[str, Any]:
    """The body of `POST /payments`; amounts are strings, never numbers."""
    return {
        "amount": {"value": order.amount.to_decimal(), "currency": order.amount.currency},
        "capture": True,
        "confirmation": {"type": "redirect", "return_url": order.return_url},
        "description": order.description[:_DESCRIPTION_MAX],
        "metadata": {"payment_id": order.payment_id, "account_id": order.account_id, "purpose": order.purpose},
    }


def as_payment(body: object) -> ProviderPayment:
    """The provider's payment object in our words.

    Raises:
        ProviderMalformed: a member that we need is missing or is not what the documentation says.
    """
    try:
        payment = _Payment.model_validate(body)
        amount = Money.from_decimal(payment.amount.value, parse_currency(payment.amount.currency))
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
    )


def as_event(body: object) -> ProviderEvent:
    """What a notification claims.

    Raises:
        ProviderMalformed: no event, no object, or an id that cannot be one.
    """
    try:
        event = _Event.model_validate(body)
    except ValidationError as error:
        raise ProviderMalformed("The notification cannot be understood.") from error
    if event.event not in _EVENT_CLAIMS_FINAL:
        return ProviderEvent(event.event, payment_id=None, claims_final=False)
    return ProviderEvent(
        event.event,
        payment_id=parse_provider_payment_id(event.object.id),
        claims_final=_EVENT_CLAIMS_FINAL[event.event],
    )


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
