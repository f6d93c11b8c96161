"""Every door of the gateway over HTTP, in front of the simulated provider: what is delivered, and what it costs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from backend.tests.builders.gateway import Gate, Payer, Provider
from backend.tests.builders.gateway_doors import FIELDS, OPERATIONS, knock
from backend.tests.builders.gateway_http import application
from backend.tests.builders.wallets import rub
from backend.tests.fakes.http_server import serving
from billing.gateway.rules.doors import Door
from billing.pricing.rules import Unit
from billing.pricing.seed import DEMO_IMAGE
from billing.quotas.rules import Amounts, FreeTerms, Metric
from billing.usage.rules import BillingSource, EstimateReason
from testkit.loopback import NO_TLS

pytestmark = [pytest.mark.money, pytest.mark.slow]

DOORS = tuple(Door)
COUNTED = (Door.CHAT, Door.RESPONSES, Door.COMPLETIONS, Door.EMBEDDINGS)
"""Where the provider's own count of tokens decides."""
PRICE: dict[Door, tuple[dict[Unit, int], str]] = {
    Door.IMAGES: ({Unit.IMAGE_PIXELS: 512 * 256}, "0.524288"),
    Door.IMAGE_EDITS: ({Unit.IMAGE_PIXELS: 512 * 256}, "0.524288"),
    Door.SPEECH: ({Unit.SPEECH_CHARACTERS: 12}, "0.0144"),
    Door.TRANSCRIPTIONS: ({Unit.TRANSCRIPTION_MS: 2000}, "1.00"),
}
"""What is known before the answer: quantities, and what they cost at the demonstration's prices."""


@pytest.fixture
async def http(gate: Gate) -> AsyncIterator[httpx.AsyncClient]:
    """A bare client of the endpoints."""
    async with (
        serving(application(gate)) as url,
        httpx.AsyncClient(verify=NO_TLS, base_url=url, trust_env=False) as client,
    ):
        yield client


@pytest.fixture
async def payer(gate: Gate) -> Payer:
    """Somebody with 100 roubles."""
    return await gate.payer("100")


def free_of_everything(model: str, **limits: int) -> FreeTerms:
    """So much of one model is free, of every metric."""
    plenty = {metric.value: 10_000 for metric in Metric} | limits
    return FreeTerms(True, 30, Amounts(**plenty), frozenset({model}))


