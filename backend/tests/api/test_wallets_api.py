"""Balance, limits and events over HTTP: who may see them, who may change them, and what a bad body is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from sqlalchemy import text

from backend.tests.builders.customers import Customer, Town, customers_service
from backend.tests.builders.limits import Bounded, account_wallet
from backend.tests.builders.wallets import RUB, Wallets
from backend.tests.fakes.clock import StoppedClock
from billing.customers.access import CSRF_HEADER, SESSION_COOKIE
from billing.customers.rules import Role, Scope
from billing.customers.service import CustomersService
from billing.http_errors import body_of, status_of
from billing.kit.errors import BillingError
from billing.wallets.account_wallet import AccountWallet
from billing.wallets.endpoints import router

pytestmark = [pytest.mark.money, pytest.mark.slow]

BALANCE, LIMITS, EVENTS = (f"/api/v1/billing/{name}" for name in ("balance", "limits", "events"))
NO_LIMITS: dict[str, Any] = {
    "currency": "RUB",
    "max_reply_cost": None,
    "low_balance": None,
    "daily_cap": None,
    "monthly_cap": None,
    "members": {},
    "api_keys": {},
}

_AUDIT = text(
    "SELECT action, target, before, after, actor_person_id, request_id FROM audit_entries"
    " WHERE account_id = :account AND action = 'limits.changed' ORDER BY id"
)


@pytest.fixture
def town(wallets: Wallets) -> Town:
    """Where customers come from."""
    return Town(customers_service(wallets.begin, wallets.clock, wallets.ids), wallets.begin)


@pytest.fixture
async def client(wallets: Wallets, town: Town) -> AsyncIterator[httpx.AsyncClient]:
    """The endpoints of wallets alone, reached by nobody in particular."""
    app = FastAPI()
    app.state.services = {CustomersService: town.service, AccountWallet: account_wallet(wallets)}
    app.include_router(router)

    @app.exception_handler(BillingError)
    async def refuse(request: Request, error: BillingError) -> JSONResponse:
        del request
        return JSONResponse(body_of(error), status_of(error))

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://billing.test") as client:
        yield client


@pytest.fixture
async def ada(town: Town) -> Customer:
    """The owner of an account."""
    return await town.customer(time_zone="Europe/Moscow")


def signed_in(customer: Customer) -> dict[str, str]:
    """The headers of a page of ours in this person's browser."""
    return {"Cookie": f"{SESSION_COOKIE}={customer.session.token}", CSRF_HEADER: customer.session.csrf_token}


async def key_of(town: Town, customer: Customer) -> tuple[str, dict[str, str]]:
    """A key that reaches as far as any key can, and its header."""
    key = await town.service.create_api_key(customer.principal, "tests", scopes=list(Scope), request_id="req_tests")
    return key.id, {"Authorization": f"Bearer {key.secret}"}


async def credited(wallets: Wallets, customer: Customer, amount: str) -> Bounded:
    """This much paid credit in the customer's wallet."""
    async with wallets.begin() as uow:
        wallet_id = await wallets.service.of_account(uow, customer.account.id, RUB)
    await wallets.pay_in(wallet_id, amount)
    return Bounded(wallets, account_wallet(wallets), customer.principal, wallet_id)


async def audit_of(wallets: Wallets, customer: Customer) -> list[Any]:
    async with wallets.begin() as uow:
        return list(await uow.connection.execute(_AUDIT, {"account": customer.account.id}))


class TestBalance:
    async def test_every_figure_and_lot_is_there(
        self, client: httpx.AsyncClient, wallets: Wallets, ada: Customer
    ) -> None:
        one = await credited(wallets, ada, "100")
        await one.hold("30")

        answer = (await client.get(BALANCE, headers=signed_in(ada))).json()

        (lot,) = answer.pop("lots")
        assert answer == {
            "currency": "RUB",
            "paid": "70.00",
            "granted": "0.00",
            "held": "30.00",
            "debt": "0.00",
            "available": "70.00",
        }
        assert (lot["source"], lot["left"], lot["held"], lot["expires_at"]) == ("topup", "70.00", "30.00", None)

    async def test_it_is_shown_to_nobody_else(self, client: httpx.AsyncClient) -> None:
        assert (await client.get(BALANCE)).status_code == 401


