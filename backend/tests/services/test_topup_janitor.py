"""A payment is finished although its notification is lost and nobody comes back for it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.upkeep import Caretaker
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.payment_provider import EndingProvider
from billing.payments.check_repository import lease, put_back
from billing.payments.errors import ProviderAmbiguous, ProviderMalformed, ProviderRefusedUs, ProviderUnavailable
from billing.payments.rules import KEY_IS_SAFE_FOR
from billing.payments.service import Topup

pytestmark = [pytest.mark.money, pytest.mark.slow]

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
FIVE_HUNDRED = rub("500")
NOTHING = rub("0")


@pytest.fixture
def clock() -> StoppedClock:
    """Stands where the simulator's clock stands, because its list is asked for by time."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture
async def customer(caretaker: Caretaker) -> Customer:
    """Somebody who wants to pay."""
    return await caretaker.till.town.customer()


@pytest.fixture
async def topup(caretaker: Caretaker, customer: Customer) -> Topup:
    """A top-up of 500 roubles that waits to be paid."""
    return await caretaker.till.started(customer)


async def credited(caretaker: Caretaker) -> None:
    """The customer pays, and the next check finds it."""
    await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())
    await caretaker.after(MINUTE)


class TestAPaymentThatNobodyComesBackFor:
    async def test_is_credited_at_the_next_check(self, caretaker: Caretaker, customer: Customer, topup: Topup) -> None:
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())

        done = await caretaker.after(MINUTE)

        row = await caretaker.till.row(topup.payment_id)
        assert (done.checked, done.ended) == (1, 1)
        assert (row["state"], row["next_check_at"]) == ("succeeded", None)
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_is_credited_once_however_often_it_is_checked(
        self, caretaker: Caretaker, customer: Customer, topup: Topup
    ) -> None:
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())
        await caretaker.after(MINUTE)

        later = await caretaker.after(DAY)

        assert later.checked == 0
        assert await caretaker.till.available(customer) == FIVE_HUNDRED
        assert topup.amount == FIVE_HUNDRED

    async def test_is_canceled_when_it_was_never_paid(
        self, caretaker: Caretaker, customer: Customer, topup: Topup
    ) -> None:
        await caretaker.till.yookassa.expire(await caretaker.till.yookassa.only_payment_id())

        await caretaker.after(MINUTE)

        row = await caretaker.till.row(topup.payment_id)
        assert (row["state"], row["cancellation"], row["next_check_at"]) == ("canceled", "expired", None)
        assert await caretaker.till.available(customer) == NOTHING

    @pytest.mark.usefixtures("topup")
    async def test_is_not_asked_about_before_its_time(self, caretaker: Caretaker) -> None:
        done = await caretaker.after(MINUTE - timedelta(seconds=1))

        assert done.checked == 0
        assert await caretaker.till.yookassa.calls("get_payment") == []


class TestTheSchedule:
    async def test_of_a_payment_that_stays_pending_ends_after_a_week_and_everybody_is_told(
        self, caretaker: Caretaker, customer: Customer, topup: Topup
    ) -> None:
        waits = [MINUTE, 4 * MINUTE, 25 * MINUTE, 90 * MINUTE, 10 * HOUR, 12 * HOUR, *[DAY] * 6]
        rounds = [await caretaker.after(wait) for wait in waits]

        row = await caretaker.till.row(topup.payment_id)
        assert [done.checked for done in rounds] == [1] * 12
        assert [done.stuck for done in rounds] == [0] * 11 + [1]
        assert (row["state"], row["checks"], row["next_check_at"]) == ("pending", 12, None)
        assert topup.payment_id in {one.id for one in await caretaker.janitor.stuck()}
        assert await caretaker.till.told(customer) == ["payment.stuck"]

    async def test_makes_good_for_missed_checks_by_one(self, caretaker: Caretaker, topup: Topup) -> None:
        first = await caretaker.after(3 * DAY + HOUR)

        second = await caretaker.after(timedelta(0))

        row = await caretaker.till.row(topup.payment_id)
        assert (first.checked, second.checked, row["checks"]) == (1, 0, 1)
        assert row["next_check_at"] == row["created_at"] + 4 * DAY

    @pytest.mark.usefixtures("topup")
    async def test_is_put_into_the_queue_only_when_something_is_due(self, caretaker: Caretaker) -> None:
        jobs = "SELECT id FROM procrastinate_jobs WHERE task_name = 'payments.check'"
        before = await caretaker.rows(jobs)

        early = await caretaker.janitor.enqueue_due()
        caretaker.till.clock.move(MINUTE)
        due = await caretaker.janitor.enqueue_due()

        assert (early, due) == (False, True)
        assert len(await caretaker.rows(jobs)) == len(before) + 1


