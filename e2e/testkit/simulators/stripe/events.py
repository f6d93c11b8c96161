"""What the provider writes around an object to make an event of it, and how it signs what it sends."""

import hashlib
import hmac
import random
import string
from collections.abc import Mapping
from typing import Any

from testkit.simulators.clock import MovableClock

API_VERSION = "2026-10-28.endive"
SIGNATURE_HEADER = "Stripe-Signature"

_LETTERS = string.ascii_letters + string.digits


class Postmark:
    """Gives events their ids, from the seed, and signs deliveries with the webhook's secret, each at its own moment."""

    def __init__(self, clock: MovableClock, *, secret: str, seed: int) -> None:
        self._clock = clock
        self._secret = secret
        self._seed = seed
        self.clear()

    def clear(self) -> None:
        """Begins again from the seed."""
        self._chance = random.Random(f"events-{self._seed}")  # noqa: S311 - ids shall repeat with the seed

    def envelope(self, event: str, snapshot: dict[str, Any]) -> dict[str, Any]:
        """The event about an object as it is at this moment."""
        return {
            "id": f"evt_{''.join(self._chance.choices(_LETTERS, k=24))}",
            "object": "event",
            "api_version": API_VERSION,
            "created": self._now(),
            "data": {"object": snapshot},
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": event,
        }

    def sign(self, body: bytes) -> Mapping[str, str]:
        """The header that proves a delivery; none without a secret."""
        if not self._secret:
            return {}
        return {SIGNATURE_HEADER: signature_of(body, secret=self._secret, timestamp=self._now())}

    def _now(self) -> int:
        return int(self._clock.now().timestamp())


def signature_of(body: bytes, *, secret: str, timestamp: int) -> str:
    """The header's value: `t=1492774577,v1=5257a869…`, HMAC-SHA256 over the moment, a dot and the body."""
    digest = hmac.new(secret.encode(), str(timestamp).encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={timestamp},v1={digest}"
