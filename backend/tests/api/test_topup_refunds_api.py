"""The operators' desk for payments from outside: over HTTP behind its flag, and on the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from typer.testing import CliRunner

from backend.tests.builders.counter import Counter, open_counter
from backend.tests.builders.customers import Customer
from backend.tests.builders.yookassa import SECRET_KEY, SHOP_ID, SimulatedYookassa, simulated_yookassa
from billing.cli import app as commands
from billing.customers.access import SESSION_COOKIE
from billing.customers.rules import OperatorRole

pytestmark = [pytest.mark.money, pytest.mark.slow]

PAYMENTS = "/admin/billing/payments"
WHOLE = {"reason": "asked for by mail"}
PART = {**WHOLE, "amount": "100", "currency": "RUB"}


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
async def payment(open_for_business: Counter, yookassa: SimulatedYookassa) -> str:
    """A top-up of 500 roubles that is paid and credited; its id."""
    assert await yookassa.payments() == []
    async with open_for_business.customer() as (_, client):
        return await paid(client, yookassa)


@pytest.fixture
async def operator(open_for_business: Counter) -> AsyncIterator[httpx.AsyncClient]:
    """A client of somebody from finance."""
    async with as_operator(open_for_business, OperatorRole.FINANCE) as client:
        yield client


@asynccontextmanager
async def as_operator(counter: Counter, role: OperatorRole | None) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an operator with this role, or of a customer."""
    person = await counter.town.customer(operator_role=role)
    async with counter.caller(**as_(person)) as client:
        yield client


def as_(customer: Customer) -> dict[str, str]:
    """The headers of somebody's own session."""
    return {"Cookie": f"{SESSION_COOKIE}={customer.session.token}", "X-CSRF-Token": customer.session.csrf_token}


async def paid(client: httpx.AsyncClient, yookassa: SimulatedYookassa) -> str:
    """Begins a top-up, pays and credits it; its id."""
    body = {"amount": "500", "currency": "RUB"}
    topup = (await client.post("/api/v1/billing/topups", json=body, headers={"Idempotency-Key": "click"})).json()
    await yookassa.pay((await yookassa.payments())[-1]["id"])
    await client.post(f"/api/v1/billing/topups/{topup['payment_id']}/reconcile")
    return str(topup["payment_id"])


async def audited(counter: Counter, payment_id: str) -> list[dict[str, Any]]:
    """What the audit trail has about a payment's refunds."""
    async with counter.services.begin() as uow:
        found = await uow.connection.execute(
            text("SELECT * FROM audit_entries WHERE target = :id AND action = 'payment.refund_begun'"),
            {"id": payment_id},
        )
        return [dict(row) for row in found.mappings()]


class TestARefundOverHttp:
    async def test_gives_back_what_can_be_and_leaves_one_audit_entry(
        self, open_for_business: Counter, operator: httpx.AsyncClient, payment: str
    ) -> None:
        answer = await operator.post(f"{PAYMENTS}/{payment}/refunds", json=WHOLE)

        (entry,) = await audited(open_for_business, payment)
        assert (answer.status_code, answer.json()["state"]) == (201, "succeeded")
        assert answer.json()["amount"] == {"amount": "500.00", "currency": "RUB"}
        assert (entry["reason"], entry["after"]["refund_id"]) == (WHOLE["reason"], answer.json()["refund_id"])

    async def test_under_the_same_key_is_one_refund_and_one_audit_entry(
        self, open_for_business: Counter, operator: httpx.AsyncClient, payment: str
    ) -> None:
        key = {"Idempotency-Key": "refund-1"}

        answers = [await operator.post(f"{PAYMENTS}/{payment}/refunds", json=PART, headers=key) for _ in range(2)]
        other = await operator.post(f"{PAYMENTS}/{payment}/refunds", json=WHOLE, headers=key)

        assert len({answer.json()["refund_id"] for answer in answers}) == 1
        assert len(await audited(open_for_business, payment)) == 1
        assert (other.status_code, other.json()["error"]["code"]) == (409, "idempotency_key_reused")

    async def test_that_is_not_confirmed_answers_202(
        self, operator: httpx.AsyncClient, payment: str, yookassa: SimulatedYookassa
    ) -> None:
        await yookassa.hold_refunds()

        answer = await operator.post(f"{PAYMENTS}/{payment}/refunds", json=PART)

        assert (answer.status_code, answer.json()["state"]) == (202, "pending")

    async def test_is_shown_with_its_payment(self, operator: httpx.AsyncClient, payment: str) -> None:
        refund = (await operator.post(f"{PAYMENTS}/{payment}/refunds", json=PART)).json()

        file = (await operator.get(f"{PAYMENTS}/{payment}")).json()

        assert (file["state"], file["refunded"]["amount"], file["disputes"]) == ("partially_refunded", "100.00", [])
        assert [one["refund_id"] for one in file["refunds"]] == [refund["refund_id"]]


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({**PART, "amount": "500.01"}, (422, "refund_exceeds_payment")),
            ({**PART, "amount": "-5"}, (400, "invalid_request")),
            ({**PART, "amount": "0"}, (422, "refund_exceeds_unspent")),
            ({**PART, "amount": "0.001"}, (400, "invalid_request")),
            ({**PART, "currency": "USD"}, (400, "invalid_request")),
            ({**WHOLE, "amount": "100"}, (400, "invalid_request")),
            ({"reason": ""}, (400, "invalid_request")),
        ],
    )
    async def test_are_told_with_a_code_and_move_nothing(
        self,
        operator: httpx.AsyncClient,
        payment: str,
        yookassa: SimulatedYookassa,
        body: dict[str, str],
        expected: tuple[int, str],
    ) -> None:
        answer = await operator.post(f"{PAYMENTS}/{payment}/refunds", json=body)

        assert (answer.status_code, answer.json()["error"]["code"]) == expected
        assert await yookassa.refunds() == []

    async def test_a_payment_that_is_not_there(self, operator: httpx.AsyncClient) -> None:
        answer = await operator.post(f"{PAYMENTS}/pay_nobody/refunds", json=WHOLE)

        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "payment_not_found")

    @pytest.mark.parametrize("role", [None, OperatorRole.AUDITOR])
    async def test_whoever_may_not_move_money(
        self, open_for_business: Counter, payment: str, role: OperatorRole | None
    ) -> None:
        async with as_operator(open_for_business, role) as client:
            answer = await client.post(f"{PAYMENTS}/{payment}/refunds", json=WHOLE)
            shown = await client.get(f"{PAYMENTS}/{payment}")

        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert shown.status_code == (403 if role is None else 200)


