"""What tests of whole answers share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.pages import Shop, open_shop


@pytest.fixture(scope="session")
async def shop(database_url: URL, provider_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """The whole application, for all tests of this worker; every test brings its own customers."""
    async with open_shop(database_url, provider_url, tmp_path_factory.mktemp("shop")) as shop:
        yield shop
