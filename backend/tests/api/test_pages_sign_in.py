"""Signing in and out through pages: the form, its errors, the way on, and what other sites cannot do."""

from __future__ import annotations

from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest

from backend.tests.builders.pages import Html, Shop

PERSONAL_PAGES = [
    "/billing/balance",
    "/billing/playground",
    "/billing/topups/pay_1/return",
    "/billing/topups/pay_1/pay",
    "/billing/balance/cards/balance",
]


def code_of(answer: httpx.Response) -> tuple[int, str | None]:
    """The refusal's status and code."""
    return answer.status_code, answer.headers.get("X-Billing-Error")


class TestSomebodyUnknown:
    @pytest.mark.parametrize("path", PERSONAL_PAGES)
    async def test_is_asked_to_sign_in_and_brought_back(self, shop: Shop, path: str) -> None:
        async with shop.stranger() as ada:
            answer = await ada.browser.get(path)

        target = urlsplit(answer.headers["location"])
        assert (answer.status_code, target.path) == (303, "/sign-in")
        assert parse_qs(target.query) == {"return_to": [path]}

    async def test_whose_session_ended_while_a_form_was_open_starts_from_the_balance(self, shop: Shop) -> None:
        async with shop.stranger() as ada:
            answer = await ada.browser.post("/billing/topups", data={"choice": "500.00"})

        assert answer.headers["location"] == "/sign-in?return_to=%2Fbilling%2Fbalance"

    async def test_finds_the_balance_behind_the_front_door(self, shop: Shop) -> None:
        async with shop.stranger() as ada:
            answer = await ada.browser.get("/")

        assert (answer.status_code, answer.headers["location"]) == (303, "/billing/balance")


class TestSigningIn:
    async def test_opens_a_session_and_leads_to_the_wanted_page(self, shop: Shop) -> None:
        async with shop.stranger() as ada:
            answer = await ada.sign_in(f"/sign-in?return_to={quote('/billing/playground?prompt=Hello', safe='')}")
            page = await ada.see(answer.headers["location"])

        assert answer.status_code == 303
        assert "Sign out" in page.text
        assert "Hello" in page.text

    async def test_a_wrong_password_keeps_the_e_mail_and_the_way_on(self, shop: Shop) -> None:
        async with shop.stranger() as ada:
            answer = await ada.sign_in("/sign-in?return_to=/billing/playground", password="not the password")

            page = Html(answer.text)
            assert code_of(answer) == (401, "credentials_wrong")
            assert "do not match" in page.text
            assert next(field for field in page.inputs if field["name"] == "email")["value"] == ada.email
            assert page.hidden("return_to") == "/billing/playground"
            assert "not the password" not in answer.text

    async def test_what_is_no_e_mail_is_refused_like_an_unknown_one(self, shop: Shop) -> None:
        async with shop.stranger() as ada:
            answer = await ada.sign_in(email="not an e-mail")

        assert code_of(answer) == (401, "credentials_wrong")

    async def test_too_many_attempts_are_told_to_wait(self, shop: Shop) -> None:
        async with shop.stranger() as ada:
            for _ in range(10):
                await ada.sign_in(password="guess")

            answer = await ada.sign_in(password="guess")

        assert code_of(answer) == (429, "too_many_attempts")
        assert int(answer.headers["Retry-After"]) > 0
        assert "Please wait a few minutes" in Html(answer.text).text

    @pytest.mark.parametrize(
        "return_to",
        ["//evil.example", "https://evil.example", "/\\evil.example", "/%2e%2e//evil.example", "/a/../b", "/x#y", ""],
    )
    async def test_leads_nowhere_else_than_into_the_app(self, shop: Shop, return_to: str) -> None:
        async with shop.stranger() as ada:
            answer = await ada.sign_in(return_to=return_to)

        assert (answer.status_code, answer.headers["location"]) == (303, "/billing/balance")

    async def test_somebody_who_is_signed_in_is_led_on(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            answer = await ada.browser.get("/sign-in?return_to=/billing/playground")

        assert (answer.status_code, answer.headers["location"]) == (303, "/billing/playground")


class TestAnotherSite:
    async def test_cannot_sign_a_browser_in_without_its_form(self, shop: Shop) -> None:
        async with shop.stranger() as ada:
            answer = await ada.sign_in(csrf_token="made up")

        assert code_of(answer) == (400, "form_outdated")
        assert "billing_session" not in answer.headers.get("set-cookie", "")

    async def test_cannot_use_a_form_that_another_browser_was_given(self, shop: Shop) -> None:
        async with shop.stranger() as ada, shop.stranger() as bob:
            token = (await bob.see("/sign-in")).hidden("csrf_token")

            answer = await ada.sign_in(csrf_token=token)

        assert code_of(answer) == (400, "form_outdated")

    async def test_cannot_sign_anybody_out(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            answer = await ada.browser.post("/sign-out", data={"csrf_token": "made up"})
            still = await ada.browser.get("/billing/balance")

        assert code_of(answer) == (403, "csrf_failed")
        assert still.status_code == 200


class TestSigningOut:
    async def test_ends_the_session_for_good(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            answer = await ada.send("/sign-out", {})
            after = await ada.browser.get("/billing/balance")

        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert after.headers["location"].startswith("/sign-in")