class TestTheFlagOnAnAccount:
    async def test_is_the_disputes_that_stand_against_it(
        self, open_for_business: Counter, operator: httpx.AsyncClient
    ) -> None:
        customer = await open_for_business.town.customer()

        answer = await operator.get(f"/admin/billing/accounts/{customer.account.id}/disputes")

        assert (answer.status_code, answer.json()) == (200, {"items": []})


@dataclass(frozen=True)
class Shell:
    """A database of its own with a paid top-up and an operator, and the commands over it."""

    environ: dict[str, str]
    payment_id: str
    email: str

    def run(self, *words: str) -> tuple[int, str]:
        """Exit code and output of one command in the operator's name."""
        result = CliRunner().invoke(commands, ("payments", *words, "--operator", self.email), env=self.environ)
        return result.exit_code, result.output


@pytest.fixture
def shell(own_database: URL) -> Iterator[Shell]:
    """Commands open a loop of their own, so this one is not running while they do."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        simulator = simulated_yookassa()
        yookassa = runner.run(simulator.__aenter__())
        try:
            yield runner.run(_filled(own_database, yookassa))
        finally:
            runner.run(simulator.__aexit__(None, None, None))


async def _filled(url: URL, yookassa: SimulatedYookassa) -> Shell:
    async with open_counter(url, yookassa) as counter, counter.customer() as (_, client):
        payment_id = await paid(client, yookassa)
        operator = await counter.town.customer(operator_role=OperatorRole.FINANCE)
    environ = {
        "DATABASE_URL": url.render_as_string(hide_password=False),
        "BILLING_LOG_LEVEL": "ERROR",
        "IDENTITY_PAYMENT_PROVIDER": "simulator",
        "YOOKASSA_SHOP_ID": SHOP_ID,
        "YOOKASSA_SECRET_KEY": SECRET_KEY,
        "YOOKASSA_API_URL": yookassa.api_url,
    }
    return Shell(environ, payment_id, operator.email)


class TestOnTheCommandLine:
    def test_an_operator_refunds_and_looks(self, shell: Shell) -> None:
        part = ("refund", shell.payment_id, "--amount", "100", "--currency", "RUB", "--key", "one", "--reason", "why")
        first, again = shell.run(*part), shell.run(*part)
        rest = shell.run("refund", shell.payment_id, "--reason", "why not")
        shown = shell.run("show", shell.payment_id)

        assert first == again
        assert (first[0], "100.00 RUB is given back" in first[1]) == (0, True)
        assert (rest[0], "400.00 RUB is given back" in rest[1]) == (0, True)
        assert shown[0] == 0
        assert (shown[1].count("refund rfd_"), "refunded" in shown[1]) == (2, True)

    def test_an_amount_without_its_currency_is_refused(self, shell: Shell) -> None:
        assert shell.run("refund", shell.payment_id, "--amount", "100", "--reason", "why")[0] == 2
