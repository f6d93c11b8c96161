"""The gateway over real HTTP, with the official client and with a bare one: statuses, headers, shapes, limits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import openai
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.customers import customers_service
from backend.tests.builders.gateway import ALIAS, ON_OFFER, UNPRICED, Gate, Payer, Provider, body_of, chat, free_terms
from backend.tests.builders.gateway_http import BYTES_MAX, application, bearer
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.http_server import serving
from billing.customers.access import SESSION_COOKIE
from billing.customers.rules import Role
from billing.kit.database import application_engine
from billing.kit.unit_of_work import units_of_work
from billing.pricing.rules import Unit
from billing.pricing.seed import DEMO_FREE, DEMO_LARGE, DEMO_SMALL
from testkit.loopback import NO_TLS

pytestmark = [pytest.mark.money, pytest.mark.slow]

DOORS = ("/v1/chat/completions", "/openai/chat/completions")


@pytest.fixture
async def server_url(gate: Gate) -> AsyncIterator[str]:
    """The application on loopback."""
    async with serving(application(gate)) as url:
        yield url


@pytest.fixture
async def http(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A bare client."""
    async with httpx.AsyncClient(verify=NO_TLS, base_url=server_url) as client:
        yield client


@pytest.fixture
async def payer(gate: Gate) -> Payer:
    """Somebody with 100 roubles."""
    return await gate.payer("100")


class TestTheOfficialClient:
    @pytest.mark.parametrize("base", ["/v1", "/openai"])
    async def test_gets_an_answer(self, base: str, server_url: str, payer: Payer, gate: Gate) -> None:
        async with openai.AsyncOpenAI(api_key=payer.key, base_url=server_url + base) as client:
            answer = await client.chat.completions.create(
                model=DEMO_SMALL, messages=[{"role": "user", "content": "What is a ledger?"}], max_tokens=20
            )

        assert answer.model == DEMO_SMALL
        assert answer.choices[0].message.content
        assert answer.usage is not None
        assert (await gate.accounts(payer)).events[0].quantities[Unit.OUTPUT] == answer.usage.completion_tokens

    async def test_lists_the_models_that_are_served_and_priced(self, server_url: str, payer: Payer) -> None:
        async with openai.AsyncOpenAI(api_key=payer.key, base_url=f"{server_url}/v1") as client:
            listed = [model.id async for model in await client.models.list()]
            one = await client.models.retrieve(DEMO_LARGE)

        assert listed == list(ON_OFFER)
        assert one.owned_by == "demo"

    async def test_reads_our_code_and_does_not_repeat_a_refusal(
        self, server_url: str, gate: Gate, provider: Provider
    ) -> None:
        poor = await gate.payer()
        async with openai.AsyncOpenAI(api_key=poor.key, base_url=f"{server_url}/v1") as client:
            with pytest.raises(openai.APIStatusError) as refusal:
                await client.chat.completions.create(**chat())

        assert (refusal.value.status_code, refusal.value.code) == (402, "insufficient_funds")
        assert await provider.calls() == []

    async def test_does_not_repeat_a_broken_answer(
        self, server_url: str, payer: Payer, gate: Gate, provider: Provider
    ) -> None:
        await provider.will("half_response")
        async with openai.AsyncOpenAI(api_key=payer.key, base_url=f"{server_url}/v1") as client:
            with pytest.raises(openai.InternalServerError) as failure:
                await client.chat.completions.create(**chat())

        assert (failure.value.status_code, failure.value.code) == (502, "upstream_broken")
        assert len(await provider.calls()) == 1
        assert (await gate.accounts(payer)).balance.available == rub("100")

    async def test_repeats_what_the_provider_refuses_for_a_moment_and_pays_once(
        self, server_url: str, payer: Payer, gate: Gate, provider: Provider
    ) -> None:
        await provider.will("rate_limited", retry_after_seconds=0)
        async with openai.AsyncOpenAI(api_key=payer.key, base_url=f"{server_url}/v1") as client:
            answer = await client.chat.completions.create(**chat())

        assert answer.choices
        assert len(await provider.calls()) == 2
        assert len((await gate.accounts(payer)).charges) == 1


