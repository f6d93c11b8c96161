"""What a notification leads to, however its provider words it: the payment that it names is read back, or waits."""

from __future__ import annotations

import pytest

from backend.tests.builders.every_provider import order_of
from backend.tests.builders.payments import Till
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.payments.notifications import PaymentNotifications
from billing.payments.ports import (
    EventSubject,
    PaymentProvider,
    ProviderDispute,
    ProviderEvent,
    ProviderPayment,
    ProviderRefund,
)
from billing.payments.rules import ProviderPaymentId, ProviderRefundId
from billing.webhooks.ports import Handling, Verdict

pytestmark = [pytest.mark.money, pytest.mark.slow]


class SaysProvider(EndingProvider):
    """A provider whose notification means what the test says; it shows payments and refunds as they are."""

    def __init__(self, behind: PaymentProvider, event: ProviderEvent) -> None:
        super().__init__(behind, ProcessDiedError())
        self._real = behind
        self._event = event

    def parse_event(self, body: str) -> ProviderEvent:
        """The event of this test."""
        del body
        return self._event

    async def get_payment(self, payment_id: ProviderPaymentId) -> ProviderPayment:
        """As it is."""
        return await self._real.get_payment(payment_id)

    async def get_refund(self, refund_id: ProviderRefundId) -> ProviderRefund:
        """As it is."""
        return await self._real.get_refund(refund_id)

    async def disputes_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderDispute, ...]:
        """As they are."""
        return await self._real.disputes_of(payment_id)

    async def refunds_of(self, payment_id: ProviderPaymentId) -> tuple[ProviderRefund, ...]:
        """As they are."""
        return await self._real.refunds_of(payment_id)


async def handled(till: Till, event: ProviderEvent) -> Handling:
    """What became of a notification that means this."""
    provider = SaysProvider(till.provider, event)
    return await PaymentNotifications(begin=till.begin, provider=provider, states=till.states).handle("{}")


class TestWhatANotificationNames:
    async def test_nothing_at_all_is_ignored(self, till: Till) -> None:
        assert await handled(till, ProviderEvent("odd", EventSubject.PAYMENT)) == Handling(
            Verdict.IGNORED, "names no payment"
        )

    async def test_a_refund_alone_leads_to_its_payment(self, till: Till) -> None:
        customer = await till.town.customer()
        topup = await till.paid(customer, "500")
        await till.yookassa.refund_in_cabinet((await till.row(topup.payment_id))["provider_payment_id"], rub("200"))
        (refund,) = await till.yookassa.refunds()
        event = ProviderEvent("refund.succeeded", EventSubject.REFUND, refund_id=ProviderRefundId(refund["id"]))

        handling = await handled(till, event)

        assert handling.verdict is Verdict.DONE
        assert (await till.row(topup.payment_id))["refunded_micros"] == rub("200").micros
        assert await till.available(customer) == rub("300")

    async def test_a_payment_that_our_books_do_not_have_waits(self, till: Till) -> None:
        begun = await till.provider.create_payment(order_of(till.ids.new("pay")))

        handling = await handled(till, ProviderEvent("payment.succeeded", EventSubject.PAYMENT, payment_id=begun.id))

        assert handling == Handling(Verdict.LATER, "no payment of ours")

    async def test_a_refund_that_the_providers_own_list_does_not_have_yet_waits_and_is_booked_once(
        self, till: Till
    ) -> None:
        customer = await till.town.customer()
        topup = await till.paid(customer, "500")
        payment_id = ProviderPaymentId((await till.row(topup.payment_id))["provider_payment_id"])
        await till.yookassa.refund_in_cabinet(payment_id, rub("200"))
        await till.yookassa.plan("altered", "list_refunds", times=1, changes={"items": []})
        event = ProviderEvent("refund.succeeded", EventSubject.REFUND, payment_id=payment_id)

        early, late = await handled(till, event), await handled(till, event)

        assert early == Handling(Verdict.LATER, "the provider's lists do not say so yet")
        assert late.verdict is Verdict.DONE
        assert await till.available(customer) == rub("300")
