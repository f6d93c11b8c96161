"""Signing in: what somebody is told who cannot, and where somebody is led who can."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from testkit.browser_watch import BrowserWatch
from testkit.pages.balance import BalancePage
from testkit.pages.playground import PlaygroundPage
from testkit.pages.sign_in import SignInPage
from testkit.stack.site import Site
from testkit.stack.stack import Login


@pytest.fixture
def sign_in(page: Page, site: Site) -> SignInPage:
    return SignInPage(page, site)


class TestSomebodyWhoCannotSignIn:
    def test_because_of_a_wrong_password_types_only_the_password_again(
        self, sign_in: SignInPage, login: Login, watch: BrowserWatch
    ) -> None:
        watch.expect_status(401, "/sign-in")
        typed = Login(login.email, "not this one")
        sign_in.open()

        sign_in.sign_in(typed)

        expect(sign_in.error).to_have_text("This e-mail and password do not match. Check both and try again.")
        expect(sign_in.email).to_have_value(typed.email)
        expect(sign_in.password).to_have_value("")
        expect(sign_in.password).to_be_focused()

    def test_whose_form_is_too_old_can_send_the_new_one(
        self, sign_in: SignInPage, site: Site, login: Login, watch: BrowserWatch
    ) -> None:
        watch.expect_status(400, "/sign-in")
        sign_in.open()
        sign_in.page.context.clear_cookies()

        sign_in.sign_in(login)
        expect(sign_in.error).to_contain_text("expired")
        sign_in.sign_in(login)

        expect(BalancePage(sign_in.page, site).heading).to_be_visible()

    def test_without_an_e_mail_nothing_is_sent(self, sign_in: SignInPage, watch: BrowserWatch) -> None:
        sign_in.open()
        watch.forget_navigations()

        sign_in.sign_in(Login("", "something"))

        expect(sign_in.email).to_be_focused()
        assert watch.navigations == []


class TestSomebodyWhoSignsIn:
    def test_is_led_to_what_they_wanted_to_see(self, page: Page, site: Site, sign_in: SignInPage, login: Login) -> None:
        playground = PlaygroundPage(page, site)
        playground.open("?model=demo-small&prompt=Hello")

        sign_in.sign_in(login)

        expect(playground.prompt).to_have_value("Hello")
        expect(playground.model).to_have_value("demo-small")

    def test_can_sign_out_and_is_a_stranger_again(self, signed_in_page: Page, site: Site, sign_in: SignInPage) -> None:
        balance = BalancePage(signed_in_page, site)
        balance.open()

        balance.frame.sign_out()
        expect(sign_in.password).to_be_visible()
        balance.open()

        expect(sign_in.password).to_be_visible()
