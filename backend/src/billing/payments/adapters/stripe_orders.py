"""What we ask of Stripe, made from the stored payment alone, so that a repetition says the same to the letter."""

from __future__ import annotations

from typing import Any

from billing.payments.adapters.stripe_objects import PAYMENT_OF_REFUND, WAY, Way, as_minor_units
from billing.payments.ports import MethodRef, PaymentOrder, RefundOrder

INTENT_EXPANSION = "latest_charge.balance_transaction"
SESSION_EXPANSION = f"payment_intent.{INTENT_EXPANSION}"
"""What must be written out in the answers, for `stripe_objects` to understand them."""

_PRODUCT_NAME_MAX = 250
_METADATA_MAX = 500

Body = dict[str, Any]


def as_session(order: PaymentOrder, customer: str | None) -> Body:
    """The body of `POST /v1/checkout/sessions`.

    It names no `expires_at`: the longest time is the default, 24 hours, and a moment of ours would make each repetition
    another request.
    """
    price = {
        "currency": order.amount.currency.lower(),
        "unit_amount": as_minor_units(order.amount),
        "product_data": {"name": order.description[:_PRODUCT_NAME_MAX]},
    }
    intent = {"description": order.description, "metadata": {**_metadata(order), WAY: Way.CHECKOUT.value}}
    body: Body = {
        "mode": "payment",
        "success_url": order.return_url,
        "cancel_url": order.return_url,
        "client_reference_id": order.payment_id,
        "line_items": [{"price_data": price, "quantity": 1}],
        "metadata": _metadata(order),
        "payment_intent_data": intent,
        # What is collected must be what we asked for, in its own currency.
        "adaptive_pricing": {"enabled": False},
    }
    if customer is not None:
        body["customer"] = customer
        intent["setup_future_usage"] = "off_session"
    return body


def as_intent(order: PaymentOrder, method: MethodRef) -> Body:
    """The body of `POST /v1/payment_intents` for a method that is charged without its owner."""
    body: Body = {
        "amount": as_minor_units(order.amount),
        "currency": order.amount.currency.lower(),
        "payment_method": method.id,
        "confirm": True,
        "off_session": True,
        "description": order.description,
        "metadata": {**_metadata(order), WAY: Way.DIRECT.value},
        "automatic_payment_methods": {"enabled": True},
        "return_url": order.return_url,
        "expand": [INTENT_EXPANSION],
    }
    return body if method.customer is None else {**body, "customer": method.customer}


def _metadata(order: PaymentOrder) -> dict[str, str]:
    return {"payment_id": order.payment_id, "account_id": order.account_id, "purpose": order.purpose}


def as_refund_order(order: RefundOrder, *, intent_id: str) -> Body:
    """The body of `POST /v1/refunds`."""
    return {
        "payment_intent": intent_id,
        "amount": as_minor_units(order.amount),
        "metadata": {
            "refund_id": order.refund_id,
            PAYMENT_OF_REFUND: order.provider_payment_id,
            "description": order.description[:_METADATA_MAX],
        },
    }
