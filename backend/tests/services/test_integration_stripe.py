"""Our books when Stripe collects: whatever its events say, in whatever order, what it shows is booked once."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.stripe import SimulatedStripe
from backend.tests.builders.stripe_till import StripeTill
from backend.tests.builders.wallets import rub
from billing.payments.notifications import PaymentNotifications
from billing.payments.rules import PaymentState, ProviderPaymentId, ProviderRefundId
from billing.payments.service import TopupStatus
from billing.webhooks.ports import Verdict

pytestmark = [pytest.mark.money, pytest.mark.slow]

PROVIDER = "provider:stripe"


@dataclass(frozen=True)
class Counter:
    """A till at which Stripe collects."""

    till: Till
    stripe: SimulatedStripe
    notifications: PaymentNotifications

    async def begun(self, customer: Customer) -> tuple[str, ProviderPaymentId]:
        """A top-up of 500 roubles: our id of it, and Stripe's."""
        topup = await self.till.started(customer)
        return topup.payment_id, ProviderPaymentId((await self.till.row(topup.payment_id))["provider_payment_id"])

    async def paid(self, customer: Customer) -> tuple[str, ProviderPaymentId]:
        """The same, paid and credited."""
        ours, theirs = await self.begun(customer)
        await self.stripe.pay(theirs)
        await self.told(theirs)
        return ours, theirs

    async def told(self, provider_payment_id: str, *, chance: int = 0) -> list[Verdict]:
        """Every event about this payment so far arrives twice, in an order of chance; what became of each."""
        bodies = await self.stripe.events(provider_payment_id) * 2
        random.Random(chance).shuffle(bodies)  # noqa: S311 - orders shall repeat
        return [(await self.notifications.handle(body)).verdict for body in bodies]

    async def state_of(self, payment_id: str) -> PaymentState:
        """Where our record of the payment stands."""
        return PaymentState((await self.till.row(payment_id))["state"])

    async def last_refund(self) -> ProviderRefundId:
        """The id of the newest refund there."""
        return ProviderRefundId((await self.stripe.state("refunds"))[-1]["id"])


@pytest.fixture
async def counter(stripe_till: StripeTill) -> Counter:
    """Where money comes in."""
    till = stripe_till.till
    notifications = PaymentNotifications(begin=till.begin, provider=stripe_till.provider, states=till.states)
    return Counter(till, stripe_till.stripe, notifications)


@pytest.fixture
async def customer(counter: Counter) -> Customer:
    """Somebody with an empty wallet."""
    return await counter.till.town.customer()


class TestATopup:
    @pytest.mark.parametrize("chance", range(2))
    async def test_is_credited_once_whatever_the_order_of_its_events(
        self, counter: Counter, customer: Customer, chance: int
    ) -> None:
        ours, theirs = await counter.begun(customer)
        await counter.stripe.act(theirs, "decline")
        await counter.stripe.act(theirs, "challenge")
        await counter.stripe.pay(theirs)

        verdicts = await counter.told(theirs, chance=chance)

        assert Verdict.QUARANTINED not in verdicts
        assert await counter.state_of(ours) is PaymentState.SUCCEEDED
        assert await counter.till.available(customer) == rub("500")
        assert await counter.till.stands_on(PROVIDER, ours) == -rub("500")

    async def test_that_takes_days_is_credited_when_the_money_has_come(
        self, counter: Counter, customer: Customer
    ) -> None:
        ours, theirs = await counter.begun(customer)
        await counter.stripe.act(theirs, "process")
        await counter.told(theirs)
        waiting = await counter.state_of(ours)

        await counter.stripe.act(theirs, "arrive")
        await counter.told(theirs)

        assert waiting is PaymentState.PENDING
        assert await counter.till.available(customer) == rub("500")

    @pytest.mark.parametrize("end", ["expire", "fail"])
    async def test_that_comes_to_nothing_is_canceled_and_credits_nothing(
        self, counter: Counter, customer: Customer, end: str
    ) -> None:
        ours, theirs = await counter.begun(customer)
        if end == "fail":
            await counter.stripe.act(theirs, "process")

        await counter.stripe.act(theirs, end)
        await counter.told(theirs)

        assert await counter.state_of(ours) is PaymentState.CANCELED
        assert await counter.till.available(customer) == rub("0")

    async def test_is_credited_on_the_way_back_too(self, counter: Counter, customer: Customer) -> None:
        ours, theirs = await counter.begun(customer)
        await counter.stripe.pay(theirs)

        back = await counter.till.topups.reconcile(customer.principal, ours)
        await counter.told(theirs)

        assert back.status is TopupStatus.SUCCEEDED
        assert await counter.till.available(customer) == rub("500")


