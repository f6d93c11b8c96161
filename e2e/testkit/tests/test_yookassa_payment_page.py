"""What a customer sees and does on the payment page, over real HTTP; and the operators' page beside it."""

from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from typing_extensions import override

from testkit.simulators.notifications import DeliveryMode
from testkit.simulators.remote import YookassaRemote
from testkit.simulators.yookassa.receipts import ReceiptMode
from testkit.simulators.yookassa.refunds import RefundMode

RETURN_URL = "https://shop.example/a/b/billing/return?to=%2Fchat"


class Controls(HTMLParser):
    """The hidden fields and the buttons of a page's form."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.buttons: dict[str, tuple[str, str]] = {}
        self._open_button: tuple[str, str] | None = None
        self.feed(html)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = {name: value or "" for name, value in attrs}
        if tag == "input" and named["type"] == "hidden":
            self.hidden[named["name"]] = named["value"]
        if tag == "button":
            self._open_button = (named.get("name", ""), named.get("value", ""))

    @override
    def handle_data(self, data: str) -> None:
        if self._open_button is not None:
            self.buttons[data] = self._open_button
            self._open_button = None


@pytest.fixture
def customer() -> Iterator[httpx.Client]:
    """A customer's browser: no credentials, no redirects followed."""
    with httpx.Client(timeout=10, trust_env=False) as browser:
        yield browser


@pytest.fixture
def page_url(api: httpx.Client) -> str:
    """The payment page of a new payment."""
    body = {
        "amount": {"value": "1500.00", "currency": "RUB"},
        "confirmation": {"type": "redirect", "return_url": RETURN_URL},
        "capture": True,
        "description": "Top-up <b>wal_1</b>",
    }
    answer = api.post("/payments", json=body, headers={"Idempotence-Key": "key-1"})
    return str(answer.json()["confirmation"]["confirmation_url"])


def a_receipt(value: str) -> dict[str, Any]:
    """A receipt of one line."""
    item = {
        "description": "Top-up",
        "quantity": "1.00",
        "amount": {"value": value, "currency": "RUB"},
        "vat_code": 1,
        "payment_mode": "full_prepayment",
        "payment_subject": "payment",
    }
    return {"customer": {"email": "ada@shop.example"}, "items": [item]}


def press(customer: httpx.Client, page_url: str, button: str) -> httpx.Response:
    """Opens the page and presses the button with this label."""
    controls = Controls(customer.get(page_url).text)
    name, value = controls.buttons[button]
    return customer.post(page_url, data=controls.hidden | {name: value})


