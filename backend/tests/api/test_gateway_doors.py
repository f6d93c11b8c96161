"""Every route of the whole application is tried: none reaches a model provider unpaid (G12).

The routes are read from the application itself, so whoever adds one meets these tests.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.routing import iter_route_contexts
from sqlalchemy.engine import URL

from backend.tests.builders.customers import PASSWORD
from backend.tests.builders.gateway import UPSTREAM_KEY, Gate, Payer, Provider
from backend.tests.builders.gateway_doors import FIELDS, asked
from backend.tests.fakes.http_server import serving
from billing.customers.access import SESSION_COOKIE
from billing.customers.service import CustomersService, SignedIn
from billing.gateway.ports import ModelUpstream
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming, Outgoing
from billing.gateway.rules.routes import RouteTable
from billing.main import create_app
from billing.pricing.seed import (
    DEMO_EMBEDDING,
    DEMO_IMAGE,
    DEMO_SMALL,
    DEMO_SPEECH,
    DEMO_TRANSCRIPTION,
)
from billing.wiring.services import services
from billing.wiring.settings import read_settings
from testkit.loopback import NO_TLS

pytestmark = [pytest.mark.money, pytest.mark.slow]

_SERVED = {
    DEMO_SMALL: "gpt-4o-mini",
    DEMO_EMBEDDING: "text-embedding-3-small",
    DEMO_IMAGE: "gpt-image-1",
    DEMO_SPEECH: "tts-1",
    DEMO_TRANSCRIPTION: "whisper-1",
}
ROUTES = '[upstreams.main]\nbase_url = "{base_url}/v1"\napi_key = "{key}"\n' + "".join(
    f'[models.{model}]\nupstream = "main"\nupstream_model = "{upstream_model}"\n'
    for model, upstream_model in _SERVED.items()
)
PREFIXES = ("/v1/", "/openai/")
PAID_DOORS = {("POST", f"{prefix}{door}"): door for prefix in PREFIXES for door in Door}
STREAMED = frozenset({Door.CHAT, Door.RESPONSES, Door.COMPLETIONS})


def plausible(method: str, path: str) -> tuple[Incoming, ...]:
    """What a route could want that leads to a provider: its own request if we know it, else an object and a form."""
    door = PAID_DOORS.get((method, path))
    if door is None:
        return (asked(Door.CHAT), asked(Door.TRANSCRIPTIONS)) if method == "POST" else (asked(Door.CHAT),)
    return (asked(door), asked(door, stream=True)) if door in STREAMED else (asked(door),)


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

    async def knock(self, method: str, path: str, credentials: str, request: Incoming) -> httpx.Response:
        """Asks there."""
        address = re.sub(r"{[^}]*}", DEMO_SMALL, path)
        headers = {"Authorization": credentials, "Content-Type": request.content_type}
        return await self.http.request(method, address, content=request.content, headers=headers)

    async def door_that_reaches(self, provider: Provider, credentials: str, *, under: str = "/") -> str | None:
        """A door behind which the provider hears somebody with these credentials, whatever is asked; None is wanted."""
        suspects = [(method, path) for method, path in self.doors() if path.startswith(under)]
        while await self._is_reached(provider, credentials, suspects):
            if len(suspects) == 1:
                return " ".join(suspects[0])
            half = suspects[: len(suspects) // 2]
            is_there = await self._is_reached(provider, credentials, half)
            suspects = half if is_there else suspects[len(half) :]
        return None

    async def sign_in(self, payer: Payer) -> SignedIn:
        """A browser's session, by the application's own clock."""
        customers: CustomersService = self.app.state.services[CustomersService]
        return await customers.sign_in(payer.customer.email, PASSWORD, user_agent="tests", address="203.0.113.7")

    async def send_form(self, path: str, session: SignedIn) -> httpx.Response:
        """Sends a form there as a browser does."""
        form = {"model": DEMO_SMALL, "prompt": "Why?", "csrf_token": session.csrf_token}
        cookie = {"Cookie": f"{SESSION_COOKIE}={session.token}"}
        return await self.http.post(re.sub(r"{[^}]*}", DEMO_SMALL, path), data=form, headers=cookie)

    async def _is_reached(self, provider: Provider, credentials: str, doors: Sequence[tuple[str, str]]) -> bool:
        before = await provider.count()
        for method, path in doors:
            for request in plausible(method, path):
                await self.knock(method, path, credentials, request)
        return await provider.count() > before


@asynccontextmanager
async def opened(app: FastAPI) -> AsyncIterator[Building]:
    """The application on loopback."""
    async with serving(app) as url, httpx.AsyncClient(verify=NO_TLS, base_url=url, trust_env=False) as http:
        yield Building(app, http)


@pytest.fixture
async def app(provider: Provider, database_url: URL, tmp_path: Path) -> AsyncIterator[FastAPI]:
    """The real application over the real wiring, in front of the simulated provider."""
    routes = tmp_path / "routes.toml"
    routes.write_text(ROUTES.format(base_url=provider.url, key=UPSTREAM_KEY))
    async with services(read_settings({"BILLING_MODEL_ROUTES_FILE": str(routes)}), database_url) as built:
        yield create_app(built)


@pytest.fixture
async def building(app: FastAPI) -> AsyncIterator[Building]:
    """The application with its doors open."""
    async with opened(app) as building:
        yield building


def add_unpaid_door(app: FastAPI, upstream: ModelUpstream, routes: RouteTable) -> None:
    """A door that somebody forgot to put behind the gate."""

    @app.post("/v1/moderations")
    async def moderate(request: Request) -> dict[str, int]:
        target = routes.of(DEMO_SMALL).targets[0]
        async with upstream.open(target, Door.CHAT, Outgoing(await request.body())) as exchange:
            return {"status": exchange.status}


class TestEveryDoor:
    async def test_is_known(self, building: Building) -> None:
        doors = building.doors()

        assert set(doors) >= set(PAID_DOORS)
        assert len(doors) > 40

    async def test_lets_nobody_through_who_cannot_pay(self, building: Building, gate: Gate, provider: Provider) -> None:
        poor = await gate.payer("0.000001")

        assert await building.door_that_reaches(provider, f"Bearer {poor.key}") is None

    @pytest.mark.parametrize("credentials", ["", "Bearer bk_wrong", "Basic YTpi"])
    async def test_lets_nobody_through_whom_we_do_not_know(
        self, credentials: str, building: Building, provider: Provider
    ) -> None:
        assert await building.door_that_reaches(provider, credentials) is None
        for (method, path), door in PAID_DOORS.items():
            answer = await building.knock(method, path, credentials, asked(door))
            assert (answer.status_code, answer.headers["x-should-retry"]) == (401, "false")

    async def test_that_leads_to_a_provider_charges_for_it(
        self, building: Building, gate: Gate, provider: Provider
    ) -> None:
        payer = await gate.payer("1000")

        for method, path in building.doors():
            before = await provider.count()
            await building.knock(method, path, f"Bearer {payer.key}", asked(PAID_DOORS.get((method, path), Door.CHAT)))
            reached = await provider.count() - before
            assert reached == ((method, path) in PAID_DOORS), f"{method} {path}"

        after = await gate.accounts(payer)
        assert len(after.charges) == len(after.events) == len(PAID_DOORS)
        assert {event.door for event in after.events} == set(Door)
        assert after.drifts == ()

    async def test_of_a_browser_leads_to_a_provider_for_those_who_can_pay_only(
        self, building: Building, gate: Gate, provider: Provider
    ) -> None:
        reached: dict[str, list[str]] = {}
        for paid in ("0.000001", "1000"):
            payer = await gate.payer(paid)
            session = await building.sign_in(payer)
            reached[paid] = []
            for path in sorted(path for method, path in building.doors() if method == "POST" and path != "/sign-out"):
                before = await provider.count()
                await building.send_form(path, session)
                if await provider.count() > before:
                    reached[paid].append(path)

        after = await gate.accounts(payer)
        assert reached == {"0.000001": [], "1000": ["/billing/playground"]}
        assert len(after.charges) == len(after.events) == 1

    def test_is_asked_for_in_its_own_words(self) -> None:
        assert set(FIELDS) == set(Door)


class TestTheCheck:
    async def test_names_a_door_that_somebody_forgot_to_put_behind_the_gate(
        self, app: FastAPI, gate: Gate, provider: Provider
    ) -> None:
        poor = await gate.payer("0.000001")
        add_unpaid_door(app, gate.upstream, gate.routes)

        async with opened(app) as building:
            unpaid = await building.door_that_reaches(provider, f"Bearer {poor.key}", under="/v1/")

        assert unpaid == "POST /v1/moderations"
