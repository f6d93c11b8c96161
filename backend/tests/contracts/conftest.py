"""Each payment provider for the contract suite: its simulator runs as long as a module's tests."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from backend.tests.builders.every_provider import SANDBOXES, SIMULATED, order_of
from backend.tests.builders.providers import Opening, OpeningAnywhere, ProviderUnderTest, SimulatedProvider
from billing.kit.ids import Ids
from billing.payments.ports import PaymentOrder


@pytest.fixture(scope="module", params=sorted(SIMULATED))
async def opening(request: pytest.FixtureRequest) -> AsyncIterator[Opening]:
    """A running simulator."""
    async with SIMULATED[request.param]() as opening:
        yield opening


@pytest.fixture
async def under_test(opening: Opening) -> AsyncIterator[SimulatedProvider]:
    """One simulated provider, without what earlier tests left."""
    async with opening() as under_test:
        yield under_test


@pytest.fixture(scope="module", params=[*sorted(SIMULATED), *sorted(SANDBOXES)])
async def opening_anywhere(request: pytest.FixtureRequest) -> AsyncIterator[OpeningAnywhere]:
    """A running simulator, or the way to a real sandbox where the environment has credentials for it."""
    if request.param in SIMULATED:
        async with SIMULATED[request.param]() as opening:
            yield opening
        return
    sandbox = SANDBOXES[request.param]
    if missing := sandbox.missing(os.environ):
        # Nobody's credentials stand in a repository; both reports list what was skipped, with this sentence.
        pytest.skip(f"No credentials for the {request.param} in the environment: {', '.join(missing)}.")

    @asynccontextmanager
    async def connect() -> AsyncIterator[ProviderUnderTest]:
        async with sandbox.connect(os.environ) as real:
            yield real

    yield connect


@pytest.fixture
async def anywhere(opening_anywhere: OpeningAnywhere) -> AsyncIterator[ProviderUnderTest]:
    """One provider, simulated or real; nobody is behind its counter."""
    async with opening_anywhere() as anywhere:
        yield anywhere


@pytest.fixture
def order(ids: Ids) -> PaymentOrder:
    """A top-up of 500 roubles."""
    return order_of(ids.new("pay"))