class TestTheAnswer:
    async def test_says_in_its_headers_what_it_cost(self, http: httpx.AsyncClient, payer: Payer, gate: Gate) -> None:
        answer = await http.post(DOORS[0], json=chat(), headers=bearer(payer))

        after = await gate.accounts(payer)
        assert answer.status_code == 200
        assert answer.headers["x-billing-operation"] == after.events[0].operation_id
        assert answer.headers["x-billing-charged"] == after.charges[0].to_decimal()
        assert answer.headers["x-billing-balance"] == after.balance.available.to_decimal()
        assert (answer.headers["x-billing-currency"], answer.headers["x-billing-source"]) == ("RUB", "payg")

    async def test_says_so_of_a_provider_refusal_as_well(
        self, http: httpx.AsyncClient, payer: Payer, provider: Provider
    ) -> None:
        await provider.will("rate_limited", retry_after_seconds=7)

        answer = await http.post(DOORS[0], json=chat(), headers=bearer(payer))

        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert (answer.headers["x-billing-charged"], answer.headers["x-billing-balance"]) == ("0.00", "100.00")
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"

    async def test_of_free_use_says_that_it_is_free(self, http: httpx.AsyncClient, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        poor = await gate.payer()

        answer = await http.post(DOORS[0], json=chat(model=DEMO_FREE), headers=bearer(poor))

        assert (answer.headers["x-billing-source"], answer.headers["x-billing-charged"]) == ("lead_magnet", "0.00")

    async def test_costs_the_same_whatever_headers_came_with_the_question(
        self, http: httpx.AsyncClient, payer: Payer
    ) -> None:
        mine = {"X-Request-Id": "same", "Idempotency-Key": "same", "X-Billing-Operation": "opr_mine"}

        answers = [await http.post(DOORS[0], json=chat(), headers=bearer(payer) | mine) for _ in range(2)]

        assert len({answer.headers["x-billing-operation"] for answer in answers}) == 2
        assert {answer.headers["x-billing-charged"] for answer in answers} == {
            answers[0].headers["x-billing-charged"],
        }


class TestTheClientsOwnLimit:
    async def test_refuses_a_call_that_can_cost_more(
        self, http: httpx.AsyncClient, payer: Payer, provider: Provider
    ) -> None:
        limit = {"X-Billing-Max-Reply-Cost": "0.01"}

        answer = await http.post(DOORS[0], json=chat(), headers=bearer(payer) | limit)

        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["limit"]) == (402, "max_reply_cost_exceeded", "0.01")
        assert rub(error["required"]) > rub(error["limit"])
        assert await provider.calls() == []

    async def test_cannot_make_an_unaffordable_call_possible(self, http: httpx.AsyncClient, gate: Gate) -> None:
        poor = await gate.payer("0.01")
        limit = {"X-Billing-Max-Reply-Cost": "1000000"}

        answer = await http.post(DOORS[0], json=chat(), headers=bearer(poor) | limit)

        assert answer.json()["error"]["code"] == "insufficient_funds"

    @pytest.mark.parametrize("limit", ["-1", "much", "1,5", "", "NaN", "1e3"])
    async def test_has_to_be_an_amount(self, limit: str, http: httpx.AsyncClient, payer: Payer) -> None:
        headers = bearer(payer) | {"X-Billing-Max-Reply-Cost": limit}

        answer = await http.post(DOORS[0], json=chat(), headers=headers)

        error = answer.json()["error"]
        assert (answer.status_code, error["code"]) == (400, "invalid_request")
        assert error["param"] == "X-Billing-Max-Reply-Cost"


