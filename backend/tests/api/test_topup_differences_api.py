"""The operators' doors to what differs from the provider's books, and to what nothing finishes any more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.counter import Counter, open_counter
from backend.tests.builders.customers import Customer
from backend.tests.builders.owner import owner_engine
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from billing.customers.access import SESSION_COOKIE
from billing.customers.rules import OperatorRole
from billing.payments.comparison import Window

pytestmark = [pytest.mark.money, pytest.mark.slow]

PAYMENTS = "/admin/billing/payments"
DIFFERENCES = f"{PAYMENTS}/differences"
_APART_MAX = timedelta(seconds=1)  # the provider's clock and ours
WHY = {"reason": "the backup of Monday was restored"}


@pytest.fixture(scope="module")
async def open_for_business(database_url: URL) -> AsyncIterator[Counter]:
    """The application with its provider and its operators' doors."""
    async with (
        simulated_yookassa() as yookassa,
        open_counter(database_url, yookassa, ADMIN_BILLING_ENABLED="true") as counter,
    ):
        yield counter


@pytest.fixture
async def yookassa(open_for_business: Counter) -> SimulatedYookassa:
    """The provider, without what earlier tests left."""
    return await open_for_business.yookassa.fresh()


@pytest.fixture
async def operator(open_for_business: Counter) -> AsyncIterator[httpx.AsyncClient]:
    """A client of somebody from finance."""
    async with as_operator(open_for_business, OperatorRole.FINANCE) as client:
        yield client


@pytest.fixture
async def customer(open_for_business: Counter) -> Customer:
    """Somebody who has paid."""
    return await open_for_business.town.customer()


@pytest.fixture
async def payment_id(
    open_for_business: Counter, customer: Customer, yookassa: SimulatedYookassa, database_url: URL
) -> str:
    """A paid top-up whose row a restored backup does not have, found by reconciliation; the id that it had."""
    assert await yookassa.payments() == []
    began_at = open_for_business.services.clock.now()
    body = {"amount": "500", "currency": "RUB"}
    async with open_for_business.customer(owner=customer) as (_, client):
        topup = (await client.post("/api/v1/billing/topups", json=body, headers={"Idempotency-Key": "click"})).json()
    await yookassa.pay((await yookassa.payments())[-1]["id"])
    await as_owner(database_url, "DELETE FROM payments WHERE id = :id", id=topup["payment_id"])
    now = open_for_business.services.clock.now()
    window = Window(began_at - _APART_MAX, now + _APART_MAX)  # what tests before have left costs a question each
    await open_for_business.services.payment_upkeep.reconciliation.run(window)
    return str(topup["payment_id"])


