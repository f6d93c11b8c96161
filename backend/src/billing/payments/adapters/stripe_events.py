"""What Stripe's events claim; each is only a hint for what to ask about."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, StrictStr

from billing.payments.adapters.stripe_objects import WAY, Way, understood
from billing.payments.errors import ProviderMalformed
from billing.payments.ports import EventSubject, ProviderEvent
from billing.payments.rules import ProviderPaymentId, parse_provider_payment_id, parse_provider_refund_id

_SESSION_EVENTS = frozenset(
    {
        "checkout.session.completed",
        "checkout.session.expired",
        "checkout.session.async_payment_succeeded",
        "checkout.session.async_payment_failed",
    }
)
_INTENT_EVENTS = frozenset({"payment_intent.succeeded", "payment_intent.payment_failed", "payment_intent.canceled"})
_UNFINISHED_INTENT_EVENTS = frozenset({"payment_intent.amount_capturable_updated", "payment_intent.processing"})
_CHARGE_EVENT = "charge.refunded"
_REFUND_EVENTS = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_DISPUTE_EVENTS = "charge.dispute."


class _Data(BaseModel):
    object: dict[str, Any]


class _Event(BaseModel):
    type: StrictStr
    data: _Data


def as_event(body: object) -> ProviderEvent:
    """What an event claims.

    Raises:
        ProviderMalformed: no event, no object, or an id that cannot be one.
    """
    event = understood(_Event, body)
    kind, subject = event.type, event.data.object
    if kind in _SESSION_EVENTS:
        return _of_payment(kind, subject, claims_final=kind != "checkout.session.completed" or _is_paid(subject))
    if kind in _INTENT_EVENTS | _UNFINISHED_INTENT_EVENTS:
        # Of a session the session decides: its customer can try again after a refused card, and its own events say when
        # it is over.
        return _of_payment(kind, subject, claims_final=kind in _INTENT_EVENTS and _is_direct(subject))
    if kind == _CHARGE_EVENT:
        return ProviderEvent(kind, EventSubject.REFUND, payment_id=_payment_id(subject))
    if kind in _REFUND_EVENTS:
        refund_id = parse_provider_refund_id(subject.get("id"))
        return ProviderEvent(kind, EventSubject.REFUND, payment_id=_payment_id(subject), refund_id=refund_id)
    if kind.startswith(_DISPUTE_EVENTS):
        return ProviderEvent(kind, EventSubject.DISPUTE, payment_id=_payment_id(subject))
    return ProviderEvent(kind, subject=None)


def _of_payment(kind: str, subject: dict[str, Any], *, claims_final: bool) -> ProviderEvent:
    payment_id = parse_provider_payment_id(subject.get("id"))
    return ProviderEvent(kind, EventSubject.PAYMENT, payment_id=payment_id, claims_final=claims_final)


def _is_paid(session: dict[str, Any]) -> bool:
    return bool(session.get("payment_status") == "paid")


def _is_direct(intent: dict[str, Any]) -> bool:
    metadata = intent.get("metadata")
    return isinstance(metadata, dict) and metadata.get(WAY) == Way.DIRECT


def _payment_id(subject: dict[str, Any]) -> ProviderPaymentId:
    """The intent of a charge, a refund or a dispute, or where there is none its charge, which is no payment of ours.

    Raises:
        ProviderMalformed: there is neither.
    """
    for name in ("payment_intent", "charge", "id"):
        if subject.get(name) is not None:
            return parse_provider_payment_id(subject[name])
    raise ProviderMalformed("The notification names no payment.")
