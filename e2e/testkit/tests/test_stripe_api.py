"""What Stripe's API refuses, forgets and lets expire, seen without the SDK; and what customers and operators see."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from testkit.simulators.notifications import DeliveryMode, WebhookTarget
from testkit.simulators.remote import ReceiverRemote, StripeRemote
from testkit.simulators.server import running
from testkit.simulators.stripe import StripeSettings, create_stripe

SHOP = "https://shop.example"
PRICE = "line_items[0][price_data]"


@pytest.fixture
def api(stripe: StripeRemote, stripe_settings: StripeSettings) -> Iterator[httpx.Client]:
    """A plain HTTP client with the account's key."""
    headers = {"Authorization": f"Bearer {stripe_settings.secret_key}"}
    with httpx.Client(base_url=f"{stripe.url}/v1", headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def customer() -> Iterator[httpx.Client]:
    """A customer's browser: no key, no redirects followed."""
    with httpx.Client(timeout=10, trust_env=False) as browser:
        yield browser


def a_session(**changes: str) -> dict[str, str]:
    """A request for a session, as a form, with some members changed; an empty one is left out."""
    body = {
        "mode": "payment",
        "success_url": f"{SHOP}/paid?session={{CHECKOUT_SESSION_ID}}",
        "cancel_url": f"{SHOP}/left",
        f"{PRICE}[currency]": "usd",
        f"{PRICE}[unit_amount]": "50000",
        f"{PRICE}[product_data][name]": "Top-up <b>wal_1</b>",
        "line_items[0][quantity]": "1",
        **changes,
    }
    return {name: value for name, value in body.items() if value}


def new_session(api: httpx.Client, **changes: str) -> dict[str, Any]:
    """A session that nobody has paid."""
    answer = api.post("/checkout/sessions", data=a_session(**changes))
    assert answer.status_code == 200, answer.text
    session: dict[str, Any] = answer.json()
    return session


class TestCredentials:
    @pytest.mark.parametrize("authorization", ["", "Bearer sk_test_wrong", "Basic c2tfdGVzdF90ZXN0czo="])
    def test_nobody_without_the_key_gets_in(self, stripe: StripeRemote, authorization: str) -> None:
        answer = httpx.get(f"{stripe.url}/v1/account", headers={"Authorization": authorization})

        assert (answer.status_code, answer.json()["error"]["type"]) == (401, "invalid_request_error")


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("changes", "parameter"),
        [
            ({"mode": "subscription"}, "mode"),
            ({"success_url": ""}, "success_url"),
            ({"success_url": "javascript:alert(1)"}, "success_url"),
            ({"cancel_url": "/left"}, "cancel_url"),
            ({"customer": "cus_nobody"}, "customer"),
            ({"allow_promotion_codes": "true"}, "allow_promotion_codes"),
            ({"payment_intent_data[transfer_data]": "x"}, "payment_intent_data[transfer_data]"),
            ({"payment_intent_data": "x"}, "payment_intent_data"),
            ({f"{PRICE}[unit_amount]": "5.00"}, f"{PRICE}[unit_amount]"),
            ({f"{PRICE}[unit_amount]": "0"}, f"{PRICE}[unit_amount]"),
            ({f"{PRICE}[currency]": "dollars"}, "currency"),
            ({"line_items[0][quantity]": ""}, "quantity"),
            ({"line_items[1][quantity]": "1"}, "line_items"),
            ({"metadata[a]": "x" * 501}, "metadata[a]"),
            ({"client_reference_id": "x" * 201}, "client_reference_id"),
            ({"expires_at": "60"}, "expires_at"),
            ({"expand": "payment_intent"}, "expand"),
            ({"expand[0]": "nothing"}, "expand"),
            ({"expand[0]": "a.b.c.d.e"}, "expand"),
            ({"a b": "1"}, "a b"),
            ({"mode[x]": "1"}, "mode[x]"),
        ],
    )
    def test_a_session_that_is_not_as_documented(
        self, api: httpx.Client, stripe: StripeRemote, changes: dict[str, str], parameter: str
    ) -> None:
        answer = api.post("/checkout/sessions", data=a_session(**changes))

        assert answer.status_code in {400, 404}
        assert answer.json()["error"]["param"] == parameter
        assert stripe.notifications() == []

    @pytest.mark.parametrize(
        "body",
        [
            {"amount": "500"},
            {"amount": "500", "currency": "usd", "off_session": "true"},
            {"amount": "500", "currency": "usd", "confirm": "true"},
            {"amount": "500", "currency": "usd", "confirm": "perhaps"},
            {"amount": "500", "currency": "usd", "capture_method": "later"},
            {"amount": "500", "currency": "usd", "payment_method": "pm_nobodys"},
        ],
    )
    def test_an_intent_that_is_not_as_documented(self, api: httpx.Client, body: dict[str, str]) -> None:
        assert api.post("/payment_intents", data=body).status_code in {400, 404}

    @pytest.mark.parametrize(
        "query", ["limit=0", "limit=101", "limit=x", "colour=red", "created[around]=1", "starting_after=cs_nobody"]
    )
    def test_a_list_that_nobody_offers(self, api: httpx.Client, query: str) -> None:
        assert api.get(f"/checkout/sessions?{query}").status_code == 400

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 400),
            ({"payment_intent": "pi_nobody"}, 404),
            ({"charge": "ch_nobody"}, 404),
            ({"payment_intent": "pi_nobody", "reason": "boredom"}, 400),
        ],
    )
    def test_a_refund_of_nothing(self, api: httpx.Client, body: dict[str, str], status: int) -> None:
        assert api.post("/refunds", data=body).status_code == status

    def test_what_is_not_there(self, api: httpx.Client) -> None:
        answers = (api.get("/coupons"), api.post("/account"), api.get("/refunds/re_nobody"), api.get("/refunds/../x"))

        assert [answer.status_code for answer in answers] == [404, 405, 404, 404]

    def test_json_where_a_form_belongs(self, api: httpx.Client) -> None:
        assert api.post("/customers", json={"name": "Ada"}).status_code == 400

    def test_an_empty_body_is_a_form_without_members(self, api: httpx.Client) -> None:
        assert api.post("/customers").json()["object"] == "customer"

    @pytest.mark.parametrize("key", ["", "x" * 256])
    def test_a_key_that_is_none(self, api: httpx.Client, key: str) -> None:
        answer = api.post("/checkout/sessions", data=a_session(), headers={"Idempotency-Key": key})

        assert answer.json()["error"]["param"] == "Idempotency-Key"


