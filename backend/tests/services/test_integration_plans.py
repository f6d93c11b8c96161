"""What a paid plan gives reaches the calls of the gateway, and stops reaching them when it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from backend.tests.builders.gateway import Gate, Payer, chat, free_terms, incoming
from backend.tests.builders.limits import account_wallet, wanted
from backend.tests.builders.streams import LEASE, WORDS, asked, janitor
from backend.tests.builders.subscriptions import PlanShop
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.model_upstream import DONE, delta, streaming, usage
from billing.gateway.rules.doors import Door
from billing.ledger.invariants import Extent
from billing.pricing.seed import DEMO_FREE
from billing.quotas.errors import QuotaExceeded
from billing.quotas.rules import Amounts, BurnOrder
from billing.usage.rules import BillingSource
from billing.wallets.errors import DailyCapExceeded, MonthlyCapExceeded

pytestmark = [pytest.mark.money, pytest.mark.slow]

MONTH = timedelta(days=31)
SMALL_INPUT, SMALL_OUTPUT = 60, 240  # micros for one token


async def subscribed(gate: Gate, plan_shop: PlanShop, paid: str = "100", **terms: Any) -> Payer:
    """Somebody with this much paid credit and a plan that runs."""
    payer = await gate.payer(paid)
    await plan_shop.bought(payer.customer, await plan_shop.on_offer(**{"included_credit": rub("0"), **terms}))
    return payer


class TestDiscounts:
    async def test_a_call_costs_less_and_says_what_it_would_have_cost(self, gate: Gate, plan_shop: PlanShop) -> None:
        payer = await subscribed(gate, plan_shop, discount_percent=25)

        answer = await gate.ask(payer, chat())

        after = await gate.accounts(payer)
        (event,) = after.events
        assert event.discount_percent == 25
        assert event.charged == answer.charged
        assert event.charged.micros == -(-event.raw_cost.micros * 75 // 100)
        assert after.charges == [event.charged]
        assert after.drifts == ()

    async def test_without_a_plan_nothing_is_taken_off(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        await gate.ask(payer, chat())

        (event,) = (await gate.accounts(payer)).events
        assert (event.discount_percent, event.charged) == (0, event.raw_cost)

    async def test_a_hundred_per_cent_charge_nothing(self, gate: Gate, plan_shop: PlanShop) -> None:
        payer = await subscribed(gate, plan_shop, discount_percent=100)

        await gate.ask(payer, chat())

        after = await gate.accounts(payer)
        assert after.events[0].charged == rub("0")
        assert after.events[0].raw_cost > rub("0")
        assert (after.balance.available, after.drifts) == (rub("100"), ())

    async def test_a_quote_says_the_price_of_the_call_that_follows(self, gate: Gate, plan_shop: PlanShop) -> None:
        full, reduced = await gate.payer("100"), await subscribed(gate, plan_shop, discount_percent=50)

        quotes = [await gate.service.quote(payer.principal, Door.CHAT, incoming(chat())) for payer in (full, reduced)]

        assert quotes[1].at_most.micros == -(-quotes[0].at_most.micros // 2)
        assert quotes[1].charged_at_most == quotes[1].at_most

    async def test_an_expired_plan_gives_no_discount(
        self, gate: Gate, plan_shop: PlanShop, clock: StoppedClock
    ) -> None:
        payer = await subscribed(gate, plan_shop, discount_percent=25)
        clock.move(MONTH)

        await gate.ask(payer, chat())

        (event,) = (await gate.accounts(payer)).events
        assert (event.discount_percent, event.charged) == (0, event.raw_cost)

    async def test_the_discount_is_that_of_the_moment_at_which_the_call_was_let_in(
        self, gate: Gate, plan_shop: PlanShop, clock: StoppedClock
    ) -> None:
        payer = await subscribed(gate, plan_shop, discount_percent=25)

        async def the_plan_ends() -> None:
            clock.move(MONTH)

        await gate.while_waiting(the_plan_ends).ask(payer, chat())

        (event,) = (await gate.accounts(payer)).events
        assert event.discount_percent == 25
        assert event.charged < event.raw_cost

    async def test_a_stream_is_charged_less_too(self, gate: Gate, plan_shop: PlanShop) -> None:
        payer = await subscribed(gate, plan_shop, discount_percent=50)
        behind = gate.behind(streaming(delta(WORDS), delta(finish="stop"), usage(10, 20), DONE))

        await behind.streamed(payer, asked())

        after = await gate.accounts(payer)
        assert after.charges[0].micros == (10 * SMALL_INPUT + 20 * SMALL_OUTPUT) // 2
        assert after.drifts == ()

    async def test_a_stream_that_was_left_is_charged_less_from_its_checkpoint(
        self, gate: Gate, plan_shop: PlanShop, clock: StoppedClock
    ) -> None:
        payer = await subscribed(gate, plan_shop, discount_percent=50)
        behind = gate.behind(streaming(delta(WORDS), asyncio.Event().wait))
        answer = await behind.stream(payer, asked())
        async with asyncio.timeout(5):
            async for _ in answer.reading:
                break
        for task in asyncio.all_tasks():
            if task.get_name() in {f"stream {answer.operation_id}", "leases of streams"}:
                task.cancel()
        await behind.service.close()
        clock.move(LEASE)

        await janitor(gate).settle()

        after = await gate.accounts(payer)
        (event,) = after.events
        assert event.raw_cost > rub("0")
        assert event.charged.micros == -(-event.raw_cost.micros // 2)
        assert after.charges == [event.charged]
        assert after.drifts == ()


class TestCaps:
    async def test_a_plans_cap_bounds_what_the_wallet_may_spend_in_a_day(
        self, gate: Gate, plan_shop: PlanShop, clock: StoppedClock
    ) -> None:
        payer = await subscribed(gate, plan_shop, daily_cap=rub("0.05"))
        await gate.ask(payer, chat())

        with pytest.raises(DailyCapExceeded) as refusal:
            for _ in range(20):
                await gate.ask(payer, chat())
        clock.move(timedelta(days=1))
        await gate.ask(payer, chat())

        assert refusal.value.facts["cap"] == "0.05"
        assert await gate.wallets.drifts(gate.begin, Extent(payer.wallet_id)) == ()

    async def test_what_was_spent_before_the_plan_began_counts(self, gate: Gate, plan_shop: PlanShop) -> None:
        payer = await gate.payer("100")
        await gate.ask(payer, chat())
        plan = await plan_shop.on_offer(monthly_cap=rub("0.000001"), included_credit=rub("0"))
        await plan_shop.bought(payer.customer, plan)

        with pytest.raises(MonthlyCapExceeded) as refusal:
            await gate.ask(payer, chat())

        assert refusal.value.facts["spent"] == (await gate.accounts(payer)).charges[0].to_decimal()

    async def test_the_tighter_of_the_owners_cap_and_the_plans_counts(self, gate: Gate, plan_shop: PlanShop) -> None:
        payer = await subscribed(gate, plan_shop, daily_cap=rub("50"))
        await account_wallet(gate.wallets).set_limits(
            payer.customer.principal, wanted(daily="0.000001"), request_id="req_tests"
        )

        with pytest.raises(DailyCapExceeded) as refusal:
            await gate.ask(payer, chat())

        assert refusal.value.facts["cap"] == "0.000001"

    async def test_a_plan_that_ended_bounds_nothing(self, gate: Gate, plan_shop: PlanShop, clock: StoppedClock) -> None:
        payer = await subscribed(gate, plan_shop, daily_cap=rub("0"), monthly_cap=rub("0"))
        with pytest.raises(DailyCapExceeded):
            await gate.ask(payer, chat())
        clock.move(MONTH)

        await gate.ask(payer, chat())

        assert await gate.wallets.drifts(gate.begin, Extent(payer.wallet_id)) == ()

    async def test_a_stream_grows_only_as_far_as_the_plan_allows(self, gate: Gate, plan_shop: PlanShop) -> None:
        body = asked()
        payer = await gate.payer("100")
        at_most = (await gate.service.quote(payer.principal, Door.CHAT, incoming(body))).at_most
        plan = await plan_shop.on_offer(daily_cap=at_most, included_credit=rub("0"))
        await plan_shop.bought(payer.customer, plan)
        behind = gate.behind(streaming(*(delta(WORDS) for _ in range(400)), usage(10, 4000), DONE))

        content = await behind.streamed(payer, body)

        assert b"daily_cap_exceeded" in content
        assert (await gate.accounts(payer)).drifts == ()


class TestQuotas:
    async def test_a_plan_adds_to_the_free_quota_while_it_runs(
        self, gate: Gate, plan_shop: PlanShop, clock: StoppedClock
    ) -> None:
        await gate.set_terms(free_terms(input_tokens=1, output_tokens=1))
        payer = await subscribed(gate, plan_shop, quotas=Amounts(input_tokens=10_000, output_tokens=10_000))
        await gate.quotas.set_burn_order(payer.customer.principal, BurnOrder.FREE_ONLY, request_id="req_tests")

        answer = await gate.ask(payer, chat(model=DEMO_FREE))
        limits = {metric.metric: metric.limit for metric in (await gate.accounts(payer)).free.metrics}
        clock.move(MONTH)
        with pytest.raises(QuotaExceeded):
            await gate.ask(payer, chat(model=DEMO_FREE))

        assert answer.billing_source is BillingSource.LEAD_MAGNET
        assert limits == {"input_tokens": 10_001, "output_tokens": 10_001}

    async def test_a_free_stream_grows_into_what_the_plan_added(self, gate: Gate, plan_shop: PlanShop) -> None:
        await gate.set_terms(free_terms(input_tokens=1, output_tokens=1))
        payer = await subscribed(gate, plan_shop, quotas=Amounts(input_tokens=100_000, output_tokens=100_000))
        behind = gate.behind(streaming(*(delta(WORDS) for _ in range(50)), delta(finish="stop"), usage(10, 600), DONE))

        await behind.streamed(payer, asked(model=DEMO_FREE))

        (event,) = (await gate.accounts(payer)).events
        assert (event.billing_source, event.charged) == (BillingSource.LEAD_MAGNET, rub("0"))
