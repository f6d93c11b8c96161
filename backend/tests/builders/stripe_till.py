"""A till at which Stripe collects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from backend.tests.builders.payments import Till
from backend.tests.builders.stripe import SimulatedStripe
from billing.payments.adapters.stripe import StripeProvider


@dataclass(frozen=True)
class StripeTill:
    """Our books, Stripe's simulator without what earlier tests left, and our adapter between them."""

    till: Till
    stripe: SimulatedStripe
    provider: StripeProvider


@asynccontextmanager
async def open_stripe_till(till: Till, simulator: SimulatedStripe) -> AsyncIterator[StripeTill]:
    """The same till, with Stripe instead of whom it had; its connections are closed at the end."""
    stripe = await simulator.fresh()
    provider = stripe.provider()
    try:
        yield StripeTill(till.with_provider(provider), stripe, provider)
    finally:
        await provider.aclose()
