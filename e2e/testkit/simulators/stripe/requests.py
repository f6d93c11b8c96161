"""Reads what clients send, as strictly as the provider documents it; what is not simulated is refused, not ignored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from testkit.simulators.stripe.refusals import InvalidRequest

_AMOUNT_MAX = 99_999_999
_METADATA_KEYS_MAX = 50
_METADATA_KEY_MAX = 40
_METADATA_VALUE_MAX = 500
_URL_MAX = 5000
_REFERENCE_MAX = 200
_TEXT_MAX = 1000
_PAGE_DEFAULT = 10
_PAGE_MAX = 100
_EXPIRES_AFTER_MIN = 30 * 60
_EXPIRES_AFTER_MAX = 24 * 60 * 60
_COMPARISONS = frozenset({"gte", "gt", "lte", "lt"})
_ISO_4217_LETTERS = 3

_SESSION = frozenset(
    {"mode", "success_url", "cancel_url", "client_reference_id", "customer", "expires_at", "line_items", "metadata"}
    | {"payment_intent_data", "adaptive_pricing"}
)
_INTENT_DATA = frozenset({"description", "metadata", "setup_future_usage", "capture_method"})
_INTENT = _INTENT_DATA | frozenset(
    {"amount", "currency", "customer", "payment_method", "confirm", "off_session", "return_url"}
    | {"automatic_payment_methods", "payment_method_types"}
)
_REASONS = frozenset({"duplicate", "fraudulent", "requested_by_customer"})


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What a list shall contain: one page, bounds on the moment of creation, and members by value."""

    limit: int = _PAGE_DEFAULT
    starting_after: str | None = None
    created: Mapping[str, int] = field(default_factory=dict)
    equals: Mapping[str, str] = field(default_factory=dict)

    def admits(self, created: int) -> bool:
        """Whether an object of this moment passes."""
        bounds = self.created
        return (
            bounds.get("gte", created) <= created <= bounds.get("lte", created)
            and created > bounds.get("gt", created - 1)
            and created < bounds.get("lt", created + 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """A valid request for a Checkout session."""

    amount: int
    currency: str
    product: str
    success_url: str
    cancel_url: str | None
    client_reference_id: str | None
    customer: str | None
    expires_at: int
    metadata: dict[str, str]
    intent_data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIntent:
    """A valid request for a payment intent."""

    amount: int
    currency: str
    is_captured_by_hand: bool = False
    description: str | None = None
    customer: str | None = None
    payment_method: str | None = None
    setup_future_usage: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    is_confirmed: bool = False
    is_off_session: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRefund:
    """A valid request for a refund; without an amount, of all that is left. `of` is a payment intent or a charge."""

    of: str
    amount: int | None = None
    reason: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def session_from(body: dict[str, Any], *, now: int) -> NewSession:
    """Reads the body of `POST /v1/checkout/sessions`.

    Raises:
        InvalidRequest: a parameter is missing, malformed or not simulated.
    """
    refuse_unknown(body, _SESSION)
    if body.get("mode") != "payment":
        raise InvalidRequest("Only the mode `payment` is simulated", parameter="mode")
    price, quantity = _line_item(body.get("line_items"))
    expires_at = now + _EXPIRES_AFTER_MAX if "expires_at" not in body else whole(body, "expires_at")
    if not now + _EXPIRES_AFTER_MIN <= expires_at <= now + _EXPIRES_AFTER_MAX:
        raise InvalidRequest("Must be between 30 minutes and 24 hours from now", parameter="expires_at")
    intent_data = _members(body, "payment_intent_data")
    refuse_unknown(intent_data, _INTENT_DATA, inside="payment_intent_data")
    metadata_from(intent_data)
    return NewSession(
        amount=_amount(price.get("unit_amount"), "line_items[0][price_data][unit_amount]") * quantity,
        currency=_currency(price.get("currency")),
        product=text(_members(price, "product_data"), "name", _TEXT_MAX) or "",
        success_url=_required_url(body, "success_url"),
        cancel_url=_url(body, "cancel_url"),
        client_reference_id=text(body, "client_reference_id", _REFERENCE_MAX),
        customer=text(body, "customer", _TEXT_MAX),
        expires_at=expires_at,
        metadata=metadata_from(body),
        intent_data=intent_data,
    )


def intent_from(body: dict[str, Any]) -> NewIntent:
    """Reads the body of `POST /v1/payment_intents`.

    Raises:
        InvalidRequest: a parameter is missing, malformed or not simulated.
    """
    refuse_unknown(body, _INTENT)
    _url(body, "return_url")
    is_confirmed, is_off_session = flag(body, "confirm"), flag(body, "off_session")
    if is_off_session and not is_confirmed:
        raise InvalidRequest("Can only be set together with `confirm`", parameter="off_session")
    return NewIntent(
        amount=_amount(body.get("amount"), "amount"),
        currency=_currency(body.get("currency")),
        is_captured_by_hand=is_captured_by_hand(body),
        description=text(body, "description", _TEXT_MAX),
        customer=text(body, "customer", _TEXT_MAX),
        payment_method=text(body, "payment_method", _TEXT_MAX),
        setup_future_usage=text(body, "setup_future_usage", _TEXT_MAX),
        metadata=metadata_from(body),
        is_confirmed=is_confirmed,
        is_off_session=is_off_session,
    )


def refund_from(body: dict[str, Any]) -> NewRefund:
    """Reads the body of `POST /v1/refunds`.

    Raises:
        InvalidRequest: a parameter is missing, malformed or not simulated.
    """
    refuse_unknown(body, frozenset({"amount", "charge", "metadata", "payment_intent", "reason"}))
    of = text(body, "payment_intent", _TEXT_MAX) or text(body, "charge", _TEXT_MAX)
    if of is None:
        raise InvalidRequest("One of `payment_intent` and `charge` is needed", parameter="payment_intent")
    reason = text(body, "reason", _TEXT_MAX)
    if reason is not None and reason not in _REASONS:
        raise InvalidRequest(f"Must be one of {', '.join(sorted(_REASONS))}", parameter="reason")
    amount = _amount(body["amount"], "amount") if "amount" in body else None
    return NewRefund(of=of, amount=amount, reason=reason, metadata=metadata_from(body))


def list_query_from(query: dict[str, Any], *, may_equal: frozenset[str]) -> ListQuery:
    """Reads the query of a list; `may_equal` names the members that can be asked for by value.

    Raises:
        InvalidRequest: a parameter is unknown or malformed.
    """
    refuse_unknown(query, may_equal | {"limit", "starting_after", "created", "expand"})
    bounds = _members(query, "created")
    refuse_unknown(bounds, _COMPARISONS, inside="created")
    limit = whole(query, "limit") if "limit" in query else _PAGE_DEFAULT
    if not 1 <= limit <= _PAGE_MAX:
        raise InvalidRequest(f"Must be between 1 and {_PAGE_MAX}", parameter="limit")
    return ListQuery(
        limit=limit,
        starting_after=text(query, "starting_after", _TEXT_MAX),
        created={comparison: whole(bounds, comparison) for comparison in bounds},
        equals={name: str(query[name]) for name in may_equal & query.keys()},
    )


def expansions_from(members: dict[str, Any]) -> list[str]:
    """Which objects the answer shall write out; takes the parameter away.

    Raises:
        InvalidRequest: it is no list of paths.
    """
    paths = members.pop("expand", [])
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise InvalidRequest("Invalid array", parameter="expand")
    return paths


def metadata_from(body: dict[str, Any]) -> dict[str, str]:
    """The texts that a client wants to find again.

    Raises:
        InvalidRequest: there are more than the provider keeps, or one is too long.
    """
    given = _members(body, "metadata")
    if len(given) > _METADATA_KEYS_MAX:
        raise InvalidRequest(f"At most {_METADATA_KEYS_MAX} keys are kept", parameter="metadata")
    for key, value in given.items():
        if len(key) > _METADATA_KEY_MAX or not isinstance(value, str) or len(value) > _METADATA_VALUE_MAX:
            raise InvalidRequest("Keys and values must be strings of limited length", parameter=f"metadata[{key}]")
    return given


def is_captured_by_hand(body: dict[str, Any]) -> bool:
    """Whether the account takes the reserved money itself.

    Raises:
        InvalidRequest: there is no such way.
    """
    method = body.get("capture_method", "automatic_async")
    if method not in {"automatic", "automatic_async", "manual"}:
        raise InvalidRequest("Invalid capture method", parameter="capture_method")
    return bool(method == "manual")


def refuse_unknown(body: Mapping[str, Any], known: frozenset[str], *, inside: str = "") -> None:
    """Refuses what the provider does not know, or the simulator does not simulate.

    Raises:
        InvalidRequest: there is such a parameter.
    """
    for name in body.keys() - known:
        where = f"{inside}[{name}]" if inside else name
        raise InvalidRequest(f"Received unknown parameter: {where}", parameter=where, code="parameter_unknown")


def whole(body: Mapping[str, Any], name: str) -> int:
    """A whole number.

    Raises:
        InvalidRequest: it is none.
    """
    value = body.get(name)
    if not isinstance(value, str) or not value.isascii() or not value.isdigit():
        raise InvalidRequest(f"Invalid integer: {value}", parameter=name, code="parameter_invalid_integer")
    return int(value)


def flag(body: Mapping[str, Any], name: str) -> bool:
    """Yes or no; no unless given.

    Raises:
        InvalidRequest: it is something else.
    """
    value = body.get(name, "false")
    if value not in {"true", "false"}:
        raise InvalidRequest("Invalid boolean", parameter=name)
    return bool(value == "true")


def text(body: Mapping[str, Any], name: str, length_max: int) -> str | None:
    """A text, or None where there is none.

    Raises:
        InvalidRequest: it is too long, or something else.
    """
    value = body.get(name)
    if value is not None and (not isinstance(value, str) or len(value) > length_max):
        raise InvalidRequest(f"Must be a string of at most {length_max} characters", parameter=name)
    return value


def _line_item(items: Any) -> tuple[dict[str, Any], int]:
    if not isinstance(items, list) or len(items) != 1 or not isinstance(items[0], dict):
        raise InvalidRequest("Exactly one line item is simulated", parameter="line_items")
    refuse_unknown(items[0], frozenset({"price_data", "quantity"}), inside="line_items[0]")
    price = _members(items[0], "price_data")
    refuse_unknown(price, frozenset({"currency", "unit_amount", "product_data"}), inside="line_items[0][price_data]")
    return price, whole(items[0], "quantity")


def _members(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name, {})
    if not isinstance(value, dict):
        raise InvalidRequest("Invalid object", parameter=name)
    return value


def _amount(value: object, name: str) -> int:
    minor = whole({name: value}, name)
    if not 1 <= minor <= _AMOUNT_MAX:
        raise InvalidRequest(f"Must be between 1 and {_AMOUNT_MAX}", parameter=name)
    return minor


def _currency(value: object) -> str:
    if not isinstance(value, str) or len(value) != _ISO_4217_LETTERS or not value.isalpha():
        raise InvalidRequest(f"Invalid currency: {value}", parameter="currency")
    return value.lower()


def _required_url(body: Mapping[str, Any], name: str) -> str:
    url = _url(body, name)
    if url is None:
        raise InvalidRequest(f"Missing required param: {name}.", parameter=name, code="parameter_missing")
    return url


def _url(body: Mapping[str, Any], name: str) -> str | None:
    url = text(body, name, _URL_MAX)
    if url is not None and urlsplit(url).scheme not in {"http", "https"}:
        raise InvalidRequest("Not a valid URL", parameter=name, code="url_invalid")
    return url
