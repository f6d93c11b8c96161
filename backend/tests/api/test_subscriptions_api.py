"""Plans over HTTP: statuses, codes and bodies, tenancy, the page that buyers come back to, and the closed flag."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.counter import Counter, open_counter, session_of
from backend.tests.builders.customers import Customer
from backend.tests.builders.subscriptions import terms
from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import simulated_yookassa
from billing.customers.rules import OperatorRole, Scope
from billing.quotas.rules import Amounts
from billing.subscriptions.rules import Plan

pytestmark = [pytest.mark.money, pytest.mark.slow]

API = "/api/v1/billing"


@pytest.fixture(scope="module")
async def open_for_business(database_url: URL) -> AsyncIterator[Counter]:
    """The application with its provider, selling plans."""
    async with (
        simulated_yookassa() as yookassa,
        open_counter(database_url, yookassa, ENABLE_BILLING_SUBSCRIPTIONS="true") as counter,
    ):
        yield counter


@pytest.fixture
async def counter(open_for_business: Counter) -> Counter:
    """The application, for one test."""
    await open_for_business.yookassa.fresh()
    return open_for_business


@pytest.fixture
async def plan(counter: Counter) -> Plan:
    """A plan on offer."""
    operator = await counter.town.customer(operator_role=OperatorRole.FINANCE)
    wanted = terms(discount_percent=10, daily_cap=rub("50"), quotas=Amounts(images=5))
    return await counter.services.plan_desk.create(operator.principal, wanted, reason="a test", request_id="req_tests")


@pytest.fixture
async def ada(counter: Counter) -> AsyncIterator[tuple[Customer, httpx.AsyncClient]]:
    """A customer and their browser."""
    customer = await counter.town.customer()
    async with counter.caller(**session_of(customer)) as browser:
        yield customer, browser


async def buy(client: httpx.AsyncClient, plan: Plan, key: str | None = "click", **body: object) -> httpx.Response:
    headers = {} if key is None else {"Idempotency-Key": key}
    return await client.post(f"{API}/subscription", json={"plan": plan.terms.code, **body}, headers=headers)


async def paid(counter: Counter, customer: Customer, answer: httpx.Response) -> str:
    """The provider's payment of this purchase is paid."""
    payment_id = str(answer.json()["payment_id"])
    query = text("SELECT provider_payment_id FROM payments WHERE id = :id AND account_id = :account_id")
    async with counter.services.begin() as uow:
        values = {"id": payment_id, "account_id": customer.account.id}
        await counter.yookassa.pay(str(await uow.connection.scalar(query, values)))
    return payment_id


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