class TestEveryDoor:
    @pytest.mark.parametrize("prefix", ["/v1/", "/openai/"])
    @pytest.mark.parametrize("door", DOORS)
    async def test_delivers_and_charges_once_what_was_used(
        self, door: Door, prefix: str, http: httpx.AsyncClient, gate: Gate, payer: Payer, provider: Provider
    ) -> None:
        answer = await knock(http, door, payer, prefix=prefix)

        after = await gate.accounts(payer)
        (event,) = after.events
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-billing-charged"] == after.charges[0].to_decimal() == event.charged.to_decimal()
        assert len(after.charges) == await provider.count() == 1
        assert (event.door, event.model_asked, event.is_estimated) == (door, FIELDS[door]["model"], False)
        assert event.quantities[Unit.REQUEST] == 1
        assert (after.balance.held, after.drifts) == (rub("0"), ())

    @pytest.mark.parametrize("door", COUNTED)
    async def test_of_tokens_charges_the_providers_count(
        self, door: Door, http: httpx.AsyncClient, gate: Gate, payer: Payer
    ) -> None:
        usage = (await knock(http, door, payer)).json()["usage"]

        (event,) = (await gate.accounts(payer)).events
        told = usage.get("prompt_tokens", usage.get("input_tokens"))
        assert event.quantities.get(Unit.EMBEDDING, event.quantities.get(Unit.INPUT)) == told

    @pytest.mark.parametrize("door", PRICE)
    async def test_of_anything_else_charges_what_was_made_said_or_heard(
        self, door: Door, http: httpx.AsyncClient, gate: Gate, payer: Payer
    ) -> None:
        await knock(http, door, payer)

        (event,) = (await gate.accounts(payer)).events
        quantities, price = PRICE[door]
        assert {unit: count for unit, count in event.quantities.items() if count} == {**quantities, Unit.REQUEST: 1}
        assert event.charged == rub(price)

    @pytest.mark.parametrize("door", DOORS)
    async def test_never_says_what_the_provider_calls_the_model(
        self, door: Door, http: httpx.AsyncClient, payer: Payer, gate: Gate
    ) -> None:
        upstream_model = gate.routes.of(FIELDS[door]["model"]).targets[0].upstream_model

        answer = await knock(http, door, payer)

        assert upstream_model.encode() not in answer.content

    @pytest.mark.parametrize("door", DOORS)
    async def test_asks_nobody_for_whoever_cannot_pay(
        self, door: Door, http: httpx.AsyncClient, gate: Gate, provider: Provider
    ) -> None:
        poor = await gate.payer("0.000001")

        answer = await knock(http, door, poor)

        assert (answer.status_code, answer.json()["error"]["code"]) == (402, "insufficient_funds")
        assert await provider.count() == 0

    @pytest.mark.parametrize("door", DOORS)
    async def test_refuses_a_model_that_has_no_price_for_it(
        self, door: Door, http: httpx.AsyncClient, payer: Payer, provider: Provider
    ) -> None:
        other = FIELDS[Door.SPEECH if door is not Door.SPEECH else Door.CHAT]["model"]

        answer = await knock(http, door, payer, model=other)

        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "price_unknown")
        assert await provider.count() == 0

    @pytest.mark.parametrize("door", DOORS)
    @pytest.mark.parametrize(
        ("kind", "status", "code"),
        [
            ("server_error", 500, None),
            ("half_response", 502, "upstream_broken"),
            ("bad_gateway_html", 502, None),
        ],
    )
    async def test_charges_nothing_where_the_provider_gave_nothing(
        self,
        door: Door,
        kind: str,
        status: int,
        code: str | None,
        http: httpx.AsyncClient,
        gate: Gate,
        payer: Payer,
        provider: Provider,
    ) -> None:
        await provider.will(kind, operation=OPERATIONS[door])

        answer = await knock(http, door, payer)

        after = await gate.accounts(payer)
        assert answer.status_code == status
        assert code is None or answer.json()["error"]["code"] == code
        assert (after.charges, after.balance.available, after.balance.held) == ([], rub("100"), rub("0"))

    @pytest.mark.parametrize("door", DOORS)
    async def test_is_free_where_the_free_quota_covers_it(
        self, door: Door, http: httpx.AsyncClient, gate: Gate
    ) -> None:
        newcomer = await gate.payer()
        await gate.set_terms(free_of_everything(FIELDS[door]["model"]))

        answer = await knock(http, door, newcomer)

        after = await gate.accounts(newcomer)
        assert (answer.headers["x-billing-source"], answer.headers["x-billing-charged"]) == ("lead_magnet", "0.00")
        assert after.events[0].raw_cost > rub("0")
        assert any(metric.used for metric in after.free.metrics)
        assert after.drifts == ()

    @pytest.mark.parametrize("door", COUNTED)
    @pytest.mark.parametrize(
        ("variant", "reason"),
        [
            ("absent", EstimateReason.USAGE_MISSING),
            ("empty", EstimateReason.USAGE_MISSING),
            ("negative", EstimateReason.USAGE_INVALID),
            ("other_names", None),
            ("zero", None),
        ],
    )
    async def test_counts_by_itself_what_the_provider_does_not(
        self,
        door: Door,
        variant: str,
        reason: EstimateReason | None,
        http: httpx.AsyncClient,
        gate: Gate,
        payer: Payer,
        provider: Provider,
    ) -> None:
        await provider.will("usage", operation=OPERATIONS[door], usage_variant=variant)

        answer = await knock(http, door, payer)

        (event,) = (await gate.accounts(payer)).events
        assert answer.status_code == 200
        assert event.estimate_reason is reason
        assert (event.charged > rub("0")) == (variant != "zero")