class TestTime:
    def test_a_session_expires_after_a_day_and_its_intent_with_it(
        self, api: httpx.Client, stripe: StripeRemote
    ) -> None:
        session = new_session(api)
        stripe.act(session["id"], "decline")

        stripe.advance_clock(24 * 60 * 60)

        found = api.get(f"/checkout/sessions/{session['id']}?expand[]=payment_intent").json()
        assert (found["status"], found["payment_intent"]["status"]) == ("expired", "canceled")
        assert [item["event"] for item in stripe.notifications()][-2:] == [
            "payment_intent.canceled",
            "checkout.session.expired",
        ]

    def test_a_late_event_comes_when_its_time_has_come(
        self, api: httpx.Client, stripe: StripeRemote, receiver: ReceiverRemote
    ) -> None:
        stripe.set_webhook(WebhookTarget(url=receiver.url))
        stripe.notify(DeliveryMode.LATE, late_seconds=600)
        stripe.act(new_session(api)["id"], "expire")
        before = receiver.calls()

        stripe.advance_clock(600)

        assert before == []
        assert [call["body"]["type"] for call in receiver.calls(at_least=1)] == ["checkout.session.expired"]


class TestSlowMethods:
    @pytest.mark.parametrize(
        ("step", "payment_status", "event"),
        [
            ("arrive", "paid", "checkout.session.async_payment_succeeded"),
            ("fail", "unpaid", "checkout.session.async_payment_failed"),
        ],
    )
    def test_the_money_comes_or_not_after_the_session_is_complete(
        self, api: httpx.Client, stripe: StripeRemote, step: str, payment_status: str, event: str
    ) -> None:
        session = new_session(api)
        waiting = stripe.act(session["id"], "process")

        ended = stripe.act(session["id"], step)

        assert (waiting["status"], waiting["payment_status"]) == ("complete", "unpaid")
        assert (ended["status"], ended["payment_status"]) == ("complete", payment_status)
        assert stripe.notifications()[-1]["event"] == event

    def test_nothing_arrives_that_was_not_sent(self, api: httpx.Client, stripe: StripeRemote) -> None:
        with pytest.raises(httpx.HTTPStatusError):
            stripe.act(new_session(api)["id"], "arrive")


