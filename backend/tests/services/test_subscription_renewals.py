"""Plans that renew themselves: one charge for each period, retries that end, cancel and resume, whoever works."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.jobs import Ticks
from backend.tests.builders.renewals import END, refuse_the_method, wait_until_due
from backend.tests.builders.subscriptions import PlanShop
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.customers.errors import Forbidden
from billing.customers.rules import Role
from billing.kit.jobs import Queue, Work
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.subscriptions import jobs
from billing.subscriptions.errors import RenewalNotPossible, SubscriptionNotFound
from billing.subscriptions.renewals import JOB, LEASE
from billing.subscriptions.rules import RENEWS_AFTER_MAX, RENEWS_BEFORE, RenewalId
from billing.subscriptions.service import SubscriptionStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]


@pytest.fixture
def shop(plan_shop: PlanShop) -> PlanShop:
    """Where plans are sold."""
    return plan_shop


@pytest.fixture
async def customer(shop: PlanShop) -> Customer:
    """Somebody whose plan is paid for March and renews itself."""
    return await shop.renewing(await shop.on_offer(included_credit=rub("100")))


def then(begin: Begin, something: Callable[[], Awaitable[None]]) -> Begin:
    """Units of work; when the first one is over, something else happens."""
    left = [something]

    @asynccontextmanager
    async def begin_and_go_on() -> AsyncIterator[UnitOfWork]:
        async with begin() as uow:
            yield uow
        if left:
            await left.pop()()

    return begin_and_go_on


class TestRenewing:
    async def test_nothing_is_charged_before_its_time(self, shop: PlanShop, customer: Customer) -> None:
        shop.clock.move(END - RENEWS_BEFORE - shop.clock.now() - timedelta(microseconds=1))

        await shop.renew()

        assert await shop.renewals_of(customer) == []

    async def test_the_next_period_is_paid_before_the_running_one_ends(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        wait_until_due(shop)

        await shop.renew()

        first, second = await shop.grants(customer)
        assert second["starts_at"] == first["ends_at"] == END
        assert second["ends_at"] == datetime(2026, 5, 2, 12, 0, tzinfo=UTC)
        assert await shop.stands_on("plan_sales", customer) == rub("600")

    async def test_a_second_run_changes_nothing(self, shop: PlanShop, customer: Customer) -> None:
        wait_until_due(shop)
        await shop.renew()

        shop.clock.move(LEASE)
        await shop.renew()

        assert len(await shop.grants(customer)) == 2
        assert len(await shop.charges(customer)) == 2

    async def test_workers_that_run_at_once_charge_once(self, shop: PlanShop, customer: Customer) -> None:
        wait_until_due(shop)

        await asyncio.gather(*(shop.renew() for _ in range(4)))

        assert len(await shop.grants(customer)) == 2
        assert len(await shop.charges(customer)) == 2

    async def test_a_whole_year_of_renewals_keeps_its_day_and_leaves_no_gap(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        for _ in range(12):
            last = (await shop.grants(customer))[-1]
            shop.clock.move(last["ends_at"] - RENEWS_BEFORE - shop.clock.now())
            await shop.renew()

        grants = await shop.grants(customer)
        assert len(grants) == 13
        assert all(one["ends_at"] == other["starts_at"] for one, other in itertools.pairwise(grants))
        assert {grant["starts_at"].day for grant in grants} == {2}

    async def test_a_worker_that_was_away_at_the_end_makes_up_for_it(self, shop: PlanShop, customer: Customer) -> None:
        shop.clock.move(END - shop.clock.now() + timedelta(days=1))

        await shop.renew()

        _, second = await shop.grants(customer)
        assert second["starts_at"] == shop.clock.now()

    async def test_what_expired_long_ago_is_not_charged(self, shop: PlanShop, customer: Customer) -> None:
        shop.clock.move(END - shop.clock.now() + RENEWS_AFTER_MAX)

        await shop.renew()

        assert len(await shop.grants(customer)) == 1
        assert (await shop.standing(customer)).status is SubscriptionStatus.EXPIRED

    async def test_a_plan_that_was_retired_renews_at_its_price(self, shop: PlanShop) -> None:
        plan = await shop.on_offer()
        customer = await shop.renewing(plan)
        await shop.retired(plan)
        wait_until_due(shop)

        await shop.renew()

        assert len(await shop.grants(customer)) == 2

    async def test_whoever_renewed_early_is_not_charged_for_the_same_time(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await shop.renewed_early(customer)
        wait_until_due(shop)

        await shop.renew()

        assert await shop.renewals_of(customer) == []
        assert len(await shop.grants(customer)) == 2

    async def test_whoever_cancels_while_the_due_are_looked_for_gets_no_renewal(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        async def cancel() -> None:
            await shop.subscriptions.cancel(customer.principal, is_now=False, request_id="req_tests")

        wait_until_due(shop)

        await shop.with_begin(then(shop.begin, cancel)).renewals.enqueue_due()

        assert await shop.renewals_of(customer) == []

    async def test_a_renewal_of_time_that_was_given_back_meanwhile_is_not_charged(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        wait_until_due(shop)
        await shop.renewals.enqueue_due()
        (job,) = shop.jobs.taken()
        (grant,) = await shop.grants(customer)
        await shop.given_back(await shop.subscriptions.purchase(customer.principal, grant["payment_id"]))

        await shop.renewals.charge(RenewalId(job["renewal_id"]), int(job["attempt"]))

        assert [row["status"] for row in await shop.renewals_of(customer)] == ["superseded"]
        assert len(await shop.charges(customer)) == 1

    async def test_a_period_that_was_given_back_gives_no_credit_and_the_next_one_does(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        ahead = await shop.renewed_early(customer)
        first, *_ = await shop.grants(customer)
        await shop.given_back(await shop.subscriptions.purchase(customer.principal, first["payment_id"]))
        shop.clock.move(END - shop.clock.now())

        await shop.renewals.give_credit()

        given = {row["payment_id"] for row in await shop.grants(customer) if row["credit_given_at"] == END}
        assert given == {ahead.payment_id}
        assert (await shop.balance(customer)).granted == rub("100")

    async def test_another_plan_that_was_bought_renews_from_then_on(self, shop: PlanShop, customer: Customer) -> None:
        other = await shop.on_offer(price=rub("500"))
        await shop.bought(customer, other)
        shop.clock.move(timedelta(days=61) - RENEWS_BEFORE)

        await shop.renew()

        assert [grant["plan_id"] for grant in await shop.grants(customer)][1:] == [other.id, other.id]


class TestDeclines:
    async def test_a_declined_charge_is_tried_again_after_one_six_and_twenty_four_hours(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await refuse_the_method(shop, customer)
        wait_until_due(shop)
        began_at = shop.clock.now()

        tried_at = []
        for _ in range(40 * 4):
            before = len(await shop.charges(customer))
            await shop.renew()
            if len(await shop.charges(customer)) > before:
                tried_at.append(shop.clock.now() - began_at)
            shop.clock.move(timedelta(minutes=15))

        assert tried_at == [timedelta(hours=hours) for hours in (0, 1, 7, 31)]
        assert [row["status"] for row in await shop.renewals_of(customer)] == ["given_up"]
        assert len(await shop.grants(customer)) == 1

    async def test_what_was_given_up_expires_and_is_told_once(self, shop: PlanShop, customer: Customer) -> None:
        await refuse_the_method(shop, customer)
        wait_until_due(shop)

        for wait in (0, 1, 6, 24, 24, 24):
            shop.clock.move(timedelta(hours=wait))
            await shop.renew()

        told = await shop.till.told(customer)
        assert told.count("subscription.renewal_failed") == 1
        assert (await shop.standing(customer)).status is SubscriptionStatus.EXPIRED

    async def test_a_later_attempt_that_succeeds_renews(self, shop: PlanShop, customer: Customer) -> None:
        await refuse_the_method(shop, customer)
        wait_until_due(shop)
        await shop.renew()
        plan_grants = await shop.grants(customer)

        paid = await shop.renewed_early(customer)
        shop.clock.move(timedelta(hours=1))
        await shop.renew()

        assert len(plan_grants) == 1
        assert [row["status"] for row in await shop.renewals_of(customer)] == ["superseded"]
        assert [grant["payment_id"] for grant in await shop.grants(customer)][1:] == [paid.payment_id]

    async def test_a_method_that_was_removed_is_never_charged(self, shop: PlanShop, customer: Customer) -> None:
        (method,) = await shop.methods.methods_of(customer.principal)
        await shop.methods.remove(customer.principal, method.id, request_id="req_tests")
        wait_until_due(shop)

        await shop.renew()

        assert [row["status"] for row in await shop.renewals_of(customer)] == ["given_up"]
        assert len(await shop.charges(customer)) == 1


class TestUncertainty:
    async def test_an_answer_that_never_came_is_asked_for_under_the_same_key(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        wait_until_due(shop)
        await shop.yookassa.plan("reset", "create_payment", effect="done", times=3)

        await shop.renew()
        before = await shop.grants(customer)
        shop.clock.move(LEASE)
        await shop.renew()

        assert len(before) == 1
        assert len(await shop.grants(customer)) == 2
        assert len(await shop.charges(customer)) == 2

    @pytest.mark.parametrize("takes_effect", [False, True])
    async def test_a_worker_that_dies_at_the_provider_has_charged_once_in_the_end(
        self, shop: PlanShop, customer: Customer, *, takes_effect: bool
    ) -> None:
        wait_until_due(shop)
        dying = shop.with_provider(EndingProvider(shop.till.provider, ProcessDiedError(), takes_effect=takes_effect))
        with pytest.raises(ProcessDiedError):
            await dying.renew()

        shop.clock.move(LEASE)
        await shop.renew()

        assert len(await shop.grants(customer)) == 2
        assert len(await shop.charges(customer)) == 2

    async def test_nobody_else_charges_while_one_has_the_lease(self, shop: PlanShop, customer: Customer) -> None:
        wait_until_due(shop)
        dying = shop.with_provider(EndingProvider(shop.till.provider, ProcessDiedError()))
        with pytest.raises(ProcessDiedError):
            await dying.renew()

        await shop.renew()

        assert len(await shop.grants(customer)) == 1


class TestCancelling:
    async def test_at_the_end_of_the_period_what_is_paid_runs_on_and_nothing_more_is_charged(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        standing = await shop.subscriptions.cancel(customer.principal, is_now=False, request_id="req_tests")
        wait_until_due(shop)
        await shop.renew()

        assert standing.status is SubscriptionStatus.CANCELED
        assert (await shop.standing(customer)).paid_until == END
        assert len(await shop.charges(customer)) == 1

    async def test_now_gives_up_the_rest_and_its_unspent_credit(self, shop: PlanShop, customer: Customer) -> None:
        await shop.till.spent(customer, "30")

        standing = await shop.subscriptions.cancel(customer.principal, is_now=True, request_id="req_tests")

        balance = await shop.balance(customer)
        assert (standing.status, standing.running) == (SubscriptionStatus.CANCELED, None)
        assert (balance.available, balance.debt) == (rub("0"), rub("0"))
        assert (await shop.entitlement(customer)).discount_percent == 0

    async def test_now_ends_what_is_paid_ahead_too(self, shop: PlanShop, customer: Customer) -> None:
        await shop.renewed_early(customer)

        await shop.subscriptions.cancel(customer.principal, is_now=True, request_id="req_tests")
        shop.clock.move(timedelta(days=40))
        await shop.renewals.give_credit()

        assert (await shop.standing(customer)).running is None
        assert (await shop.balance(customer)).available == rub("0")

    async def test_the_second_time_changes_nothing(self, shop: PlanShop, customer: Customer) -> None:
        for is_now in (False, False, True, True):
            last = await shop.subscriptions.cancel(customer.principal, is_now=is_now, request_id="req_tests")

        audited = await shop.rows(
            "SELECT * FROM audit_entries WHERE account_id = :id AND action = 'subscription.canceled'", customer
        )
        assert last.status is SubscriptionStatus.CANCELED
        assert len(audited) == 2

    async def test_resumed_in_time_it_renews_again(self, shop: PlanShop, customer: Customer) -> None:
        await shop.subscriptions.cancel(customer.principal, is_now=False, request_id="req_tests")

        standing = await shop.subscriptions.resume(customer.principal, method_id=None, request_id="req_tests")
        wait_until_due(shop)
        await shop.renew()

        assert (standing.status, standing.will_renew) == (SubscriptionStatus.ACTIVE, True)
        assert len(await shop.grants(customer)) == 2

    async def test_whatever_was_claimed_before_it_was_canceled_is_not_charged(
        self, shop: PlanShop, customer: Customer
    ) -> None:
        await refuse_the_method(shop, customer)
        wait_until_due(shop)
        await shop.renew()

        await shop.subscriptions.cancel(customer.principal, is_now=False, request_id="req_tests")
        shop.clock.move(timedelta(hours=1))
        await shop.renew()

        assert [row["status"] for row in await shop.renewals_of(customer)] == ["superseded"]
        assert len(await shop.charges(customer)) == 2

    @pytest.mark.parametrize("what", ["cancel", "remove the method"])
    async def test_whoever_changes_their_mind_at_the_last_moment_is_not_charged(
        self, shop: PlanShop, customer: Customer, what: str
    ) -> None:
        (method,) = await shop.methods.methods_of(customer.principal)

        async def change_ones_mind() -> None:
            if what == "cancel":
                await shop.subscriptions.cancel(customer.principal, is_now=False, request_id="req_tests")
            else:
                await shop.methods.remove(customer.principal, method.id, request_id="req_tests")

        wait_until_due(shop)
        await shop.renewals.enqueue_due()
        (job,) = shop.jobs.taken()
        hurried = shop.with_begin(then(shop.begin, change_ones_mind))

        await hurried.renewals.charge(RenewalId(job["renewal_id"]), int(job["attempt"]))

        assert len(await shop.charges(customer)) == 1
        assert len(await shop.till.rows_of(customer)) == 1

    async def test_what_has_ended_cannot_be_resumed(self, shop: PlanShop, customer: Customer) -> None:
        await shop.subscriptions.cancel(customer.principal, is_now=True, request_id="req_tests")

        with pytest.raises(SubscriptionNotFound):
            await shop.subscriptions.resume(customer.principal, method_id=None, request_id="req_tests")

    async def test_without_a_saved_method_nothing_renews(self, shop: PlanShop) -> None:
        customer = await shop.town.customer()
        await shop.bought(customer, await shop.on_offer())

        with pytest.raises(RenewalNotPossible):
            await shop.subscriptions.resume(customer.principal, method_id=None, request_id="req_tests")

    async def test_nobody_cancels_what_never_was(self, shop: PlanShop) -> None:
        customer = await shop.town.customer()

        with pytest.raises(SubscriptionNotFound):
            await shop.subscriptions.cancel(customer.principal, is_now=True, request_id="req_tests")

    async def test_a_member_may_neither_cancel_nor_resume(self, shop: PlanShop, customer: Customer) -> None:
        member = await shop.town.colleague(customer.account, Role.MEMBER)

        with pytest.raises(Forbidden):
            await shop.subscriptions.cancel(member.principal, is_now=True, request_id="req_tests")
        with pytest.raises(Forbidden):
            await shop.subscriptions.resume(member.principal, method_id=None, request_id="req_tests")


class TestTheJobs:
    async def test_ticks_give_credit_and_enqueue_and_workers_charge(self, shop: PlanShop, customer: Customer) -> None:
        tasks: dict[str, Work] = {}

        class Remembering(Ticks):
            def register(self, name: str, queue: Queue, work: Work) -> None:
                assert queue is Queue.PAYMENT_SYNC
                tasks[name] = work

        ticks = Remembering()
        jobs.register(ticks, shop.renewals)
        wait_until_due(shop)

        await ticks.work["subscriptions.renew"]()
        (arguments,) = shop.jobs.taken()
        await tasks[JOB](**arguments)
        shop.clock.move(END - shop.clock.now())
        await ticks.work["subscriptions.give_credit"]()

        assert len(await shop.grants(customer)) == 2
        assert (await shop.balance(customer)).granted == rub("100")
