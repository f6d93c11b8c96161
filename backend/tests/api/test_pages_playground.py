"""The playground: the API's own door, an answer with its cost, a blocked call that leads to the top-up and back."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from backend.tests.builders.gateway import Provider
from backend.tests.builders.pages import Html, Shop
from backend.tests.builders.wallets import rub
from billing.customers.rules import Role

pytestmark = [pytest.mark.money, pytest.mark.slow]

ASK = {"model": "demo-small", "prompt": "What is double entry?"}


@pytest.fixture(autouse=True)
async def _nothing_is_free(shop: Shop, provider: Provider) -> None:
    """Calls are paid, unless a test says otherwise; the model provider has no fault planned."""
    del provider
    await shop.offer_nothing_free()


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    """The refusal's status and code."""
    return answer.status_code, answer.headers.get("X-Billing-Error")


class TestAnAnswer:
    async def test_comes_with_its_cost_and_what_is_left(self, shop: Shop) -> None:
        async with shop.visitor(paid="500") as ada:
            answer = await ada.send("/billing/playground", ASK)
            (event,) = await shop.events_of(ada.principal)
            wallet = await ada.see("/billing/balance")

        page = Html(answer.text)
        assert answer.status_code == 200
        assert page.figures["Cost"] == f"RUB {event.charged.to_decimal()}"
        assert event.charged.micros > 0
        assert page.figures["Available now"] == wallet.figures["Available"]

    async def test_a_free_one_costs_nothing_and_says_so(self, shop: Shop) -> None:
        await shop.offer_free_use("demo-free")
        async with shop.visitor() as ada:
            answer = await ada.send("/billing/playground", {**ASK, "model": "demo-free"})

        assert Html(answer.text).figures["Cost"] == "Free"

    async def test_a_script_gets_the_answer_alone(self, shop: Shop) -> None:
        async with shop.visitor(paid="500") as ada:
            answer = await ada.send("/billing/playground", ASK, headers={"X-Fragment": "answer"})

        assert "<html" not in answer.text
        assert "Cost" in answer.text

    async def test_opening_the_page_with_a_prompt_sends_nothing(self, shop: Shop, provider: Provider) -> None:
        async with shop.visitor(paid="500") as ada:
            page = await ada.see("/billing/playground?model=demo-large&prompt=Hello%20%3Cb%3E")

        assert "Hello <b>" in page.text
        assert [given for tag, given in page.tags if tag == "option" and "selected" in given]
        assert await provider.calls() == []

    async def test_what_a_model_says_is_only_text(self, shop: Shop, provider: Provider) -> None:
        hostile = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "<script>alert(1)</script>"}}]}
        await provider.will("altered", changes=hostile)
        async with shop.visitor(paid="500") as ada:
            answer = await ada.send("/billing/playground", ASK)

        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in answer.text
        assert "<script>alert" not in answer.text


class TestABlockedCall:
    async def test_leads_to_the_top_up_with_the_missing_amount_and_back_to_the_prompt(self, shop: Shop) -> None:
        async with shop.visitor(paid="0.01") as ada:
            answer = await ada.send("/billing/playground", ASK)
            page = Html(answer.text)
            wallet = await ada.see(page.links["Top up and come back"])
            back = await ada.see(wallet.hidden("return_to"))

        query = parse_qs(urlsplit(page.links["Top up and come back"]).query)
        required = page.text.split("It can cost up to RUB ")[1].split(";")[0]
        assert code_of(answer) == (402, "insufficient_funds")
        assert rub(query["missing"][0]) == rub(required) - rub("0.01")
        assert f"RUB {query['missing'][0]} is missing" in page.text
        assert f"RUB {query['missing'][0]} was missing" in wallet.text
        assert "What is double entry?" in back.text
        assert await shop.events_of(ada.principal) == ()

    @pytest.mark.parametrize("prompt", ["\\back\\slash", "ё" * 2000, "a\nb & c=d # ? / %2e%2e", "x" * 8000])
    async def test_can_be_topped_up_for_whatever_the_prompt_was(self, shop: Shop, prompt: str) -> None:
        async with shop.visitor(paid="0.01") as ada:
            answer = await ada.send("/billing/playground", {**ASK, "prompt": prompt})
            wallet = await ada.see(Html(answer.text).links["Top up and come back"])
            topup = await ada.top_up(return_to=wallet.hidden("return_to"))

        assert wallet.hidden("return_to").startswith("/billing/playground?model=demo-small")
        assert topup.status_code == 303

    async def test_succeeds_after_topping_up(self, shop: Shop) -> None:
        async with shop.visitor(paid="0.01") as ada:
            blocked = await ada.send("/billing/playground", ASK)
            await shop.credit(ada.principal, "500")

            answer = await ada.send("/billing/playground", ASK)

        assert (blocked.status_code, answer.status_code) == (402, 200)


class TestAModelThatGivesNoAnswer:
    @pytest.mark.parametrize(
        ("fault", "refusal", "sentence"),
        [
            ("reset", (502, "upstream_broken"), "could not be read"),
            ("empty_body", (502, "upstream_broken"), "could not be read"),
            ("rate_limited", (502, "provider_refused_call"), "refused this call"),
        ],
    )
    async def test_is_told_in_a_sentence_and_costs_nothing(
        self, shop: Shop, provider: Provider, fault: str, refusal: tuple[int, str], sentence: str
    ) -> None:
        await provider.will(fault)
        async with shop.visitor(paid="500") as ada:
            answer = await ada.send("/billing/playground", ASK)
            wallet = await ada.see("/billing/balance")

        page = Html(answer.text)
        assert code_of(answer) == refusal
        assert sentence in page.text
        assert "What is double entry?" in page.text
        assert wallet.figures["Available"] == "RUB 500.00"
        assert wallet.figures["Held"] == "RUB 0.00"

    @pytest.mark.parametrize(
        ("fields", "refusal"),
        [
            ({"prompt": "  "}, (400, "prompt_missing")),
            ({"prompt": "x" * 8001}, (400, "prompt_too_long")),
            ({"model": "nobody-s"}, (404, "model_not_found")),
            ({"model": ""}, (400, "invalid_request")),
        ],
    )
    async def test_a_question_that_cannot_be_asked_reaches_nobody(
        self, shop: Shop, provider: Provider, fields: dict[str, str], refusal: tuple[int, str]
    ) -> None:
        async with shop.visitor(paid="500") as ada:
            answer = await ada.send("/billing/playground", ASK | fields)

        assert code_of(answer) == refusal
        assert await provider.calls() == []

    async def test_an_auditor_may_look_but_not_ask(self, shop: Shop, provider: Provider) -> None:
        async with shop.visitor(role=Role.AUDITOR) as ada:
            answer = await ada.send("/billing/playground", ASK)

        assert code_of(answer) == (403, "forbidden")
        assert await provider.calls() == []

    async def test_without_the_session_s_token_nothing_is_asked(self, shop: Shop, provider: Provider) -> None:
        async with shop.visitor(paid="500") as ada:
            answer = await ada.browser.post("/billing/playground", data=ASK)

        assert code_of(answer) == (403, "csrf_failed")
        assert await provider.calls() == []