class TestPlans:
    async def test_are_shown_with_what_they_cost_and_give(
        self, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        answer = await ada[1].get(f"{API}/plans")

        (shown,) = [item for item in answer.json()["items"] if item["code"] == plan.terms.code]
        assert shown == {
            "code": plan.terms.code,
            "name": "Plus",
            "price": {"amount": "300.00", "currency": "RUB"},
            "interval": "month",
            "included_credit": {"amount": "100.00", "currency": "RUB"},
            "discount_percent": 10,
            "daily_cap": {"amount": "50.00", "currency": "RUB"},
            "monthly_cap": None,
            "quotas": {"images": 5},
        }


class TestBuying:
    async def test_answers_with_the_payment_and_where_to_pay_it(
        self, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        answer = await buy(ada[1], plan, return_to="/billing/playground")

        body = answer.json()
        assert answer.status_code == 201
        assert body["status"] == "pending"
        assert body["amount"] == {"amount": "300.00", "currency": "RUB"}
        assert body["confirmation_url"].startswith("http")

    async def test_reconciled_after_paying_it_runs(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        customer, client = ada
        payment_id = await paid(counter, customer, await buy(client, plan))

        reconciled = await client.post(f"{API}/subscription/payments/{payment_id}/reconcile")
        shown = await client.get(f"{API}/subscription/payments/{payment_id}")
        standing = (await client.get(f"{API}/subscription")).json()

        assert reconciled.json()["status"] == shown.json()["status"] == "succeeded"
        assert standing["status"] == "active"
        assert standing["running"]["payment_id"] == payment_id
        assert standing["running"]["plan"]["code"] == plan.terms.code
        assert standing["paid_until"] == standing["running"]["ends_at"]

    async def test_the_page_of_the_return_says_what_came_of_it(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        customer, client = ada
        answer = await buy(client, plan, return_to="/billing/playground")
        page = f"/billing/plan/{answer.json()['payment_id']}/return"

        before = await client.get(page)
        await paid(counter, customer, answer)
        after = await client.get(page)

        assert (before.status_code, after.status_code) == (200, 200)
        assert 'data-state="pending"' in before.text
        assert 'data-state="succeeded"' in after.text
        assert "It runs until" in after.text
        assert "/chat/billing/playground" in after.text

    async def test_the_provider_sends_buyers_to_that_page(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        answer = await buy(ada[1], plan)

        query = text("SELECT return_url FROM payments WHERE id = :id")
        async with counter.services.begin() as uow:
            address = await uow.connection.scalar(query, {"id": answer.json()["payment_id"]})
        assert address == f"https://shop.example/chat/billing/plan/{answer.json()['payment_id']}/return"

    async def test_whose_outcome_is_not_certain_yet_is_accepted(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        await counter.yookassa.plan("server_error", "create_payment", times=3)

        uncertain, certain = await buy(ada[1], plan), await buy(ada[1], plan)

        assert (uncertain.status_code, uncertain.json()["status"]) == (202, "processing")
        assert certain.json()["payment_id"] == uncertain.json()["payment_id"]
        owners = [payment["metadata"]["account_id"] for payment in await counter.yookassa.payments()]
        assert owners.count(ada[0].account.id) == 1

    async def test_needs_a_key(self, ada: tuple[Customer, httpx.AsyncClient], plan: Plan) -> None:
        assert code_of(await buy(ada[1], plan, key=None)) == (400, "invalid_request")

    async def test_a_plan_that_is_not_on_offer_is_404(self, ada: tuple[Customer, httpx.AsyncClient]) -> None:
        answer = await ada[1].post(f"{API}/subscription", json={"plan": "none"}, headers={"Idempotency-Key": "click"})

        assert code_of(answer) == (404, "plan_not_found")

    async def test_an_unknown_field_is_refused(self, ada: tuple[Customer, httpx.AsyncClient], plan: Plan) -> None:
        assert code_of(await buy(ada[1], plan, amount="1.00")) == (400, "invalid_request")

    async def test_a_method_of_nobody_is_404(self, ada: tuple[Customer, httpx.AsyncClient], plan: Plan) -> None:
        assert code_of(await buy(ada[1], plan, method_id="pmt_none")) == (404, "payment_method_not_found")

    async def test_a_key_that_may_only_read_cannot_buy(self, counter: Counter, plan: Plan) -> None:
        async with counter.customer(Scope.BILLING_READ) as (_, client):
            assert code_of(await buy(client, plan)) == (403, "forbidden")


class TestLife:
    async def test_renewed_canceled_resumed(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        customer, client = ada
        bought = await paid(counter, customer, await buy(client, plan, renews=True))
        await client.post(f"{API}/subscription/payments/{bought}/reconcile")
        (method,) = (await client.get(f"{API}/payment-methods")).json()["items"]

        renewed = await client.post(
            f"{API}/subscription/renew", json={"method_id": method["id"]}, headers={"Idempotency-Key": "again"}
        )
        canceled = await client.post(f"{API}/subscription/cancel", json={"when": "period_end"})
        resumed = await client.post(f"{API}/subscription/resume", json={})
        ended = await client.post(f"{API}/subscription/cancel", json={"when": "now"})

        assert (renewed.status_code, renewed.json()["status"]) == (201, "succeeded")
        assert (canceled.json()["status"], canceled.json()["will_renew"]) == ("canceled", False)
        assert (resumed.json()["status"], resumed.json()["will_renew"]) == ("active", True)
        assert len(resumed.json()["ahead"]) == 1
        assert (ended.json()["running"], ended.json()["ahead"]) == (None, [])

    @pytest.mark.parametrize(("path", "body"), [("cancel", {"when": "now"}), ("resume", {}), ("renew", {})])
    async def test_without_a_plan_there_is_nothing_to_do(
        self, ada: tuple[Customer, httpx.AsyncClient], path: str, body: dict[str, str]
    ) -> None:
        answer = await ada[1].post(f"{API}/subscription/{path}", json=body, headers={"Idempotency-Key": "click"})

        assert code_of(answer) == (404, "subscription_not_found")

    async def test_whoever_has_none_sees_that(self, ada: tuple[Customer, httpx.AsyncClient]) -> None:
        answer = await ada[1].get(f"{API}/subscription")

        assert answer.json() == {
            "status": "none",
            "running": None,
            "ahead": [],
            "paid_until": None,
            "will_renew": False,
            "method_id": None,
            "canceled_at": None,
        }


class TestTenancy:
    async def test_somebody_elses_payment_is_404_and_stays_as_it_is(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient], plan: Plan
    ) -> None:
        payment_id = (await buy(ada[1], plan)).json()["payment_id"]
        row = text("SELECT * FROM payments WHERE id = :id")
        async with counter.services.begin() as uow:
            before = (await uow.connection.execute(row, {"id": payment_id})).one()

        async with counter.customer() as (_, stranger):
            answers = [
                await stranger.get(f"{API}/subscription/payments/{payment_id}"),
                await stranger.post(f"{API}/subscription/payments/{payment_id}/reconcile"),
                await stranger.get(f"/billing/plan/{payment_id}/return"),
            ]

        async with counter.services.begin() as uow:
            after = (await uow.connection.execute(row, {"id": payment_id})).one()
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert after == before


class TestTheClosedFlag:
    async def test_everything_about_plans_is_404_and_does_nothing(
        self, database_url: URL, counter: Counter, plan: Plan
    ) -> None:
        async with open_counter(database_url, counter.yookassa) as closed, closed.customer() as (customer, client):
            answers = [
                await client.get(f"{API}/plans"),
                await client.get(f"{API}/subscription"),
                await buy(client, plan),
                await client.post(f"{API}/subscription/cancel", json={"when": "now"}),
                await client.get("/billing/plan/pay_1/return"),
            ]

            query = text("SELECT count(*) FROM payments WHERE account_id = :id")
            async with closed.services.begin() as uow:
                payments = await uow.connection.scalar(query, {"id": customer.account.id})
        assert [code_of(answer) for answer in answers] == [(404, "billing_disabled")] * 5
        assert payments == 0
