"""The official `yookassa` SDK works against the simulator unchanged."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from yookassa import Configuration, Payment, Receipt, Refund, Settings
from yookassa.domain.common import SecurityHelper
from yookassa.domain.exceptions import BadRequestError, NotFoundError, UnauthorizedError
from yookassa.domain.notification import WebhookNotificationFactory

from testkit.simulators.remote import YookassaRemote
from testkit.simulators.yookassa import YookassaSettings


@pytest.fixture(autouse=True)
def sdk(yookassa: YookassaRemote, yookassa_settings: YookassaSettings) -> Iterator[None]:
    """The SDK, pointed at the simulator the way its documentation says."""
    Configuration.configure(
        yookassa_settings.shop_id, yookassa_settings.secret_key, api_url=f"{yookassa.url}/v3", timeout=10
    )
    yield
    # The SDK keeps its configuration in class attributes: put the way to production back out of reach.
    Configuration.configure(None, None)


def a_payment(*, capture: bool = True, value: str = "500.00") -> dict[str, Any]:
    """A payment request as a shop writes it."""
    return {
        "amount": {"value": value, "currency": "RUB"},
        "confirmation": {"type": "redirect", "return_url": "https://shop.example/back?order=7"},
        "capture": capture,
        "description": "Top-up",
        "metadata": {"wallet_id": "wal_1"},
    }


class TestCreatingAPayment:
    def test_a_new_payment_is_pending_and_leads_to_a_payment_page(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(), "key-1")

        assert (payment.status, payment.paid, payment.test) == ("pending", False, True)
        assert (payment.amount.value, payment.amount.currency) == (Decimal("500.00"), "RUB")
        assert payment.metadata["wallet_id"] == "wal_1"
        assert payment.confirmation.confirmation_url.startswith(f"{yookassa.url}/checkout/")
        assert payment.confirmation.return_url == "https://shop.example/back?order=7"

    def test_the_same_key_and_data_give_the_same_payment(self, yookassa: YookassaRemote) -> None:
        first = Payment.create(a_payment(), "key-1")

        second = Payment.create(a_payment(), "key-1")

        assert dict(second) == dict(first)
        assert len(yookassa.payments()) == 1

    def test_the_same_key_with_other_data_is_refused(self, yookassa: YookassaRemote) -> None:
        Payment.create(a_payment(value="500.00"), "key-1")

        with pytest.raises(BadRequestError) as refused:
            Payment.create(a_payment(value="501.00"), "key-1")

        assert refused.value.error.code == "invalid_request"
        assert refused.value.error.parameter == "Idempotence-Key"
        assert len(yookassa.payments()) == 1

    def test_another_key_makes_another_payment(self) -> None:
        first = Payment.create(a_payment(), "key-1")

        second = Payment.create(a_payment(), "key-2")

        assert second.id != first.id


class TestReadingPayments:
    def test_a_paid_payment_reads_as_succeeded(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(), "key-1")
        yookassa.pay(payment.id)

        found = Payment.find_one(payment.id)

        assert (found.status, found.paid, found.refundable) == ("succeeded", True, True)
        assert found.payment_method.card.last4 == "4444"
        assert found.income_amount.value == Decimal("482.50")

    def test_a_declined_payment_says_who_cancelled_it_and_why(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(), "key-1")
        yookassa.decline(payment.id, reason="insufficient_funds")

        found = Payment.find_one(payment.id)

        assert (found.status, found.paid) == ("canceled", False)
        assert found.cancellation_details.party == "payment_network"
        assert found.cancellation_details.reason == "insufficient_funds"

    def test_an_unknown_payment_is_not_found(self) -> None:
        with pytest.raises(NotFoundError) as refused:
            Payment.find_one("2d0e0f00-000f-5000-8000-000000000000")

        assert refused.value.error.code == "not_found"

    def test_a_list_is_paged_from_the_newest_on(self) -> None:
        ids = [Payment.create(a_payment(), f"key-{number}").id for number in range(5)]

        first = Payment.list({"limit": 3})
        second = Payment.list({"limit": 3, "cursor": first.next_cursor})

        assert [payment.id for payment in first.items + second.items] == ids[::-1]
        assert second.next_cursor is None

    def test_a_list_can_be_narrowed_by_status(self, yookassa: YookassaRemote) -> None:
        paid, _ = (Payment.create(a_payment(), key) for key in ("key-1", "key-2"))
        yookassa.pay(paid.id)

        found = Payment.list({"status": "succeeded"})

        assert [payment.id for payment in found.items] == [paid.id]


class TestTwoStagePayments:
    def test_a_payment_without_capture_waits_for_it(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(capture=False), "key-1")

        yookassa.pay(payment.id)

        found = Payment.find_one(payment.id)
        assert (found.status, found.paid) == ("waiting_for_capture", True)
        assert found.expires_at is not None

    def test_capture_takes_the_money(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(capture=False), "key-1")
        yookassa.pay(payment.id)

        captured = Payment.capture(payment.id, {"amount": {"value": "300.00", "currency": "RUB"}}, "key-2")

        assert (captured.status, captured.amount.value) == ("succeeded", Decimal("300.00"))

    def test_a_capture_repeated_with_its_key_is_boring(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(capture=False), "key-1")
        yookassa.pay(payment.id)
        first = Payment.capture(payment.id, None, "key-2")

        second = Payment.capture(payment.id, None, "key-2")

        assert dict(second) == dict(first)

    def test_cancel_gives_the_money_back(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(capture=False), "key-1")
        yookassa.pay(payment.id)

        cancelled = Payment.cancel(payment.id, "key-2")

        assert (cancelled.status, cancelled.cancellation_details.reason) == ("canceled", "canceled_by_merchant")

    def test_a_pending_payment_can_be_neither_captured_nor_cancelled(self) -> None:
        payment = Payment.create(a_payment(capture=False), "key-1")

        with pytest.raises(BadRequestError):
            Payment.capture(payment.id, None, "key-2")
        with pytest.raises(BadRequestError):
            Payment.cancel(payment.id, "key-3")

    def test_more_than_was_reserved_cannot_be_captured(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(capture=False), "key-1")
        yookassa.pay(payment.id)

        with pytest.raises(BadRequestError):
            Payment.capture(payment.id, {"amount": {"value": "500.01", "currency": "RUB"}}, "key-2")

        assert Payment.find_one(payment.id).status == "waiting_for_capture"


class TestRefunds:
    def refund_of(self, payment_id: str, value: str) -> dict[str, Any]:
        return {"payment_id": payment_id, "amount": {"value": value, "currency": "RUB"}}

    def test_parts_of_a_payment_can_be_refunded_until_nothing_is_left(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(), "key-1")
        yookassa.pay(payment.id)

        first = Refund.create(self.refund_of(payment.id, "200.00"), "key-2")
        second = Refund.create(self.refund_of(payment.id, "300.00"), "key-3")
        with pytest.raises(BadRequestError):
            Refund.create(self.refund_of(payment.id, "0.01"), "key-4")

        found = Payment.find_one(payment.id)
        assert (first.status, Refund.find_one(second.id).amount.value) == ("succeeded", Decimal("300.00"))
        assert (found.refunded_amount.value, found.refundable) == (Decimal("500.00"), False)

    def test_a_refund_repeated_with_its_key_gives_back_once(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(), "key-1")
        yookassa.pay(payment.id)

        first = Refund.create(self.refund_of(payment.id, "200.00"), "key-2")
        second = Refund.create(self.refund_of(payment.id, "200.00"), "key-2")

        assert second.id == first.id
        assert [refund["id"] for refund in yookassa.refunds()] == [first.id]

    def test_refunds_can_be_listed_by_payment(self, yookassa: YookassaRemote) -> None:
        payments = [Payment.create(a_payment(), key) for key in ("key-1", "key-2")]
        for payment in payments:
            yookassa.pay(payment.id)
            Refund.create(self.refund_of(payment.id, "1.00"), f"refund of {payment.id}")

        found = Refund.list({"payment_id": payments[0].id})

        assert [refund.payment_id for refund in found.items] == [payments[0].id]

    def test_an_unpaid_payment_has_nothing_to_refund(self) -> None:
        payment = Payment.create(a_payment(), "key-1")

        with pytest.raises(BadRequestError):
            Refund.create(self.refund_of(payment.id, "1.00"), "key-2")


class TestSavedMethods:
    def test_a_method_is_saved_and_charged_without_its_owner(self, yookassa: YookassaRemote) -> None:
        first = Payment.create(a_payment() | {"save_payment_method": True}, "key-1")
        yookassa.pay(first.id)
        method = Payment.find_one(first.id).payment_method

        charged = Payment.create(
            {"amount": a_payment()["amount"], "capture": True, "payment_method_id": method.id}, "key-2"
        )

        assert (method.saved, method.title) == (True, "Bank card *4444")
        assert (charged.status, charged.paid, charged.confirmation) == ("succeeded", True, None)
        assert charged.payment_method.id == method.id

    def test_a_refusing_bank_is_a_cancelled_payment(self, yookassa: YookassaRemote) -> None:
        first = Payment.create(a_payment() | {"save_payment_method": True}, "key-1")
        yookassa.pay(first.id)
        yookassa.refuse_method(first.id)

        charged = Payment.create(
            {"amount": a_payment()["amount"], "capture": True, "payment_method_id": first.id}, "key-2"
        )

        assert (charged.status, charged.cancellation_details.reason) == ("canceled", "insufficient_funds")

    def test_three_d_secure_is_in_the_authorization(self, yookassa: YookassaRemote) -> None:
        payment = Payment.create(a_payment(), "key-1")

        yookassa.pay(payment.id, three_d_secure=True)

        assert Payment.find_one(payment.id).authorization_details.three_d_secure.applied


class TestReceipts:
    def test_they_can_be_sent_listed_and_found(self, yookassa: YookassaRemote) -> None:
        item = {
            "description": "Top-up",
            "quantity": "1.00",
            "amount": {"value": "500.00", "currency": "RUB"},
            "vat_code": 1,
            "payment_mode": "full_prepayment",
            "payment_subject": "payment",
        }
        receipt = {"customer": {"email": "ada@shop.example"}, "items": [item], "tax_system_code": 2}
        payment = Payment.create(a_payment() | {"receipt": receipt}, "key-1")
        yookassa.pay(payment.id)

        (listed,) = Receipt.list({"payment_id": payment.id}).items

        found = Receipt.find_one(listed.id)
        assert payment.receipt_registration == "pending"
        assert Payment.find_one(payment.id).receipt_registration == "succeeded"
        assert (found.type, found.status, found.payment_id) == ("payment", "succeeded", payment.id)
        assert (found.tax_system_code, found.items[0].description) == (2, "Top-up")


class TestNotifications:
    def test_the_sdk_understands_each_kind(self, yookassa: YookassaRemote) -> None:
        two_stages, paid, declined = (
            Payment.create(a_payment(capture=capture), key)
            for capture, key in ((False, "key-1"), (True, "key-2"), (True, "key-3"))
        )
        yookassa.pay(two_stages.id)
        yookassa.pay(paid.id)
        yookassa.decline(declined.id)
        refund = yookassa.refund_in_the_cabinet(paid.id)

        understood = [WebhookNotificationFactory().create(sent["body"]) for sent in yookassa.notifications()]

        assert [(notification.event, notification.object.id) for notification in understood] == [
            ("payment.waiting_for_capture", two_stages.id),
            ("payment.succeeded", paid.id),
            ("payment.canceled", declined.id),
            ("refund.succeeded", refund["id"]),
        ]

    @pytest.mark.parametrize(
        ("address", "is_trusted"),
        [("185.71.76.1", True), ("77.75.156.35", True), ("203.0.113.7", False)],
    )
    def test_the_sdk_knows_them_by_their_source_address_alone(self, address: str, *, is_trusted: bool) -> None:
        assert SecurityHelper().is_ip_trusted(address) is is_trusted


class TestTheShop:
    def test_it_is_a_test_shop(self, yookassa_settings: YookassaSettings) -> None:
        me = Settings.get_account_settings()

        assert (me.account_id, me.status, me.test) == (yookassa_settings.shop_id, "enabled", True)

    def test_a_wrong_secret_is_refused_in_the_providers_shape(
        self, yookassa: YookassaRemote, yookassa_settings: YookassaSettings
    ) -> None:
        Configuration.configure(yookassa_settings.shop_id, "wrong", api_url=f"{yookassa.url}/v3")

        with pytest.raises(UnauthorizedError) as refused:
            Settings.get_account_settings()

        assert refused.value.error.code == "invalid_credentials"
