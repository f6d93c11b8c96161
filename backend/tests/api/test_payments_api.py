"""Top-ups over HTTP: statuses, codes and bodies, tenancy, and nothing of the provider's words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.counter import Counter, open_counter
from backend.tests.builders.customers import Customer
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from billing.customers.rules import Scope

pytestmark = [pytest.mark.money, pytest.mark.slow]

TOPUPS = "/api/v1/billing/topups"
FIVE_HUNDRED = {"amount": "500", "currency": "RUB"}


@pytest.fixture(scope="module")
async def open_for_business(database_url: URL) -> AsyncIterator[Counter]:
    """The application with its provider."""
    async with simulated_yookassa() as yookassa, open_counter(database_url, yookassa) as counter:
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
    """A customer and their client."""
    async with counter.customer() as customer:
        yield customer


async def start(client: httpx.AsyncClient, body: dict[str, Any], key: str | None = "click") -> httpx.Response:
    return await client.post(TOPUPS, json=body, headers={} if key is None else {"Idempotency-Key": key})


def code_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


class TestBeginning:
    async def test_answers_with_the_payment_and_where_to_pay_it(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        answer = await start(ada[1], {**FIVE_HUNDRED, "return_to": "/billing/balance"})

        (payment,) = await yookassa.payments()
        body = answer.json()
        assert answer.status_code == 201
        assert body == {
            "payment_id": payment["metadata"]["payment_id"],
            "status": "pending",
            "amount": {"amount": "500.00", "currency": "RUB"},
            "confirmation_url": payment["confirmation"]["confirmation_url"],
            "cancellation": None,
            "return_to": "/billing/balance",
            "refunded": {"amount": "0.00", "currency": "RUB"},
        }

    async def test_brings_the_customer_back_below_the_base_path_whatever_host_the_request_names(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        ada[1].headers["Host"] = "evil.example"
        ada[1].headers["X-Forwarded-Host"] = "evil.example"

        payment_id = (await start(ada[1], FIVE_HUNDRED)).json()["payment_id"]

        (payment,) = await yookassa.payments()
        back = f"https://shop.example/chat/billing/topups/{payment_id}/return"
        assert payment["confirmation"]["return_url"] == back

    async def test_again_with_the_same_key_answers_the_same(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        first = await start(ada[1], FIVE_HUNDRED)
        again = await start(ada[1], FIVE_HUNDRED)

        assert (again.status_code, again.json()) == (first.status_code, first.json())
        assert len(await yookassa.payments()) == 1

    async def test_an_uncertain_one_answers_202_until_the_same_key_finishes_it(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        await yookassa.plan("reset", "create_payment", effect="done", times=3)

        uncertain = await start(ada[1], FIVE_HUNDRED)
        finished = await start(ada[1], FIVE_HUNDRED)

        assert (uncertain.status_code, uncertain.json()["status"]) == (202, "processing")
        assert (finished.status_code, finished.json()["status"]) == (201, "pending")
        assert len(await yookassa.payments()) == 1


class TestRefusals:
    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"amount": "99.99", "currency": "RUB"}, (400, "amount_not_offered")),
            ({"amount": "500", "currency": "USD"}, (400, "currency_not_offered")),
            ({"amount": "500", "currency": "XXQ"}, (400, "invalid_request")),
            ({"amount": "1 000,50", "currency": "RUB"}, (400, "invalid_request")),
            ({"amount": 500, "currency": "RUB"}, (400, "invalid_request")),
            ({"amount": 500.5, "currency": "RUB"}, (400, "invalid_request")),
            ({"amount": "NaN", "currency": "RUB"}, (400, "invalid_request")),
            ({"currency": "RUB"}, (400, "invalid_request")),
            ({**FIVE_HUNDRED, "wallet": "x"}, (400, "invalid_request")),
            ({**FIVE_HUNDRED, "return_url": "https://evil.example/"}, (400, "invalid_return_url")),
            ({**FIVE_HUNDRED, "return_url": "https://shop.example/" + "a" * 2100}, (400, "invalid_return_url")),
            ({**FIVE_HUNDRED, "return_to": "//evil.example"}, (400, "invalid_return_url")),
            ({**FIVE_HUNDRED, "return_to": "/", "return_url": "https://app.example/"}, (400, "invalid_request")),
        ],
    )
    async def test_of_what_is_no_topup_name_the_reason_and_reach_nobody(
        self,
        ada: tuple[Customer, httpx.AsyncClient],
        yookassa: SimulatedYookassa,
        body: dict[str, Any],
        expected: tuple[int, str],
    ) -> None:
        answer = await start(ada[1], body)

        assert code_of(answer) == expected
        assert await yookassa.calls("create_payment") == []

    @pytest.mark.parametrize("key", [None, "", "k" * 201, "caf\u00e9"])
    async def test_of_a_request_without_a_usable_key(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa, key: str | None
    ) -> None:
        headers = [] if key is None else [(b"Idempotency-Key", key.encode())]

        answer = await ada[1].post(TOPUPS, json=FIVE_HUNDRED, headers=headers)

        assert code_of(answer) == (400, "invalid_request")
        assert answer.json()["error"]["field"] == "Idempotency-Key"
        assert await yookassa.payments() == []

    async def test_of_a_key_that_stands_for_something_else(self, ada: tuple[Customer, httpx.AsyncClient]) -> None:
        await start(ada[1], FIVE_HUNDRED)

        answer = await start(ada[1], {"amount": "501", "currency": "RUB"})

        assert code_of(answer) == (409, "idempotency_key_reused")

    async def test_of_strangers(self, counter: Counter) -> None:
        async with counter.caller() as stranger:
            answers = [await start(stranger, FIVE_HUNDRED), await stranger.get(f"{TOPUPS}/pay_1")]

        assert [code_of(answer) for answer in answers] == [(401, "not_signed_in")] * 2

    async def test_of_keys_that_may_only_read(self, counter: Counter, yookassa: SimulatedYookassa) -> None:
        async with counter.customer(Scope.BILLING_READ) as (_, client):
            answer = await start(client, FIVE_HUNDRED)

        assert code_of(answer) == (403, "forbidden")
        assert await yookassa.payments() == []

    @pytest.mark.parametrize(
        ("kind", "expected", "waits"),
        [
            ("unavailable", (503, "provider_unavailable"), True),
            ("rate_limited", (503, "provider_rate_limited"), True),
        ],
    )
    async def test_of_an_outage_say_when_to_come_back_and_nothing_of_the_providers(
        self,
        ada: tuple[Customer, httpx.AsyncClient],
        yookassa: SimulatedYookassa,
        kind: str,
        expected: tuple[int, str],
        waits: bool,  # noqa: FBT001 - parametrised
    ) -> None:
        await yookassa.plan(kind, "create_payment", times=3, retry_after_seconds=60)

        answer = await start(ada[1], FIVE_HUNDRED)

        assert code_of(answer) == expected
        assert ("Retry-After" in answer.headers) == waits
        assert "Planned" not in answer.text


class TestReading:
    async def test_shows_a_topup_as_the_books_have_it(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        begun = (await start(ada[1], FIVE_HUNDRED)).json()

        shown = await ada[1].get(f"{TOPUPS}/{begun['payment_id']}")

        assert (shown.status_code, shown.json()) == (200, begun)
        assert await yookassa.calls("get_payment") == []

    async def test_shows_what_is_on_offer(self, counter: Counter) -> None:
        async with counter.caller() as anybody:
            offer = await anybody.get("/api/v1/billing/topup-offer")

        assert offer.json() == {
            "currency": "RUB",
            "presets": ["500.00", "1000.00", "2500.00", "5000.00"],
            "is_custom_allowed": True,
            "minimum": "100.00",
            "maximum": "100000.00",
        }


class TestReconciling:
    async def test_credits_what_was_paid(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        begun = (await start(ada[1], FIVE_HUNDRED)).json()
        await yookassa.pay(await yookassa.only_payment_id())

        answer = await ada[1].post(f"{TOPUPS}/{begun['payment_id']}/reconcile")

        assert (answer.status_code, answer.json()["status"]) == (200, "succeeded")
        assert answer.json()["confirmation_url"] is None

    async def test_of_a_declined_payment_says_why(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        begun = (await start(ada[1], FIVE_HUNDRED)).json()
        await yookassa.decline(await yookassa.only_payment_id())

        body = (await ada[1].post(f"{TOPUPS}/{begun['payment_id']}/reconcile")).json()

        assert (body["status"], body["cancellation"]) == ("canceled", "declined")

    async def test_of_a_contradiction_credits_nothing_and_says_that_somebody_looks(
        self, ada: tuple[Customer, httpx.AsyncClient], yookassa: SimulatedYookassa
    ) -> None:
        begun = (await start(ada[1], FIVE_HUNDRED)).json()
        await yookassa.pay(await yookassa.only_payment_id())
        await yookassa.plan("altered", "get_payment", changes={"amount": {"value": "900.00"}})

        answer = await ada[1].post(f"{TOPUPS}/{begun['payment_id']}/reconcile")

        assert code_of(answer) == (409, "payment_under_review")
        assert "900" not in answer.text


class TestTenancy:
    async def test_somebody_elses_topup_is_not_there(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient]
    ) -> None:
        payment_id = (await start(ada[1], FIVE_HUNDRED)).json()["payment_id"]

        async with counter.customer() as (_, stranger):
            answers = [
                await stranger.get(f"{TOPUPS}/{payment_id}"),
                await stranger.post(f"{TOPUPS}/{payment_id}/reconcile"),
                await stranger.get(f"{TOPUPS}/pay_nobody"),
            ]

        assert [code_of(answer) for answer in answers] == [(404, "payment_not_found")] * 3

    async def test_two_accounts_may_use_the_same_key(
        self, counter: Counter, ada: tuple[Customer, httpx.AsyncClient]
    ) -> None:
        mine = await start(ada[1], FIVE_HUNDRED, key="same")
        async with counter.customer() as (_, stranger):
            theirs = await start(stranger, FIVE_HUNDRED, key="same")

        assert mine.json()["payment_id"] != theirs.json()["payment_id"]


class TestWithoutAProvider:
    async def test_nothing_can_be_topped_up(
        self, database_url: URL, open_for_business: Counter, yookassa: SimulatedYookassa
    ) -> None:
        async with (
            open_counter(database_url, yookassa, IDENTITY_PAYMENT_PROVIDER="none") as closed,
            closed.customer() as (_, client),
        ):
            answer = await start(client, FIVE_HUNDRED)

        assert open_for_business.app is not closed.app
        assert code_of(answer) == (503, "payments_not_configured")
