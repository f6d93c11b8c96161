"""What a notification must look like, when two are the same, and when one is tried again: decided purely."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import timedelta
from enum import StrEnum
from typing import Any, NewType, NoReturn

from billing.webhooks.errors import WebhookMalformed

MessageId = NewType("MessageId", str)


class Provider(StrEnum):
    """Whose notifications we understand; the last part of the door's address."""

    YOOKASSA = "yookassa"
    STRIPE = "stripe"


BODY_BYTES_MAX = 256 * 1024
DEPTH_MAX = 32

LEASE = timedelta(minutes=10)
"""A message whose job has said nothing for so long is handed over once more."""

HANDLING_SECONDS_MAX = 120.0
"""A handler that has not come to an end by then is called off; well within the lease."""

_NAMES_ITS_EVENTS = frozenset({Provider.STRIPE})
"""Providers that give each event an id of its own, which stays when they send it again."""
_EVENT_ID = re.compile(r"[A-Za-z0-9_-]{1,255}")

_WAITS = (
    timedelta(seconds=5),
    timedelta(seconds=30),
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(hours=24),
)
ATTEMPTS_MAX = len(_WAITS) + 1
"""Counted as each begins, so that one which kills its process counts too."""

# Strings (which may hold brackets) or single brackets; an unfinished string runs to the end and json.loads refuses it.
_NESTING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\Z)|[\[\]{}]', re.DOTALL)


class MessageStatus(StrEnum):
    """Where a stored message stands; only a waiting one is handed over."""

    WAITING = "waiting"
    DONE = "done"
    IGNORED = "ignored"
    QUARANTINED = "quarantined"
    GIVEN_UP = "given_up"


def wait_after(attempts: int) -> timedelta | None:
    """How long to wait after this many attempts that led nowhere; None gives up, after about 31 hours."""
    return _WAITS[attempts - 1] if attempts <= len(_WAITS) else None


def parse_body(body: bytes) -> str:
    """The notification's text: UTF-8, one JSON object, nested 32 deep at most.

    Raises:
        WebhookMalformed: it is anything else.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise WebhookMalformed("A notification is encoded in UTF-8.") from None
    if depth_of(text) > DEPTH_MAX:
        raise WebhookMalformed(f"A notification is nested at most {DEPTH_MAX} deep.")
    try:
        parsed = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        raise WebhookMalformed("A notification is a JSON document.") from None
    if not isinstance(parsed, dict):
        raise WebhookMalformed("A notification is a JSON object.")
    return text


def depth_of(text: str) -> int:
    """How deep brackets are nested outside of strings; found without recursion, so that no depth is too deep for it."""
    depth = deepest = 0
    for found in _NESTING.finditer(text):
        if found[0] in {"[", "{"}:
            depth += 1
            deepest = max(deepest, depth)
        elif found[0] in {"]", "}"}:
            depth -= 1
    return deepest


def digest_of_body(text: str) -> str:
    """Equal for two deliveries of one event, however their JSON is spaced and ordered."""
    parsed: Any = json.loads(text)
    return hashlib.sha256(json.dumps(parsed, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def event_id_of(provider: str, text: str) -> str | None:
    """The id by which the provider calls this event; None where it has none, and equal bodies are one event.

    A provider that names its events may send one again with another body: Stripe counts in it how many endpoints it
    still has to reach. It is the same event, and what it is about is read back anyway.
    """
    if provider not in _NAMES_ITS_EVENTS:
        return None
    event_id = json.loads(text).get("id")
    return event_id if isinstance(event_id, str) and _EVENT_ID.fullmatch(event_id) else None


def _refuse_constant(name: str) -> NoReturn:
    message = f"{name} is not JSON"
    raise ValueError(message)
