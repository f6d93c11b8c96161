"""The way out of the house."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from billing.webhooks.outbound.rules import Answer


class Carrier(Protocol):
    """Carries a message to a customer's address once."""

    async def carry(self, url: str, *, headers: Mapping[str, str], body: bytes) -> Answer:
        """Posts the body; every way of failing is an answer. Never called inside a transaction."""
        ...
