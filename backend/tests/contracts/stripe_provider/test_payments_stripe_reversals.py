"""Kept methods, refunds, disputes and lists at Stripe, over real HTTP."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe

from backend.tests.builders.stripe import RETURN_URL, SECRET_KEY, SimulatedStripe, a_refund, kept_method, usd
from billing.payments.adapters.stripe import StripeProvider
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderListHoles,
    ProviderMalformed,
    ProviderRejected,
)
from billing.payments.ports import MethodRef, PaymentOrder
from billing.payments.rules import (
    Cancellation,
    DisputeStatus,
    ProviderMethodId,
    ProviderPaymentId,
    ProviderRefundId,
    ProviderStatus,
    RefundStatus,
)


class TestKeptMethods:
    async def test_a_refusal_repeated_under_its_key_is_the_same_payment(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)
        await backstage.refuse_method(method.id)

        first = await provider.create_payment(replace(order, method=method))
        again = await provider.create_payment(replace(order, method=method))

        assert first == again
        assert (first.status, first.cancellation) == (ProviderStatus.CANCELED, Cancellation.DECLINED)

    async def test_a_charge_repeated_under_its_key_is_read_again(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)
        first = await provider.create_payment(replace(order, method=method))
        await backstage.refund_in_cabinet(first.id, usd("100"))

        again = await provider.create_payment(replace(order, method=method))

        assert (first.refunded, again.refunded) == (usd("0"), usd("100"))

    async def test_a_refusal_that_names_no_payment_is_malformed(
        self, impatient: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        await backstage.go_wrong("refused", "create_intent", status=402)

        with pytest.raises(ProviderMalformed):
            await impatient.create_payment(replace(order, method=MethodRef(ProviderMethodId("pm_1"), customer="cus_1")))

    async def test_somebody_elses_is_a_rejection(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)

        with pytest.raises(ProviderRejected):
            await provider.create_payment(replace(order, method=replace(method, customer=None)))


class TestWhatWasDoneAndCannotBeRead:
    async def test_is_ambiguous_and_not_undone(self, impatient: StripeProvider, backstage: SimulatedStripe) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await backstage.go_wrong("unavailable", "get_intent")

        with pytest.raises(ProviderAmbiguous):
            await impatient.capture(payment_id, usd("5"), key="capture-unread")

        again = await impatient.capture(payment_id, usd("5"), key="capture-unread")
        assert again.status is ProviderStatus.SUCCEEDED

    async def test_holds_for_refunds_too(
        self, impatient: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await impatient.create_payment(order)
        await backstage.pay(begun.id)
        asked = a_refund(begun.id)
        first = await impatient.refund(asked)
        await backstage.go_wrong("unavailable", "get_refund")

        with pytest.raises(ProviderAmbiguous):
            await impatient.refund(asked)

        assert await impatient.refund(asked) == first


class TestRefunds:
    async def test_one_from_the_dashboard_is_of_the_session(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        await backstage.refund_in_cabinet(begun.id, usd("20"))
        made = (await backstage.state("refunds"))[-1]

        found = await provider.get_refund(ProviderRefundId(made["id"]))

        assert (found.payment_id, found.refund_id, found.amount) == (begun.id, None, usd("20"))

    async def test_one_of_an_intent_that_stands_alone_is_of_the_intent(
        self, provider: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await provider.capture(payment_id, usd("5"), key="capture-alone")
        await backstage.refund_in_cabinet(payment_id, usd("2"))

        (found,) = await provider.refunds_of(payment_id)

        assert found == await provider.get_refund(found.id)
        assert found.payment_id == payment_id

    async def test_one_without_an_intent_is_of_its_charge(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        await backstage.refund_in_cabinet(begun.id, usd("20"))
        made = (await backstage.state("refunds"))[-1]
        await backstage.go_wrong("altered", "get_refund", changes={"payment_intent": None})

        assert (await provider.get_refund(ProviderRefundId(made["id"]))).payment_id == made["charge"]

    async def test_one_that_came_back_after_all_has_failed(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        refund = await provider.refund(a_refund(begun.id))

        await backstage.end_refund(refund.id, is_good=False)

        assert (await provider.get_refund(refund.id)).status is RefundStatus.FAILED
        assert (await provider.get_payment(begun.id)).refunded == usd("0")

    async def test_a_payment_that_nobody_began_has_none(self, provider: StripeProvider, order: PaymentOrder) -> None:
        begun = await provider.create_payment(order)

        assert await provider.refunds_of(begun.id) == ()
        assert await provider.disputes_of(begun.id) == ()
        with pytest.raises(ProviderRejected):
            await provider.refund(a_refund(begun.id))


class TestDisputes:
    async def test_an_inquiry_is_none_because_it_moves_no_money(
        self, provider: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await provider.capture(payment_id, usd("5"), key="capture-inquired")
        await backstage.post("disputes", {"of": payment_id, "is_warning": True})
        assert await provider.disputes_of(payment_id) == ()
        assert not (await provider.get_payment(payment_id)).is_disputed

        await backstage.close_dispute(payment_id, is_won=False)

        (lost,) = await provider.disputes_of(payment_id)
        assert (lost.status, lost.amount) == (DisputeStatus.LOST, usd("5"))
        assert (await provider.get_payment(payment_id)).is_disputed


class TestLists:
    async def test_strangers_payments_are_listed_once_as_what_they_are(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        session = await provider.create_payment(order)
        await backstage.pay(session.id)
        method = await kept_method(provider, backstage, order)
        direct = await provider.create_payment(replace(order, key=f"{order.key}-direct", method=method))
        alone = await backstage.reserved(usd("5"))
        since = session.created_at or datetime.now(UTC)

        listed = [item.id async for item in provider.list_payments(since=since, until=since + timedelta(hours=1))]

        assert len(listed) == len(set(listed))
        assert {session.id, direct.id, alone} <= set(listed)
        assert await backstage.intent_of(session.id) not in listed

    async def test_an_object_that_makes_no_sense_is_named_after_all_others(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)
        direct = await provider.create_payment(replace(order, key=f"{order.key}-direct", method=method))
        since = direct.created_at or datetime.now(UTC)
        await backstage.go_wrong("altered", "list_sessions", changes={"data": [{"id": "cs_odd"}, {"id": "../odd"}]})

        listed = []
        with pytest.raises(ProviderListHoles) as holes:
            async for item in provider.list_payments(since=since, until=since + timedelta(hours=1)):
                listed.append(item.id)  # noqa: PERF401 - a comprehension would lose them with the failure

        assert direct.id in listed
        assert holes.value.objects == ("cs_odd", "unnamed")

    async def test_a_strangers_session_is_listed_without_its_intent(
        self, provider: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        client = stripe.StripeClient(SECRET_KEY, base_addresses={"api": backstage.url}, max_network_retries=0)
        price: Any = {"currency": "usd", "unit_amount": 500, "product_data": {"name": "Theirs"}}
        params: Any = {
            "mode": "payment",
            "success_url": RETURN_URL,
            "line_items": [{"price_data": price, "quantity": 1}],
        }
        theirs = await asyncio.to_thread(client.v1.checkout.sessions.create, params)
        await backstage.pay(theirs.id)
        since = datetime.fromtimestamp(theirs.created, UTC)

        listed = {item.id: item async for item in provider.list_payments(since=since, until=since + timedelta(hours=1))}

        assert set(listed) == {theirs.id}
        assert listed[ProviderPaymentId(theirs.id)].payment_id is None
