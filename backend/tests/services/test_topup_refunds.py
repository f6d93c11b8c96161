"""Money that we give back: from the unspent part first, under one key, and booked when it is confirmed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.kit.errors import IdempotencyKeyReused, InvalidInput
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.errors import (
    PaymentNotFound,
    PaymentNotRefundable,
    PaymentsNotConfigured,
    ProviderAmbiguous,
    ProviderObjectUnknown,
    ProviderRejected,
    ProviderUnavailable,
    RefundExceedsPayment,
    RefundExceedsUnspent,
)
from billing.payments.records import Payment, Refund
from billing.payments.refunds import RefundWish
from billing.payments.rules import (
    RefundFailure,
    RefundState,
)
from billing.payments.service import Topup, TopupStatus
from billing.webhooks.rules import MessageStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]

NOTHING = rub("0")
PROVIDER = "provider:yookassa"


@pytest.fixture
async def customer(till: Till) -> Customer:
    """Somebody who has paid."""
    return await till.town.customer()


@pytest.fixture
async def topup(till: Till, customer: Customer) -> Topup:
    """A top-up of 500 roubles that is paid and credited."""
    return await till.paid(customer, "500")


class TestARefundOfOurs:
    async def test_of_everything_takes_the_credit_and_gives_the_money_back(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        refund = await till.refunded(topup.payment_id)

        (there,) = await till.yookassa.refunds()
        assert (refund.state, refund.amount, refund.provider_refund_id) == (
            RefundState.SUCCEEDED,
            rub("500"),
            there["id"],
        )
        assert await till.standing(topup.payment_id) == ("refunded", 500)
        assert await till.available(customer) == NOTHING
        assert await till.stands_on(PROVIDER, topup.payment_id) == NOTHING

    async def test_of_a_part_leaves_the_rest(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.refunded(topup.payment_id, "200")

        shown = await till.topups.get(customer.principal, topup.payment_id)
        assert (shown.status, shown.refunded) == (TopupStatus.PARTIALLY_REFUNDED, rub("200"))
        assert await till.available(customer) == rub("300")
        assert await till.stands_on(PROVIDER, topup.payment_id) == rub("-300")

    async def test_again_and_again_ends_when_all_is_given_back(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await till.refunded(topup.payment_id, "200")
        await till.refunded(topup.payment_id, "300")

        with pytest.raises(RefundExceedsPayment):
            await till.refunded(topup.payment_id, "1")

        assert (await till.topups.get(customer.principal, topup.payment_id)).status is TopupStatus.REFUNDED
        assert len(await till.yookassa.refunds()) == 2

    async def test_is_asked_for_under_its_own_key_and_names_itself(self, till: Till, topup: Topup) -> None:
        refund = await till.refunded(topup.payment_id, "200")

        (call,) = await till.yookassa.calls("create_refund")
        assert call["headers"]["idempotence-key"] == refund.id
        assert (call["body"]["amount"]["value"], call["body"]["metadata"]["refund_id"]) == ("200.00", refund.id)

    async def test_is_told_to_the_customer_once(self, till: Till, customer: Customer, topup: Topup) -> None:
        refund = await till.refunded(topup.payment_id, "200")
        await till.refunds.finish(refund.id)

        assert (await till.told(customer)).count("refund.succeeded") == 1

    async def test_of_what_is_spent_in_part_gives_back_what_is_left_to_the_kopeck(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await till.spent(customer, "120.000001")

        refund = await till.refunded(topup.payment_id)

        assert refund.amount == rub("379.99")
        assert await till.available(customer) == rub("0.009999")


class TestTheSameRefund:
    async def test_under_the_same_key_is_asked_for_once(self, till: Till, topup: Topup) -> None:
        first = await till.refunded(topup.payment_id, "100", key="once")
        again = await till.refunded(topup.payment_id, "100", key="once")

        assert first == again
        assert len(await till.yookassa.refunds()) == 1

    async def test_under_the_same_key_with_another_amount_is_refused(self, till: Till, topup: Topup) -> None:
        await till.refunded(topup.payment_id, "100", key="amount")

        with pytest.raises(IdempotencyKeyReused):
            await till.refunded(topup.payment_id, "101", key="amount")

    async def test_while_it_is_on_its_way_is_not_asked_for_again(self, till: Till, topup: Topup) -> None:
        await till.yookassa.hold_refunds()

        first = await till.refunded(topup.payment_id, "100")
        again = await till.refunded(topup.payment_id, "100")

        assert (first.state, first.id) == (RefundState.PENDING, again.id)
        assert len(await till.yookassa.refunds()) == 1

    async def test_ten_times_at_once_is_one_refund(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.yookassa.hold_refunds()

        refunds = await asyncio.gather(*(till.refunded(topup.payment_id, "300") for _ in range(10)))

        assert len({refund.id for refund in refunds}) == 1
        assert len(await till.yookassa.refunds()) == 1
        assert await till.available(customer) == rub("500")


class TestWhatIsRefused:
    async def test_more_than_was_paid(self, till: Till, topup: Topup) -> None:
        with pytest.raises(RefundExceedsPayment):
            await till.refunded(topup.payment_id, "500.01", is_overdraft=True)

        assert await till.yookassa.refunds() == []

    async def test_more_than_is_left_while_another_is_on_its_way(self, till: Till, topup: Topup) -> None:
        await till.yookassa.hold_refunds()
        await till.refunded(topup.payment_id, "300")

        with pytest.raises(RefundExceedsPayment) as refusal:
            await till.refunded(topup.payment_id, "300.01")

        assert refusal.value.facts["left"] == "200.00"

    async def test_more_than_the_customer_has_left_of_it(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.spent(customer, "400")

        with pytest.raises(RefundExceedsUnspent) as refusal:
            await till.refunded(topup.payment_id, "101")

        assert refusal.value.facts["unspent"] == "100.00"

    async def test_what_another_topup_left_does_not_count(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.spent(customer, "500")
        await till.paid(customer, "1000")

        with pytest.raises(RefundExceedsUnspent):
            await till.refunded(topup.payment_id)

    async def test_what_an_open_call_keeps_does_not_count(self, till: Till, customer: Customer, topup: Topup) -> None:
        async with till.begin() as uow:
            wallet_id = await till.wallets.of_account(uow, customer.account.id, Currency("RUB"))
            await till.wallets.hold(uow, wallet_id, rub("450"), operation_id=till.operation())

        with pytest.raises(RefundExceedsUnspent):
            await till.refunded(topup.payment_id, "51")

    async def test_what_has_expired_does_not_count(self, till: Till, topup: Topup) -> None:
        till.clock.move(timedelta(days=365))

        with pytest.raises(RefundExceedsUnspent):
            await till.refunded(topup.payment_id, "1")

    @pytest.mark.parametrize("amount", ["0.001", "0"])
    async def test_an_amount_that_cannot_be_paid_out(self, till: Till, topup: Topup, amount: str) -> None:
        with pytest.raises((InvalidInput, RefundExceedsUnspent)):
            await till.refunded(topup.payment_id, amount)

        assert await till.yookassa.refunds() == []

    async def test_another_currency(self, till: Till, topup: Topup) -> None:
        async def nothing_else(uow: UnitOfWork, payment: Payment, refund: Refund) -> None:
            del uow, payment, refund

        wish = RefundWish(topup.payment_id, Money.from_decimal("1", Currency("USD")), is_overdraft=False, reason="why")

        with pytest.raises(InvalidInput):
            await till.refunds.begin(wish, key=None, when_new=nothing_else)

    async def test_a_payment_that_nobody_paid(self, till: Till, customer: Customer) -> None:
        waiting = await till.started(customer)

        with pytest.raises(PaymentNotRefundable):
            await till.refunded(waiting.payment_id)

    async def test_a_payment_that_is_not_there(self, till: Till) -> None:
        with pytest.raises(PaymentNotFound):
            await till.refunded("pay_nobody")
        with pytest.raises(PaymentNotFound):
            await till.refunds.file("pay_nobody")

    async def test_anything_without_a_provider(self, till: Till, topup: Topup) -> None:
        with pytest.raises(PaymentsNotConfigured):
            await till.with_provider(None).refunded(topup.payment_id)

    async def test_a_payment_of_a_shop_that_is_gone(self, till: Till, topup: Topup) -> None:
        other = EndingProvider(till.provider, ProviderUnavailable("never asked"))
        other.shop_id = "999"

        with pytest.raises(ProviderObjectUnknown):
            await till.with_provider(other).refunded(topup.payment_id)


class TestAnOverdraft:
    async def test_takes_other_paid_credit_and_then_makes_debt(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await till.spent(customer, "450")
        await till.paid(customer, "100")

        await till.refunded(topup.payment_id, "500", is_overdraft=True)

        figures = await till.figures(customer)
        assert (figures.available, figures.debt) == (NOTHING, rub("350"))
        assert await till.stands_on(PROVIDER, topup.payment_id) == NOTHING

    async def test_takes_its_own_credit_before_older_credit(self, till: Till, customer: Customer, topup: Topup) -> None:
        later = await till.paid(customer, "1000")

        await till.refunded(later.payment_id, "1000", is_overdraft=True)

        (left,) = (await till.figures(customer)).lots
        assert left.left == rub("500")
        assert await till.refunded(topup.payment_id) is not None

    async def test_does_not_touch_credit_that_was_given(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.spent(customer, "500")
        await till.given(customer, "70")

        await till.refunded(topup.payment_id, "500", is_overdraft=True)

        figures = await till.figures(customer)
        assert (figures.granted, figures.debt) == (rub("70"), rub("500"))


class TestUncertainty:
    @pytest.mark.parametrize("ending", [ProviderAmbiguous("lost"), ProviderUnavailable("down")])
    async def test_leaves_a_refund_that_finishing_finds_under_its_key(
        self, till: Till, customer: Customer, topup: Topup, ending: Exception
    ) -> None:
        failing = EndingProvider(till.provider, ending, takes_effect=isinstance(ending, ProviderAmbiguous))
        uncertain = await till.with_provider(failing).refunded(topup.payment_id, "200")
        before = await till.available(customer)

        finished = await till.refunds.finish(uncertain.id)

        assert (uncertain.state, finished.state) == (RefundState.CREATED, RefundState.SUCCEEDED)
        assert (before, await till.available(customer)) == (rub("500"), rub("300"))
        assert len(await till.yookassa.refunds()) == 1

    async def test_a_provider_that_is_down_is_said_to_whoever_finishes(self, till: Till, topup: Topup) -> None:
        down = till.with_provider(EndingProvider(till.provider, ProviderUnavailable("down")))
        uncertain = await down.refunded(topup.payment_id, "200")

        with pytest.raises(ProviderUnavailable):
            await down.refunds.finish(uncertain.id)

    async def test_a_death_behind_the_call_is_made_good_by_the_next_attempt(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        dying = till.with_provider(EndingProvider(till.provider, ProcessDiedError(), takes_effect=True))
        with pytest.raises(ProcessDiedError):
            await dying.refunded(topup.payment_id, "200")

        again = await till.refunded(topup.payment_id, "200")

        assert again.state is RefundState.SUCCEEDED
        assert await till.available(customer) == rub("300")
        assert len(await till.yookassa.refunds()) == 1

    async def test_a_rejected_refund_ends_and_moves_nothing(self, till: Till, customer: Customer, topup: Topup) -> None:
        refusing = till.with_provider(EndingProvider(till.provider, ProviderRejected("no")))

        refund = await refusing.refunded(topup.payment_id, "200")

        assert (refund.state, refund.failure) == (RefundState.FAILED, RefundFailure.REJECTED)
        assert await till.available(customer) == rub("500")
        assert "refund.failed" in await till.told(customer)

    async def test_a_key_that_the_provider_has_forgotten_is_not_used_again(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        lost = till.with_provider(EndingProvider(till.provider, ProviderAmbiguous("lost"), takes_effect=True))
        uncertain = await lost.refunded(topup.payment_id, "200")
        till.clock.move(timedelta(hours=23))

        found = await till.refunds.finish(uncertain.id)

        assert found.state is RefundState.SUCCEEDED
        assert await till.available(customer) == rub("300")
        assert len(await till.yookassa.calls("create_refund")) == 1

    async def test_what_the_provider_has_never_heard_of_ends(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        lost = till.with_provider(EndingProvider(till.provider, ProviderAmbiguous("lost")))
        uncertain = await lost.refunded(topup.payment_id, "200")
        till.clock.move(timedelta(hours=23))

        ended = await till.refunds.finish(uncertain.id)

        assert (ended.state, ended.failure) == (RefundState.FAILED, RefundFailure.NEVER_BEGUN)
        assert await till.available(customer) == rub("500")


class TestAPendingRefund:
    async def test_moves_money_when_the_provider_confirms_it(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await till.yookassa.hold_refunds()
        refund = await till.refunded(topup.payment_id, "200")
        before = await till.available(customer)
        assert refund.provider_refund_id is not None
        await till.yookassa.end_refund(refund.provider_refund_id, is_good=True)

        message = await till.notified(await till.yookassa.notification("refund.succeeded"))

        assert (message["status"], refund.state) == (MessageStatus.DONE, RefundState.PENDING)
        assert (before, await till.available(customer)) == (rub("500"), rub("300"))

    async def test_that_the_provider_cancels_moves_nothing(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.yookassa.hold_refunds()
        refund = await till.refunded(topup.payment_id, "200")
        assert refund.provider_refund_id is not None
        await till.yookassa.end_refund(refund.provider_refund_id, is_good=False)

        ended = await till.refunds.finish(refund.id)

        assert (ended.state, ended.failure) == (RefundState.FAILED, RefundFailure.CANCELED)
        assert await till.available(customer) == rub("500")
        assert (await till.refunded(topup.payment_id)).amount == rub("500")