class TestARefusal:
    @pytest.mark.parametrize(
        ("body", "status", "code", "param"),
        [
            (chat(stream="yes"), 400, "invalid_request", "stream"),
            (chat(model="nobody-has-it"), 404, "model_not_found", "model"),
            (chat(model=UNPRICED), 422, "price_unknown", None),
            (chat(max_tokens=0), 400, "invalid_request", "max_tokens"),
            (chat("x" * BYTES_MAX), 413, "request_too_large", None),
            ([], 400, "invalid_request", "body"),
        ],
        ids=["stream", "no model", "no price", "malformed", "too large", "no object"],
    )
    async def test_has_openais_shape_our_code_and_no_retry(
        self,
        body: object,
        status: int,
        code: str,
        param: str | None,
        http: httpx.AsyncClient,
        payer: Payer,
        provider: Provider,
    ) -> None:
        answer = await http.post(DOORS[0], json=body, headers=bearer(payer))

        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, param)
        assert error["message"]
        assert error["type"] == "invalid_request_error"
        assert answer.headers["x-should-retry"] == "false"
        assert await provider.calls() == []

    async def test_for_money_carries_the_numbers(self, http: httpx.AsyncClient, gate: Gate) -> None:
        poor = await gate.payer("0.01")

        answer = await http.post(DOORS[0], json=chat(), headers=bearer(poor))

        error = answer.json()["error"]
        assert (answer.status_code, error["type"], error["currency"]) == (402, "insufficient_quota", "RUB")
        assert rub(error["available"]) == rub("0.01") < rub(error["required"])

    async def test_of_a_dead_database_is_503_and_calls_nobody(
        self, gate: Gate, payer: Payer, provider: Provider, database_url: URL, clock: StoppedClock
    ) -> None:
        engine = application_engine(database_url.set(database="no_such_database"))
        blind = customers_service(units_of_work(engine), clock, gate.wallets.ids)
        async with (
            serving(application(gate, customers=blind)) as url,
            httpx.AsyncClient(verify=NO_TLS, base_url=url) as http,
        ):
            answer = await http.post(DOORS[0], json=chat(), headers=bearer(payer))
        await engine.dispose()

        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "billing_unavailable")
        assert answer.headers["x-should-retry"] == "false"
        assert "no_such_database" not in answer.text
        assert await provider.calls() == []

    async def test_reads_no_more_than_the_limit_of_an_endless_body(
        self, http: httpx.AsyncClient, payer: Payer, provider: Provider
    ) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(30):
                yield b" " * 1000

        answer = await http.post(DOORS[0], content=chunks(), headers=bearer(payer))

        assert answer.status_code == 413
        assert await provider.calls() == []


class TestAClientWhoLeaves:
    async def test_pays_for_what_the_provider_did_all_the_same(
        self, gate: Gate, payer: Payer, provider: Provider
    ) -> None:
        await provider.will("delay", seconds=0.6)

        # Leaving the server lets it finish what it has in hand.
        async with (
            serving(application(gate)) as url,
            httpx.AsyncClient(verify=NO_TLS, base_url=url, timeout=0.3) as impatient,
        ):
            with pytest.raises(httpx.ReadTimeout):
                await impatient.post(DOORS[0], json=chat(), headers=bearer(payer))

        after = await gate.accounts(payer)
        assert len(after.charges) == len(after.events) == 1
        assert (after.balance.held, after.drifts) == (rub("0"), ())


class TestWhoMayKnock:
    async def test_a_browsers_session_does_not_open_the_programs_door(
        self, http: httpx.AsyncClient, payer: Payer
    ) -> None:
        cookie = {"Cookie": f"{SESSION_COOKIE}={payer.customer.session.token}"}

        answer = await http.post(DOORS[0], json=chat(), headers=cookie)

        assert answer.status_code == 401

    async def test_a_key_that_may_only_read_bills_opens_no_model(
        self, gate: Gate, http: httpx.AsyncClient, payer: Payer, provider: Provider
    ) -> None:
        new = await gate.town.service.create_api_key(
            payer.customer.principal, "reader", scopes={"billing:read"}, request_id="req_tests"
        )

        answer = await http.post(DOORS[0], json=chat(), headers={"Authorization": f"Bearer {new.secret}"})

        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
        assert await provider.calls() == []


