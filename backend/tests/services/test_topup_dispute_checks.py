"""A dispute whose end nobody told us of ends here all the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.stripe import SimulatedStripe
from backend.tests.builders.stripe_till import StripeTill
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.hiding_provider import HidingProvider
from backend.tests.fakes.payment_provider import EndingProvider
from billing.payments.comparison import Difference, Window
from billing.payments.errors import ProviderUnavailable
from billing.payments.matching import Matcher
from billing.payments.notifications import PaymentNotifications
from billing.payments.open_disputes import OpenDisputes
from billing.payments.ports import PaymentProvider
from billing.payments.reconciliation import Reconciliation
from billing.payments.rules import ProviderPaymentId

pytestmark = [pytest.mark.money, pytest.mark.slow]

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
NOTHING = rub("0")


@dataclass(frozen=True)
class Counter:
    """A till at which Stripe collects, and those who look after it."""

    till: Till
    stripe: SimulatedStripe
    provider: PaymentProvider

    async def disputed(self, customer: Customer) -> tuple[str, ProviderPaymentId]:
        """A top-up of 500 roubles that was paid, credited and is disputed, as we were told: our id, and Stripe's."""
        topup = await self.till.started(customer)
        theirs = ProviderPaymentId((await self.till.row(topup.payment_id))["provider_payment_id"])
        await self.stripe.pay(theirs)
        await self.stripe.open_dispute(theirs)
        notifications = PaymentNotifications(begin=self.till.begin, provider=self.provider, states=self.till.states)
        for body in await self.stripe.events(theirs):
            await notifications.handle(body)
        return topup.payment_id, theirs

    def checks(self, provider: PaymentProvider | None = None) -> OpenDisputes:
        """Who asks about open disputes, perhaps at another provider."""
        till = self.till
        return OpenDisputes(
            begin=till.begin,
            clock=till.clock,
            job_queue=till.job_queue,
            provider=provider or self.provider,
            states=till.states,
        )

    async def is_flagged(self, customer: Customer) -> bool:
        """A dispute about this customer stands."""
        async with self.till.begin() as uow:
            return bool(await self.till.refunds.standing_disputes(uow, customer.account.id))

    async def compared(self, window: Window, payment_id: str) -> list[Difference]:
        """What the daily comparison, and one of this time, leave for a person about this payment."""
        till = self.till
        matcher = Matcher(begin=till.begin, clock=till.clock, ids=till.ids, provider=self.provider, states=till.states)
        reconciliation = Reconciliation(
            begin=till.begin, clock=till.clock, ids=till.ids, job_queue=till.job_queue, matcher=matcher
        )
        await reconciliation.run_due()
        await reconciliation.run(window)
        found = await reconciliation.differences(limit=200)
        return [one.difference for one in found if one.difference.payment_id == payment_id]


@pytest.fixture
def clock() -> StoppedClock:
    """Stands where the simulator's clock stands, because its lists are asked for by time."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture
async def counter(stripe_till: StripeTill) -> Counter:
    """Where money comes in."""
    async with stripe_till.till.begin() as uow:
        # What other tests left in this database is not due.
        await uow.connection.execute(text("UPDATE disputes SET updated_at = '2999-01-01' WHERE state = 'open'"))
    return Counter(stripe_till.till, stripe_till.stripe, stripe_till.provider)


@pytest.fixture
async def customer(counter: Counter) -> Customer:
    """Somebody with an empty wallet."""
    return await counter.till.town.customer()


@pytest.fixture
def around(clock: StoppedClock) -> Window:
    """The time of this test."""
    return Window(clock.now() - HOUR, clock.now() + HOUR)


class TestADisputeThatEndedUnheard:
    async def test_returns_the_money_when_it_was_won(
        self, counter: Counter, customer: Customer, around: Window
    ) -> None:
        ours, theirs = await counter.disputed(customer)
        before = await counter.till.stands_on("disputes", ours), await counter.is_flagged(customer)
        await counter.stripe.close_dispute(theirs, is_won=True)
        counter.till.clock.move(10 * DAY)

        await counter.checks().check_due()
        differences = await counter.compared(around, ours)

        assert before == (rub("500"), True)
        assert await counter.till.stands_on("disputes", ours) == NOTHING
        assert await counter.till.available(customer) == rub("500")
        assert not await counter.is_flagged(customer)
        assert differences == []

    async def test_keeps_the_money_away_when_it_was_lost(
        self, counter: Counter, customer: Customer, around: Window
    ) -> None:
        ours, theirs = await counter.disputed(customer)
        await counter.stripe.close_dispute(theirs, is_won=False)
        counter.till.clock.move(10 * DAY)

        await counter.checks().check_due()
        differences = await counter.compared(around, ours)

        assert await counter.till.stands_on("disputes", ours) == NOTHING
        assert await counter.till.available(customer) == NOTHING
        assert await counter.is_flagged(customer)
        assert differences == []

    async def test_is_found_by_the_comparison_of_its_time_too(
        self, counter: Counter, customer: Customer, around: Window
    ) -> None:
        ours, theirs = await counter.disputed(customer)
        await counter.stripe.close_dispute(theirs, is_won=True)

        differences = await counter.compared(around, ours)

        assert differences == []
        assert await counter.till.available(customer) == rub("500")


class TestAnOpenDispute:
    async def test_is_asked_about_once_a_day(self, counter: Counter, customer: Customer) -> None:
        await counter.disputed(customer)
        early = await counter.checks().enqueue_due(), await counter.checks().check_due()

        counter.till.clock.move(DAY)
        due = await counter.checks().enqueue_due()
        first = await counter.checks().check_due()
        second = await counter.checks().check_due()
        counter.till.clock.move(DAY)
        next_day = await counter.checks().check_due()

        assert early == (False, 0)
        assert due
        assert (first, second, next_day) == (1, 0, 1)

    async def test_stays_due_while_the_provider_is_out(self, counter: Counter, customer: Customer) -> None:
        _, theirs = await counter.disputed(customer)
        await counter.stripe.close_dispute(theirs, is_won=True)
        counter.till.clock.move(DAY)

        out = await counter.checks(EndingProvider(counter.provider, ProviderUnavailable("down"))).check_due()
        back = await counter.checks().check_due()

        assert (out, back) == (0, 1)
        assert await counter.till.available(customer) == rub("500")

    async def test_that_cannot_be_shown_keeps_no_other_from_being_asked_about(
        self, counter: Counter, customer: Customer
    ) -> None:
        _, hidden = await counter.disputed(customer)
        counter.till.clock.move(HOUR)
        ours, theirs = await counter.disputed(customer)
        await counter.stripe.close_dispute(theirs, is_won=True)
        counter.till.clock.move(DAY)
        hiding = HidingProvider(counter.provider, {hidden}, ProviderUnavailable("500"))

        first, second = [await counter.checks(hiding).check_due() for _ in range(2)]

        assert (first, second) == (2, 0)
        assert await counter.till.stands_on("disputes", ours) == NOTHING

    async def test_is_nobodys_business_where_nobody_collects(self, counter: Counter) -> None:
        till = counter.till
        checks = OpenDisputes(
            begin=till.begin, clock=till.clock, job_queue=till.job_queue, provider=None, states=till.states
        )

        assert (await checks.enqueue_due(), await checks.check_due()) == (False, 0)
