"""A payment that its provider cannot show, now or ever, keeps nobody else's from being finished or compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.upkeep import Caretaker, begun, credited, only_difference, paid
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.hiding_provider import HidingProvider
from billing.payments.comparison import DifferenceKind, Window
from billing.payments.errors import ProviderFailure, ProviderRefusedUs, ProviderUnavailable
from billing.payments.janitor import Round

pytestmark = [pytest.mark.money, pytest.mark.slow]

HALF_A_MINUTE = timedelta(seconds=30)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

FAILURES = [ProviderUnavailable("500"), ProviderRefusedUs("403")]


@pytest.fixture
def clock() -> StoppedClock:
    """Stands where the simulator's clock stands, because its lists are asked for by time."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture
async def customer(caretaker: Caretaker) -> Customer:
    """Somebody who pays."""
    return await caretaker.till.town.customer()


async def hiding(caretaker: Caretaker, payment_id: str, failure: ProviderFailure) -> Caretaker:
    """The same at a provider that cannot show this payment of ours, nor its refunds."""
    hidden = (await caretaker.till.row(payment_id))["provider_payment_id"]
    return caretaker.with_provider(HidingProvider(caretaker.till.provider, {hidden}, failure))


async def rounds(caretaker: Caretaker, *, last: timedelta, every: timedelta) -> list[Round]:
    """Rounds as the tick makes them for so long."""
    return [await caretaker.after(every) for _ in range(last // every)]


class TestAPaymentThatCannotBeShown:
    @pytest.mark.parametrize("failure", FAILURES)
    async def test_keeps_no_other_from_being_credited(
        self, caretaker: Caretaker, customer: Customer, failure: ProviderFailure
    ) -> None:
        older = await begun(caretaker, customer)
        caretaker.till.clock.move(HALF_A_MINUTE)
        younger = await caretaker.till.started(customer, "600")
        theirs = (await caretaker.till.row(younger.payment_id))["provider_payment_id"]
        await caretaker.till.yookassa.pay(theirs)
        odd = await hiding(caretaker, older, failure)

        done = await rounds(odd, last=10 * MINUTE, every=HALF_A_MINUTE)

        assert (await caretaker.till.row(younger.payment_id))["state"] == "succeeded"
        assert await caretaker.till.available(customer) == rub("600")
        assert sum(one.put_off for one in done) == 0

    @pytest.mark.parametrize("failure", FAILURES)
    async def test_goes_through_its_schedule_and_needs_a_person_in_the_end(
        self, caretaker: Caretaker, customer: Customer, failure: ProviderFailure
    ) -> None:
        older = await begun(caretaker, customer)
        younger = await caretaker.till.started(customer, "600")
        odd = await hiding(caretaker, older, failure)
        await rounds(odd, last=HOUR, every=MINUTE)

        done = await rounds(odd, last=7 * DAY, every=HOUR)

        row = await caretaker.till.row(older)
        assert (row["state"], row["checks"], row["next_check_at"]) == ("pending", 12, None)
        assert {older, younger.payment_id} <= {one.id for one in await odd.janitor.stuck()}
        assert sum(one.stuck for one in done) == 2

    async def test_is_no_outage_however_many_there_are(self, caretaker: Caretaker, customer: Customer) -> None:
        hidden = [await caretaker.till.started(customer, f"{amount}") for amount in range(101, 108)]
        shown = await begun(caretaker, customer)
        await caretaker.till.yookassa.pay((await caretaker.till.row(shown))["provider_payment_id"])
        names = [(await caretaker.till.row(one.payment_id))["provider_payment_id"] for one in hidden]
        down = HidingProvider(caretaker.till.provider, names, ProviderUnavailable("500"))

        done = await caretaker.with_provider(down).after(MINUTE)

        assert (done.checked, done.ended, done.put_off) == (8, 1, 0)

    async def test_does_not_make_the_breaker_refuse_the_others(self, caretaker: Caretaker, customer: Customer) -> None:
        broken = [await caretaker.till.started(customer, f"{amount}") for amount in range(101, 108)]
        caretaker.till.clock.move(timedelta(seconds=1))
        shown = await begun(caretaker, customer)
        await caretaker.till.yookassa.pay((await caretaker.till.row(shown))["provider_payment_id"])
        tries_of_one_question = 3
        await caretaker.till.yookassa.plan("server_error", "get_payment", times=len(broken) * tries_of_one_question)

        done = await caretaker.after(MINUTE)

        assert (done.checked, done.ended, done.put_off) == (8, 1, 0)
        assert (await caretaker.till.row(shown))["state"] == "succeeded"

    async def test_is_asked_about_in_the_order_in_which_things_are_due(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        older = await begun(caretaker, customer)
        await caretaker.after(5 * MINUTE)
        younger = await caretaker.till.started(customer, "600")
        names = [(await caretaker.till.row(one))["provider_payment_id"] for one in (younger.payment_id, older)]
        before = len(await caretaker.till.yookassa.calls("get_payment"))

        await caretaker.after(30 * MINUTE)

        asked = await caretaker.till.yookassa.calls("get_payment")
        assert [call["path"].rpartition("/")[2] for call in asked[before:]] == names


class TestAComparison:
    @pytest.mark.parametrize("failure", FAILURES)
    async def test_goes_on_past_a_payment_that_cannot_be_shown(
        self, caretaker: Caretaker, customer: Customer, window: Window, failure: ProviderFailure
    ) -> None:
        hidden = await paid(caretaker, customer)
        shown = await caretaker.till.started(customer, "600")
        await caretaker.till.yookassa.pay((await caretaker.till.row(shown.payment_id))["provider_payment_id"])
        odd = await hiding(caretaker, hidden, failure)

        found = (await only_difference(odd, window)).difference

        assert (found.kind, found.payment_id) == (DifferenceKind.STATUS, hidden)
        assert (await caretaker.till.row(shown.payment_id))["state"] == "succeeded"

    async def test_lists_one_as_unreadable_that_the_list_has_not_either(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        hidden = await credited(caretaker, customer)
        await caretaker.till.yookassa.plan("altered", "list_payments", changes={"items": []})
        odd = await hiding(caretaker, hidden, ProviderUnavailable("500"))

        found = (await only_difference(odd, window)).difference

        assert (found.kind, found.payment_id) == (DifferenceKind.UNREADABLE, hidden)

    async def test_knows_whose_the_refund_of_one_is(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        hidden = await credited(caretaker, customer)
        theirs = await caretaker.till.yookassa.only_payment_id()
        await caretaker.till.yookassa.refund_in_cabinet(theirs, rub("200"))
        odd = await hiding(caretaker, hidden, ProviderUnavailable("500"))

        await odd.reconciliation.run(window)

        found = [
            one.difference for one in await odd.reconciliation.differences() if one.difference.payment_id == hidden
        ]
        assert {one.kind for one in found} == {DifferenceKind.REFUND}

    async def test_ends_where_the_provider_answers_nobody(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        await paid(caretaker, customer)
        theirs = await caretaker.till.yookassa.only_payment_id()
        failing = HidingProvider(caretaker.till.provider, {theirs}, ProviderUnavailable("503"), lists_max=1)

        with pytest.raises(ProviderUnavailable):
            await caretaker.with_provider(failing).reconciliation.run(window)
