"""How Stripe writes payments, refunds, disputes and events, and what they mean to us.

Sources: Stripe's API reference (Checkout sessions, PaymentIntents, charges, refunds, disputes) and its page on
currencies. A top-up is a Checkout session, and `cs_…` is its id with us; behind it stands a PaymentIntent `pi_…` once
the customer has begun to pay. What is charged to a kept method is a PaymentIntent alone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, StrictBool, StrictInt, StrictStr, ValidationError

from billing.kit.errors import InvalidInput
from billing.kit.money import Currency, Money, parse_currency
from billing.payments.errors import ProviderMalformed, ProviderRejected
from billing.payments.ports import ProviderDispute, ProviderMethod, ProviderPayment, ProviderRefund
from billing.payments.rules import (
    Cancellation,
    DisputeStatus,
    ProviderDisputeId,
    ProviderMethodId,
    ProviderPaymentId,
    ProviderStatus,
    RefundStatus,
    parse_provider_id,
    parse_provider_payment_id,
    parse_provider_refund_id,
)

SESSION_PREFIX = "cs_"
INTENT_PREFIX = "pi_"

WAY = "way"
"""The metadata in which our intents say how they came about; strangers' say nothing."""


class Way(StrEnum):
    """How a payment of ours came about."""

    CHECKOUT = "checkout"
    DIRECT = "direct"


PAYMENT_OF_REFUND = "provider_payment_id"
"""The metadata in which our refunds name their payment as we call it, so that nobody has to look for it."""

_MICRO_DIGITS = 6
# Stripe's own lists, not CLDR's: several currencies have coins that Stripe does not count, or the reverse.
_WITHOUT_DECIMALS = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905 - a list of codes reads best so
)
_WITH_THREE_DECIMALS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})

_INTENT_STATUSES = {
    "requires_payment_method": ProviderStatus.PENDING,
    "requires_confirmation": ProviderStatus.PENDING,
    "requires_action": ProviderStatus.PENDING,
    "processing": ProviderStatus.PENDING,
    "requires_capture": ProviderStatus.WAITING_FOR_CAPTURE,
    "succeeded": ProviderStatus.SUCCEEDED,
    "canceled": ProviderStatus.CANCELED,
}
# Every other reason (requested_by_customer, duplicate, fraudulent, …) means that somebody called it off.
_CANCELLATIONS = {"abandoned": Cancellation.EXPIRED, "automatic": Cancellation.EXPIRED}
_REFUND_STATUSES = {
    "pending": RefundStatus.PENDING,
    "requires_action": RefundStatus.PENDING,
    "succeeded": RefundStatus.SUCCEEDED,
    "failed": RefundStatus.FAILED,
    "canceled": RefundStatus.FAILED,
}
_DISPUTE_STATUSES = {
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
}
_INQUIRIES = frozenset({"warning_needs_response", "warning_under_review", "warning_closed", "prevented"})
"""The bank asks, or asked; it has taken no money, so that there is nothing to book."""


class _BalanceTransaction(BaseModel):
    fee: StrictInt
    currency: StrictStr


class _Card(BaseModel):
    brand: StrictStr = ""
    last4: StrictStr = ""


class _MethodDetails(BaseModel):
    type: StrictStr = ""
    card: _Card | None = None


class _Charge(BaseModel):
    id: StrictStr
    paid: StrictBool
    amount_refunded: StrictInt
    disputed: StrictBool
    balance_transaction: _BalanceTransaction | StrictStr | None = None
    payment_method_details: _MethodDetails | None = None


class _Intent(BaseModel):
    id: StrictStr
    status: StrictStr
    amount: StrictInt
    amount_received: StrictInt
    currency: StrictStr
    livemode: StrictBool
    created: StrictInt
    metadata: dict[str, Any] = {}
    customer: StrictStr | None = None
    payment_method: StrictStr | None = None
    setup_future_usage: StrictStr | None = None
    latest_charge: _Charge | None = None
    """Always asked to be written out."""
    cancellation_reason: StrictStr | None = None
    last_payment_error: dict[str, Any] | None = None


class _Session(BaseModel):
    id: StrictStr
    status: StrictStr
    payment_status: StrictStr
    amount_total: StrictInt
    currency: StrictStr
    livemode: StrictBool
    created: StrictInt
    metadata: dict[str, Any] = {}
    url: StrictStr | None = None
    payment_intent: _Intent | None = None
    """Always asked to be written out."""


class _Refund(BaseModel):
    id: StrictStr
    status: StrictStr
    amount: StrictInt
    currency: StrictStr
    created: StrictInt
    metadata: dict[str, Any] = {}
    payment_intent: StrictStr | None = None
    charge: StrictStr | None = None


class _Dispute(BaseModel):
    id: StrictStr
    status: StrictStr
    amount: StrictInt
    currency: StrictStr


class Page(BaseModel):
    """One page of a list."""

    data: list[dict[str, Any]]
    has_more: StrictBool


