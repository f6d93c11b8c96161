"""Every route of the whole application is tried: none reaches a model provider unpaid (G12).

The routes are read from the application itself, so whoever adds one meets these tests.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy.engine import URL

from backend.tests.builders.gateway import UPSTREAM_KEY, Gate, Provider, chat
from backend.tests.fakes.http_server import serving
from billing.main import create_app
from billing.pricing.seed import DEMO_SMALL
from billing.wiring.services import services
from billing.wiring.settings import read_settings
from testkit.loopback import NO_TLS

pytestmark = pytest.mark.money

ROUTES = """
    [upstreams.main]
    base_url = "{base_url}/v1"
    api_key = "{key}"

    [models.{model}]
    upstream = "main"
    upstream_model = "gpt-4o-mini"
"""
PAID_DOORS = {("POST", "/v1/chat/completions"), ("POST", "/openai/chat/completions")}


@dataclass(frozen=True)
class Building:
    """The whole application, with all its doors."""

    app: FastAPI
    http: httpx.AsyncClient

    def doors(self) -> list[tuple[str, str]]:
        """Every method and path that the application answers to."""
        return sorted(
            (method, context.path)
            for context in iter_route_contexts(self.app.routes)
            for method in context.methods or ()
            if context.path is not None
        )

    async def knock(self, method: str, path: str, **more: object) -> httpx.Response:
        """Asks a chat question there."""
        address = re.sub(r"{[^}]*}", DEMO_SMALL, path)
        return await self.http.request(method, address, json=chat(), headers=dict(more))  # type: ignore[arg-type]  # header names have hyphens


@pytest.fixture
async def building(provider: Provider, database_url: URL, tmp_path: Path) -> AsyncIterator[Building]:
    """The real application over the real wiring, in front of the simulated provider."""
    routes = tmp_path / "routes.toml"
    routes.write_text(ROUTES.format(base_url=provider.url, key=UPSTREAM_KEY, model=DEMO_SMALL))
    async with services(read_settings({"BILLING_MODEL_ROUTES_FILE": str(routes)}), database_url) as built:
        app = create_app(built)
        async with serving(app) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url) as http:
            yield Building(app, http)


class TestEveryDoor:
    async def test_is_known(self, building: Building) -> None:
        doors = building.doors()

        assert set(doors) >= PAID_DOORS
        assert len(doors) > 20

    async def test_lets_nobody_through_who_cannot_pay(self, building: Building, gate: Gate, provider: Provider) -> None:
        poor = await gate.payer()

        for method, path in building.doors():
            await building.knock(method, path, Authorization=f"Bearer {poor.key}")

        assert await provider.count() == 0

    async def test_lets_nobody_through_whom_we_do_not_know(self, building: Building, provider: Provider) -> None:
        for method, path in building.doors():
            for credentials in ("", "Bearer bk_wrong", "Basic YTpi"):
                answer = await building.knock(method, path, Authorization=credentials)
                assert (method, path) not in PAID_DOORS or answer.status_code == 401

        assert await provider.count() == 0

    async def test_that_leads_to_a_provider_charges_for_it(
        self, building: Building, gate: Gate, provider: Provider
    ) -> None:
        payer = await gate.payer("100")

        for method, path in building.doors():
            before = await provider.count()
            await building.knock(method, path, Authorization=f"Bearer {payer.key}")
            reached = await provider.count() - before
            assert reached == ((method, path) in PAID_DOORS), f"{method} {path}"

        after = await gate.accounts(payer)
        assert len(after.charges) == len(after.events) == len(PAID_DOORS)
        assert after.drifts == ()
