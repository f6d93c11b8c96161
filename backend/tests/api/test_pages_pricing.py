"""The price page: for everybody, with an estimator that needs no script and answers with the rules of charging."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import httpx
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.gateway import NOT_FREE, free_terms
from backend.tests.builders.pages import Html, Shop, open_shop
from backend.tests.builders.wallets import RUB
from billing.gateway.catalog import ModelCatalog
from billing.gateway.price_board import PriceBoard
from billing.gateway.rules.routes import RouteTable
from billing.kit.unit_of_work import UnitOfWork
from billing.wiring.services import Services
from testkit.loopback import NO_TLS


async def _page(shop: Shop, path: str = "/pricing", *, status: int = 200, prefix: str = "") -> Html:
    async with httpx.AsyncClient(base_url=shop.url, verify=NO_TLS) as anybody:
        answer = await anybody.get(prefix + path)
    assert answer.status_code == status, answer.text
    return Html(answer.text)


class TestThePricePage:
    async def test_shows_prices_to_somebody_who_is_not_signed_in(self, shop: Shop) -> None:
        page = await _page(shop)

        assert "demo-large" in page.text
        assert page.figures["Output"] == "RUB 120.00 per 1M tokens"
        assert "RUB 500.00" in page.text

    async def test_says_what_is_free_only_while_something_is(self, shop: Shop) -> None:
        async with shop.services.begin() as uow:
            await shop.services.quotas.set_terms(uow, free_terms(input_tokens=12_345))
        generous = await _page(shop)
        async with shop.services.begin() as uow:
            await shop.services.quotas.set_terms(uow, NOT_FREE)
        strict = await _page(shop)

        assert "12,345" in generous.text
        assert "No free usage at the moment." in strict.text

    async def test_stays_below_its_base_path(
        self, database_url: URL, provider_url: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("below")
        async with open_shop(database_url, provider_url, folder, base_path="/a/b") as below:
            page = await _page(below, prefix="/a/b")

        assert {address for address in page.addresses() if not address.startswith("/a/b")} == set()

    async def test_is_a_page_too_while_the_books_cannot_be_reached(
        self, database_url: URL, provider_url: str, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        folder = tmp_path_factory.mktemp("down")
        async with open_shop(database_url, provider_url, folder, alter=_without_books) as down:
            page = await _page(down, status=503)

        assert "Billing is not available" in page.text


class TestTheEstimator:
    async def test_answers_with_the_price_of_the_plan_in_the_address(self, shop: Shop) -> None:
        page = await _page(shop, "/pricing?text_model=demo-large&input_tokens=1 000&output_tokens=500&turns=2")

        # 1000 + 2500 tokens in at 900 and twice 500 tokens out at 3600 for a million.
        assert "RUB 6.75" in page.text

    @pytest.mark.parametrize(
        "query",
        [
            "turns=0",
            "turns=201",
            "input_tokens=-1",
            "input_tokens=12abc",
            "output_tokens=1.5",
            "turns=\N{ARABIC-INDIC DIGIT ONE}",
        ],
    )
    async def test_marks_a_number_that_makes_no_sense(self, shop: Shop, query: str) -> None:
        page = await _page(shop, f"/pricing?{query}", status=400)

        wrong = [field["name"] for field in page.inputs if field.get("aria-invalid")]
        assert wrong == [query.split("=", maxsplit=1)[0]]
        assert "Enter a whole number" in page.text

    @pytest.mark.parametrize("query", ["text_model=unknown", "image_size=7x7", "input_tokens=", "extra=1"])
    async def test_falls_back_on_what_it_knows(self, shop: Shop, query: str) -> None:
        page = await _page(shop, f"/pricing?{query}")

        assert [field["name"] for field in page.inputs if field.get("aria-invalid")] == []


def _without_books(built: Services) -> Services:
    board = PriceBoard(
        begin=_no_connection,
        catalog=ModelCatalog(built.pricing, built.clock, RouteTable({}), RUB),
        quotas=built.quotas,
        offer=built.topups.offer,
        recommended=(),
        popular=(),
    )
    return replace(built, price_board=board)


def _no_connection() -> AbstractAsyncContextManager[UnitOfWork]:
    raise ConnectionRefusedError
