"""Money that a provider has only reserved is taken, once, by whoever hears of it, and credited."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till, open_till
from backend.tests.builders.stripe import SimulatedStripe, simulated_stripe
from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import SimulatedYookassa, YookassaBackstage, simulated_yookassa
from backend.tests.fakes.clock import StoppedClock
from billing.kit.ids import Ids
from billing.kit.jobs import JobQueue
from billing.kit.unit_of_work import Begin
from billing.payments.adapters.stripe_objects import WAY, Way
from billing.payments.errors import ProviderFailure
from billing.payments.ports import PaymentProvider
from billing.payments.provider_states import Outcome
from billing.payments.read_back import ReadBack
from billing.payments.rules import TOPUP, ProviderPaymentId

pytestmark = [pytest.mark.money, pytest.mark.slow]

FIVE_HUNDRED = rub("500")


@dataclass(frozen=True)
class TwoStages:
    """A till whose shop is set up to reserve first, whatever it is asked for."""

    till: Till
    provider: PaymentProvider
    backstage: YookassaBackstage | SimulatedStripe

    @property
    def read_back(self) -> ReadBack:
        """The way that every news takes."""
        return ReadBack(begin=self.till.begin, provider=self.provider, states=self.till.states)

    async def reserved(self, customer: Customer) -> tuple[str, ProviderPaymentId]:
        """A top-up of 500 roubles whose beginning we did not hear of, and for which the bank has reserved money."""
        for _ in range(3):
            await self.go_wrong("reset", "create_payment")
        topup = await self.till.started(customer)
        about = {"payment_id": topup.payment_id, "account_id": customer.account.id, "purpose": TOPUP}
        way = {WAY: Way.DIRECT.value} if self.provider.name == "stripe" else {}
        return topup.payment_id, await self.backstage.reserved(FIVE_HUNDRED, **about, **way)

    async def go_wrong(self, kind: str, operation: str) -> None:
        """The next call of this operation is not answered, and changes nothing there."""
        await self.backstage.go_wrong(kind, operation, effect="none")

    async def captures(self) -> int:
        """How often money was asked to be taken."""
        return len(await self.backstage.calls("capture"))


@pytest.fixture(scope="module")
async def yookassa() -> AsyncIterator[SimulatedYookassa]:
    """One provider."""
    async with simulated_yookassa() as simulator:
        yield simulator


@pytest.fixture(scope="module")
async def stripe() -> AsyncIterator[SimulatedStripe]:
    """The other."""
    async with simulated_stripe() as simulator:
        yield simulator


@pytest.fixture(params=["yookassa", "stripe"])
async def shop(
    request: pytest.FixtureRequest,
    yookassa: SimulatedYookassa,
    stripe: SimulatedStripe,
    begin: Begin,
    clock: StoppedClock,
    ids: Ids,
    job_queue: JobQueue,
) -> AsyncIterator[TwoStages]:
    """A shop of two stages at each of the providers."""
    async with AsyncExitStack() as stack:
        till = await stack.enter_async_context(open_till(yookassa, begin, clock, ids, job_queue))
        if request.param == "yookassa":
            yield TwoStages(till, till.provider, YookassaBackstage(till.yookassa))
            return
        backstage = await stripe.fresh()
        provider = backstage.provider()
        stack.push_async_callback(provider.aclose)
        yield TwoStages(till.with_provider(provider), provider, backstage)


@pytest.fixture
async def customer(shop: TwoStages) -> Customer:
    """Somebody with an empty wallet."""
    return await shop.till.town.customer()


class TestReservedMoney:
    async def test_is_taken_and_credited_by_whoever_hears_of_it(self, shop: TwoStages, customer: Customer) -> None:
        payment_id, named = await shop.reserved(customer)

        applied = await shop.read_back.named(named)

        assert applied is not None
        assert applied.outcome is Outcome.CREDITED
        assert (await shop.till.row(payment_id))["state"] == "succeeded"
        assert await shop.till.available(customer) == FIVE_HUNDRED

    async def test_is_taken_and_credited_once_by_many_at_once(self, shop: TwoStages, customer: Customer) -> None:
        _, named = await shop.reserved(customer)

        await asyncio.gather(*(shop.read_back.named(named) for _ in range(4)))

        assert await shop.till.available(customer) == FIVE_HUNDRED
        assert (await shop.provider.get_payment(named)).is_paid

    async def test_is_taken_later_where_the_provider_did_not_answer(self, shop: TwoStages, customer: Customer) -> None:
        payment_id, named = await shop.reserved(customer)
        for _ in range(3):
            await shop.go_wrong("reset", "capture")

        with pytest.raises(ProviderFailure):
            await shop.read_back.named(named)
        before = (await shop.till.row(payment_id))["state"]
        await shop.till.topups.reconcile(customer.principal, payment_id)

        assert (before, (await shop.till.row(payment_id))["state"]) == ("waiting_for_capture", "succeeded")
        assert await shop.till.available(customer) == FIVE_HUNDRED

    async def test_that_was_given_back_meanwhile_is_not_credited(self, shop: TwoStages, customer: Customer) -> None:
        payment_id, named = await shop.reserved(customer)
        for _ in range(3):
            await shop.go_wrong("reset", "capture")
        with pytest.raises(ProviderFailure):
            await shop.read_back.named(named)
        await shop.provider.cancel(named, key=f"cancel-{payment_id}")

        await shop.read_back.named(named)

        assert (await shop.till.row(payment_id))["state"] == "canceled"
        assert await shop.till.available(customer) == rub("0")

    async def test_of_a_stranger_is_not_taken(self, shop: TwoStages) -> None:
        way = {WAY: Way.DIRECT.value} if shop.provider.name == "stripe" else {}
        named = await shop.backstage.reserved(FIVE_HUNDRED, **way)

        assert await shop.read_back.named(named) is None

        assert await shop.captures() == 0

    async def test_that_does_not_match_our_record_is_not_taken(self, shop: TwoStages, customer: Customer) -> None:
        payment_id, _ = await shop.reserved(customer)
        about = {"payment_id": payment_id, "account_id": customer.account.id, "purpose": TOPUP}
        way = {WAY: Way.DIRECT.value} if shop.provider.name == "stripe" else {}
        another = await shop.backstage.reserved(rub("499"), **about, **way)

        applied = await shop.read_back.named(another)

        assert applied is not None
        assert applied.outcome is Outcome.CONTRADICTED
        assert await shop.captures() == 0
