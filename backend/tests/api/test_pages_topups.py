"""Topping up from the page: the choice, one payment per intent, the way to the payment page and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.pages import Html, Shop, Visitor, open_shop
from billing.customers.rules import Role

pytestmark = [pytest.mark.money, pytest.mark.slow]


@pytest.fixture(autouse=True)
async def _provider_works_again(shop: Shop) -> AsyncIterator[None]:
    """No fault that a test plans outlives it."""
    yield
    await shop.forget_faults()


async def mended(ada: Visitor, answer: httpx.Response) -> Html:
    """The form as a refused one comes back: by a redirect, so that no reload and no way back sends it again."""
    assert answer.status_code == 303, answer.text
    return await ada.see(answer.headers["location"])


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    """The refusal's status and code."""
    return answer.status_code, answer.headers.get("X-Billing-Error")


async def begun(ada: Visitor, **fields: str) -> str:
    """Begins a top-up of 500; answers our payment's id."""
    answer = await ada.top_up(**fields)
    assert answer.status_code == 303, answer.text
    return answer.headers["location"].split("/")[-2]


async def came_back(ada: Visitor, payment_id: str) -> Html:
    """Returns from the payment page and follows to the wallet."""
    answer = await ada.browser.get(f"/billing/topups/{payment_id}/return")
    assert answer.status_code == 303
    return await ada.see(answer.headers["location"])


