"""The application's payment endpoints as the wiring builds them, reached from any address one likes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI
from sqlalchemy.engine import URL

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.yookassa import SECRET_KEY, SHOP_ID, SimulatedYookassa
from billing.customers.access import CSRF_HEADER, SESSION_COOKIE
from billing.customers.rules import Scope
from billing.main import create_app
from billing.wiring.services import Services, services
from billing.wiring.settings import read_settings

YOOKASSA_ADDRESS = "185.71.76.5"
PUBLIC_BASE = "https://shop.example/chat"


@dataclass(frozen=True, slots=True)
class Counter:
    """The whole application, without a network between it and its tests."""

    app: FastAPI
    services: Services
    yookassa: SimulatedYookassa
    town: Town

    @asynccontextmanager
    async def caller(self, *, peer: str = "203.0.113.9", **headers: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client whose connection comes from this address."""
        # Bugs shall come out as the answer that a client would get, not as the exception itself.
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 4711))
        async with httpx.AsyncClient(transport=transport, base_url="http://internal", headers=headers) as client:
            yield client

    @asynccontextmanager
    async def customer(
        self, *scopes: Scope, owner: Customer | None = None
    ) -> AsyncIterator[tuple[Customer, httpx.AsyncClient]]:
        """A customer with a key of these scopes; without any, of both that billing has."""
        customer = owner or await self.town.customer()
        wanted = frozenset(scopes or (Scope.BILLING_READ, Scope.BILLING_WRITE))
        key = await self.services.customers.create_api_key(
            customer.principal, "tests", scopes=wanted, request_id="req_tests"
        )
        async with self.caller(Authorization=f"Bearer {key.secret}") as client:
            yield customer, client


def session_of(customer: Customer) -> dict[str, str]:
    """What the browser of somebody who is signed in sends along."""
    return {"Cookie": f"{SESSION_COOKIE}={customer.session.token}", CSRF_HEADER: customer.session.csrf_token}


@asynccontextmanager
async def open_counter(database_url: URL, yookassa: SimulatedYookassa, **environ: str) -> AsyncIterator[Counter]:
    """The application with the simulated provider and any further settings."""
    settings = read_settings(
        {
            "BILLING_PUBLIC_BASE_URL": PUBLIC_BASE,
            "BILLING_RETURN_URL_ORIGINS": "https://app.example",
            "IDENTITY_PAYMENT_PROVIDER": "simulator",
            "YOOKASSA_SHOP_ID": SHOP_ID,
            "YOOKASSA_SECRET_KEY": SECRET_KEY,
            "YOOKASSA_API_URL": yookassa.api_url,
            **environ,
        }
    )
    async with services(settings, database_url) as built:
        town = Town(customers_service(built.begin, built.clock, built.ids), built.begin)
        yield Counter(create_app(built), built, yookassa, town)