class Named(BaseModel):
    """What is looked at before an object is translated: its id, its metadata, and the intent that it belongs to."""

    id: StrictStr
    status: StrictStr | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    payment_intent: StrictStr | dict[str, Any] | None = None
    mode: StrictStr | None = None
    payment_status: StrictStr | None = None

    @property
    def is_session(self) -> bool:
        """It is a Checkout session."""
        return self.id.startswith(SESSION_PREFIX)

    @property
    def takes_money(self) -> bool:
        """Not a session that keeps a card, begins a subscription of Stripe's own, or is free: none of them is ours."""
        return self.mode in {None, "payment"} and self.payment_status != "no_payment_required"

    @property
    def intent_id(self) -> str | None:
        """The intent's id, whether it is written out or not."""
        intent = self.payment_intent
        found = intent.get("id") if isinstance(intent, dict) else intent
        return None if found is None else parse_provider_id(found)


Shape = TypeVar("Shape", bound=BaseModel)


def understood(shape: type[Shape], body: object) -> Shape:
    """An answer's body in the shape that it should have.

    Raises:
        ProviderMalformed: a member that we need is missing or is not what the documentation says.
    """
    try:
        return shape.model_validate(body)
    except ValidationError as error:
        raise ProviderMalformed("The payment provider's answer cannot be understood.") from error


def as_minor_units(amount: Money) -> int:
    """An amount as the API takes it.

    Raises:
        ProviderRejected: it is finer than what the provider counts in this currency.
    """
    step = _minor_unit_micros(amount.currency)
    if amount.micros % step:
        raise ProviderRejected("The payment provider cannot collect so fine an amount.")
    return amount.micros // step


def as_money(minor_units: int, currency_code: str) -> Money:
    """An amount of the API.

    Raises:
        ProviderMalformed: nobody knows such a currency.
    """
    try:
        currency = parse_currency(currency_code)
    except InvalidInput as error:
        raise ProviderMalformed("The payment provider names a currency that there is not.") from error
    return Money(minor_units * _minor_unit_micros(currency), currency)


def as_payment(body: dict[str, Any], *, shop_id: str) -> ProviderPayment:
    """A session or an intent, with its charge and balance transaction written out, in our words.

    Raises:
        ProviderMalformed: a member that we need is missing or is not what the documentation says.
    """
    if str(body.get("id", "")).startswith(SESSION_PREFIX):
        return _session_payment(understood(_Session, body), shop_id)
    return _intent_payment(understood(_Intent, body), shop_id)


def as_refund(body: dict[str, Any], *, payment_id: ProviderPaymentId) -> ProviderRefund:
    """A refund of this payment in our words.

    Raises:
        ProviderMalformed: a member that we need is missing or is not what the documentation says.
    """
    refund = understood(_Refund, body)
    if refund.status not in _REFUND_STATUSES:
        raise ProviderMalformed("The payment provider's refund has a status that none has.")
    return ProviderRefund(
        id=parse_provider_refund_id(refund.id),
        payment_id=payment_id,
        status=_REFUND_STATUSES[refund.status],
        amount=as_money(refund.amount, refund.currency),
        refund_id=_text(refund.metadata, "refund_id"),
        created_at=_moment(refund.created),
    )


def as_dispute(body: dict[str, Any], *, payment_id: ProviderPaymentId) -> ProviderDispute | None:
    """A dispute about this payment in our words; None for an inquiry, which moves no money.

    Raises:
        ProviderMalformed: a member that we need is missing or is not what the documentation says.
    """
    dispute = understood(_Dispute, body)
    if dispute.status in _INQUIRIES:
        return None
    if dispute.status not in _DISPUTE_STATUSES:
        raise ProviderMalformed("The payment provider's dispute has a status that none has.")
    return ProviderDispute(
        id=ProviderDisputeId(parse_provider_id(dispute.id)),
        payment_id=payment_id,
        status=_DISPUTE_STATUSES[dispute.status],
        amount=as_money(dispute.amount, dispute.currency),
    )


def _session_payment(session: _Session, shop_id: str) -> ProviderPayment:
    intent = session.payment_intent
    status = _status_of_session(session)
    is_captured = intent is not None and status is ProviderStatus.SUCCEEDED
    return ProviderPayment(
        id=parse_provider_payment_id(session.id),
        shop_id=shop_id,
        is_test=not session.livemode,
        status=status,
        is_paid=_is_paid(intent),
        amount=as_money(
            intent.amount_received if intent is not None and is_captured else session.amount_total, session.currency
        ),
        payment_id=_text(session.metadata, "payment_id"),
        account_id=_text(session.metadata, "account_id"),
        purpose=_text(session.metadata, "purpose"),
        confirmation_url=_page_address(session.url) if status is ProviderStatus.PENDING else None,
        cancellation=_cancellation_of_session(session, status),
        **_of_charge(intent),
        created_at=_moment(session.created),
    )