class TestTheCheckoutPage:
    def test_it_names_what_is_paid_and_offers_four_ways(self, api: httpx.Client, customer: httpx.Client) -> None:
        page = customer.get(new_session(api)["url"]).text

        assert [name for name in ("pay", "challenge", "decline", "abandon") if f'value="{name}"' in page] == [
            "pay",
            "challenge",
            "decline",
            "abandon",
        ]
        assert "Top-up &lt;b&gt;wal_1&lt;/b&gt;" in page

    def test_paying_and_leaving_lead_back_to_the_shop(self, api: httpx.Client, customer: httpx.Client) -> None:
        paid, left = new_session(api), new_session(api)

        back = [
            customer.post(session["url"], data={"action": action}).headers["location"]
            for session, action in ((paid, "pay"), (left, "abandon"))
        ]

        assert back == [f"{SHOP}/paid?session={paid['id']}", f"{SHOP}/left"]

    def test_a_declined_card_stays_on_the_page_and_another_one_pays(
        self, api: httpx.Client, customer: httpx.Client, stripe: StripeRemote
    ) -> None:
        session = new_session(api)

        again = customer.post(session["url"], data={"action": "decline"}, follow_redirects=True)
        customer.post(session["url"], data={"action": "pay"})

        assert "Your card was declined" in again.text
        assert stripe.state("sessions")[0]["payment_status"] == "paid"

    @pytest.mark.parametrize(("answer", "payment_status"), [("authenticate", "paid"), ("fail", "unpaid")])
    def test_the_bank_asks_before_it_decides(
        self, api: httpx.Client, customer: httpx.Client, stripe: StripeRemote, answer: str, payment_status: str
    ) -> None:
        session = new_session(api)

        question = customer.post(session["url"], data={"action": "challenge"}, follow_redirects=True)
        customer.post(session["url"], data={"action": answer})

        assert "3-D Secure" in question.text
        assert stripe.state("sessions")[0]["payment_status"] == payment_status

    def test_pressing_pay_in_a_second_tab_pays_once(
        self, api: httpx.Client, customer: httpx.Client, stripe: StripeRemote
    ) -> None:
        session = new_session(api)
        customer.post(session["url"], data={"action": "pay"})

        late = customer.post(session["url"], data={"action": "pay"})

        assert (late.status_code, len(stripe.state("charges"))) == (409, 1)
        assert f'href="{SHOP}/paid?session={session["id"]}"' in late.text

    def test_an_unknown_session_has_no_page(self, customer: httpx.Client, stripe: StripeRemote) -> None:
        answer = customer.get(f"{stripe.url}/c/pay/cs_nobody")

        assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")


class TestTheStatePage:
    def test_an_operator_refunds_disputes_and_decides(
        self, api: httpx.Client, customer: httpx.Client, stripe: StripeRemote
    ) -> None:
        refunded, won, lost = (stripe.act(new_session(api)["id"], "pay")["payment_intent"] for _ in range(3))
        customer.post(f"{stripe.url}/state/intents/{refunded}/refund")
        for intent_id in (won, lost):
            customer.post(f"{stripe.url}/state/intents/{intent_id}/dispute")
        first, second = (dispute["id"] for dispute in stripe.state("disputes"))

        customer.post(f"{stripe.url}/state/disputes/{first}/win")
        customer.post(f"{stripe.url}/state/disputes/{second}/lose")

        assert [refund["amount"] for refund in stripe.state("refunds")] == [50_000]
        assert [dispute["status"] for dispute in stripe.state("disputes")] == ["won", "lost"]
        page = customer.get(stripe.url).text
        assert all(item in page for item in (refunded, first, "charge.dispute.closed"))

    def test_an_operator_holds_events_back_sends_them_and_loses_them(
        self, api: httpx.Client, customer: httpx.Client, stripe: StripeRemote, receiver: ReceiverRemote
    ) -> None:
        stripe.set_webhook(WebhookTarget(url=receiver.url))
        customer.post(f"{stripe.url}/state/mode", data={"mode": "hold"})
        for _ in range(2):
            stripe.act(new_session(api)["id"], "expire")
        first, second = (item["id"] for item in stripe.notifications())

        customer.post(f"{stripe.url}/state/notifications/{first}/deliver")
        customer.post(f"{stripe.url}/state/notifications/{second}/lose")

        assert [item["state"] for item in stripe.notifications()] == ["delivered", "lost"]
        assert len(receiver.calls()) == 1

    def test_an_unknown_event_is_not_found(self, customer: httpx.Client, stripe: StripeRemote) -> None:
        answer = customer.post(f"{stripe.url}/control/notifications/ntf_nobody/lose")

        assert answer.status_code == 404


class TestTheSeed:
    def test_equal_calls_give_equal_ids(self, stripe_settings: StripeSettings) -> None:
        ids = []
        for _ in range(2):
            with running(create_stripe(stripe_settings)) as server, StripeRemote(server.url) as remote:
                remote.reserve(500)
                ids.append([item["id"] for kind in ("intents", "charges") for item in remote.state(kind)])
                ids[-1] += [item["body"]["id"] for item in remote.notifications()]

        assert ids[0] == ids[1]

    def test_without_a_secret_nothing_is_signed(self, receiver: ReceiverRemote) -> None:
        target = WebhookTarget(url=receiver.url)
        settings = StripeSettings(webhook_secret="", webhook=target)
        with running(create_stripe(settings)) as server, StripeRemote(server.url) as remote:
            remote.reserve(500)
            remote.wait_for_notifications()

        assert all("stripe-signature" not in call["headers"] for call in receiver.calls(at_least=1))
