"""Refunds that the provider made although we believed that it had refused them, or had never heard of them."""

from __future__ import annotations

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider
from billing.payments.errors import ProviderAmbiguous, ProviderRejected
from billing.payments.invariants import PaymentVerifier
from billing.payments.ports import ProviderRefund
from billing.payments.read_back import ReadBack
from billing.payments.records import Payment, Refund
from billing.payments.rules import (
    FIRST_CHECK_AFTER,
    KEY_IS_SAFE_FOR,
    ProviderPaymentId,
    ProviderRefundId,
    RefundFailure,
    RefundState,
    RefundStatus,
)
from billing.payments.service import Topup
from billing.webhooks.rules import MessageStatus

pytestmark = [pytest.mark.money, pytest.mark.slow]

PROVIDER = "provider:yookassa"


@pytest.fixture
async def customer(till: Till) -> Customer:
    """Somebody who has paid."""
    return await till.town.customer()


@pytest.fixture
async def topup(till: Till, customer: Customer) -> Topup:
    """A top-up of 500 roubles that is paid and credited."""
    return await till.paid(customer, "500")


class TestARefusalAfterAnUncertainAttempt:
    async def test_by_a_provider_that_answers_nothing_else_leaves_the_refund_to_be_read_back(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        uncertain = await lost(till, topup)
        refusing = till.with_provider(EndingProvider(till.provider, ProviderRejected("no")))

        with pytest.raises(ProviderRejected):
            await refusing.refunds.finish(uncertain.id)
        between = await refund_of(till, topup)
        await read_back(till, topup)

        assert between.state is RefundState.CREATED
        await require_booked(till, customer, topup)
        assert "refund.failed" not in await till.told(customer)

    async def test_finds_the_refund_in_the_providers_list(self, till: Till, customer: Customer, topup: Topup) -> None:
        uncertain = await lost(till, topup)
        await till.yookassa.plan("refused", "create_refund", status=405)

        finished = await till.refunds.finish(uncertain.id)

        assert finished.state is RefundState.SUCCEEDED
        await require_booked(till, customer, topup)

    async def test_ends_it_where_the_providers_list_has_nothing(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        uncertain = await lost(till, topup, takes_effect=False)
        await till.yookassa.plan("refused", "create_refund", status=405)

        ended = await till.refunds.finish(uncertain.id)

        assert (ended.state, ended.failure) == (RefundState.FAILED, RefundFailure.REJECTED)
        assert await till.available(customer) == rub("500")
        assert (await till.told(customer)).count("refund.failed") == 1

    @pytest.mark.parametrize("key", [None, "asked twice, heard once"])
    async def test_of_the_operator_who_asks_again_ends_nothing(
        self, till: Till, customer: Customer, topup: Topup, key: str | None
    ) -> None:
        uncertain = await lost(till, topup, key=key)
        await till.yookassa.plan("refused", "create_refund", status=405)

        again = await till.refunded(topup.payment_id, "200", key=key)

        assert (again.id, again.state) == (uncertain.id, RefundState.CREATED)
        await till.refunds.finish(again.id)
        await require_booked(till, customer, topup)
        assert len(await till.yookassa.refunds()) == 1


class TestAKeyThatTheProviderHasForgotten:
    async def test_is_not_used_again_by_the_operator_who_asks_again(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        uncertain = await lost(till, topup)
        till.clock.move(KEY_IS_SAFE_FOR)

        again = await till.refunded(topup.payment_id, "200")

        assert (again.id, again.state) == (uncertain.id, RefundState.CREATED)
        assert len(await till.yookassa.calls("create_refund")) == 1
        await till.refunds.finish(again.id)
        await require_booked(till, customer, topup)


class TestARefundThatWeHadEnded:
    @pytest.mark.parametrize("failure", [RefundFailure.REJECTED, RefundFailure.NEVER_BEGUN])
    async def test_is_booked_and_told_when_the_provider_has_made_it(
        self, till: Till, customer: Customer, topup: Topup, failure: RefundFailure
    ) -> None:
        await ended(till, topup, failure)

        message = await till.notified(await till.yookassa.notification("refund.succeeded"))
        await till.notifications.handle((await till.yookassa.notification("refund.succeeded")).decode())

        assert message["status"] == MessageStatus.DONE
        await require_booked(till, customer, topup)
        assert (await till.told(customer)).count("refund.succeeded") == 1

    async def test_is_asked_about_again_when_the_provider_works_on_it(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await till.yookassa.hold_refunds()
        await ended(till, topup, RefundFailure.REJECTED)

        await read_back(till, topup)

        pending = await refund_of(till, topup)
        assert (pending.state, pending.failure) == (RefundState.PENDING, None)
        assert pending.next_check_at == till.clock.now() + FIRST_CHECK_AFTER
        assert pending.provider_refund_id is not None
        assert await till.available(customer) == rub("500")
        await till.yookassa.end_refund(pending.provider_refund_id, is_good=True)
        await till.refunds.finish(pending.id)
        await require_booked(till, customer, topup)

    async def test_and_then_the_provider_too_is_not_booked_by_older_news(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        refund = await ended(till, topup, RefundFailure.REJECTED)
        (there,) = await till.yookassa.refunds()

        await heard(till, topup, refund, there["id"], RefundStatus.FAILED)
        await heard(till, topup, refund, there["id"], RefundStatus.SUCCEEDED)

        now = await refund_of(till, topup)
        assert (now.state, now.failure) == (RefundState.FAILED, RefundFailure.CANCELED)
        assert await till.standing(topup.payment_id) == ("succeeded", 0)
        assert await till.available(customer) == rub("500")
        assert (await till.told(customer)).count("refund.failed") == 1

    async def test_leaves_only_what_is_left_to_be_given_back_again(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await ended(till, topup, RefundFailure.REJECTED)
        await read_back(till, topup)

        again = await till.refunded(topup.payment_id)

        assert again.amount == rub("300")
        assert await till.available(customer) == rub("0")


async def lost(till: Till, topup: Topup, *, takes_effect: bool = True, key: str | None = None) -> Refund:
    """A refund of 200 roubles whose answer never came."""
    losing = till.with_provider(EndingProvider(till.provider, ProviderAmbiguous("lost"), takes_effect=takes_effect))
    return await losing.refunded(topup.payment_id, "200", key=key)


async def ended(till: Till, topup: Topup, failure: RefundFailure) -> Refund:
    """A refund of 200 roubles that the provider began, and which we ended as one that it did not."""
    uncertain = await lost(till, topup)
    async with till.begin() as uow:
        return await till.states.end_unbegun_refund(uow, uncertain, failure)


async def payment_of(till: Till, topup: Topup) -> Payment:
    """The payment as our books have it."""
    return (await till.refunds.file(topup.payment_id)).payment


async def refund_of(till: Till, topup: Topup) -> Refund:
    """The one refund of the payment."""
    (refund,) = (await till.refunds.file(topup.payment_id)).refunds
    return refund


async def read_back(till: Till, topup: Topup) -> None:
    """Somebody asks the provider about the payment and all that became of it."""
    asking = ReadBack(begin=till.begin, provider=till.provider, states=till.states)
    await asking.payment(await payment_of(till, topup), with_all=True)


async def heard(till: Till, topup: Topup, refund: Refund, provider_refund_id: str, status: RefundStatus) -> None:
    """The provider says so about this refund."""
    seen = ProviderRefund(
        id=ProviderRefundId(provider_refund_id),
        payment_id=ProviderPaymentId(str((await till.row(topup.payment_id))["provider_payment_id"])),
        status=status,
        amount=refund.amount,
        refund_id=refund.id,
    )
    async with till.begin() as uow:
        await till.states.apply_refund(uow, topup.payment_id, seen)


async def require_booked(till: Till, customer: Customer, topup: Topup) -> None:
    """The 200 roubles are given back, once, in the books as at the provider."""
    refund = await refund_of(till, topup)
    assert (refund.state, refund.failure) == (RefundState.SUCCEEDED, None)
    assert await till.standing(topup.payment_id) == ("partially_refunded", 200)
    assert await till.available(customer) == rub("300")
    assert await till.stands_on(PROVIDER, topup.payment_id) == rub("-300")
    async with till.begin() as uow:
        found = await PaymentVerifier().drifts(uow)
    assert [drift for drift in found if drift.subject in {topup.payment_id, refund.id}] == []
