"""Receipts (54-FZ) at the simulated YooKassa: what it demands, and how far a receipt comes."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from testkit.simulators.remote import YookassaRemote
from testkit.simulators.server import running
from testkit.simulators.yookassa import YookassaSettings, create_yookassa
from testkit.simulators.yookassa.receipts import ReceiptMode
from testkit.simulators.yookassa.refunds import RefundMode

CARD = {"type": "redirect", "return_url": "https://shop.example/back"}


@pytest.fixture(scope="module")
def strict(yookassa_settings: YookassaSettings) -> Iterator[httpx.Client]:
    """The API of a shop that has to send receipts."""
    app = create_yookassa(yookassa_settings.model_copy(update={"demands_receipts": True}))
    credentials = (yookassa_settings.shop_id, yookassa_settings.secret_key)
    with running(app) as server, httpx.Client(base_url=f"{server.url}/v3", auth=credentials, trust_env=False) as client:
        yield client


def a_line(**changes: Any) -> dict[str, Any]:
    """The one line of a receipt, with some members changed."""
    return {
        "description": "Top-up",
        "quantity": "1.00",
        "amount": {"value": "500.00", "currency": "RUB"},
        "vat_code": 1,
        "payment_mode": "full_prepayment",
        "payment_subject": "payment",
    } | changes


def a_receipt(**changes: Any) -> dict[str, Any]:
    """A receipt with some members changed."""
    return {"customer": {"email": "ada@shop.example"}, "items": [a_line()], "tax_system_code": 2} | changes


def a_payment(receipt: dict[str, Any] | None) -> dict[str, Any]:
    """A payment request."""
    body = {"amount": {"value": "500.00", "currency": "RUB"}, "confirmation": CARD, "capture": True}
    return body if receipt is None else body | {"receipt": receipt}


def begun(api: httpx.Client, receipt: dict[str, Any] | None) -> dict[str, Any]:
    """A new payment."""
    answer = api.post("/payments", json=a_payment(receipt), headers={"Idempotence-Key": "key-1"})
    assert answer.status_code == 200, answer.text
    payment: dict[str, Any] = answer.json()
    return payment


class TestAReceiptsLife:
    @pytest.mark.parametrize(
        ("mode", "status"),
        [
            (ReceiptMode.SUCCEED, "succeeded"),
            (ReceiptMode.WAIT, "pending"),
            (ReceiptMode.CANCEL, "canceled"),
        ],
    )
    def test_it_is_registered_when_the_payment_succeeds(
        self, api: httpx.Client, yookassa: YookassaRemote, mode: ReceiptMode, status: str
    ) -> None:
        yookassa.let_receipts(mode)
        created = begun(api, a_receipt())

        paid = yookassa.pay(created["id"])

        assert (created["receipt_registration"], paid["receipt_registration"]) == ("pending", status)

    def test_that_of_a_canceled_payment_is_canceled(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        created = begun(api, a_receipt())

        declined = yookassa.decline(created["id"])

        assert declined["receipt_registration"] == "canceled"

    @pytest.mark.parametrize(("is_good", "status"), [(True, "succeeded"), (False, "canceled")])
    def test_one_that_waits_ends_by_hand_and_once(
        self, api: httpx.Client, yookassa: YookassaRemote, *, is_good: bool, status: str
    ) -> None:
        yookassa.let_receipts(ReceiptMode.WAIT)
        yookassa.pay(begun(api, a_receipt())["id"])
        (receipt,) = yookassa.receipts()

        ended = yookassa.end_receipt(receipt["id"], is_good=is_good)

        assert (ended["status"], yookassa.payments()[0]["receipt_registration"]) == (status, status)
        assert ("fiscal_document_number" in ended) is is_good
        with pytest.raises(httpx.HTTPStatusError):
            yookassa.end_receipt(receipt["id"], is_good=is_good)

    def test_a_refund_has_one_of_its_own(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        yookassa.let_refunds(RefundMode.WAIT)
        payment_id = begun(api, a_receipt())["id"]
        yookassa.pay(payment_id)
        asked = {"payment_id": payment_id, "amount": {"value": "500.00", "currency": "RUB"}, "receipt": a_receipt()}
        refund = api.post("/refunds", json=asked, headers={"Idempotence-Key": "key-2"}).json()

        ended = yookassa.end_refund(refund["id"], is_good=False)

        (of_refund,) = api.get("/receipts", params={"refund_id": refund["id"]}).json()["items"]
        assert (refund["receipt_registration"], ended["receipt_registration"]) == ("pending", "canceled")
        assert (of_refund["type"], of_refund["status"]) == ("refund", "canceled")

    def test_a_payment_without_a_receipt_says_nothing_of_one(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        created = begun(api, None)

        assert "receipt_registration" not in created
        assert yookassa.receipts() == []


class TestReadingReceipts:
    def test_they_are_listed_by_payment_and_found_by_id(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        payment_id = begun(api, a_receipt())["id"]
        yookassa.pay(payment_id)

        (listed,) = api.get("/receipts", params={"payment_id": payment_id, "status": "succeeded"}).json()["items"]

        assert api.get(f"/receipts/{listed['id']}").json() == listed
        assert (listed["type"], listed["tax_system_code"], listed["items"]) == ("payment", 2, [a_line()])
        assert listed["fiscal_document_number"] == "1"
        assert api.get("/receipts", params={"payment_id": "another"}).json()["items"] == []

    def test_an_unknown_one_is_not_found(self, api: httpx.Client) -> None:
        assert api.get("/receipts/rt-unknown").status_code == 404


class TestWhatAReceiptMustBe:
    @pytest.mark.parametrize(
        ("receipt", "parameter"),
        [
            ("receipt", "receipt"),
            (a_receipt(customer={}), "receipt.customer"),
            (a_receipt(customer={"email": "ada"}), "receipt.customer.email"),
            (a_receipt(customer={"phone": "8 (900) 000-00-00"}), "receipt.customer.phone"),
            (a_receipt(items=[]), "receipt.items"),
            (a_receipt(items=["line"]), "receipt.items"),
            (a_receipt(items=[a_line()] * 2), "receipt.items"),
            (a_receipt(items=[a_line(quantity="2.00")]), "receipt.items"),
            (a_receipt(items=[a_line(description="d" * 129)]), "receipt.items.description"),
            (a_receipt(items=[a_line(quantity="one")]), "receipt.items.quantity"),
            (a_receipt(items=[a_line(vat_code=13)]), "receipt.items.vat_code"),
            (a_receipt(items=[a_line(amount={"value": "500.00", "currency": "USD"})]), "receipt.items.amount.currency"),
            (a_receipt(tax_system_code=7), "receipt.tax_system_code"),
        ],
    )
    def test_a_malformed_member_is_named_and_nothing_is_created(
        self, api: httpx.Client, yookassa: YookassaRemote, receipt: Any, parameter: str
    ) -> None:
        answer = api.post("/payments", json=a_payment(receipt), headers={"Idempotence-Key": "key-1"})

        assert (answer.status_code, answer.json()["parameter"]) == (400, parameter)
        assert yookassa.payments() == []

    def test_a_phone_number_is_enough(self, api: httpx.Client) -> None:
        created = begun(api, a_receipt(customer={"phone": "79000000000"}, items=[a_line(quantity="1.000")]))

        assert created["receipt_registration"] == "pending"


class TestAShopUnderTheLaw:
    def test_payments_without_a_receipt_are_refused(self, strict: httpx.Client) -> None:
        answer = strict.post("/payments", json=a_payment(None), headers={"Idempotence-Key": "key-1"})

        assert (answer.status_code, answer.json()["parameter"]) == (400, "receipt")

    def test_refunds_without_a_receipt_are_refused(self, strict: httpx.Client) -> None:
        asked = {"payment_id": "any", "amount": {"value": "1.00", "currency": "RUB"}}

        answer = strict.post("/refunds", json=asked, headers={"Idempotence-Key": "key-2"})

        assert (answer.status_code, answer.json()["parameter"]) == (400, "receipt")

    def test_it_says_so(self, strict: httpx.Client) -> None:
        assert strict.get("/me").json()["fiscalization_enabled"]