class TestPictures:
    async def test_cost_what_was_made_and_not_what_was_asked_for(
        self, http: httpx.AsyncClient, gate: Gate, payer: Payer, provider: Provider
    ) -> None:
        await provider.will("produced", operation="generate_images", produced={"images": 2, "size": "256x256"})

        answer = await knock(http, Door.IMAGES, payer, n=4, size="1024x1024")

        (event,) = (await gate.accounts(payer)).events
        assert len(answer.json()["data"]) == 2
        assert event.quantities[Unit.IMAGE_PIXELS] == 2 * 256 * 256

    async def test_larger_than_the_hold_are_charged_in_full(
        self, http: httpx.AsyncClient, gate: Gate, provider: Provider
    ) -> None:
        modest = await gate.payer("1")
        await provider.will("produced", operation="generate_images", produced={"size": "1024x1024"})

        answer = await knock(http, Door.IMAGES, modest, size="256x256")

        after = await gate.accounts(modest)
        assert answer.status_code == 200
        assert after.events[0].charged == rub("4.194304")
        assert after.balance.debt == rub("3.194304")

    async def test_that_were_not_made_cost_nothing(
        self, http: httpx.AsyncClient, gate: Gate, payer: Payer, provider: Provider
    ) -> None:
        await provider.will("produced", operation="generate_images", produced={"images": 0})

        answer = await knock(http, Door.IMAGES, payer)

        assert (answer.status_code, answer.json()["error"]["code"]) == (502, "upstream_broken")
        assert (await gate.accounts(payer)).balance.available == rub("100")

    async def test_behind_addresses_cost_what_the_provider_says_they_are(
        self, http: httpx.AsyncClient, gate: Gate, payer: Payer
    ) -> None:
        answer = await knock(http, Door.IMAGES, payer, response_format="url")

        (event,) = (await gate.accounts(payer)).events
        assert answer.json()["data"][0]["url"].startswith("http")
        assert event.quantities[Unit.IMAGE_PIXELS] == 512 * 256


class TestSound:
    async def test_is_delivered_as_it_came(self, http: httpx.AsyncClient, payer: Payer) -> None:
        answer = await knock(http, Door.SPEECH, payer, response_format="wav")

        assert answer.headers["content-type"] == "audio/wav"
        assert answer.content.startswith(b"RIFF")

    async def test_is_written_down_in_the_format_that_is_asked_for(
        self, http: httpx.AsyncClient, gate: Gate, payer: Payer
    ) -> None:
        answer = await knock(http, Door.TRANSCRIPTIONS, payer, response_format="text")

        (event,) = (await gate.accounts(payer)).events
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert event.quantities[Unit.TRANSCRIPTION_MS] == 1500
        assert event.estimate_reason is EstimateReason.USAGE_MISSING

    @pytest.mark.parametrize("door", [Door.SPEECH, Door.TRANSCRIPTIONS, Door.IMAGES, Door.IMAGE_EDITS])
    async def test_or_a_picture_does_not_come_as_a_stream(
        self, door: Door, http: httpx.AsyncClient, payer: Payer, provider: Provider
    ) -> None:
        value: object = "true" if door in {Door.TRANSCRIPTIONS, Door.IMAGE_EDITS} else True

        answer = await knock(http, door, payer, stream=value)

        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "unsupported_stream")
        assert await provider.count() == 0