class TestLimits:
    async def test_what_is_put_is_shown_with_what_is_used(
        self, client: httpx.AsyncClient, wallets: Wallets, town: Town, ada: Customer
    ) -> None:
        one = await credited(wallets, ada, "100")
        person, (key, _) = str(ada.principal.person_id), await key_of(town, ada)
        body = NO_LIMITS | {
            "max_reply_cost": "5",
            "low_balance": "20",
            "daily_cap": "10",
            "monthly_cap": "50",
            "members": {person: "7"},
            "api_keys": {key: "0"},
        }

        put = await client.put(LIMITS, json=body, headers=signed_in(ada))
        await one.hold("2", person=person)

        got = (await client.get(LIMITS, headers=signed_in(ada))).json()
        month = {"spent": "0.00", "reserved": "2.00", "resets_at": "2026-03-31T21:00:00Z"}
        assert put.status_code == 200
        assert got == {
            "currency": "RUB",
            "max_reply_cost": "5.00",
            "low_balance": "20.00",
            "daily_cap": {"cap": "10.00", "spent": "0.00", "reserved": "2.00", "resets_at": "2026-03-02T21:00:00Z"},
            "monthly_cap": {"cap": "50.00", **month},
            "members": {person: {"cap": "7.00", **month}},
            "api_keys": {key: {"cap": "0.00", **month, "reserved": "0.00"}},
        }

    async def test_each_change_leaves_one_audit_entry_and_the_same_again_none(
        self, client: httpx.AsyncClient, wallets: Wallets, clock: StoppedClock, ada: Customer
    ) -> None:
        one = await credited(wallets, ada, "100")
        for cap in ("10", "10", None):
            clock.move(timedelta(seconds=1))
            await client.put(LIMITS, json=NO_LIMITS | {"daily_cap": cap, "low_balance": "5"}, headers=signed_in(ada))

        set_, taken = await audit_of(wallets, ada)
        assert (set_.target, set_.actor_person_id) == (one.wallet_id, ada.principal.person_id)
        assert set_.before == {"currency": "RUB", "max_reply_cost": None, "low_balance": None, "caps": {}}
        assert set_.after == {
            "currency": "RUB",
            "max_reply_cost": None,
            "low_balance": "5.00",
            "caps": {"day": "10.00"},
        }
        assert (taken.before, taken.after) == (set_.after, set_.after | {"caps": {}})

    @pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR])
    async def test_who_does_not_manage_billing_reads_and_changes_nothing(
        self, client: httpx.AsyncClient, wallets: Wallets, town: Town, ada: Customer, role: Role
    ) -> None:
        colleague = await town.colleague(ada.account, role)

        refused = await client.put(LIMITS, json=NO_LIMITS | {"daily_cap": "10"}, headers=signed_in(colleague))

        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert (await client.get(LIMITS, headers=signed_in(colleague))).json()["daily_cap"] is None
        assert await audit_of(wallets, ada) == []

    async def test_no_key_changes_what_bounds_it(
        self, client: httpx.AsyncClient, wallets: Wallets, town: Town, ada: Customer
    ) -> None:
        _, headers = await key_of(town, ada)

        refused = await client.put(LIMITS, json=NO_LIMITS, headers=headers)

        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert await audit_of(wallets, ada) == []

    async def test_a_form_of_another_site_changes_nothing(self, client: httpx.AsyncClient, ada: Customer) -> None:
        headers = signed_in(ada)
        del headers[CSRF_HEADER]

        assert (await client.put(LIMITS, json=NO_LIMITS, headers=headers)).status_code == 403

    @pytest.mark.parametrize(
        ("change", "field"),
        [
            ({"daily_cap": "-1"}, "amount"),
            ({"daily_cap": "1,5"}, "amount"),
            ({"daily_cap": "0.0000001"}, "amount"),
            ({"currency": "EUR", "daily_cap": "1"}, "currency"),
            ({"members": {"per_nobody": "1"}}, "members"),
            ({"api_keys": {"key_nobody": "1"}}, "api_keys"),
        ],
    )
    async def test_what_cannot_be_is_refused_and_leaves_no_trace(
        self, client: httpx.AsyncClient, wallets: Wallets, ada: Customer, change: dict[str, Any], field: str
    ) -> None:
        answer = await client.put(LIMITS, json=NO_LIMITS | change, headers=signed_in(ada))

        assert (answer.status_code, answer.json()["error"]["field"]) == (400, field)
        assert await audit_of(wallets, ada) == []

    async def test_nothing_is_taken_away_by_forgetting_it(self, client: httpx.AsyncClient, ada: Customer) -> None:
        for name in NO_LIMITS:
            body = {field: value for field, value in NO_LIMITS.items() if field != name}
            assert (await client.put(LIMITS, json=body, headers=signed_in(ada))).status_code == 422

    async def test_people_and_keys_of_another_account_are_nobody_here(
        self, client: httpx.AsyncClient, town: Town, ada: Customer
    ) -> None:
        other = await town.customer()
        key, _ = await key_of(town, other)

        for change in ({"members": {str(other.principal.person_id): "1"}}, {"api_keys": {key: "1"}}):
            answer = await client.put(LIMITS, json=NO_LIMITS | change, headers=signed_in(ada))
            assert answer.status_code == 400


class TestEvents:
    async def test_what_the_account_was_told_is_listed_page_by_page(
        self, client: httpx.AsyncClient, wallets: Wallets, ada: Customer
    ) -> None:
        one = await credited(wallets, ada, "100")
        await one.limit(daily="10")
        await one.spend("10")

        first = (await client.get(EVENTS, params={"limit": 1}, headers=signed_in(ada))).json()
        cursor = {"limit": 1, "cursor": first["next_cursor"]}
        second = (await client.get(EVENTS, params=cursor, headers=signed_in(ada))).json()

        assert second["next_cursor"] is None
        told = [*first["items"], *second["items"]]
        assert {event["data"]["percent"] for event in told} == {80, 100}
        assert {(event["kind"], event["subject"]) for event in told} == {("wallet.cap_threshold", None)}