class TestAPaymentThatTheProviderNeverNamed:
    async def test_is_begun_again_under_its_key(self, caretaker: Caretaker, customer: Customer) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="none")

        await caretaker.after(MINUTE)

        row = await caretaker.till.row(payment_id)
        assert (row["state"], row["provider_payment_id"]) == (
            "pending",
            await caretaker.till.yookassa.only_payment_id(),
        )

    async def test_is_found_again_under_its_key_where_only_the_answer_was_lost(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="done")
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())

        await caretaker.after(MINUTE)

        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"
        assert len(await caretaker.till.yookassa.payments()) == 1
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_is_looked_for_in_the_list_when_its_key_is_too_old(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="done")
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())

        await caretaker.after(KEY_IS_SAFE_FOR)

        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"
        assert len(await caretaker.till.yookassa.calls("create_payment")) == 3
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_is_found_by_itself_where_the_list_shows_it_as_nobody_understands(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="done")
        there = (await caretaker.till.yookassa.payments())[-1]
        await caretaker.till.yookassa.pay(there["id"])
        odd = {"items": [{**there, "status": "half_open"}]}
        await caretaker.till.yookassa.plan("altered", "list_payments", changes=odd)

        await caretaker.after(KEY_IS_SAFE_FOR)

        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_is_not_looked_for_among_more_odd_ones_than_a_round_can_ask_about(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="done")
        there = (await caretaker.till.yookassa.payments())[-1]
        odd = [{**there, "id": f"22e12f66-000f-5000-8000-{n:012x}", "status": "half_open"} for n in range(51)]
        await caretaker.till.yookassa.plan("altered", "list_payments", changes={"items": odd})

        await caretaker.after(KEY_IS_SAFE_FOR)

        assert (await caretaker.till.row(payment_id))["state"] == "created"
        assert await caretaker.till.yookassa.calls("get_payment") == []

    async def test_is_canceled_when_it_is_not_in_the_list_either(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="none")

        await caretaker.after(KEY_IS_SAFE_FOR)

        row = await caretaker.till.row(payment_id)
        assert (row["state"], row["cancellation"]) == ("canceled", "never_begun")
        assert await caretaker.till.yookassa.payments() == []