class TestChoosingAnAmount:
    async def test_a_preset_leads_to_the_provider_s_payment_page(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            answer = await ada.top_up("1000.00")
            page = await ada.see(answer.headers["location"])

        assert page.links["Open the payment page"].startswith(shop.yookassa.url)
        assert "RUB 1,000.00" in page.text
        refresh = next(given for tag, given in page.tags if tag == "meta" and given.get("http-equiv") == "refresh")
        assert refresh["content"] == f"0; url={page.links['Open the payment page']}"

    @pytest.mark.parametrize(
        ("typed", "paid"), [("1 000,50", "1000.50"), ("1,000.50", "1000.50"), ("250", "250.00"), ("250,5", "250.50")]
    )
    async def test_another_amount_is_paid_as_it_was_meant(self, shop: Shop, typed: str, paid: str) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada, choice="custom", custom_amount=typed)

        assert await shop.amount_of(payment_id) == paid

    async def test_what_is_typed_never_replaces_a_chosen_preset(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada, choice="500.00", custom_amount="9 999")

        assert await shop.amount_of(payment_id) == "500.00"

    @pytest.mark.parametrize(
        ("typed", "code"),
        [
            ("12abc", "amount_unreadable"),
            ("", "amount_unreadable"),
            ("1,000", "amount_ambiguous"),
            ("500.001", "amount_too_precise"),
            ("99.99", "amount_not_offered"),
            ("100000.01", "amount_not_offered"),
            ("<script>", "amount_unreadable"),
        ],
    )
    async def test_a_doubtful_amount_is_refused_and_stays_to_be_mended(self, shop: Shop, typed: str, code: str) -> None:
        before = len(await shop.yookassa.payments())
        async with shop.visitor() as ada:
            answer = await ada.top_up("custom", custom_amount=typed)
            page = await mended(ada, answer)

        field = next(given for given in page.inputs if given.get("name") == "custom_amount")
        assert code_of(answer) == (303, code)
        assert page.chosen() == "custom"
        assert (field["value"], field["aria-invalid"]) == (typed, "true")
        assert len(await shop.yookassa.payments()) == before

    async def test_no_choice_at_all_is_said(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            answer = await ada.top_up("")
            page = await mended(ada, answer)

        assert code_of(answer) == (303, "amount_not_chosen")
        assert "Choose an amount to top up." in page.text

    async def test_a_refused_form_still_says_what_the_blocked_call_lacked(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            typed = {"custom_amount": "12abc", "missing": "412.30", "return_to": "/billing/playground"}
            page = await mended(ada, await ada.top_up("custom", **typed))

        assert "RUB 412.30 was missing" in page.text
        assert page.hidden("return_to") == "/billing/playground"

    async def test_a_link_can_only_show_sentences_of_ours(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            page = await ada.see("/billing/balance?error=Send+money+to+me")

        assert "Something went wrong on our side" in page.text
        assert "Send money to me" not in page.text

    async def test_a_member_cannot_top_up_by_hand_either(self, shop: Shop) -> None:
        async with shop.visitor(role=Role.MEMBER) as grace:
            fields = {"intent": "int_1", "choice": "500.00"}
            answer = await grace.send("/billing/topups", fields)

        assert code_of(answer) == (403, "forbidden")


class TestOneIntent:
    async def test_a_double_click_is_one_payment(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            page = await ada.see("/billing/balance")
            form = {name: page.hidden(name) for name in ("csrf_token", "intent")} | {"choice": "500.00"}

            answers = await asyncio.gather(*(ada.browser.post("/billing/topups", data=form) for _ in range(3)))

        assert len({answer.headers["location"] for answer in answers}) == 1

    async def test_two_tabs_are_one_payment(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            assert await begun(ada) == await begun(ada)

    async def test_going_back_for_another_amount_is_another_payment(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            page = await ada.see("/billing/balance")
            form = {name: page.hidden(name) for name in ("csrf_token", "intent")}
            first = await ada.browser.post("/billing/topups", data={**form, "choice": "500.00"})
            second = await ada.browser.post("/billing/topups", data={**form, "choice": "1000.00"})

        payment_ids = {answer.headers["location"].removesuffix("/pay") for answer in (first, second)}
        assert len(payment_ids) == 2
        assert all(path.startswith("/billing/topups/pay_") for path in payment_ids)

    async def test_without_the_session_s_token_nothing_begins(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            answer = await ada.browser.post("/billing/topups", data={"intent": "int_1", "choice": "500.00"})

        assert code_of(answer) == (403, "csrf_failed")


class TestComingBack:
    async def test_paid_means_credited_and_back_to_where_the_call_was_blocked(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada, return_to="/billing/playground?model=demo-small&prompt=Hello")
            await shop.yookassa.pay(await shop.provider_id_of(payment_id))

            page = await came_back(ada, payment_id)

        assert "Top-up credited RUB 500.00 is in your wallet." in page.text
        assert page.figures["Available"] == "RUB 500.00"
        assert page.links["Back to where you were"] == "/billing/playground?model=demo-small&prompt=Hello"

    async def test_refreshing_changes_nothing(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            await shop.yookassa.pay(await shop.provider_id_of(payment_id))
            await came_back(ada, payment_id)

            page = await came_back(ada, payment_id)

        assert page.figures["Available"] == "RUB 500.00"
        assert page.text.count("+RUB 500.00") == 1

    async def test_not_paid_is_not_called_paid_even_where_the_balance_has_grown(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            await shop.credit(ada.principal, "500")

            page = await came_back(ada, payment_id)

        assert "Waiting for your payment" in page.text
        assert "Top-up credited" not in page.text
        assert page.links["Check again"] == f"/billing/topups/{payment_id}/return"
        assert page.links["Not paid yet? Open the payment page"] == f"/billing/topups/{payment_id}/pay"

    async def test_declined_can_be_tried_again(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            await shop.yookassa.decline(await shop.provider_id_of(payment_id))

            page = await came_back(ada, payment_id)

        assert "The payment did not go through" in page.text
        assert page.links["Try again"] == "#top-up"
        assert page.figures["Available"] == "RUB 0.00"

    async def test_abandoned_until_it_expires_is_cancelled(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            await shop.yookassa.expire(await shop.provider_id_of(payment_id))

            page = await came_back(ada, payment_id)

        assert "The payment was cancelled" in page.text
        assert page.links["Try again"] == "#top-up"

    async def test_a_provider_that_is_down_leaves_the_payment_waiting(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            await shop.yookassa.plan("unavailable", "get_payment", times=10)

            page = await came_back(ada, payment_id)

        assert "Waiting for your payment" in page.text
        assert page.figures["Available"] == "RUB 0.00"

    async def test_a_contradiction_is_credited_to_nobody_and_said(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            await shop.yookassa.pay(await shop.provider_id_of(payment_id))
            await shop.yookassa.plan("altered", "get_payment", changes={"amount": {"value": "5.00"}})

            page = await came_back(ada, payment_id)

        assert "We are looking at this payment" in page.text
        assert page.figures["Available"] == "RUB 0.00"

    async def test_the_card_alone_follows_the_payment_to_its_end(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            path = f"/billing/balance/cards/topup?topup={payment_id}"
            before = await ada.browser.get(path)
            await shop.yookassa.pay(await shop.provider_id_of(payment_id))

            after = await ada.browser.get(path)

        assert 'data-state="waiting"' in before.text
        assert 'data-state="credited"' in after.text

    async def test_a_payment_that_has_ended_leads_from_the_payment_page_to_the_wallet(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            payment_id = await begun(ada)
            await shop.yookassa.pay(await shop.provider_id_of(payment_id))
            await came_back(ada, payment_id)

            answer = await ada.browser.get(f"/billing/topups/{payment_id}/pay")

        assert answer.headers["location"] == f"/billing/balance?topup={payment_id}"

    @pytest.mark.parametrize(
        "path", ["topups/{}/return", "topups/{}/pay", "balance?topup={}", "balance/cards/topup?topup={}"]
    )
    async def test_somebody_else_s_payment_is_not_there(self, shop: Shop, path: str) -> None:
        async with shop.visitor() as ada, shop.visitor() as bob:
            payment_id = await begun(ada)

            answer = await bob.browser.get(f"/billing/{path.format(payment_id)}")

        assert code_of(answer) == (404, "payment_not_found")
        assert "500" not in Html(answer.text).text

    @pytest.mark.parametrize(
        "return_to", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:x"]
    )
    async def test_a_spoilt_way_back_is_left_out(self, shop: Shop, return_to: str) -> None:
        async with shop.visitor() as ada:
            page = await ada.see(str(httpx.URL("/billing/balance", params={"return_to": return_to})))

            payment_id = await begun(ada, return_to=return_to)
            await shop.yookassa.pay(await shop.provider_id_of(payment_id))
            back = await came_back(ada, payment_id)

        assert not [given for given in page.inputs if given.get("name") == "return_to"]
        assert "Back to where you were" not in back.links


class TestAProviderThatCannotBegin:
    @pytest.mark.parametrize(
        ("fault", "code", "sentence"),
        [
            ("unavailable", "provider_unavailable", "cannot be reached right now"),
            ("rate_limited", "provider_rate_limited", "is busy"),
        ],
    )
    async def test_is_told_in_a_sentence_with_the_choice_kept(
        self, shop: Shop, fault: str, code: str, sentence: str
    ) -> None:
        async with shop.visitor() as ada:
            await shop.yookassa.plan(fault, "create_payment", times=10)

            answer = await ada.top_up("1000.00")
            page = await mended(ada, answer)

        assert code_of(answer) == (303, code)
        assert sentence in page.text
        assert page.chosen() == "1000.00"

    async def test_an_uncertain_beginning_is_processing_not_an_error(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            await shop.yookassa.plan("malformed_json", "create_payment", times=10)

            answer = await ada.top_up("1000.00")
            page = await ada.see(answer.headers["location"])

        assert answer.status_code == 303
        assert "Your payment is being processed" in page.text


class TestABasePath:
    @pytest.mark.parametrize("base_path", ["/chat", "/a/b"])
    async def test_every_address_and_the_way_back_carry_it(
        self, database_url: URL, provider_url: str, tmp_path: Path, base_path: str
    ) -> None:
        async with (
            open_shop(database_url, provider_url, tmp_path, base_path=base_path) as shop,
            shop.visitor(paid="3.20") as ada,
        ):
            page = await ada.see(f"{base_path}/billing/balance")
            answer = await ada.top_up(return_to="/billing/playground")
            payment_id = answer.headers["location"].split("/")[-2]
            (payment,) = await shop.yookassa.payments()
            return_url = urlsplit(payment["confirmation"]["return_url"])
            await shop.yookassa.pay(str(payment["id"]))
            back = await ada.browser.get(return_url.path)
            wallet = await ada.see(back.headers["location"])

        assert all(address.startswith(f"{base_path}/") for address in page.addresses())
        assert answer.headers["location"] == f"{base_path}/billing/topups/{payment_id}/pay"
        assert return_url.geturl() == f"http://shop.example{base_path}/billing/topups/{payment_id}/return"
        assert back.headers["location"] == f"{base_path}/billing/balance?topup={payment_id}"
        assert wallet.links["Back to where you were"] == f"{base_path}/billing/playground"

    async def test_a_stranger_is_led_to_sign_in_and_back_without_a_loop(
        self, database_url: URL, provider_url: str, tmp_path: Path
    ) -> None:
        async with (
            open_shop(database_url, provider_url, tmp_path, base_path="/a/b") as shop,
            shop.stranger() as ada,
        ):
            answer = await ada.browser.get("/a/b/billing/balance?missing=5")
            target = urlsplit(answer.headers["location"])
            signed_in = await ada.sign_in(answer.headers["location"])
            page = await ada.browser.get(signed_in.headers["location"])

        assert target.path == "/a/b/sign-in"
        assert parse_qs(target.query) == {"return_to": ["/billing/balance?missing=5"]}
        assert signed_in.headers["location"] == "/a/b/billing/balance?missing=5"
        assert page.status_code == 200
