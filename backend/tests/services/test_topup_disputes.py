"""A payment that its customer's bank wants back: out of reach while that is open, back when won, gone when lost."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.wallets import rub
from billing.kit.money import Currency, Money
from billing.payments.errors import PaymentNotRefundable
from billing.payments.ports import ProviderDispute
from billing.payments.provider_states import Applied, Outcome, Picture
from billing.payments.rules import Actor, DisputeStatus, ProviderDisputeId, ProviderPaymentId
from billing.payments.service import Topup, TopupStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]

NOTHING = rub("0")
PROVIDER = "provider:yookassa"
OPEN, LOST, WON = DisputeStatus.OPEN, DisputeStatus.LOST, DisputeStatus.WON


@pytest.fixture
async def customer(till: Till) -> Customer:
    """Somebody who has paid."""
    return await till.town.customer()


@pytest.fixture
async def topup(till: Till, customer: Customer) -> Topup:
    """A top-up of 500 roubles that is paid and credited."""
    return await till.paid(customer, "500")


async def told(
    till: Till, topup: Topup, *statuses: DisputeStatus, amount: Money | None = None, name: str = "one"
) -> Applied:
    """The provider says so, one after the other, about a dispute of this name; the last answer."""
    provider_id = ProviderPaymentId((await till.row(topup.payment_id))["provider_payment_id"])
    seen = replace(await till.provider.get_payment(provider_id), is_disputed=True)
    for status in statuses:
        dispute = ProviderDispute(
            id=ProviderDisputeId(f"{name}-{provider_id}"),
            payment_id=provider_id,
            status=status,
            amount=amount or topup.amount,
        )
        async with till.begin() as uow:
            applied = await till.states.apply_provider_state(
                uow, topup.payment_id, Picture(seen, None, (dispute,)), actor=Actor.READ_BACK
            )
    return applied


class TestAnOpenDispute:
    async def test_puts_the_money_out_of_reach(self, till: Till, customer: Customer, topup: Topup) -> None:
        applied = await told(till, topup, OPEN)

        assert applied.outcome is Outcome.MOVED
        assert (await till.topups.get(customer.principal, topup.payment_id)).status is TopupStatus.DISPUTED
        assert await till.available(customer) == NOTHING
        assert await till.stands_on("disputes", topup.payment_id) == rub("500")
        assert await till.stands_on(PROVIDER, topup.payment_id) == rub("-500")

    async def test_of_money_that_is_spent_makes_debt(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.spent(customer, "400")

        await told(till, topup, OPEN)

        figures = await till.figures(customer)
        assert (figures.available, figures.debt) == (NOTHING, rub("400"))

    async def test_flags_the_account_and_tells_it_once(self, till: Till, customer: Customer, topup: Topup) -> None:
        await told(till, topup, OPEN, OPEN)

        async with till.begin() as uow:
            flags = await till.refunds.standing_disputes(uow, customer.account.id)
        assert [one.payment_id for one in flags] == [topup.payment_id]
        assert (await till.told(customer)).count("dispute.opened") == 1

    async def test_of_a_part_leaves_the_rest_to_be_spent(self, till: Till, customer: Customer, topup: Topup) -> None:
        await told(till, topup, OPEN, amount=rub("200"))

        assert await till.available(customer) == rub("300")

    async def test_lets_nobody_refund_the_payment_as_well(self, till: Till, topup: Topup) -> None:
        await told(till, topup, OPEN)

        with pytest.raises(PaymentNotRefundable):
            await till.refunded(topup.payment_id, is_overdraft=True)

    async def test_that_nobody_names_waits(self, till: Till, customer: Customer, topup: Topup) -> None:
        provider_id = ProviderPaymentId((await till.row(topup.payment_id))["provider_payment_id"])
        seen = replace(await till.provider.get_payment(provider_id), is_disputed=True)

        async with till.begin() as uow:
            applied = await till.states.apply_provider_state(
                uow, topup.payment_id, Picture(seen, (), ()), actor=Actor.READ_BACK
            )

        assert applied.outcome is Outcome.BEHIND
        assert await till.available(customer) == rub("500")


class TestAWonDispute:
    async def test_returns_the_money_and_ends_the_flag(self, till: Till, customer: Customer, topup: Topup) -> None:
        await told(till, topup, OPEN, WON)

        async with till.begin() as uow:
            flags = await till.refunds.standing_disputes(uow, customer.account.id)
        assert flags == ()
        assert (await till.topups.get(customer.principal, topup.payment_id)).status is TopupStatus.SUCCEEDED
        assert await till.available(customer) == rub("500")
        assert await till.stands_on("disputes", topup.payment_id) == NOTHING

    async def test_pays_the_debt_that_it_made(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.spent(customer, "400")

        await told(till, topup, OPEN, WON)

        figures = await till.figures(customer)
        assert (figures.available, figures.debt) == (rub("100"), NOTHING)

    async def test_leaves_another_dispute_open(self, till: Till, customer: Customer, topup: Topup) -> None:
        await told(till, topup, OPEN, amount=rub("100"), name="two")

        await told(till, topup, OPEN, WON, amount=rub("200"))

        assert (await till.row(topup.payment_id))["state"] == "disputed"
        assert await till.available(customer) == rub("400")


class TestALostDispute:
    async def test_is_final(self, till: Till, customer: Customer, topup: Topup) -> None:
        await told(till, topup, OPEN, LOST, OPEN)

        assert (await till.row(topup.payment_id))["state"] == "disputed"
        assert await till.available(customer) == NOTHING
        assert await till.stands_on("disputes", topup.payment_id) == NOTHING
        assert await till.stands_on(PROVIDER, topup.payment_id) == NOTHING

    async def test_unless_the_bank_thinks_better_of_it(self, till: Till, customer: Customer, topup: Topup) -> None:
        await told(till, topup, OPEN, LOST, WON, LOST)

        assert (await till.row(topup.payment_id))["state"] == "succeeded"
        assert await till.available(customer) == rub("500")
        assert await till.stands_on(PROVIDER, topup.payment_id) == rub("-500")


class TestAnyOrder:
    @pytest.mark.parametrize("order", [*itertools.permutations((OPEN, WON, OPEN)), (WON,), (LOST, WON)])
    async def test_of_a_won_dispute_ends_with_the_money_back(
        self, till: Till, customer: Customer, topup: Topup, order: tuple[DisputeStatus, ...]
    ) -> None:
        await told(till, topup, *order)

        assert await till.available(customer) == rub("500")
        assert await till.stands_on("disputes", topup.payment_id) == NOTHING
        assert await till.stands_on(PROVIDER, topup.payment_id) == rub("-500")

    @pytest.mark.parametrize("order", [(LOST,), (LOST, OPEN), (OPEN, LOST, LOST)])
    async def test_of_a_lost_dispute_ends_with_the_money_gone(
        self, till: Till, customer: Customer, topup: Topup, order: tuple[DisputeStatus, ...]
    ) -> None:
        await told(till, topup, *order)

        assert await till.available(customer) == NOTHING
        assert await till.stands_on(PROVIDER, topup.payment_id) == NOTHING
        assert (await till.told(customer)).count("dispute.lost") == 1


class TestContradictions:
    @pytest.mark.parametrize("amount", [rub("501"), Money.from_decimal("500", Currency("USD"))])
    async def test_are_never_booked(self, till: Till, customer: Customer, topup: Topup, amount: Money) -> None:
        applied = await told(till, topup, OPEN, amount=amount)

        assert (applied.outcome, applied.differences) == (Outcome.CONTRADICTED, ("dispute",))
        assert await till.available(customer) == rub("500")
