"""YooKassa's receipts, saved methods, refunds, lists and notifications, as our adapter writes and understands them."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import SimulatedYookassa, simulated_yookassa
from billing.payments.adapters.yookassa import YookassaProvider
from billing.payments.errors import ProviderMalformed, ProviderRejected
from billing.payments.ports import (
    EventSubject,
    MethodRef,
    PaymentOrder,
    ProviderEvent,
    ProviderMethod,
    ProviderPayment,
    ReceiptOrder,
    RefundOrder,
)
from billing.payments.rules import (
    Cancellation,
    ProviderMethodId,
    ProviderPaymentId,
    ProviderRefundId,
    ProviderStatus,
    ReceiptStatus,
    RefundStatus,
)

PAYMENT_ID = ProviderPaymentId("22e12f66-000f-5000-8000-18db351245c7")
REFUND_ID = ProviderRefundId("22e12f66-0015-5000-8000-18db351245c7")
RECEIPT = ReceiptOrder(
    email="ada@shop.example",
    phone=None,
    description="Top-up",
    vat_code=1,
    payment_mode="full_prepayment",
    payment_subject="payment",
    tax_system_code=2,
)


async def paid(provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder) -> ProviderPayment:
    """A payment whose customer has paid."""
    begun = await provider.create_payment(order)
    await yookassa.pay(begun.id)
    return await provider.get_payment(begun.id)


def refund_of(payment: ProviderPayment, **more: Any) -> RefundOrder:
    """An order to give 200 roubles of it back."""
    return RefundOrder(
        key=f"{payment.payment_id}-r",
        provider_payment_id=payment.id,
        amount=rub("200"),
        refund_id="rfd_1",
        description="Unused credit",
        **more,
    )


class TestReceipts:
    async def test_a_payment_carries_one_line_over_the_whole_amount(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(replace(order, receipt=RECEIPT))

        (call,) = await yookassa.calls("create_payment")
        assert call["body"]["receipt"] == {
            "customer": {"email": "ada@shop.example"},
            "items": [
                {
                    "description": "Top-up",
                    "quantity": "1.00",
                    "amount": {"value": "500.00", "currency": "RUB"},
                    "vat_code": 1,
                    "payment_mode": "full_prepayment",
                    "payment_subject": "payment",
                }
            ],
            "tax_system_code": 2,
        }
        assert begun.receipt is ReceiptStatus.PENDING

    async def test_a_phone_number_does_as_well_and_a_tax_system_need_not_be_named(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        receipt = replace(RECEIPT, email=None, phone="79000000000", tax_system_code=None, description="x" * 200)

        await provider.create_payment(replace(order, receipt=receipt))

        (call,) = await yookassa.calls("create_payment")
        sent = call["body"]["receipt"]
        assert sent["customer"] == {"phone": "79000000000"}
        assert "tax_system_code" not in sent
        assert sent["items"][0]["description"] == "x" * 128

    @pytest.mark.parametrize(
        ("mode", "status"),
        [
            ("succeed", ReceiptStatus.SUCCEEDED),
            ("wait", ReceiptStatus.PENDING),
            ("cancel", ReceiptStatus.FAILED),
        ],
    )
    async def test_how_far_it_has_come_is_told_with_the_payment(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder, mode: str, status: str
    ) -> None:
        await yookassa.let_receipts(mode)

        payment = await paid(provider, yookassa, replace(order, receipt=RECEIPT))

        assert payment.receipt is status

    async def test_a_status_that_nobody_documented_is_one_on_its_way(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(replace(order, receipt=RECEIPT))
        await yookassa.plan("altered", "get_payment", changes={"receipt_registration": "at_the_tax_office"})

        assert (await provider.get_payment(begun.id)).receipt is ReceiptStatus.PENDING

    async def test_a_refund_carries_one_of_its_own(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        payment = await paid(provider, yookassa, replace(order, receipt=RECEIPT))

        refund = await provider.refund(refund_of(payment, receipt=RECEIPT))

        (call,) = await yookassa.calls("create_refund")
        assert call["body"]["receipt"]["items"][0]["amount"] == {"value": "200.00", "currency": "RUB"}
        assert refund.receipt is ReceiptStatus.SUCCEEDED

    async def test_a_shop_that_owes_them_refuses_payments_without(self, order: PaymentOrder) -> None:
        async with simulated_yookassa(demands_receipts=True) as strict:
            provider = strict.provider()
            with pytest.raises(ProviderRejected):
                await provider.create_payment(order)
            begun = await provider.create_payment(replace(order, receipt=RECEIPT))
            await provider.aclose()

        assert begun.status is ProviderStatus.PENDING


class TestSavedMethods:
    async def test_a_payment_that_saves_asks_for_it(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        payment = await paid(provider, yookassa, replace(order, saves_method=True))

        (call,) = await yookassa.calls("create_payment")
        assert call["body"]["save_payment_method"] is True
        assert payment.method == ProviderMethod(
            ProviderMethodId(payment.id), is_saved=True, title="Bank card *4444", customer=None
        )

    async def test_a_charge_names_the_method_and_sends_nobody_anywhere(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        payment = await paid(provider, yookassa, replace(order, saves_method=True))

        await provider.create_payment(
            replace(order, key=f"{order.key}-2", method=MethodRef(ProviderMethodId(payment.id)))
        )

        body = (await yookassa.calls("create_payment"))[-1]["body"]
        assert body["payment_method_id"] == payment.id
        assert "confirmation" not in body
        assert "save_payment_method" not in body


class TestMoney:
    async def test_the_fee_is_what_the_shop_does_not_get(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)

        payment = await paid(provider, yookassa, order)

        assert (begun.fee, payment.fee, payment.refunded) == (None, rub("17.50"), rub("0"))

    async def test_an_income_in_another_currency_tells_no_fee(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        payment = await paid(provider, yookassa, order)
        await yookassa.plan("altered", "get_payment", changes={"income_amount": {"currency": "USD"}})

        assert (await provider.get_payment(payment.id)).fee is None

    async def test_money_that_is_real_is_told_from_play_money(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await yookassa.plan("altered", "get_payment", changes={"test": False, "recipient": {"account_id": "7"}})

        seen = await provider.get_payment(begun.id)

        assert (begun.is_test, seen.is_test, seen.shop_id) == (True, False, "7")

    async def test_metadata_that_are_no_texts_bind_nothing(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await yookassa.plan("altered", "get_payment", changes={"metadata": {"payment_id": 7, "purpose": None}})

        seen = await provider.get_payment(begun.id)

        assert (seen.payment_id, seen.account_id, seen.purpose) == (None, "acc_1", None)

    async def test_a_cancellation_without_a_reason_is_one_of_ours(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await yookassa.decline(begun.id)
        await yookassa.plan("altered", "get_payment", changes={"cancellation_details": None})

        assert (await provider.get_payment(begun.id)).cancellation is Cancellation.WITHDRAWN


class TestRefunds:
    async def test_what_it_asks_for(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        payment = await paid(provider, yookassa, order)

        refund = await provider.refund(refund_of(payment))

        (call,) = await yookassa.calls("create_refund")
        assert call["headers"]["idempotence-key"] == f"{order.key}-r"
        assert call["body"] == {
            "payment_id": payment.id,
            "amount": {"value": "200.00", "currency": "RUB"},
            "description": "Unused credit",
            "metadata": {"refund_id": "rfd_1"},
        }
        assert (refund.payment_id, refund.receipt) == (payment.id, None)
        assert refund.created_at is not None

    @pytest.mark.parametrize(
        "changes",
        [
            {"status": "nearly_done"},
            {"status": None},
            {"amount": {"value": "two hundred"}},
            {"amount": None},
            {"payment_id": "../payments"},
            {"payment_id": None},
            {"id": "a?b"},
            {"metadata": []},
            {"created_at": "yesterday"},
        ],
    )
    async def test_one_that_makes_no_sense_is_not_guessed_at(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder, changes: dict[str, Any]
    ) -> None:
        payment = await paid(provider, yookassa, order)
        refund = await provider.refund(refund_of(payment))
        await yookassa.plan("altered", "get_refund", changes=changes)

        with pytest.raises(ProviderMalformed):
            await provider.get_refund(refund.id)

    async def test_one_that_the_bank_did_not_take_has_failed(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        payment = await paid(provider, yookassa, order)
        await yookassa.hold_refunds()
        refund = await provider.refund(refund_of(payment))
        await yookassa.end_refund(refund.id, is_good=False)

        (listed,) = await provider.refunds_of(payment.id)

        assert listed.status is RefundStatus.FAILED
        assert (await provider.get_payment(payment.id)).refunded == rub("0")


class TestLists:
    async def test_they_are_read_to_their_last_page(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        begun = [await provider.create_payment(replace(order, key=f"{order.key}-{n}")) for n in range(3)]
        newest = (await yookassa.payments())[-1]
        await yookassa.plan("altered", "list_payments", changes={"items": [newest], "next_cursor": newest["id"]})
        since = datetime.fromisoformat(newest["created_at"]) - timedelta(hours=1)

        found = [p.id async for p in provider.list_payments(since=since, until=since + timedelta(hours=2))]

        assert found[:3] == [payment.id for payment in reversed(begun)]
        first, second = await yookassa.calls("list_payments")
        assert "cursor" not in first["query"]
        assert f"cursor={newest['id']}" in second["query"]

    async def test_they_are_asked_for_in_utc_and_a_hundred_at_a_time(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa
    ) -> None:
        since = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)

        assert [r async for r in provider.list_refunds(since=since, until=since + timedelta(days=1))] == []

        (call,) = await yookassa.calls("list_refunds")
        assert call["query"] == (
            "created_at.gte=2001-02-03T04%3A05%3A06.000Z&created_at.lt=2001-02-04T04%3A05%3A06.000Z&limit=100"
        )

    async def test_one_that_comes_back_to_where_it_was_is_malformed(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, order: PaymentOrder
    ) -> None:
        payment = await paid(provider, yookassa, order)
        refund = await provider.refund(refund_of(payment))
        await yookassa.plan("altered", "list_refunds", times=9, changes={"next_cursor": refund.id})

        with pytest.raises(ProviderMalformed, match="no end"):
            await provider.refunds_of(payment.id)

    @pytest.mark.parametrize("changes", [{"items": None}, {"items": {}}, {"next_cursor": 7}])
    async def test_a_page_that_is_none_is_malformed(
        self, provider: YookassaProvider, yookassa: SimulatedYookassa, changes: dict[str, Any]
    ) -> None:
        await yookassa.plan("altered", "list_refunds", changes=changes)

        with pytest.raises(ProviderMalformed):
            await provider.refunds_of(PAYMENT_ID)


class TestNotifications:
    @pytest.mark.parametrize(
        ("event", "claims_final"),
        [("payment.succeeded", True), ("payment.canceled", True), ("payment.waiting_for_capture", False)],
    )
    def test_one_about_a_payment_leads_to_it(
        self, provider: YookassaProvider, event: str, *, claims_final: bool
    ) -> None:
        body = json.dumps({"type": "notification", "event": event, "object": {"id": PAYMENT_ID}})

        assert provider.parse_event(body) == ProviderEvent(
            event, EventSubject.PAYMENT, payment_id=PAYMENT_ID, claims_final=claims_final
        )

    @pytest.mark.parametrize("of", [PAYMENT_ID, None])
    def test_one_about_a_refund_leads_to_its_payment_where_it_names_it(
        self, provider: YookassaProvider, of: ProviderPaymentId | None
    ) -> None:
        snapshot = {"id": REFUND_ID} | ({} if of is None else {"payment_id": of})

        event = provider.parse_event(json.dumps({"event": "refund.succeeded", "object": snapshot}))

        assert event == ProviderEvent("refund.succeeded", EventSubject.REFUND, payment_id=of, refund_id=REFUND_ID)

    def test_one_of_an_unknown_kind_is_of_no_use(self, provider: YookassaProvider) -> None:
        event = provider.parse_event(json.dumps({"event": "payout.succeeded", "object": {"id": "po-1"}}))

        assert event == ProviderEvent("payout.succeeded", subject=None)

    @pytest.mark.parametrize(
        "body",
        [
            {"event": "payment.succeeded"},
            {"event": "payment.succeeded", "object": {}},
            {"event": "payment.succeeded", "object": {"id": "../refunds"}},
            {"event": "refund.succeeded", "object": {"id": "a/b"}},
            {"event": "refund.succeeded", "object": {"id": REFUND_ID, "payment_id": "%2e%2e"}},
            {"event": 7, "object": {"id": PAYMENT_ID}},
            [],
        ],
    )
    def test_one_without_a_usable_object_is_malformed(self, provider: YookassaProvider, body: Any) -> None:
        with pytest.raises(ProviderMalformed):
            provider.parse_event(json.dumps(body))