class TestARefundOnTheDashboard:
    @pytest.mark.parametrize("chance", range(2))
    async def test_leaves_the_wallet_once(self, counter: Counter, customer: Customer, chance: int) -> None:
        ours, theirs = await counter.paid(customer)
        await counter.stripe.refund_in_cabinet(theirs, rub("120"))
        await counter.stripe.refund_in_cabinet(theirs, rub("80"))

        await counter.told(theirs, chance=chance)

        assert await counter.state_of(ours) is PaymentState.PARTIALLY_REFUNDED
        assert await counter.till.available(customer) == rub("300")

    async def test_that_came_back_is_given_back_to_the_wallet(self, counter: Counter, customer: Customer) -> None:
        ours, theirs = await counter.paid(customer)
        await counter.stripe.refund_in_cabinet(theirs, rub("120"))
        await counter.told(theirs)

        await counter.stripe.end_refund(await counter.last_refund(), is_good=False)
        await counter.told(theirs)

        assert await counter.state_of(ours) is PaymentState.SUCCEEDED
        assert await counter.till.available(customer) == rub("500")


class TestADispute:
    async def test_puts_the_money_out_of_reach_while_it_is_open(self, counter: Counter, customer: Customer) -> None:
        ours, theirs = await counter.paid(customer)

        await counter.stripe.open_dispute(theirs)
        await counter.told(theirs)

        assert await counter.state_of(ours) is PaymentState.DISPUTED
        assert await counter.till.available(customer) == rub("0")

    @pytest.mark.parametrize(("is_won", "available"), [(True, "500"), (False, "0")])
    async def test_ends_as_the_bank_decides(
        self, counter: Counter, customer: Customer, available: str, *, is_won: bool
    ) -> None:
        ours, theirs = await counter.paid(customer)
        await counter.stripe.open_dispute(theirs)
        await counter.stripe.close_dispute(theirs, is_won=is_won)

        await counter.told(theirs)

        assert await counter.till.available(customer) == rub(available)
        assert await counter.till.stands_on(PROVIDER, ours) == -rub(available)

    async def test_an_inquiry_moves_nothing(self, counter: Counter, customer: Customer) -> None:
        ours, theirs = await counter.paid(customer)
        intent_id = await counter.stripe.intent_of(theirs)

        await counter.stripe.post("disputes", {"of": intent_id, "is_warning": True})
        verdicts = await counter.told(theirs)

        assert Verdict.LATER not in verdicts
        assert await counter.state_of(ours) is PaymentState.SUCCEEDED
        assert await counter.till.available(customer) == rub("500")


class TestARefundOfOurs:
    async def test_is_booked_when_stripe_confirms_it(self, counter: Counter, customer: Customer) -> None:
        ours, theirs = await counter.paid(customer)
        await counter.stripe.hold_refunds()
        await counter.till.refunded(ours, "200")
        before = await counter.till.available(customer)

        await counter.stripe.end_refund(await counter.last_refund(), is_good=True)
        await counter.told(theirs)

        assert before >= rub("300")
        assert await counter.till.available(customer) == rub("300")
        assert await counter.stripe.refunds_count() == 1
