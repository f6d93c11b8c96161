"""Saved methods, the automatic top-up and contacts for receipts over HTTP: statuses, codes, bodies, tenancy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.counter import Counter, open_counter, session_of
from backend.tests.builders.customers import Customer
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from billing.customers.rules import Scope

pytestmark = [pytest.mark.money, pytest.mark.slow]

API = "/api/v1/billing"
TERMS = {"threshold": "100", "amount": "500", "monthly_limit": "2000", "currency": "RUB", "consent": True}


@pytest.fixture(scope="module")
async def open_for_business(database_url: URL) -> AsyncIterator[Counter]:
    """The application with its provider, where every payment carries a receipt."""
    async with (
        simulated_yookassa() as yookassa,
        open_counter(database_url, yookassa, BILLING_RECEIPTS_ENABLED="true") as counter,
    ):
        yield counter


@pytest.fixture
async def yookassa(open_for_business: Counter) -> SimulatedYookassa:
    """The provider, without what earlier tests left."""
    return await open_for_business.yookassa.fresh()


@pytest.fixture
async def counter(open_for_business: Counter, yookassa: SimulatedYookassa) -> Counter:
    """The application, for one test."""
    assert await yookassa.payments() == []
    return open_for_business


@pytest.fixture
async def ada(counter: Counter) -> AsyncIterator[tuple[Customer, httpx.AsyncClient]]:
    """A customer and her browser."""
    customer = await counter.town.customer()
    async with counter.caller(**session_of(customer)) as browser:
        yield customer, browser


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def save_method(client: httpx.AsyncClient, yookassa: SimulatedYookassa) -> str:
    """The id of what the customer has paid with and let be kept."""
    body = {"amount": "500", "currency": "RUB", "saves_method": True}
    begun = (await client.post(f"{API}/topups", json=body, headers={"Idempotency-Key": "saves"})).json()
    await yookassa.pay((await yookassa.payments())[-1]["id"])
    await client.post(f"{API}/topups/{begun['payment_id']}/reconcile")
    methods = (await client.get(f"{API}/payment-methods")).json()["items"]
    return str(methods[0]["id"])


class TestMethods:
    async def test_are_listed_without_what_the_provider_calls_them(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        method_id = await save_method(ada[1], yookassa)

        answer = await ada[1].get(f"{API}/payment-methods")

        (method,) = answer.json()["items"]
        (payment,) = await yookassa.payments()
        assert (method["id"], method["provider"], method["title"]) == (method_id, "yookassa", "Bank card *4444")
        assert payment["payment_method"]["id"] not in answer.text

    async def test_are_removed_once_and_for_all(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        method_id = await save_method(ada[1], yookassa)

        statuses = [(await ada[1].delete(f"{API}/payment-methods/{method_id}")).status_code for _ in range(2)]

        assert statuses == [204, 204]
        assert (await ada[1].get(f"{API}/payment-methods")).json() == {"items": []}

    async def test_of_others_are_not_there(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        method_id = await save_method(ada[1], yookassa)

        async with counter.customer() as (_, stranger):
            removed = await stranger.delete(f"{API}/payment-methods/{method_id}")
            listed = await stranger.get(f"{API}/payment-methods")

        assert (code_of(removed), listed.json()) == ((404, "payment_method_not_found"), {"items": []})
        assert len((await ada[1].get(f"{API}/payment-methods")).json()["items"]) == 1

    async def test_are_nobody_s_business(self, counter: Counter) -> None:
        async with counter.caller() as anybody:
            answers = [await anybody.get(f"{API}/payment-methods"), await anybody.get(f"{API}/auto-topup")]

        assert [code_of(answer) for answer in answers] == [(401, "not_signed_in")] * 2


class TestAutoTopup:
    async def test_is_set_shown_and_turned_off(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        method_id = await save_method(ada[1], yookassa)

        put = await ada[1].put(f"{API}/auto-topup", json={**TERMS, "method_id": method_id})
        shown = await ada[1].get(f"{API}/auto-topup")
        deleted = await ada[1].delete(f"{API}/auto-topup")
        off = (await ada[1].get(f"{API}/auto-topup")).json()

        body = shown.json()
        assert (put.status_code, put.json(), deleted.status_code) == (200, body, 204)
        assert {name: body[name] for name in ("is_on", "off_reason", "declines", "in_flight", "method_id")} == {
            "is_on": True,
            "off_reason": None,
            "declines": 0,
            "in_flight": None,
            "method_id": method_id,
        }
        assert body["charged"] == {"amount": "0.00", "currency": "RUB"}
        assert (off["is_on"], off["off_reason"]) == (False, "turned_off")

    async def test_is_not_there_until_somebody_sets_it(self, ada: tuple[Customer, httpx.AsyncClient]) -> None:
        assert code_of(await ada[1].get(f"{API}/auto-topup")) == (404, "auto_topup_not_found")
        assert (await ada[1].delete(f"{API}/auto-topup")).status_code == 204

    @pytest.mark.parametrize(
        ("change", "expected"),
        [
            ({"consent": False}, (400, "invalid_request")),
            ({"consent": "yes"}, (400, "invalid_request")),
            ({"amount": "99"}, (400, "amount_not_offered")),
            ({"amount": "700"}, (400, "invalid_request")),
            ({"currency": "USD"}, (400, "currency_not_offered")),
            ({"threshold": "-5"}, (400, "invalid_request")),
            ({"monthly_limit": "499"}, (400, "invalid_request")),
            ({"threshold": 100}, (400, "invalid_request")),
            ({"wallet": "x"}, (400, "invalid_request")),
            ({"method_id": "pmt_nobody"}, (404, "payment_method_not_found")),
        ],
    )
    async def test_refuses_terms_that_cannot_be_kept(
        self,
        ada: tuple[Customer, httpx.AsyncClient],
        yookassa: SimulatedYookassa,
        change: dict[str, Any],
        expected: tuple[int, str],
    ) -> None:
        method_id = await save_method(ada[1], yookassa)

        answer = await ada[1].put(f"{API}/auto-topup", json={**TERMS, "method_id": method_id, **change})

        assert code_of(answer) == expected
        assert (await ada[1].get(f"{API}/auto-topup")).status_code == 404

    async def test_of_others_pays_with_nothing_of_mine(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        method_id = await save_method(ada[1], yookassa)
        thief = await counter.town.customer()

        async with counter.caller(**session_of(thief)) as browser:
            answer = await browser.put(f"{API}/auto-topup", json={**TERMS, "method_id": method_id})

        assert code_of(answer) == (404, "payment_method_not_found")

    async def test_is_set_by_people_and_not_by_keys(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        method_id = await save_method(ada[1], yookassa)

        async with counter.customer(Scope.BILLING_READ, Scope.BILLING_WRITE, owner=ada[0]) as (_, program):
            put = await program.put(f"{API}/auto-topup", json={**TERMS, "method_id": method_id})
            deleted = await program.delete(f"{API}/auto-topup")
            listed = await program.get(f"{API}/payment-methods")

        assert [code_of(put), code_of(deleted), listed.status_code] == [(403, "forbidden"), (403, "forbidden"), 200]

    async def test_without_the_session_s_token_nothing_changes(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        method_id = await save_method(ada[1], yookassa)
        cookie = session_of(ada[0])["Cookie"]

        async with counter.caller(Cookie=cookie) as other_site:
            answers = [
                await other_site.put(f"{API}/auto-topup", json={**TERMS, "method_id": method_id}),
                await other_site.delete(f"{API}/payment-methods/{method_id}"),
            ]

        assert [code_of(answer) for answer in answers] == [(403, "csrf_failed")] * 2


class TestContacts:
    async def test_of_the_request_are_where_the_receipt_goes(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        body = {
            "amount": "500",
            "currency": "RUB",
            "contact_email": "Books@Example.com",
            "contact_phone": "+79001234567",
        }

        answer = await ada[1].post(f"{API}/topups", json=body, headers={"Idempotency-Key": "k"})

        (call,) = await yookassa.calls("create_payment")
        assert call["body"]["receipt"]["customer"] == {"email": "books@example.com", "phone": "79001234567"}
        assert "79001234567" not in answer.text

    @pytest.mark.parametrize("contact", [{"contact_email": "nobody"}, {"contact_phone": "call me"}])
    async def test_that_reach_nobody_are_refused_and_not_repeated(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa, contact: dict[str, str]
    ) -> None:
        body = {"amount": "500", "currency": "RUB", **contact}

        answer = await ada[1].post(f"{API}/topups", json=body, headers={"Idempotency-Key": "k"})

        ((field, given),) = contact.items()
        assert code_of(answer) == (400, "invalid_request")
        assert answer.json()["error"]["field"] == field
        assert given not in answer.text
        assert await yookassa.calls("create_payment") == []