class TestAnOutage:
    @pytest.mark.parametrize(
        "outage",
        [
            ProviderUnavailable("down", retry_after_seconds=60),
            ProviderRefusedUs("credentials", retry_after_seconds=60),
        ],
    )
    async def test_uses_up_no_checks_and_asks_about_nothing_else(
        self, caretaker: Caretaker, customer: Customer, outage: Exception
    ) -> None:
        payments = [await caretaker.till.started(customer, amount) for amount in ("500", "600", "700")]
        down = caretaker.with_provider(EndingProvider(caretaker.till.provider, outage))

        done = await down.after(MINUTE)

        rows = [await caretaker.till.row(payment.payment_id) for payment in payments]
        now = caretaker.till.clock.now()
        assert (done.checked, done.put_off, done.stuck) == (0, 3, 0)
        assert [(row["checks"], row["next_check_at"]) for row in rows] == [(0, now + MINUTE)] * 3

    async def test_is_noticed_by_the_first_that_is_asked_about(self, caretaker: Caretaker, customer: Customer) -> None:
        for amount in ("500", "600", "700"):
            await caretaker.till.started(customer, amount)
        await caretaker.till.yookassa.plan("unavailable", "*", times=99)

        done = await caretaker.after(MINUTE)

        tries_of_one_question = 3
        assert done.put_off == 3
        assert len(await caretaker.till.yookassa.calls("get_payment")) == tries_of_one_question
        assert len(await caretaker.till.yookassa.calls("list_payments")) == tries_of_one_question

    async def test_is_followed_by_the_checks_that_were_put_off(
        self, caretaker: Caretaker, customer: Customer, topup: Topup
    ) -> None:
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())
        down = caretaker.with_provider(EndingProvider(caretaker.till.provider, ProviderUnavailable("down")))
        await down.after(7 * DAY)

        done = await caretaker.after(MINUTE)

        assert (done.checked, done.ended) == (1, 1)
        assert (await caretaker.till.row(topup.payment_id))["state"] == "succeeded"
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_of_one_payment_alone_does_not_stop_the_others(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        first = await caretaker.till.started(customer, "500")
        second = await caretaker.till.started(customer, "600")
        for one in await caretaker.till.yookassa.payments():
            await caretaker.till.yookassa.pay(one["id"])
        await caretaker.till.yookassa.plan("malformed_json", "get_payment", times=3)

        done = await caretaker.after(MINUTE)

        states = [(await caretaker.till.row(one.payment_id))["state"] for one in (first, second)]
        assert (done.checked, done.ended) == (2, 1)
        assert sorted(states) == ["pending", "succeeded"]

    async def test_of_an_ambiguous_beginning_keeps_the_key(self, caretaker: Caretaker, customer: Customer) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="none")
        unsure = caretaker.with_provider(EndingProvider(caretaker.till.provider, ProviderAmbiguous("unsure")))

        done = await unsure.after(MINUTE)

        row = await caretaker.till.row(payment_id)
        assert (done.checked, row["state"], row["provider_payment_id"]) == (1, "created", None)
        assert row["next_check_at"] == row["created_at"] + 5 * MINUTE


