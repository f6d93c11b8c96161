"""Reads what clients send, as strictly as the provider documents it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from testkit.simulators.yookassa.objects import Amount, NewPayment
from testkit.simulators.yookassa.refusals import InvalidRequest

_VALUE = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?")
_CURRENCIES = frozenset({"RUB", "USD", "EUR", "KZT", "BYN", "UZS", "TRY", "INR"})
_DESCRIPTION_MAX = 128
_RETURN_URL_MAX = 2048
_CUSTOMER_ID_MAX = 200
_METADATA_KEYS_MAX = 16
_METADATA_KEY_MAX = 32
_METADATA_VALUE_MAX = 512
_PAGE_DEFAULT = 10
_PAGE_MAX = 100

_PAYMENT_MEMBERS = frozenset(
    {"amount", "capture", "client_ip", "confirmation", "description", "merchant_customer_id", "metadata", "receipt"}
    | {"payment_method_data"}
)
_REFUND_MEMBERS = frozenset({"amount", "description", "metadata", "payment_id", "receipt"})
_MOMENT_FILTER = re.compile(r"(created_at|captured_at)\.(gte|gt|lte|lt)")


@dataclass(frozen=True, slots=True)
class NewRefund:
    """A valid request for a refund; `amount` is None for all that is left (only the cabinet may leave it out)."""

    payment_id: str
    amount: Amount | None
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MomentBound:
    """One bound on a moment of an object, as in `created_at.gte=...`."""

    member: str
    comparison: str
    moment: datetime

    def admits(self, moment: datetime | None) -> bool:
        """Whether an object with this moment passes; one without it never does."""
        if moment is None:
            return False
        match self.comparison:
            case "gte":
                return moment >= self.moment
            case "gt":
                return moment > self.moment
            case "lte":
                return moment <= self.moment
            case _:
                return moment < self.moment


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list shall contain: equal members, bounds on moments, and one page of it."""

    limit: int
    cursor: str | None
    equals: dict[str, str]
    bounds: tuple[MomentBound, ...]


def payment_from(body: dict[str, Any]) -> NewPayment:
    """Reads the body of `POST /payments`.

    Raises:
        InvalidRequest: A member is missing, malformed, or not simulated (silently ignoring it would be a lie).
    """
    _refuse_unknown(body, _PAYMENT_MEMBERS)
    method = body.get("payment_method_data")
    if method is not None and (not isinstance(method, dict) or method.get("type") != "bank_card"):
        raise InvalidRequest("Only bank cards are simulated", parameter="payment_method_data.type")
    capture = body.get("capture", False)
    if not isinstance(capture, bool):
        raise InvalidRequest("Must be a boolean", parameter="capture")
    return NewPayment(
        amount=amount_from(body.get("amount")),
        return_url=_return_url_from(body.get("confirmation")),
        capture=capture,
        description=_text(body, "description", _DESCRIPTION_MAX),
        metadata=_metadata_from(body.get("metadata")),
        merchant_customer_id=_text(body, "merchant_customer_id", _CUSTOMER_ID_MAX),
        wants_receipt=body.get("receipt") is not None,
    )


def refund_from(body: dict[str, Any]) -> NewRefund:
    """Reads the body of `POST /refunds`.

    Raises:
        InvalidRequest: A member is missing, malformed, or not simulated.
    """
    _refuse_unknown(body, _REFUND_MEMBERS)
    payment_id = body.get("payment_id")
    if not isinstance(payment_id, str) or not payment_id:
        raise InvalidRequest("The payment is not specified", parameter="payment_id")
    return NewRefund(
        payment_id=payment_id,
        amount=amount_from(body.get("amount")),
        description=_text(body, "description", 250),
        metadata=_metadata_from(body.get("metadata")),
    )


def capture_amount_from(body: dict[str, Any]) -> Amount | None:
    """Reads the body of a capture: the amount to take, or None for the whole payment.

    Raises:
        InvalidRequest: A member is malformed or not simulated.
    """
    _refuse_unknown(body, frozenset({"amount", "receipt"}))
    return amount_from(body["amount"]) if "amount" in body else None


def amount_from(value: object) -> Amount:
    """Reads `{"value": "100.00", "currency": "RUB"}`; the value is a string, as documented.

    Raises:
        InvalidRequest: It is not a positive decimal string of a currency that the provider takes.
    """
    if not isinstance(value, dict):
        raise InvalidRequest("Amount is not specified", parameter="amount")
    number, currency = value.get("value"), value.get("currency")
    if not isinstance(number, str) or not _VALUE.fullmatch(number):
        raise InvalidRequest("Must be a string with up to two decimals", parameter="amount.value")
    if not isinstance(currency, str) or currency not in _CURRENCIES:
        raise InvalidRequest("Unsupported currency", parameter="amount.currency")
    units, _, decimals = number.partition(".")
    minor = int(units) * 100 + int(decimals.ljust(2, "0"))
    if minor == 0:
        raise InvalidRequest("Must be greater than zero", parameter="amount.value")
    return Amount(minor, currency)


def list_query_from(params: Mapping[str, str], *, may_equal: frozenset[str]) -> ListQuery:
    """Reads the query string of a list; `may_equal` names the members that can be asked for by value.

    Raises:
        InvalidRequest: A parameter is unknown or malformed.
    """
    bounds, equals = [], {}
    for name, value in params.items():
        if found := _MOMENT_FILTER.fullmatch(name):
            bounds.append(MomentBound(found[1], found[2], _moment_from(name, value)))
        elif name in may_equal:
            equals[name] = value
        elif name not in {"limit", "cursor"}:
            raise InvalidRequest("Unknown parameter", parameter=name)
    return ListQuery(_limit_from(params.get("limit")), params.get("cursor"), equals, tuple(bounds))


def _limit_from(value: str | None) -> int:
    if value is None:
        return _PAGE_DEFAULT
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= _PAGE_MAX:
        raise InvalidRequest(f"Must be between 1 and {_PAGE_MAX}", parameter="limit")
    return int(value)


def _moment_from(name: str, value: str) -> datetime:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise InvalidRequest("Must be a moment in ISO 8601", parameter=name) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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


def _refuse_unknown(body: dict[str, Any], known: frozenset[str]) -> None:
    for name, value in body.items():
        # The official SDK sends empty lists for what was not asked.
        if name not in known and value not in (None, [], {}):
            raise InvalidRequest("This member is unknown or not simulated", parameter=name)
