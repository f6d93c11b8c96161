"""One database and two running simulators for all cells of a worker; each cell has a scene of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.failures import Premises, Simulated, open_premises
from backend.tests.builders.stripe import simulated_stripe
from backend.tests.builders.yookassa import simulated_yookassa


@pytest.fixture(scope="session")
async def simulators() -> AsyncIterator[Mapping[str, Simulated]]:
    """Both providers."""
    async with simulated_yookassa() as yookassa, simulated_stripe() as stripe:
        yield {"yookassa": Simulated("yookassa", yookassa), "stripe": Simulated("stripe", stripe)}


@pytest.fixture(scope="session")
async def premises(database_url: URL) -> AsyncIterator[Premises]:
    """The application, with no provider connected yet."""
    async with open_premises(database_url) as premises:
        yield premises