class TestAStreamedText:
    @pytest.mark.parametrize("door", [Door.CHAT, Door.RESPONSES, Door.COMPLETIONS])
    async def test_costs_what_the_same_text_costs_in_one_piece(
        self, door: Door, http: httpx.AsyncClient, gate: Gate, payer: Payer
    ) -> None:
        await knock(http, door, payer)
        streamed = await knock(http, door, payer, stream=True)
        await gate.service.close()

        newest, oldest = (await gate.accounts(payer)).events
        assert streamed.headers["content-type"].startswith("text/event-stream")
        assert newest.quantities == oldest.quantities
        assert newest.charged == oldest.charged

    @pytest.mark.parametrize("door", [Door.RESPONSES, Door.COMPLETIONS])
    async def test_without_the_providers_count_is_counted_here(
        self, door: Door, http: httpx.AsyncClient, gate: Gate, payer: Payer, provider: Provider
    ) -> None:
        await provider.will("usage", operation=OPERATIONS[door], usage_variant="absent")

        await knock(http, door, payer, stream=True)
        await gate.service.close()

        (event,) = (await gate.accounts(payer)).events
        assert event.estimate_reason is EstimateReason.USAGE_MISSING
        assert event.quantities[Unit.OUTPUT] > 0

    async def test_of_a_response_ends_with_its_cost(self, http: httpx.AsyncClient, gate: Gate, payer: Payer) -> None:
        answer = await knock(http, Door.RESPONSES, payer, stream=True)

        await gate.service.close()
        last = json.loads(answer.text.strip().rpartition("data: ")[2])
        (event,) = (await gate.accounts(payer)).events
        assert last["type"] in {"response.completed", "response.incomplete"}
        assert last["response"]["billing"]["charged"] == event.charged.to_decimal()
        assert last["response"]["usage"]["output_tokens"] == event.quantities[Unit.OUTPUT]


class TestTheListOfModels:
    async def test_says_what_each_can_be_called_for(self, http: httpx.AsyncClient, payer: Payer) -> None:
        credentials = {"Authorization": f"Bearer {payer.key}"}

        listed = (await http.get("/v1/models", headers=credentials)).json()["data"]

        assert len({model["id"] for model in listed}) == len(listed)
        assert {model["id"]: model["modalities"] for model in listed}[DEMO_IMAGE] == ["image"]
        assert {modality for model in listed for modality in model["modalities"]} == {
            *("text", "embeddings", "image", "speech", "transcription"),
        }


async def quoted(
    http: httpx.AsyncClient, payer: Payer, door: Door, *, path: str = "/v1/billing/quote", **more: Any
) -> Any:
    """What a call would cost at most."""
    stand_in = {"seconds": 1.5} if door is Door.TRANSCRIPTIONS else {}
    body = {"route": door, "request": {**FIELDS[door], **stand_in, **more}}
    answer = await http.post(path, json=body, headers={"Authorization": f"Bearer {payer.key}"})
    assert answer.status_code == 200, answer.text
    return answer.json()


