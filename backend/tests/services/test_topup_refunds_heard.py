"""Refunds of which the provider tells us: made in its cabinet, come back, or not what they should be."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.wallets import rub
from billing.kit.money import Currency, Money
from billing.payments.errors import (
    PaymentUnderReview,
)
from billing.payments.ports import ProviderRefund
from billing.payments.provider_states import Outcome, Picture
from billing.payments.records import Refund
from billing.payments.rules import (
    Actor,
    ProviderPaymentId,
    ProviderRefundId,
    RefundState,
    RefundStatus,
)
from billing.payments.service import Topup

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


class TestARefundInTheCabinet:
    async def test_is_booked_once_however_often_it_is_told(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.yookassa.refund_in_cabinet(await till.yookassa.only_payment_id(), rub("200"))
        body = await till.yookassa.notification("refund.succeeded")

        await till.notified(body)
        await asyncio.gather(*(till.notifications.handle(body.decode()) for _ in range(10)))

        (refund,) = (await till.refunds.file(topup.payment_id)).refunds
        assert (refund.state, refund.begun_by.value) == (RefundState.SUCCEEDED, "provider")
        assert await till.standing(topup.payment_id) == ("partially_refunded", 200)
        assert await till.available(customer) == rub("300")

    async def test_two_of_them_are_two_although_the_payment_tells_only_their_sum(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        provider_id = await till.yookassa.only_payment_id()
        await till.yookassa.refund_in_cabinet(provider_id, rub("100"))
        first = await till.yookassa.notification("refund.succeeded")
        await till.yookassa.refund_in_cabinet(provider_id, rub("150"))
        second = await till.yookassa.notification("refund.succeeded")

        await till.notified(second)
        await till.notified(first)

        file = await till.refunds.file(topup.payment_id)
        assert sorted(refund.amount for refund in file.refunds) == [rub("100"), rub("150")]
        assert await till.available(customer) == rub("250")

    async def test_is_seen_by_whatever_asks_about_the_payment(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await till.yookassa.refund_in_cabinet(await till.yookassa.only_payment_id())

        await till.notified(json.dumps({**json.loads(await till.yookassa.notification()), "again": 1}).encode())

        assert await till.standing(topup.payment_id) == ("refunded", 500)
        assert await till.available(customer) == NOTHING

    async def test_of_what_is_spent_becomes_debt(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.spent(customer, "500")
        await till.yookassa.refund_in_cabinet(await till.yookassa.only_payment_id())

        await till.notified(await till.yookassa.notification("refund.succeeded"))

        assert topup.amount == rub("500")
        assert (await till.figures(customer)).debt == rub("500")

    async def test_before_we_knew_that_it_was_paid_is_credited_and_taken(self, till: Till, customer: Customer) -> None:
        waiting = await till.started(customer)
        provider_id = (await till.row(waiting.payment_id))["provider_payment_id"]
        await till.yookassa.pay(provider_id)
        await till.yookassa.refund_in_cabinet(provider_id, rub("200"))

        await till.notified(await till.yookassa.notification("refund.succeeded"))

        assert await till.standing(waiting.payment_id) == ("partially_refunded", 200)
        assert await till.available(customer) == rub("300")

    async def test_that_the_providers_list_does_not_show_yet_waits(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        provider_id = ProviderPaymentId(await till.yookassa.only_payment_id())
        await till.yookassa.refund_in_cabinet(provider_id, rub("200"))
        seen = await till.provider.get_payment(provider_id)

        async with till.begin() as uow:
            applied = await till.states.apply_provider_state(
                uow, topup.payment_id, Picture(seen, (), ()), actor=Actor.READ_BACK
            )

        assert applied.outcome is Outcome.BEHIND
        assert await till.available(customer) == rub("500")


class TestARefundThatComesBack:
    async def test_gives_the_credit_back_and_can_be_tried_again(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        refund = await till.refunded(topup.payment_id)

        await applied(till, topup, refund, RefundStatus.FAILED)

        assert await till.standing(topup.payment_id) == ("succeeded", 0)
        assert await till.available(customer) == rub("500")
        assert (await till.refunded(topup.payment_id, key="again")).amount == rub("500")

    async def test_is_not_undone_by_older_news(self, till: Till, customer: Customer, topup: Topup) -> None:
        refund = await till.refunded(topup.payment_id)
        await applied(till, topup, refund, RefundStatus.FAILED)

        await applied(till, topup, refund, RefundStatus.SUCCEEDED)
        await applied(till, topup, refund, RefundStatus.PENDING)

        assert await till.standing(topup.payment_id) == ("succeeded", 0)
        assert await till.available(customer) == rub("500")
        assert await till.stands_on(PROVIDER, topup.payment_id) == rub("-500")


class TestContradictions:
    @pytest.mark.parametrize(
        "changes",
        [
            {"amount": rub("100")},
            {"amount": rub("501")},
            {"amount": Money.from_decimal("200", Currency("USD"))},
            {"payment_id": ProviderPaymentId("somebody-else")},
            {"refund_id": "rfd_other"},
        ],
    )
    async def test_are_never_booked(
        self, till: Till, customer: Customer, topup: Topup, changes: dict[str, Any]
    ) -> None:
        await till.yookassa.hold_refunds()
        refund = await till.refunded(topup.payment_id, "200")
        seen = replace(shown(topup, refund, await till.row(topup.payment_id), RefundStatus.SUCCEEDED), **changes)

        async with till.begin() as uow:
            applied = await till.states.apply_refund(uow, topup.payment_id, seen)

        assert (applied.outcome, applied.differences) == (Outcome.CONTRADICTED, ("refund",))
        assert (await till.row(topup.payment_id))["contradiction"] == "refund"
        assert await till.available(customer) == rub("500")

    async def test_are_told_to_the_operator_who_asked(self, till: Till, customer: Customer, topup: Topup) -> None:
        await till.yookassa.plan("altered", "create_refund", changes={"amount": {"value": "499.00"}})

        with pytest.raises(PaymentUnderReview):
            await till.refunded(topup.payment_id)

        assert await till.available(customer) == rub("500")


def shown(topup: Topup, refund: Refund, row: dict[str, object], status: RefundStatus) -> ProviderRefund:
    """The refund as the provider would show it."""
    assert topup.payment_id == refund.payment_id
    return ProviderRefund(
        id=refund.provider_refund_id or ProviderRefundId("there"),
        payment_id=ProviderPaymentId(str(row["provider_payment_id"])),
        status=status,
        amount=refund.amount,
        refund_id=refund.id,
    )


async def applied(till: Till, topup: Topup, refund: Refund, status: RefundStatus) -> None:
    """The provider says so about this refund."""
    seen = shown(topup, refund, await till.row(topup.payment_id), status)
    async with till.begin() as uow:
        await till.states.apply_refund(uow, topup.payment_id, seen)
