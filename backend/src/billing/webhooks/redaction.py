"""A notification's body as operators may see it: its shape, its ids and amounts, and nothing about a person.

What is shown is chosen, so that a field which a provider adds tomorrow is hidden until somebody looks at it.
"""

from __future__ import annotations

import json
import re
from typing import Any

HIDDEN = "[hidden]"

_SHOWN = frozenset(
    {
        "amount",
        "amount_captured",
        "amount_received",
        "amount_refunded",
        "amount_total",
        "api_version",
        "captured",
        "charge",
        "created",
        "created_at",
        "currency",
        "event",
        "expires_at",
        "id",
        "latest_charge",
        "livemode",
        "mode",
        "object",
        "paid",
        "party",
        "payment_id",
        "payment_intent",
        "payment_status",
        "reason",
        "refundable",
        "refunded",
        "refunded_amount",
        "status",
        "test",
        "type",
        "value",
        # what we gave along ourselves
        "account_id",
        "purpose",
        "refund_id",
    }
)
_NAME = re.compile(r"[A-Za-z0-9_.]{1,64}")
_PLAIN = re.compile(r"[A-Za-z0-9_.:+-]{1,128}")
_ITEMS_MAX = 50


def redacted(body: str) -> object:
    """The body, every value of which is hidden that is not known to be harmless; lists of fifty at the most."""
    return _redacted(json.loads(body), is_shown=False)


def _redacted(value: Any, *, is_shown: bool) -> object:
    match value:
        case dict():
            items = list(value.items())[:_ITEMS_MAX]
            return {
                name if _NAME.fullmatch(name) else HIDDEN: _redacted(inner, is_shown=name in _SHOWN)
                for name, inner in items
            }
        case list():
            return [_redacted(inner, is_shown=is_shown) for inner in value[:_ITEMS_MAX]]
        case bool() | None:
            return value
        case int() | float():
            return value if is_shown else HIDDEN
        case _:
            return value if is_shown and _PLAIN.fullmatch(value) else HIDDEN