class TestAQuote:
    @pytest.mark.parametrize("door", DOORS)
    async def test_is_never_below_what_the_call_costs_then(
        self, door: Door, http: httpx.AsyncClient, gate: Gate, payer: Payer
    ) -> None:
        # The provider bills begun seconds unless it is asked for plain text.
        own_length: dict[str, Any] = {"response_format": "text"} if door is Door.TRANSCRIPTIONS else {}
        quote = await quoted(http, payer, door)
        await knock(http, door, payer, **own_length)

        (event,) = (await gate.accounts(payer)).events
        assert rub(quote["at_most"]["amount"]) >= event.charged > rub("0")
        assert (quote["is_allowed"], quote["is_free"], quote["billing_source"]) == (True, False, "payg")
        assert (quote["route"], quote["model"], quote["refusal"]) == (door, FIELDS[door]["model"], None)
        assert quote["rates"]["prices"]

    @pytest.mark.parametrize("door", DOORS)
    async def test_holds_nothing_and_calls_nobody(
        self, door: Door, http: httpx.AsyncClient, gate: Gate, payer: Payer, provider: Provider
    ) -> None:
        await quoted(http, payer, door, path="/openai/billing/quote")

        after = await gate.accounts(payer)
        assert (after.balance.available, after.balance.held, after.events) == (rub("100"), rub("0"), ())
        assert await provider.count() == 0

    async def test_is_what_the_call_would_have_to_be_held(self, http: httpx.AsyncClient, gate: Gate) -> None:
        poor = await gate.payer("0.000001")

        quote = await quoted(http, poor, Door.CHAT)
        refused = (await knock(http, Door.CHAT, poor)).json()["error"]

        assert quote["at_most"] == {"amount": refused["required"], "currency": "RUB"}
        assert (quote["is_allowed"], quote["billing_source"]) == (False, None)
        assert quote["refusal"]["code"] == "insufficient_funds"
        assert quote["refusal"]["required"] == refused["required"]
        assert quote["available"] == {"amount": "0.000001", "currency": "RUB"}

    async def test_of_a_free_call_says_so_and_takes_nothing_of_the_quota(
        self, http: httpx.AsyncClient, gate: Gate
    ) -> None:
        newcomer = await gate.payer()
        await gate.set_terms(free_of_everything(FIELDS[Door.CHAT]["model"]))

        quote = await quoted(http, newcomer, Door.CHAT)

        after = await gate.accounts(newcomer)
        assert (quote["is_free"], quote["billing_source"]) == (True, BillingSource.LEAD_MAGNET)
        assert quote["charged_at_most"]["amount"] == "0.00"
        assert rub(quote["at_most"]["amount"]) > rub("0")
        assert {metric.reserved for metric in after.free.metrics} == {0}
        assert after.drifts == ()

    async def test_keeps_to_the_clients_own_limit(self, http: httpx.AsyncClient, payer: Payer) -> None:
        headers = {"Authorization": f"Bearer {payer.key}", "X-Billing-Max-Reply-Cost": "0.000001"}

        answer = await http.post(
            "/v1/billing/quote", json={"route": Door.CHAT, "request": FIELDS[Door.CHAT]}, headers=headers
        )

        assert answer.json()["refusal"]["code"] == "max_reply_cost_exceeded"

    @pytest.mark.parametrize(
        ("body", "status", "code", "param"),
        [
            ({"route": "chat", "request": {}}, 400, "invalid_request", "route"),
            ({"route": ["chat/completions"], "request": {}}, 400, "invalid_request", "route"),
            ({"route": "chat/completions"}, 400, "invalid_request", "request"),
            ({"route": "chat/completions", "request": {"model": "m"}}, 400, "invalid_request", "messages"),
            ({"route": "audio/transcriptions", "request": {"model": "m"}}, 400, "invalid_request", "seconds"),
            ({"route": "audio/transcriptions", "request": {"seconds": 5}}, 400, "invalid_request", "model"),
            ({"route": "audio/transcriptions", "request": {"seconds": -5}}, 400, "invalid_request", "seconds"),
            ({"route": "images/edits", "request": {"model": "m", "n": 0}}, 400, "invalid_request", "n"),
            (
                {"route": "audio/speech", "request": {"model": "nobody-has-it", "input": "a"}},
                404,
                "model_not_found",
                "model",
            ),
            ({"route": "audio/speech", "request": {"model": DEMO_IMAGE, "input": "a"}}, 422, "price_unknown", None),
        ],
    )
    async def test_of_what_no_route_would_read_is_refused_alike(
        self, body: object, status: int, code: str, param: str | None, http: httpx.AsyncClient, payer: Payer
    ) -> None:
        answer = await http.post("/v1/billing/quote", json=body, headers={"Authorization": f"Bearer {payer.key}"})

        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (status, code, param)

    async def test_is_for_those_who_may_call_models(self, http: httpx.AsyncClient) -> None:
        answer = await http.post("/v1/billing/quote", json={"route": Door.CHAT, "request": FIELDS[Door.CHAT]})

        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "not_signed_in")
