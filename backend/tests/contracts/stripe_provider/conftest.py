"""The simulated Stripe and our adapters to it; its objects are in dollars."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from backend.tests.builders.stripe import HURRIED, RETURN_URL, SECRET_KEY, SimulatedStripe, simulated_stripe, usd
from billing.kit.ids import Ids
from billing.payments.adapters.stripe import StripeProvider
from billing.payments.ports import PaymentOrder


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatedStripe]:
    """The provider."""
    async with simulated_stripe() as simulator:
        yield simulator


@pytest.fixture
async def backstage(simulator: SimulatedStripe) -> SimulatedStripe:
    """The provider, without what earlier tests left."""
    return await simulator.fresh()


@pytest.fixture
async def provider(backstage: SimulatedStripe) -> AsyncIterator[StripeProvider]:
    """Our adapter."""
    provider = backstage.provider()
    yield provider
    await provider.aclose()


@pytest.fixture
async def impatient(backstage: SimulatedStripe) -> AsyncIterator[StripeProvider]:
    """Our adapter with little time for everything and no second attempt."""
    provider = backstage.provider(HURRIED)
    yield provider
    await provider.aclose()


@pytest.fixture
async def mistaken(backstage: SimulatedStripe) -> AsyncIterator[StripeProvider]:
    """Our adapter with a key that is not its account's."""
    provider = StripeProvider(account_id="acct_other", secret_key=SECRET_KEY, api_url=backstage.url, is_test=True)
    yield provider
    await provider.aclose()


@pytest.fixture
def order(ids: Ids) -> PaymentOrder:
    """What a top-up of 500 dollars asks for."""
    payment_id = ids.new("pay")
    return PaymentOrder(
        key=payment_id,
        amount=usd("500"),
        description=f"Top-up {payment_id}",
        return_url=RETURN_URL,
        payment_id=payment_id,
        account_id="acc_1",
        purpose="topup",
    )
