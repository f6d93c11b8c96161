"""What a customer sees and does on the payment page, over real HTTP; and the operators' page beside it."""

from collections.abc import Iterator
from html.parser import HTMLParser

import httpx
import pytest
from typing_extensions import override

from testkit.simulators.notifications import DeliveryMode
from testkit.simulators.remote import YookassaRemote

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


def press(customer: httpx.Client, page_url: str, button: str) -> httpx.Response:
    """Opens the page and presses the button with this label."""
    controls = Controls(customer.get(page_url).text)
    name, value = controls.buttons[button]
    return customer.post(page_url, data=controls.hidden | {name: value})


class TestThePaymentPage:
    def test_it_names_the_amount_and_offers_three_ways(self, customer: httpx.Client, page_url: str) -> None:
        page = customer.get(page_url)

        assert list(Controls(page.text).buttons) == ["Pay", "Decline", "Abandon"]
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


class TestTheStatePage:
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