class TestTheRecordOfUsage:
    async def test_is_listed_newest_first_page_by_page(
        self, gate: Gate, http: httpx.AsyncClient, payer: Payer, clock: StoppedClock
    ) -> None:
        made = []
        for _ in range(5):
            clock.move(timedelta(seconds=1))
            made.append((await gate.ask(payer, chat(model=ALIAS))).operation_id)

        listed: list[str] = []
        cursor: str | None = None
        for _ in range(3):
            params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
            page = (await http.get("/api/v1/billing/usage", params=params, headers=bearer(payer))).json()
            listed += [item["operation_id"] for item in page["items"]]
            cursor = page["next_cursor"]

        assert listed == made[::-1]
        assert cursor is None

    async def test_tells_money_as_exact_decimals(self, gate: Gate, http: httpx.AsyncClient, payer: Payer) -> None:
        answer = await gate.ask(payer, chat())

        (item,) = (await http.get("/api/v1/billing/usage", headers=bearer(payer))).json()["items"]

        assert item["charged"] == {"amount": answer.charged.to_decimal(), "currency": "RUB"}
        assert (item["model"], item["billing_source"], item["is_estimated"]) == (DEMO_SMALL, "payg", False)
        assert item["quantities"]["output_tokens"] == body_of(answer)["usage"]["completion_tokens"]

    async def test_says_who_called_what_where_and_at_which_rates(
        self, gate: Gate, http: httpx.AsyncClient, payer: Payer
    ) -> None:
        await gate.ask(payer, chat(model=ALIAS))

        (item,) = (await http.get("/api/v1/billing/usage", headers=bearer(payer))).json()["items"]

        assert (item["door"], item["provider"]) == ("chat/completions", "simulated")
        assert (item["model_asked"], item["model"], item["model_used"]) == (ALIAS, DEMO_SMALL, "gpt-4o-mini")
        assert (item["account_id"], item["api_key_id"]) == (payer.customer.account.id, payer.principal.api_key_id)
        assert (item["member"], item["discount_percent"]) == (payer.principal.person_id, 0)
        assert {rate["unit"] for rate in item["rates"]["rates"]} >= {"input_tokens", "output_tokens"}
        assert 0 not in item["quantities"].values()

    async def test_of_others_is_never_shown(self, gate: Gate, http: httpx.AsyncClient, payer: Payer) -> None:
        await gate.ask(payer, chat())
        stranger = await gate.payer()

        page = (await http.get("/api/v1/billing/usage", headers=bearer(stranger))).json()

        assert page == {"items": [], "next_cursor": None}

    async def test_refuses_a_cursor_that_is_not_ours(self, http: httpx.AsyncClient, payer: Payer) -> None:
        answer = await http.get("/api/v1/billing/usage", params={"cursor": "££"}, headers=bearer(payer))

        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


class TestWhatIsFree:
    async def test_is_told_to_the_account(self, gate: Gate, http: httpx.AsyncClient) -> None:
        await gate.set_terms(free_terms(input_tokens=5000, output_tokens=2000))
        newcomer = await gate.payer()
        answer = await gate.ask(newcomer, chat(model=DEMO_FREE))

        limits = (await http.get("/api/v1/billing/free-limits", headers=bearer(newcomer))).json()

        used = body_of(answer)["usage"]["completion_tokens"]
        assert (limits["is_enabled"], limits["has_free_model"], limits["eligible_models"]) == (True, True, [DEMO_FREE])
        assert limits["metrics"][1] == {
            "metric": "output_tokens",
            "limit": 2000,
            "used": used,
            "reserved": 0,
            "left": 2000 - used,
        }
        assert limits["resets_at"] == "2026-04-01T12:00:00Z"

    @pytest.mark.parametrize("model", [UNPRICED, "nobody-has-it"])
    async def test_is_not_promised_where_no_free_model_can_be_called(
        self, model: str, gate: Gate, http: httpx.AsyncClient, payer: Payer
    ) -> None:
        await gate.set_terms(free_terms(model=model))

        limits = (await http.get("/api/v1/billing/free-limits", headers=bearer(payer))).json()

        assert (limits["has_free_model"], limits["eligible_models"]) == (False, [])

    async def test_may_be_read_by_every_role(self, gate: Gate) -> None:
        auditor = await gate.payer(role=Role.AUDITOR)

        standing = await gate.quotas.free_limits(auditor.principal)

        assert not standing.is_enabled
