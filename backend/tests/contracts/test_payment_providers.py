"""What every payment provider does behind our port; a new one joins `every_provider` and is held to all of it.

Tests that need nobody behind the counter are asked of the real sandboxes too, where the environment has credentials.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.every_provider import order_of, paid, refund_of
from backend.tests.builders.providers import Ability, ProviderUnderTest, SimulatedProvider
from backend.tests.builders.wallets import rub
from billing.kit.ids import Ids
from billing.payments.errors import (
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRejected,
)
from billing.payments.ports import MethodRef, PaymentOrder, ProviderRefund
from billing.payments.rules import (
    Cancellation,
    DisputeStatus,
    ProviderPaymentId,
    ProviderRefundId,
    ProviderStatus,
    RefundStatus,
)


class TestWhereverItIs:
    """Asked of the simulators, and of the real sandboxes where the environment has their credentials."""

    @pytest.fixture
    def order(self, anywhere: ProviderUnderTest, ids: Ids) -> PaymentOrder:
        """A top-up of 500 roubles that no earlier run has asked for."""
        return order_of(f"{ids.new('pay')}{anywhere.salt}")

    async def test_a_payment_waits_for_its_customer_somewhere(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        begun = await anywhere.provider.create_payment(order)

        assert (begun.status, begun.is_paid, begun.amount) == (ProviderStatus.PENDING, False, rub("500"))
        assert begun.confirmation_url is not None
        assert begun.confirmation_url.startswith("http")

    async def test_a_payment_is_bound_to_us_in_every_respect(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        begun = await anywhere.provider.create_payment(order)

        read_back = await anywhere.provider.get_payment(begun.id)

        assert (read_back.payment_id, read_back.account_id, read_back.purpose) == (order.payment_id, "acc_1", "topup")
        assert (read_back.shop_id, read_back.is_test) == (anywhere.provider.shop_id, True)

    async def test_the_same_order_again_is_the_same_payment(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        first = await anywhere.provider.create_payment(order)

        assert await anywhere.provider.create_payment(order) == first

    async def test_the_same_key_for_another_amount_is_a_rejection(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        await anywhere.provider.create_payment(order)

        with pytest.raises(ProviderRejected):
            await anywhere.provider.create_payment(replace(order, amount=rub("900")))

    async def test_a_payment_is_called_off_before_it_is_paid_or_cannot_be(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        begun = await anywhere.provider.create_payment(order)

        if Ability.CALLS_OFF_UNPAID in anywhere.abilities:
            ended = await anywhere.provider.cancel(begun.id, key=f"cancel-{begun.id}"[:64])
            assert ended.status is ProviderStatus.CANCELED
        else:
            with pytest.raises(ProviderRejected):
                await anywhere.provider.cancel(begun.id, key=f"cancel-{begun.id}"[:64])

    async def test_what_nobody_has_paid_cannot_be_given_back(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        begun = await anywhere.provider.create_payment(order)

        with pytest.raises(ProviderRejected):
            await anywhere.provider.refund(refund_of(begun, rub("1")))

    async def test_a_new_payment_is_in_the_list_of_its_time(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        begun = await anywhere.provider.create_payment(order)
        assert begun.created_at is not None

        listing = anywhere.provider.list_payments(
            since=begun.created_at - timedelta(seconds=1), until=begun.created_at + timedelta(seconds=1)
        )

        assert begun.id in [payment.id async for payment in listing]

    async def test_a_new_payment_has_neither_refunds_nor_disputes(
        self, anywhere: ProviderUnderTest, order: PaymentOrder
    ) -> None:
        begun = await anywhere.provider.create_payment(order)

        assert await anywhere.provider.refunds_of(begun.id) == ()
        assert await anywhere.provider.disputes_of(begun.id) == ()

    async def test_what_is_not_there_is_unknown(self, anywhere: ProviderUnderTest) -> None:
        with pytest.raises(ProviderObjectUnknown):
            await anywhere.provider.get_payment(anywhere.unknown_payment)
        with pytest.raises(ProviderObjectUnknown):
            await anywhere.provider.get_refund(anywhere.unknown_refund)


class TestHowAPaymentEnds:
    async def test_with_money_and_the_provider_keeps_a_fee(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        payment = await paid(under_test, order)

        assert (payment.status, payment.is_paid, payment.cancellation) == (ProviderStatus.SUCCEEDED, True, None)
        assert payment.fee is not None
        assert rub("0") < payment.fee < rub("100")

    async def test_without_money_where_the_bank_declined(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        begun = await under_test.provider.create_payment(order)

        await under_test.backstage.decline(begun.id)

        declined = await under_test.provider.get_payment(begun.id)
        assert (declined.status, declined.is_paid) == (ProviderStatus.CANCELED, False)
        assert declined.cancellation is Cancellation.DECLINED

    async def test_without_money_where_nobody_paid_in_time(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        begun = await under_test.provider.create_payment(order)

        await under_test.backstage.expire(begun.id)

        expired = await under_test.provider.get_payment(begun.id)
        assert (expired.status, expired.cancellation) == (ProviderStatus.CANCELED, Cancellation.EXPIRED)

    async def test_what_is_paid_cannot_be_called_off(self, under_test: SimulatedProvider, order: PaymentOrder) -> None:
        payment = await paid(under_test, order)

        with pytest.raises(ProviderRejected):
            await under_test.provider.cancel(payment.id, key=f"cancel-{payment.id}")

    @pytest.mark.parametrize("forged", ["../refunds", "a?b=c", "a/b", "%2e%2e", "", "ü", "x" * 129])
    async def test_a_forged_id_reaches_no_provider(self, under_test: SimulatedProvider, forged: str) -> None:
        provider, payment_id = under_test.provider, ProviderPaymentId(forged)
        calls = (
            provider.get_payment(payment_id),
            provider.capture(payment_id, rub("1"), key="k"),
            provider.cancel(payment_id, key="k"),
            provider.refunds_of(payment_id),
            provider.get_refund(ProviderRefundId(forged)),
        )

        for call in calls:
            with pytest.raises(ProviderMalformed):
                await call

        asked = [await under_test.backstage.calls(name) for name in ("get_payment", "capture", "cancel", "refunds_of")]
        assert asked == [[]] * len(asked)


class TestReservedMoney:
    async def test_all_of_it_can_be_taken(self, under_test: SimulatedProvider) -> None:
        payment_id = await under_test.backstage.reserved(rub("500"))
        before = await under_test.provider.get_payment(payment_id)

        taken = await under_test.provider.capture(payment_id, rub("500"), key=f"capture-{payment_id}")

        assert before.status is ProviderStatus.WAITING_FOR_CAPTURE
        assert (taken.status, taken.amount) == (ProviderStatus.SUCCEEDED, rub("500"))

    async def test_a_part_can_be_taken(self, under_test: SimulatedProvider) -> None:
        payment_id = await under_test.backstage.reserved(rub("500"))

        taken = await under_test.provider.capture(payment_id, rub("300"), key=f"capture-{payment_id}")

        assert (taken.status, taken.amount) == (ProviderStatus.SUCCEEDED, rub("300"))

    async def test_more_cannot_be_taken(self, under_test: SimulatedProvider) -> None:
        payment_id = await under_test.backstage.reserved(rub("500"))

        with pytest.raises(ProviderRejected):
            await under_test.provider.capture(payment_id, rub("501"), key=f"capture-{payment_id}")

    async def test_it_can_be_given_back(self, under_test: SimulatedProvider) -> None:
        payment_id = await under_test.backstage.reserved(rub("500"))

        ended = await under_test.provider.cancel(payment_id, key=f"cancel-{payment_id}")

        assert (ended.status, ended.cancellation) == (ProviderStatus.CANCELED, Cancellation.WITHDRAWN)


class TestRefunds:
    async def test_a_part_is_given_back_once_however_often_it_is_asked_for(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        payment = await paid(under_test, order)

        first = await under_test.provider.refund(refund_of(payment, rub("200")))
        again = await under_test.provider.refund(refund_of(payment, rub("200")))

        assert again == first
        assert (first.status, first.amount, first.refund_id) == (RefundStatus.SUCCEEDED, rub("200"), "rfd_1")
        assert await under_test.backstage.refunds_count() == 1
        assert (await under_test.provider.get_payment(payment.id)).refunded == rub("200")

    async def test_more_than_is_left_is_a_rejection(self, under_test: SimulatedProvider, order: PaymentOrder) -> None:
        payment = await paid(under_test, order)
        await under_test.provider.refund(refund_of(payment, rub("200")))

        with pytest.raises(ProviderRejected):
            await under_test.provider.refund(refund_of(payment, rub("301"), refund_id="rfd_2"))

    async def test_ours_and_those_of_the_cabinet_are_listed_with_their_payment(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        payment = await paid(under_test, order)
        other = await paid(under_test, replace(order, key=f"{order.key}-2"))
        await under_test.provider.refund(refund_of(other, rub("1"), refund_id="rfd_2"))
        await under_test.provider.refund(refund_of(payment, rub("200")))
        await under_test.backstage.refund_in_cabinet(payment.id, rub("50"))

        found = await under_test.provider.refunds_of(payment.id)

        assert {(refund.amount, refund.refund_id) for refund in found} == {(rub("200"), "rfd_1"), (rub("50"), None)}
        assert {refund.payment_id for refund in found} == {payment.id}

    @pytest.mark.parametrize(("is_good", "status"), [(True, RefundStatus.SUCCEEDED), (False, RefundStatus.FAILED)])
    async def test_one_can_wait_for_its_end(
        self, under_test: SimulatedProvider, order: PaymentOrder, *, is_good: bool, status: RefundStatus
    ) -> None:
        payment = await paid(under_test, order)
        await under_test.backstage.hold_refunds()
        begun = await under_test.provider.refund(refund_of(payment, rub("200")))

        await under_test.backstage.end_refund(begun.id, is_good=is_good)

        ended = await under_test.provider.get_refund(begun.id)
        assert (begun.status, ended.status) == (RefundStatus.PENDING, status)


class TestSavedMethods:
    async def test_one_is_saved_only_with_a_payment_that_succeeded(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        begun = await under_test.provider.create_payment(replace(order, saves_method=True))

        payment = await paid(under_test, replace(order, saves_method=True))

        assert begun.method is None or not begun.method.is_saved
        assert payment.method is not None
        assert payment.method.is_saved

    async def test_none_is_saved_unasked(self, under_test: SimulatedProvider, order: PaymentOrder) -> None:
        payment = await paid(under_test, order)

        assert payment.method is None or not payment.method.is_saved

    async def test_it_is_charged_without_its_owner(self, under_test: SimulatedProvider, order: PaymentOrder) -> None:
        method = await self.saved(under_test, order)

        charged = await under_test.provider.create_payment(replace(order, key=f"{order.key}-2", method=method))

        assert (charged.status, charged.is_paid) == (ProviderStatus.SUCCEEDED, True)
        assert (charged.amount, charged.confirmation_url) == (order.amount, None)

    async def test_a_refusing_bank_is_a_canceled_payment_and_no_failure(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        method = await self.saved(under_test, order)
        await under_test.backstage.refuse_method(method.id)

        charged = await under_test.provider.create_payment(replace(order, key=f"{order.key}-2", method=method))

        assert (charged.status, charged.is_paid) == (ProviderStatus.CANCELED, False)
        assert charged.cancellation is Cancellation.DECLINED

    async def saved(self, under_test: SimulatedProvider, order: PaymentOrder) -> MethodRef:
        """A method that a first payment left with the provider."""
        payment = await paid(under_test, replace(order, saves_method=True))
        assert payment.method is not None
        return MethodRef(payment.method.id, customer=payment.method.customer)


class TestDisputes:
    async def test_a_payment_without_them_has_none(self, under_test: SimulatedProvider, order: PaymentOrder) -> None:
        payment = await paid(under_test, order)

        assert await under_test.provider.disputes_of(payment.id) == ()
        assert not payment.is_disputed

    @pytest.mark.parametrize(("is_won", "status"), [(True, DisputeStatus.WON), (False, DisputeStatus.LOST)])
    async def test_one_opens_and_ends(
        self, under_test: SimulatedProvider, order: PaymentOrder, *, is_won: bool, status: DisputeStatus
    ) -> None:
        payment = await paid(under_test, order)
        if Ability.DISPUTES not in under_test.abilities:
            assert await under_test.provider.disputes_of(payment.id) == ()
            return

        await under_test.backstage.open_dispute(payment.id)
        disputed = await under_test.provider.get_payment(payment.id)
        (opened,) = await under_test.provider.disputes_of(payment.id)
        await under_test.backstage.close_dispute(payment.id, is_won=is_won)
        (ended,) = await under_test.provider.disputes_of(payment.id)

        assert disputed.is_disputed
        assert (opened.status, opened.amount, opened.payment_id) == (DisputeStatus.OPEN, order.amount, payment.id)
        assert (ended.id, ended.status) == (opened.id, status)


class TestLists:
    async def test_payments_of_a_time_are_all_listed_once(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        begun = [await under_test.provider.create_payment(replace(order, key=f"{order.key}-{n}")) for n in range(3)]
        created = [payment.created_at for payment in begun if payment.created_at is not None]

        found = [
            payment.id
            async for payment in under_test.provider.list_payments(
                since=min(created), until=max(created) + timedelta(seconds=1)
            )
        ]

        assert len(created) == len(begun)
        assert sorted(found) == sorted(payment.id for payment in begun)

    async def test_the_end_of_the_time_is_not_in_it(self, under_test: SimulatedProvider, order: PaymentOrder) -> None:
        begun = await under_test.provider.create_payment(order)
        assert begun.created_at is not None

        listing = under_test.provider.list_payments(since=begun.created_at - timedelta(hours=1), until=begun.created_at)

        assert begun.id not in [payment.id async for payment in listing]

    async def test_refunds_of_a_time_are_listed(self, under_test: SimulatedProvider, order: PaymentOrder) -> None:
        payment = await paid(under_test, order)
        refund = await under_test.provider.refund(refund_of(payment, rub("200")))
        since = refund.created_at or datetime.now(UTC)

        found: list[ProviderRefund] = [
            item async for item in under_test.provider.list_refunds(since=since, until=since + timedelta(seconds=1))
        ]

        assert found == [refund]


class TestNotifications:
    async def test_one_about_a_paid_payment_leads_to_it(
        self, under_test: SimulatedProvider, order: PaymentOrder
    ) -> None:
        payment = await paid(under_test, order)

        events = [under_test.provider.parse_event(body) for body in await under_test.backstage.events(payment.id)]

        final = [event for event in events if event.claims_final]
        assert [event.payment_id for event in final] == [payment.id]

    @pytest.mark.parametrize("body", ["{}", "[]", "1", '{"event": "payment.succeeded"}', '{"type": "x", "data": {}}'])
    async def test_one_without_an_event_is_malformed(self, under_test: SimulatedProvider, body: str) -> None:
        with pytest.raises(ProviderMalformed):
            under_test.provider.parse_event(body)