class TestTwoWorkers:
    async def test_share_what_is_due(self, caretaker: Caretaker, customer: Customer) -> None:
        for amount in ("500", "600", "700", "800"):
            await caretaker.till.started(customer, amount)
        caretaker.till.clock.move(MINUTE)

        rounds = await asyncio.gather(caretaker.janitor.check_due(), caretaker.janitor.check_due())

        assert sum(done.checked for done in rounds) == 4
        assert len(await caretaker.till.yookassa.calls("get_payment")) == 4

    async def test_that_died_leaves_its_payments_to_the_next(self, caretaker: Caretaker, topup: Topup) -> None:
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())
        dying = caretaker.with_provider(EndingProvider(caretaker.till.provider, KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            await dying.after(MINUTE)

        too_early = await caretaker.after(MINUTE)
        in_time = await caretaker.after(15 * MINUTE)

        assert (too_early.checked, in_time.ended) == (0, 1)
        assert (await caretaker.till.row(topup.payment_id))["state"] == "succeeded"

    async def test_that_comes_too_late_leaves_the_word_of_the_next(self, caretaker: Caretaker, topup: Topup) -> None:
        now = caretaker.till.clock.now()
        async with caretaker.ground.begin() as uow:
            (slow,) = await lease(uow, now=now + MINUTE, until=now + HOUR, limit=1)
            (next_one,) = await lease(uow, now=now + HOUR, until=now + 2 * HOUR, limit=1)

            was_its_word = await put_back(uow, next_one, at=now + DAY, counts=True)
            was_late_word = await put_back(uow, slow, at=now + MINUTE, counts=True)

        row = await caretaker.till.row(topup.payment_id)
        assert (was_its_word, was_late_word) == (True, False)
        assert (row["checks"], row["next_check_at"]) == (1, now + DAY)


class TestAPaymentOfAShopThatIsNotConnectedAnyMore:
    async def test_goes_through_its_schedule_and_is_told_in_the_end(self, caretaker: Caretaker, topup: Topup) -> None:
        nobody = caretaker.with_provider(None)

        early = await nobody.after(MINUTE)
        late = await nobody.after(7 * DAY)

        assert (early.checked, early.stuck, late.stuck) == (1, 0, 1)
        assert topup.payment_id in {one.id for one in await caretaker.janitor.stuck()}


class TestMalformedAnswers:
    async def test_to_the_beginning_keep_the_key(self, caretaker: Caretaker, customer: Customer) -> None:
        payment_id = await caretaker.refused_start(customer, kind="reset", effect="none")
        odd = caretaker.with_provider(EndingProvider(caretaker.till.provider, ProviderMalformed("odd")))

        await odd.after(MINUTE)

        assert (await caretaker.till.row(payment_id))["state"] == "created"


class TestARefundThatHasNotEnded:
    async def test_is_booked_when_the_provider_has_given_the_money_back(
        self, caretaker: Caretaker, customer: Customer, topup: Topup
    ) -> None:
        await credited(caretaker)
        await caretaker.till.yookassa.hold_refunds()
        refund = await caretaker.till.refunded(topup.payment_id, "200")
        (theirs,) = await caretaker.till.yookassa.refunds()
        before = await caretaker.after(MINUTE)
        await caretaker.till.yookassa.end_refund(theirs["id"], is_good=True)

        done = await caretaker.after(4 * MINUTE)

        (row,) = await caretaker.rows("SELECT * FROM refunds WHERE id = :id", id=refund.id)
        assert (before.checked, before.ended, done.ended) == (1, 0, 1)
        assert (row["state"], row["checks"], row["next_check_at"]) == ("succeeded", 1, None)
        assert await caretaker.till.available(customer) == rub("300")

    @pytest.mark.parametrize("effect", ["none", "done"])
    async def test_is_asked_for_again_under_its_key(
        self, caretaker: Caretaker, customer: Customer, topup: Topup, effect: str
    ) -> None:
        await credited(caretaker)
        await caretaker.till.yookassa.plan("reset", "create_refund", effect=effect, times=3)
        refund = await caretaker.till.refunded(topup.payment_id, "200")

        done = await caretaker.after(MINUTE)

        (row,) = await caretaker.rows("SELECT * FROM refunds WHERE id = :id", id=refund.id)
        assert (done.ended, row["state"]) == (1, "succeeded")
        assert len(await caretaker.till.yookassa.refunds()) == 1
        assert await caretaker.till.available(customer) == rub("300")

    async def test_of_which_the_provider_knows_nothing_fails_when_its_key_is_too_old(
        self, caretaker: Caretaker, customer: Customer, topup: Topup
    ) -> None:
        await credited(caretaker)
        await caretaker.till.yookassa.plan("reset", "create_refund", effect="none", times=3)
        refund = await caretaker.till.refunded(topup.payment_id, "200")

        await caretaker.after(KEY_IS_SAFE_FOR)

        (row,) = await caretaker.rows("SELECT * FROM refunds WHERE id = :id", id=refund.id)
        assert (row["state"], row["failure"]) == ("failed", "never_begun")
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_for_a_week_is_told(self, caretaker: Caretaker, topup: Topup) -> None:
        await credited(caretaker)
        await caretaker.till.yookassa.hold_refunds()
        refund = await caretaker.till.refunded(topup.payment_id, "200")

        done = await caretaker.after(7 * DAY)

        assert done.stuck == 1
        assert refund.id in {one.id for one in await caretaker.janitor.stuck()}
