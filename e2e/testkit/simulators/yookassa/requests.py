"""Reads what clients send, as strictly as the provider documents it."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from testkit.simulators.yookassa.money import Amount, amount_from
from testkit.simulators.yookassa.objects import NewPayment
from testkit.simulators.yookassa.receipts import NewReceipt, receipt_from
from testkit.simulators.yookassa.refusals import InvalidRequest

_DESCRIPTION_MAX = 128
_REFUND_DESCRIPTION_MAX = 250
_RETURN_URL_MAX = 2048
_CUSTOMER_ID_MAX = 200
_METADATA_KEYS_MAX = 16
_METADATA_KEY_MAX = 32
_METADATA_VALUE_MAX = 512

_PAYMENT_MEMBERS = frozenset(
    {"amount", "capture", "client_ip", "confirmation", "description", "merchant_customer_id", "metadata", "receipt"}
    | {"payment_method_data", "payment_method_id", "save_payment_method"}
)
_REFUND_MEMBERS = frozenset({"amount", "description", "metadata", "payment_id", "receipt"})


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A valid request for a refund; `amount` is None for all that is left (only the cabinet may leave it out)."""

    payment_id: str
    amount: Amount | None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    receipt: NewReceipt | None = None


def payment_from(body: dict[str, Any], *, demands_receipts: bool = False) -> NewPayment:
    """Reads the body of `POST /payments`.

    Raises:
        InvalidRequest: A member is missing, malformed, or not simulated (silently ignoring it would be a lie).
    """
    _refuse_unknown(body, _PAYMENT_MEMBERS)
    amount = amount_from(body.get("amount"))
    method_id = _method_id_from(body)
    return NewPayment(
        amount=amount,
        return_url=None if method_id is not None else _return_url_from(body.get("confirmation")),
        capture=_flag(body, "capture"),
        description=_text(body, "description", _DESCRIPTION_MAX),
        metadata=_metadata_from(body.get("metadata")),
        merchant_customer_id=_text(body, "merchant_customer_id", _CUSTOMER_ID_MAX),
        receipt=receipt_from(body.get("receipt"), total=amount, is_demanded=demands_receipts),
        method_id=method_id,
        saves_method=_flag(body, "save_payment_method"),
    )


def refund_from(body: dict[str, Any], *, demands_receipts: bool = False) -> NewRefund:
    """Reads the body of `POST /refunds`.

    Raises:
        InvalidRequest: A member is missing, malformed, or not simulated.
    """
    _refuse_unknown(body, _REFUND_MEMBERS)
    payment_id = body.get("payment_id")
    if not isinstance(payment_id, str) or not payment_id:
        raise InvalidRequest("The payment is not specified", parameter="payment_id")
    amount = amount_from(body.get("amount"))
    return NewRefund(
        payment_id=payment_id,
        amount=amount,
        description=_text(body, "description", _REFUND_DESCRIPTION_MAX),
        metadata=_metadata_from(body.get("metadata")),
        receipt=receipt_from(body.get("receipt"), total=amount, is_demanded=demands_receipts),
    )


def capture_amount_from(body: dict[str, Any]) -> Amount | None:
    """Reads the body of a capture: the amount to take, or None for the whole payment.

    Raises:
        InvalidRequest: A member is malformed or not simulated.
    """
    _refuse_unknown(body, frozenset({"amount"}))
    return amount_from(body["amount"]) if "amount" in body else None


def _method_id_from(body: dict[str, Any]) -> str | None:
    """What is saved and shall be charged; without it the customer is asked for a bank card."""
    method_id, method = body.get("payment_method_id"), body.get("payment_method_data")
    if method is not None and (not isinstance(method, dict) or method.get("type") != "bank_card"):
        raise InvalidRequest("Only bank cards are simulated", parameter="payment_method_data.type")
    if method_id is None:
        return None
    if not isinstance(method_id, str) or not method_id:
        raise InvalidRequest("Must be a string", parameter="payment_method_id")
    if method is not None:
        raise InvalidRequest("Either a saved method or a new one", parameter="payment_method_data")
    if body.get("confirmation") is not None:
        raise InvalidRequest("Confirming a saved method is not simulated", parameter="confirmation")
    return method_id


def _return_url_from(confirmation: object) -> str:
    if not isinstance(confirmation, dict) or confirmation.get("type") != "redirect":
        raise InvalidRequest("Only confirmation by redirect is simulated", parameter="confirmation.type")
    url = confirmation.get("return_url")
    if not isinstance(url, str) or len(url) > _RETURN_URL_MAX or urlsplit(url).scheme not in {"http", "https"}:
        raise InvalidRequest("Must be an http(s) address", parameter="confirmation.return_url")
    return url


def _metadata_from(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or len(value) > _METADATA_KEYS_MAX:
        raise InvalidRequest(f"Must be an object with at most {_METADATA_KEYS_MAX} keys", parameter="metadata")
    for key, text in value.items():
        if len(key) > _METADATA_KEY_MAX or not isinstance(text, str) or len(text) > _METADATA_VALUE_MAX:
            raise InvalidRequest("Keys and values must be strings of limited length", parameter=f"metadata.{key}")
    return dict(value)


def _text(body: dict[str, Any], name: str, length_max: int) -> str | None:
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > length_max):
        raise InvalidRequest(f"Must be a string of at most {length_max} characters", parameter=name)
    return value


def _flag(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise InvalidRequest("Must be a boolean", parameter=name)
    return bool(value)


def _refuse_unknown(body: dict[str, Any], known: frozenset[str]) -> None:
    for name, value in body.items():
        # The official SDK sends empty lists for what was not asked.
        if name not in known and value not in (None, [], {}):
            raise InvalidRequest("This member is unknown or not simulated", parameter=name)