class TestThePaymentPage:
    def test_it_names_the_amount_and_offers_four_ways(self, customer: httpx.Client, page_url: str) -> None:
        page = customer.get(page_url)

        assert list(Controls(page.text).buttons) == ["Pay", "Pay with 3-D Secure", "Decline", "Abandon"]
        assert "1500.00 RUB" in page.text
        assert "Top-up &lt;b&gt;wal_1&lt;/b&gt;" in page.text

    @pytest.mark.parametrize(
        ("button", "status"), [("Pay", "succeeded"), ("Decline", "canceled"), ("Abandon", "pending")]
    )
    def test_each_way_leads_back_to_the_shop(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str, button: str, status: str
    ) -> None:
        answer = press(customer, page_url, button)

        assert (answer.status_code, answer.headers["location"]) == (303, RETURN_URL)
        assert yookassa.payments()[0]["status"] == status

    def test_an_abandoned_payment_can_still_be_paid(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        press(customer, page_url, "Abandon")

        press(customer, page_url, "Pay")

        assert yookassa.payments()[0]["status"] == "succeeded"

    def test_a_payment_that_is_over_offers_only_the_way_back(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        yookassa.pay(yookassa.payments()[0]["id"])

        page = customer.get(page_url)

        assert Controls(page.text).buttons == {}
        assert f'href="{RETURN_URL}"' in page.text

    def test_pressing_pay_in_a_second_tab_pays_once(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        controls = Controls(customer.get(page_url).text)
        press(customer, page_url, "Pay")

        late = customer.post(page_url, data=controls.hidden | {"action": "pay"})

        assert late.status_code == 409
        assert "This payment is over" in late.text
        assert len(yookassa.notifications()) == 1

    def test_an_unknown_payment_has_no_page(self, customer: httpx.Client, page_url: str) -> None:
        answer = customer.get(page_url.replace("orderId=", "orderId=x"))

        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


class TestThreeDSecure:
    def press_at_the_bank(self, customer: httpx.Client, page_url: str, button: str) -> httpx.Response:
        """Chooses 3-D Secure, follows to the bank's page and presses a button there."""
        to_the_bank = press(customer, page_url, "Pay with 3-D Secure")
        return press(customer, str(httpx.URL(page_url).join(to_the_bank.headers["location"])), button)

    def test_a_right_answer_pays_and_is_in_the_authorization(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        answer = self.press_at_the_bank(customer, page_url, "Confirm")

        (payment,) = yookassa.payments()
        assert (answer.status_code, answer.headers["location"]) == (303, RETURN_URL)
        assert payment["status"] == "succeeded"
        assert payment["authorization_details"]["three_d_secure"]["applied"]
        assert payment["authorization_details"]["three_d_secure"]["challenge_completed"]

    def test_a_wrong_answer_ends_the_payment(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        answer = self.press_at_the_bank(customer, page_url, "Enter a wrong code")

        (payment,) = yookassa.payments()
        assert (answer.status_code, answer.headers["location"]) == (303, RETURN_URL)
        assert (payment["status"], payment["cancellation_details"]["reason"]) == ("canceled", "3d_secure_failed")

    def test_until_the_answer_the_payment_is_pending(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        press(customer, page_url, "Pay with 3-D Secure")

        assert yookassa.payments()[0]["status"] == "pending"

    def test_nobody_answers_a_bank_that_has_not_asked(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        bank_url = page_url.replace("contract", "3ds")
        form = {"orderId": yookassa.payments()[0]["id"], "action": "confirm"}

        answer = customer.post(bank_url, data=form)

        assert answer.status_code == 409
        assert 'action="/checkout/payments/v2/contract"' in answer.text, "the page's buttons lead back to the checkout"
        assert yookassa.payments()[0]["status"] == "pending"

    def test_a_payment_that_is_over_asks_nobody(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        controls = Controls(customer.get(page_url).text)
        yookassa.pay(yookassa.payments()[0]["id"])

        late = customer.post(page_url, data=controls.hidden | {"action": "prove"})

        assert late.status_code == 409
        assert "This payment is over" in late.text


class TestTheStatePage:
    def test_an_operator_ends_a_refund_and_a_receipt_that_wait(
        self, customer: httpx.Client, yookassa: YookassaRemote, api: httpx.Client
    ) -> None:
        yookassa.let_receipts(ReceiptMode.WAIT)
        yookassa.let_refunds(RefundMode.WAIT)
        body = {
            "amount": {"value": "100.00", "currency": "RUB"},
            "confirmation": {"type": "redirect", "return_url": RETURN_URL},
            "capture": True,
            "receipt": a_receipt("100.00"),
        }
        payment_id = api.post("/payments", json=body, headers={"Idempotence-Key": "key-1"}).json()["id"]
        yookassa.pay(payment_id)
        refund_id = yookassa.refund_in_the_cabinet(payment_id)["id"]
        receipt_id = yookassa.receipts()[0]["id"]
        before = customer.get(yookassa.url).text

        customer.post(f"{yookassa.url}/state/refunds/{refund_id}/succeed")
        customer.post(f"{yookassa.url}/state/receipts/{receipt_id}/cancel")

        assert f'aria-label="Let {refund_id} succeed"' in before
        assert f'aria-label="Cancel {receipt_id}"' in before
        assert yookassa.refunds()[0]["status"] == "succeeded"
        assert yookassa.receipts()[0]["status"] == "canceled"
        assert 'aria-label="Let ' not in customer.get(yookassa.url).text

    def test_an_operator_sees_payments_and_sends_what_was_held(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        customer.post(f"{yookassa.url}/state/mode", data={"mode": DeliveryMode.HOLD.value})
        press(customer, page_url, "Pay")
        before = customer.get(yookassa.url).text

        customer.post(f"{yookassa.url}/state/notifications/ntf_000001/lose")

        payment_id = yookassa.payments()[0]["id"]
        assert payment_id in before
        assert 'aria-label="Send ntf_000001"' in before
        assert 'aria-label="Lose ntf_000001"' in before
        assert yookassa.notifications()[0]["state"] == "lost"

    def test_an_operator_refunds_in_the_cabinet(
        self, customer: httpx.Client, yookassa: YookassaRemote, page_url: str
    ) -> None:
        press(customer, page_url, "Pay")
        payment_id = yookassa.payments()[0]["id"]

        answer = customer.post(f"{yookassa.url}/state/payments/{payment_id}/refund")

        assert answer.status_code == 303
        assert yookassa.refunds()[0]["amount"] == {"value": "1500.00", "currency": "RUB"}
