"""Asks the trust policies who may come in, and counts who may not."""

from __future__ import annotations

from billing.kit.clock import Clock
from billing.kit.errors import BillingError
from billing.webhooks.refusals import RefusalCounter
from billing.webhooks.rules import Provider
from billing.webhooks.trust import Knock, TrustPolicies


class Doorkeeper:
    """Stands at the doors of all providers."""

    def __init__(self, *, policies: TrustPolicies, clock: Clock, refusals: RefusalCounter) -> None:
        self._policies = policies
        self._clock = clock
        self._refusals = refusals

    def admit(self, provider: Provider, knock: Knock) -> None:
        """Lets a notification pass that passes every check that is on at its provider's door.

        Raises:
            WebhookNotConfigured, WebhookUntrusted: as `TrustPolicy.admit` says.
        """
        self._policies.doors[provider].admit(knock, now=self._clock.now())

    def count_refusal(self, provider: Provider, refusal: BillingError) -> None:
        """Remembers that a notification was turned away, and why; nothing of what it showed."""
        self._refusals.count(provider, refusal.code)

    async def close(self) -> None:
        """Writes what has been counted."""
        await self._refusals.close()