def _intent_payment(intent: _Intent, shop_id: str) -> ProviderPayment:
    status = _status_of_intent(intent)
    is_captured = status is ProviderStatus.SUCCEEDED
    return ProviderPayment(
        id=parse_provider_payment_id(intent.id),
        shop_id=shop_id,
        is_test=not intent.livemode,
        status=status,
        is_paid=_is_paid(intent),
        amount=as_money(intent.amount_received if is_captured else intent.amount, intent.currency),
        payment_id=_text(intent.metadata, "payment_id"),
        account_id=_text(intent.metadata, "account_id"),
        purpose=_text(intent.metadata, "purpose"),
        cancellation=_cancellation_of_intent(intent) if status is ProviderStatus.CANCELED else None,
        **_of_charge(intent),
        created_at=_moment(intent.created),
    )


def _status_of_session(session: _Session) -> ProviderStatus:
    """What the session says, and of a completed one its intent; `paid` is the session's word, not the intent's."""
    match session.status:
        case "open":
            return ProviderStatus.PENDING
        case "expired":
            return ProviderStatus.CANCELED
        case "complete" if session.payment_intent is not None:
            return _status_of_completed(session, session.payment_intent)
        case _:
            raise ProviderMalformed("The payment provider's session has a status that none has.")


def _status_of_completed(session: _Session, intent: _Intent) -> ProviderStatus:
    status = _status_of_intent(intent)
    if status is ProviderStatus.SUCCEEDED and session.payment_status != "paid":
        return ProviderStatus.PENDING
    # Nobody can try again on a completed page: a method that takes days has failed in the end.
    return ProviderStatus.CANCELED if _has_been_refused(intent) else status


def _status_of_intent(intent: _Intent) -> ProviderStatus:
    if intent.status not in _INTENT_STATUSES:
        raise ProviderMalformed("The payment provider's payment intent has a status that none has.")
    if intent.metadata.get(WAY) == Way.DIRECT and _has_been_refused(intent):
        # It could be confirmed with another method, but only by us, and we do not.
        return ProviderStatus.CANCELED
    return _INTENT_STATUSES[intent.status]


def _has_been_refused(intent: _Intent) -> bool:
    return intent.status == "requires_payment_method" and intent.last_payment_error is not None


def _is_paid(intent: _Intent | None) -> bool:
    """The customer's money is reserved or taken; of a refused card there is a charge too, unpaid."""
    is_held = intent is not None and intent.status in {"requires_capture", "succeeded"}
    return is_held and intent is not None and intent.latest_charge is not None and intent.latest_charge.paid


def _cancellation_of_session(session: _Session, status: ProviderStatus) -> Cancellation | None:
    if status is not ProviderStatus.CANCELED:
        return None
    if session.status == "expired" or session.payment_intent is None:
        return Cancellation.EXPIRED
    return _cancellation_of_intent(session.payment_intent)


def _cancellation_of_intent(intent: _Intent) -> Cancellation:
    if intent.status != "canceled":
        return Cancellation.DECLINED
    return _CANCELLATIONS.get(intent.cancellation_reason or "", Cancellation.WITHDRAWN)


def _of_charge(intent: _Intent | None) -> dict[str, Any]:
    """What has become of the money, from the charge that took it."""
    charge = None if intent is None else intent.latest_charge
    if intent is None or charge is None:
        return {}
    return {
        "refunded": as_money(charge.amount_refunded, intent.currency),
        "fee": _fee(intent, charge),
        "is_disputed": charge.disputed,
        "method": _method(intent, charge),
    }


def _fee(intent: _Intent, charge: _Charge) -> Money | None:
    """What the provider keeps; not known before the money is taken, or where it settles in another currency."""
    transaction = charge.balance_transaction
    if not isinstance(transaction, _BalanceTransaction) or transaction.currency != intent.currency:
        return None
    return as_money(transaction.fee, transaction.currency)


def _method(intent: _Intent, charge: _Charge) -> ProviderMethod | None:
    if intent.payment_method is None:
        return None
    is_kept = intent.setup_future_usage == "off_session" or intent.metadata.get(WAY) == Way.DIRECT
    details = charge.payment_method_details or _MethodDetails()
    card = details.card
    return ProviderMethod(
        ProviderMethodId(parse_provider_id(intent.payment_method)),
        is_saved=is_kept and intent.status == "succeeded" and intent.customer is not None,
        title=details.type if card is None else f"{card.brand} *{card.last4}",
        customer=None if intent.customer is None else parse_provider_id(intent.customer),
    )


def _page_address(url: str | None) -> str | None:
    """Where the customer pays; browsers are sent there, so that it must be an http(s) address."""
    if url is not None and urlsplit(url).scheme not in {"http", "https"}:
        raise ProviderMalformed("The payment provider's payment page has no http(s) address.")
    return url


def _minor_unit_micros(currency: Currency) -> int:
    digits = 0 if currency in _WITHOUT_DECIMALS else 3 if currency in _WITH_THREE_DECIMALS else 2
    return int(10 ** (_MICRO_DIGITS - digits))


def _text(metadata: dict[str, Any], name: str) -> str | None:
    value = metadata.get(name)
    return value if isinstance(value, str) else None


def _moment(seconds: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError) as error:
        raise ProviderMalformed("The payment provider names a moment that there is not.") from error
