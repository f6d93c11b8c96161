"""The simulated YooKassa and our adapters to it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from backend.tests.builders.providers import IMPATIENT
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from billing.payments.adapters.yookassa import YookassaProvider


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatedYookassa]:
    """The provider."""
    async with simulated_yookassa() as simulator:
        yield simulator


@pytest.fixture
async def yookassa(simulator: SimulatedYookassa) -> SimulatedYookassa:
    """The provider, without what earlier tests left."""
    return await simulator.fresh()


@pytest.fixture
async def provider(yookassa: SimulatedYookassa) -> AsyncIterator[YookassaProvider]:
    """Our adapter."""
    provider = yookassa.provider()
    yield provider
    await provider.aclose()


@pytest.fixture
async def impatient(yookassa: SimulatedYookassa) -> AsyncIterator[YookassaProvider]:
    """Our adapter with a third of a second for everything and no second attempt."""
    provider = yookassa.provider(IMPATIENT)
    yield provider
    await provider.aclose()
