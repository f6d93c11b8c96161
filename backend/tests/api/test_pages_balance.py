"""The balance page over real HTTP: its figures, its notice, its cards, each failing alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from sqlalchemy.engine import URL

from backend.tests.builders.pages import Html, Shop, open_shop
from backend.tests.builders.payments import OFFER
from backend.tests.builders.wallets import RUB as CURRENCY
from billing.customers.rules import Role
from billing.pages.service import PagesService
from billing.payments.rules import TopupOffer
from billing.wallets.models import LotSource
from billing.wiring.services import Services

pytestmark = [pytest.mark.money, pytest.mark.slow]

LOW = "Your balance is low"
SECRET = "a detail that is nobody's business"


class TestTheFigures:
    async def test_show_what_was_paid_granted_and_held(self, shop: Shop) -> None:
        async with shop.visitor(paid="1160.40") as ada:
            await shop.credit(ada.principal, "100", LotSource.PROMOTION)
            await shop.hold(ada.principal, "25.1")

            page = await ada.see("/billing/balance")

        assert page.figures == {
            "Available": "RUB 1,235.30",
            "Paid": "RUB 1,160.40",
            "Granted": "RUB 74.90",
            "Held": "RUB 25.10",
            "Debt": "RUB 0.00",
        }

    async def test_the_granted_credit_that_ends_first_is_named_with_its_day(self, shop: Shop) -> None:
        now = shop.services.clock.now()
        async with shop.visitor() as ada:
            await shop.credit(ada.principal, "70", LotSource.PROMOTION, expires_at=now + timedelta(days=60))
            await shop.credit(ada.principal, "30", LotSource.PROMOTION, expires_at=now + timedelta(days=9))

            page = await ada.see("/billing/balance")

        assert f"RUB 30.00 until {(now + timedelta(days=9, hours=3)).day} " in page.text

    async def test_the_header_shows_the_same_balance_on_every_page(self, shop: Shop) -> None:
        async with shop.visitor(paid="5000") as ada:
            for path in ("/billing/balance", "/billing/playground"):
                page = await ada.see(path)

                assert "Available balance: RUB 5,000.00" in page.text

    async def test_a_new_account_is_shown_what_will_be_there(self, shop: Shop) -> None:
        async with shop.visitor() as ada:
            page = await ada.see("/billing/balance")

        assert page.figures["Available"] == "RUB 0.00"
        assert "Nothing has happened yet" in page.text

    async def test_another_account_s_money_is_not_on_it(self, shop: Shop) -> None:
        async with shop.visitor(paid="777.77"), shop.visitor() as bob:
            page = await bob.see("/billing/balance")

        assert "777.77" not in page.text


class TestTheLatestActivity:
    async def test_lists_top_ups_and_grants_with_their_signs(self, shop: Shop) -> None:
        async with shop.visitor(paid="500") as ada:
            await shop.credit(ada.principal, "100", LotSource.PROMOTION)

            page = await ada.see("/billing/balance")

        assert "Granted credit +RUB 100.00" in page.text
        assert "Top-up +RUB 500.00" in page.text

    async def test_a_call_is_one_line_with_its_exact_cost(self, shop: Shop) -> None:
        await shop.offer_nothing_free()
        async with shop.visitor(paid="500") as ada:
            await ada.send("/billing/playground", {"model": "demo-small", "prompt": "Hello"})

            page = await ada.see("/billing/balance")
            (event,) = await shop.events_of(ada.principal)

        assert page.text.count("demo-small") == 1
        assert f"demo-small \N{MINUS SIGN}RUB {event.charged.to_decimal()}" in page.text

    async def test_a_free_call_says_free(self, shop: Shop) -> None:
        await shop.offer_free_use("demo-free")
        async with shop.visitor() as ada:
            await ada.send("/billing/playground", {"model": "demo-free", "prompt": "Hello"})

            page = await ada.see("/billing/balance")

        assert "demo-free Free" in page.text


class TestTheLowBalanceNotice:
    async def test_points_to_free_use_where_a_free_call_is_possible(self, shop: Shop) -> None:
        await shop.offer_free_use("demo-free")
        async with shop.visitor(paid="3.20") as ada:
            page = await ada.see("/billing/balance")

        assert LOW in page.text
        assert page.links["See your free limits"] == "#free-limits"
        assert "Choose an amount" not in page.links

    @pytest.mark.parametrize("model", ["a-model-that-nobody-serves", "served-but-unpriced"])
    async def test_promises_no_free_use_without_a_model_for_it(self, shop: Shop, model: str) -> None:
        await shop.offer_free_use(model)
        async with shop.visitor(paid="3.20") as ada:
            page = await ada.see("/billing/balance")

        assert page.links["Choose an amount"] == "#top-up"
        assert "See your free limits" not in page.links

    async def test_promises_no_free_use_that_is_used_up(self, shop: Shop) -> None:
        await shop.offer_free_use("demo-free", tokens=0)
        async with shop.visitor(paid="3.20") as ada:
            page = await ada.see("/billing/balance")

        assert page.links["Choose an amount"] == "#top-up"

    async def test_is_absent_from_the_threshold_on(self, shop: Shop) -> None:
        async with shop.visitor(paid="100") as ada:
            page = await ada.see("/billing/balance")

        assert LOW not in page.text
        assert ", low" not in page.text

    async def test_says_how_much_a_blocked_call_lacked(self, shop: Shop) -> None:
        await shop.offer_nothing_free()
        async with shop.visitor(paid="3.20") as ada:
            page = await ada.see("/billing/balance?missing=412.30")

        assert "RUB 412.30 was missing" in page.text
        assert page.chosen() == "500.00"
        assert "Recommended" in page.text

    @pytest.mark.parametrize("missing", ["-5", "12abc", "%3Cscript%3E", "0", "9" * 200])
    async def test_a_spoilt_missing_amount_is_not_repeated(self, shop: Shop, missing: str) -> None:
        async with shop.visitor(paid="500") as ada:
            page = await ada.see(f"/billing/balance?missing={missing}")

        assert "was missing" not in page.text


class TestTheFreeLimits:
    async def test_show_what_is_left_and_for_which_models(self, shop: Shop) -> None:
        await shop.offer_free_use("demo-free", tokens=20_000)
        async with shop.visitor() as ada:
            page = await ada.see("/billing/balance")

        assert "Input tokens 20,000 of 20,000 left" in page.text
        assert "Counts for: demo-free" in page.text

    async def test_show_the_next_reset_once_a_cycle_runs(self, shop: Shop) -> None:
        await shop.offer_free_use("demo-free")
        async with shop.visitor() as ada:
            await ada.send("/billing/playground", {"model": "demo-free", "prompt": "Hello"})

            page = await ada.see("/billing/balance")

        assert "Resets " in page.text

    async def test_say_so_where_nothing_is_free(self, shop: Shop) -> None:
        await shop.offer_nothing_free()
        async with shop.visitor() as ada:
            page = await ada.see("/billing/balance")

        assert "No free usage at the moment" in page.text


class Broken:
    """A service behind a card that fails in a way that nobody foresaw."""

    async def standing(self, *_given: object) -> NoReturn:
        """The free limits fail."""
        raise RuntimeError(SECRET)

    async def recent(self, *_given: object) -> NoReturn:
        """The activity fails."""
        raise RuntimeError(SECRET)

    async def of_account(self, *_given: object) -> NoReturn:
        """The wallet fails."""
        raise RuntimeError(SECRET)

    async def get(self, *_given: object) -> NoReturn:
        """The books of payments fail."""
        raise RuntimeError(SECRET)

    @property
    def offer(self) -> TopupOffer:
        """What is on offer is no question of the database."""
        return OFFER


class Hanging:
    """A service that never answers."""

    async def standing(self, *_given: object) -> NoReturn:
        """Waits for ever."""
        await asyncio.Event().wait()
        raise AssertionError


def pages_with(built: Services, **broken: Any) -> Services:
    """The application with these services broken behind the pages."""
    working: dict[str, Any] = {
        "wallets": built.wallets,
        "quotas": built.quotas,
        "usage": built.usage,
        "topups": built.topups,
    }
    pages = PagesService(
        begin=built.begin,
        ids=built.ids,
        threshold=built.settings.pages.threshold(CURRENCY),
        card_seconds_max=1.0,
        **working | broken,
    )
    return replace(built, pages=pages)


class TestACardThatFails:
    @pytest.fixture
    async def seen_with(self, database_url: URL, provider_url: str, tmp_path: Path) -> Callable[..., Awaitable[Html]]:
        """The balance page of somebody with money while these services fail."""

        async def see(path: str = "/billing/balance", **broken: Any) -> Html:
            shop = open_shop(database_url, provider_url, tmp_path, alter=lambda built: pages_with(built, **broken))
            async with shop as opened, opened.visitor(paid="500") as ada:
                return await ada.see(path)

        return see

    async def test_the_free_limits_never_hide_the_balance(self, seen_with: Callable[..., Awaitable[Html]]) -> None:
        page = await seen_with(quotas=Broken())

        assert page.figures["Available"] == "RUB 500.00"
        assert "We could not load your free limits." in page.text
        assert "Top-up +RUB 500.00" in page.text
        assert page.links["Try again"] == "/billing/balance"

    async def test_a_silent_service_holds_up_only_its_own_card(self, seen_with: Callable[..., Awaitable[Html]]) -> None:
        page = await seen_with(quotas=Hanging())

        assert "We could not load your free limits." in page.text
        assert page.figures["Available"] == "RUB 500.00"

    async def test_the_activity_hides_nothing_else(self, seen_with: Callable[..., Awaitable[Html]]) -> None:
        page = await seen_with(usage=Broken())

        assert "We could not load your activity." in page.text
        assert page.figures["Available"] == "RUB 500.00"

    async def test_without_a_balance_the_customer_can_still_top_up(
        self, seen_with: Callable[..., Awaitable[Html]]
    ) -> None:
        page = await seen_with(wallets=Broken())

        assert "We could not load your balance." in page.text
        assert "Continue to payment" in page.text
        assert LOW not in page.text

    async def test_a_payment_that_cannot_be_looked_up_is_neither_paid_nor_failed(
        self, seen_with: Callable[..., Awaitable[Html]]
    ) -> None:
        page = await seen_with("/billing/balance?topup=pay_1", topups=Broken())

        assert "We cannot check your payment right now" in page.text
        assert "credited" not in page.text.replace("will be credited", "")

    async def test_nothing_of_the_failure_reaches_the_page(self, seen_with: Callable[..., Awaitable[Html]]) -> None:
        page = await seen_with(quotas=Broken(), usage=Broken(), wallets=Broken())

        assert SECRET not in page.text
        assert page.text.count("Try again") == 3


class TestACardByItself:
    @pytest.mark.parametrize(
        ("card", "words"),
        [
            ("balance", "Your wallet"),
            ("activity", "Latest activity"),
            ("free-limits", "Free limits"),
            ("notice", LOW),
            ("chip", "Available balance, low: RUB 3.20"),
        ],
    )
    async def test_is_what_the_page_would_show(self, shop: Shop, card: str, words: str) -> None:
        async with shop.visitor(paid="3.20") as ada:
            fragment = await ada.see(f"/billing/balance/cards/{card}")

        assert words in fragment.text
        assert not [tag for tag, _ in fragment.tags if tag == "html"]


class TestWhoMaySeeIt:
    @pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR])
    async def test_a_plain_member_sees_the_page_and_whom_to_ask(self, shop: Shop, role: Role) -> None:
        async with shop.visitor(role=role) as grace:
            page = await grace.see("/billing/balance")

        assert "Your role cannot top up" in page.text
        assert "Continue to payment" not in page.text

    async def test_every_address_on_it_is_inside_the_app(self, shop: Shop) -> None:
        async with shop.visitor(paid="3.20") as ada:
            page = await ada.see("/billing/balance")

        outside = [
            each for each in page.addresses() if not each.startswith(("/billing/", "/pricing", "/static/", "/sign-out"))
        ]
        assert outside == []
