"""What anybody may know about prices: complete, in units that people use, and kept by caches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.pages import Shop, open_shop
from billing.pricing.seed import DEMO_LARGE, DEMO_SMALL
from testkit.loopback import NO_TLS

PRICING = "/api/v1/billing/public/pricing"
CARDS = "/api/v1/billing/public/rate-cards"


@pytest.fixture(scope="module")
async def shop(database_url: URL, provider_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Shop]:
    """The application, with models to put forward."""
    folder: Path = tmp_path_factory.mktemp("prices")
    async with open_shop(
        database_url,
        provider_url,
        folder,
        BILLING_RECOMMENDED_MODELS=f"{DEMO_LARGE}, not-on-offer",
        BILLING_POPULAR_MODELS=DEMO_SMALL,
    ) as shop:
        yield shop


@pytest.fixture
async def anybody(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without an account."""
    async with httpx.AsyncClient(base_url=shop.url, verify=NO_TLS) as client:
        yield client


async def _json(client: httpx.AsyncClient, path: str) -> Any:
    answer = await client.get(path)
    assert answer.status_code == 200
    return answer.json()


class TestThePublicPricing:
    async def test_names_amounts_free_limits_and_models_to_begin_with(self, anybody: httpx.AsyncClient) -> None:
        pricing = await _json(anybody, PRICING)

        assert [amount["amount"] for amount in pricing["topups"]["presets"]] == [
            "500.00",
            "1000.00",
            "2500.00",
            "5000.00",
        ]
        assert (pricing["topups"]["minimum"]["amount"], pricing["topups"]["is_custom_allowed"]) == ("100.00", True)
        assert (pricing["recommended_models"], pricing["popular_models"]) == ([DEMO_LARGE], [DEMO_SMALL])
        assert "metrics" in pricing["free_limits"]

    async def test_prices_what_is_served_in_the_units_of_the_rates(self, anybody: httpx.AsyncClient) -> None:
        models = {model["model"]: model for model in (await _json(anybody, PRICING))["models"]}

        assert models[DEMO_SMALL]["prices"][0] == {
            "unit": "input_tokens",
            "per": 1_000_000,
            "price": {"amount": "60.00", "currency": "RUB"},
        }


class TestTheRateCards:
    async def test_speak_in_units_that_people_use(self, anybody: httpx.AsyncClient) -> None:
        cards = {card["model"]: card for card in (await _json(anybody, CARDS))["cards"]}

        assert (cards[DEMO_SMALL]["modality"], cards[DEMO_SMALL]["is_free"]) == ("text", False)
        assert cards[DEMO_SMALL]["prices"][0]["per"] == "1M tokens"

    @pytest.mark.parametrize("path", [PRICING, CARDS])
    async def test_are_not_sent_again_to_who_has_them(self, anybody: httpx.AsyncClient, path: str) -> None:
        first = await anybody.get(path)
        tag = first.headers["ETag"]

        answers = [await anybody.get(path, headers={"If-None-Match": known}) for known in (tag, f'"x", W/{tag}', "*")]
        other = await anybody.get(path, headers={"If-None-Match": '"another"'})

        assert [(answer.status_code, answer.content) for answer in answers] == [(304, b"")] * 3
        assert (other.status_code, other.headers["Cache-Control"]) == (200, "public, max-age=60")