@asynccontextmanager
async def as_operator(counter: Counter, role: OperatorRole | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an operator with this role, or of a customer."""
    session = (await counter.town.customer(operator_role=role)).session
    headers = {"Cookie": f"{SESSION_COOKIE}={session.token}", "X-CSRF-Token": session.csrf_token}
    async with counter.caller(**headers) as client:
        yield client


async def as_owner(url: URL, statement: str, **values: object) -> None:
    """Does to the database what no process of ours may."""
    engine = owner_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text(statement), values)
    await engine.dispose()


async def listed(client: httpx.AsyncClient, payment_id: str, **query: str) -> list[dict[str, Any]]:
    """The differences of this payment."""
    answer = await client.get(DIFFERENCES, params=query)
    assert answer.status_code == 200
    return [one for one in answer.json()["items"] if one["payment_id"] == payment_id]


async def audited(counter: Counter, difference_id: str) -> list[dict[str, Any]]:
    """What the audit trail has about a difference."""
    async with counter.services.begin() as uow:
        found = await uow.connection.execute(
            text("SELECT * FROM audit_entries WHERE target = :id ORDER BY id"), {"id": difference_id}
        )
        return [dict(row) for row in found.mappings()]


class TestADifference:
    async def test_is_listed_with_what_both_sides_say(self, operator: httpx.AsyncClient, payment_id: str) -> None:
        (found,) = await listed(operator, payment_id)

        assert (found["kind"], found["resolution"]) == ("missing_here", None)
        assert (found["ours"], found["theirs"]["amount"]) == ({}, "500.00 RUB")
        assert await listed(operator, payment_id, kind="fee") == []

    async def test_adopted_is_credited_once_and_leaves_one_audit_entry(
        self, open_for_business: Counter, operator: httpx.AsyncClient, customer: Customer, payment_id: str
    ) -> None:
        (found,) = await listed(operator, payment_id)

        adopted = await operator.post(f"{DIFFERENCES}/{found['difference_id']}/adopt", json=WHY)
        again = await operator.post(f"{DIFFERENCES}/{found['difference_id']}/adopt", json=WHY)

        (entry,) = await audited(open_for_business, found["difference_id"])
        assert (adopted.status_code, adopted.json()["payment_id"]) == (200, payment_id)
        assert (adopted.json()["account_id"], adopted.json()["state"]) == (customer.account.id, "succeeded")
        assert (again.status_code, again.json()["error"]["code"]) == (409, "difference_resolved")
        assert (entry["action"], entry["reason"]) == ("difference.adopted", WHY["reason"])

    @pytest.mark.parametrize(("way", "resolution"), [("accept", "accepted"), ("ignore", "ignored")])
    async def test_decided_is_open_no_more(
        self, open_for_business: Counter, operator: httpx.AsyncClient, payment_id: str, way: str, resolution: str
    ) -> None:
        (found,) = await listed(operator, payment_id)

        decided = await operator.post(f"{DIFFERENCES}/{found['difference_id']}/{way}", json=WHY)

        (resolved,) = await listed(operator, payment_id, resolved="true")
        (entry,) = await audited(open_for_business, found["difference_id"])
        assert (decided.status_code, decided.json()["resolution"]) == (200, resolution)
        assert (await listed(operator, payment_id), resolved["resolution"]) == ([], resolution)
        assert entry["action"] == f"difference.{resolution}"


class TestRefusals:
    @pytest.mark.parametrize("way", ["adopt", "accept", "ignore"])
    async def test_without_a_reason_nothing_is_decided(
        self, open_for_business: Counter, operator: httpx.AsyncClient, payment_id: str, way: str
    ) -> None:
        (found,) = await listed(operator, payment_id)

        for body in ({}, {"reason": " "}, {**WHY, "amount": "1"}):
            answer = await operator.post(f"{DIFFERENCES}/{found['difference_id']}/{way}", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")

        assert len(await listed(operator, payment_id)) == 1
        assert await audited(open_for_business, found["difference_id"]) == []

    @pytest.mark.parametrize("subject", ["", "a\x00b", "a\nb", "\u202e", "x" * 201, "pln_1"])
    async def test_a_subject_that_nothing_can_have(
        self, operator: httpx.AsyncClient, payment_id: str, subject: str
    ) -> None:
        (found,) = await listed(operator, payment_id)

        answer = await operator.post(f"{DIFFERENCES}/{found['difference_id']}/adopt", json={**WHY, "subject": subject})

        assert answer.status_code in {400, 409}
        assert len(await listed(operator, payment_id)) == 1

    @pytest.mark.parametrize("way", ["adopt", "accept", "ignore"])
    async def test_a_difference_that_is_not_there(self, operator: httpx.AsyncClient, way: str) -> None:
        answer = await operator.post(f"{DIFFERENCES}/rcd_nothing/{way}", json=WHY)

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "difference_not_found")

    @pytest.mark.parametrize("role", [None, OperatorRole.AUDITOR])
    async def test_whoever_may_not_decide(
        self, open_for_business: Counter, operator: httpx.AsyncClient, payment_id: str, role: OperatorRole | None
    ) -> None:
        (found,) = await listed(operator, payment_id)

        async with as_operator(open_for_business, role) as client:
            decided = [
                (await client.post(f"{DIFFERENCES}/{found['difference_id']}/{way}", json=WHY)).status_code
                for way in ("adopt", "accept", "ignore")
            ]
            read = [(await client.get(path)).status_code for path in (DIFFERENCES, f"{PAYMENTS}?stuck=true")]

        assert decided == [403, 403, 403]
        assert read == ([403, 403] if role is None else [200, 200])
        assert len(await listed(operator, payment_id)) == 1


class TestWhatIsStuck:
    async def test_is_listed(
        self, operator: httpx.AsyncClient, customer: Customer, open_for_business: Counter, database_url: URL
    ) -> None:
        body = {"amount": "500", "currency": "RUB"}
        async with open_for_business.customer(owner=customer) as (_, client):
            key = {"Idempotency-Key": "stuck"}
            topup = (await client.post("/api/v1/billing/topups", json=body, headers=key)).json()
        await as_owner(
            database_url,
            "UPDATE payments SET next_check_at = NULL, created_at = created_at - interval '9 years' WHERE id = :id",
            id=topup["payment_id"],
        )

        bare, spelled = [
            (await operator.get(f"{PAYMENTS}?{query}")).json() for query in ("stuck", "stuck=true&limit=1")
        ]

        assert topup["payment_id"] in [one["id"] for one in bare["items"]]
        assert [one["amount"] for one in spelled["items"]] == [{"amount": "500.00", "currency": "RUB"}]

    async def test_is_the_only_list(self, operator: httpx.AsyncClient) -> None:
        answers = [await operator.get(f"{PAYMENTS}{query}") for query in ("", "?stuck=false")]

        assert [answer.status_code for answer in answers] == [400, 400]
