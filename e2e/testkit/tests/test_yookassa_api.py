"""What YooKassa's API refuses, forgets and lets expire, seen without the SDK."""

from typing import Any

import httpx
import pytest

from testkit.simulators.remote import YookassaRemote
from testkit.simulators.server import running
from testkit.simulators.yookassa import YookassaSettings, create_yookassa

DAY = 24 * 60 * 60
KEY = {"Idempotence-Key": "key-1"}


def a_payment(**changes: Any) -> dict[str, Any]:
    """A payment request with some members changed."""
    return {
        "amount": {"value": "500.00", "currency": "RUB"},
        "confirmation": {"type": "redirect", "return_url": "https://shop.example/back"},
        "capture": True,
    } | changes


class TestCredentials:
    @pytest.mark.parametrize("credentials", [None, ("100500", "wrong"), ("100501", "test_secret")])
    def test_nobody_but_the_shop_gets_in(self, yookassa: YookassaRemote, credentials: tuple[str, str] | None) -> None:
        answer = httpx.post(f"{yookassa.url}/v3/payments", json=a_payment(), headers=KEY, auth=credentials)

        assert answer.status_code == 401
        assert (answer.json()["type"], answer.json()["code"]) == ("error", "invalid_credentials")
        assert yookassa.payments() == []


class TestIdempotence:
    def test_a_post_without_a_key_is_refused(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        answer = api.post("/payments", json=a_payment())

        assert answer.status_code == 400
        assert answer.json()["parameter"] == "Idempotence-Key"
        assert yookassa.payments() == []

    def test_a_key_has_at_most_64_characters(self, api: httpx.Client) -> None:
        longest = api.post("/payments", json=a_payment(), headers={"Idempotence-Key": "k" * 64})
        too_long = api.post("/payments", json=a_payment(), headers={"Idempotence-Key": "k" * 65})

        assert (longest.status_code, too_long.status_code) == (200, 400)

    def test_the_order_of_members_does_not_make_other_data(self, api: httpx.Client) -> None:
        first = api.post("/payments", json=a_payment(), headers=KEY)

        second = api.post("/payments", json=dict(reversed(a_payment().items())), headers=KEY)

        assert second.json() == first.json()

    def test_a_repetition_shows_the_payment_in_its_current_status(
        self, api: httpx.Client, yookassa: YookassaRemote
    ) -> None:
        payment_id = api.post("/payments", json=a_payment(), headers=KEY).json()["id"]
        yookassa.pay(payment_id)

        again = api.post("/payments", json=a_payment(), headers=KEY).json()

        assert (again["id"], again["status"]) == (payment_id, "succeeded")

    def test_a_refused_request_leaves_its_key_free(self, api: httpx.Client) -> None:
        refused = api.post("/payments", json=a_payment(amount={"value": "0.00", "currency": "RUB"}), headers=KEY)

        accepted = api.post("/payments", json=a_payment(), headers=KEY)

        assert (refused.status_code, accepted.status_code) == (400, 200)

    def test_one_key_serves_one_address(self, api: httpx.Client) -> None:
        payment_id = api.post("/payments", json=a_payment(), headers=KEY).json()["id"]

        answer = api.post(f"/payments/{payment_id}/capture", json={}, headers=KEY)

        assert (answer.status_code, answer.json()["parameter"]) == (400, "Idempotence-Key")

    def test_after_24_hours_a_key_is_forgotten(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        first = api.post("/payments", json=a_payment(), headers=KEY).json()
        yookassa.advance_clock(DAY - 60)
        within = api.post("/payments", json=a_payment(), headers=KEY).json()
        yookassa.advance_clock(60)

        after = api.post("/payments", json=a_payment(), headers=KEY).json()

        assert within["id"] == first["id"]
        assert after["id"] != first["id"]


class TestStrictness:
    @pytest.mark.parametrize(
        ("changes", "parameter"),
        [
            ({"amount": None}, "amount"),
            ({"amount": {"value": 500, "currency": "RUB"}}, "amount.value"),
            ({"amount": {"value": "500.001", "currency": "RUB"}}, "amount.value"),
            ({"amount": {"value": "1 000.00", "currency": "RUB"}}, "amount.value"),
            ({"amount": {"value": "-1.00", "currency": "RUB"}}, "amount.value"),
            ({"amount": {"value": "0.00", "currency": "RUB"}}, "amount.value"),
            ({"amount": {"value": "1.00", "currency": "rub"}}, "amount.currency"),
            ({"amount": {"value": "1.00", "currency": ["RUB"]}}, "amount.currency"),
            ({"confirmation": {"type": "redirect", "return_url": "javascript:alert(1)"}}, "confirmation.return_url"),
            ({"confirmation": {"type": "embedded"}}, "confirmation.type"),
            ({"capture": "true"}, "capture"),
            ({"description": "d" * 129}, "description"),
            ({"metadata": {"attempt": 1}}, "metadata.attempt"),
            ({"metadata": {f"key{number}": "" for number in range(17)}}, "metadata"),
            ({"save_payment_method": "yes"}, "save_payment_method"),
            ({"payment_method_id": "22e12f66-000f-5000-8000-18db351245c7", "confirmation": None}, "payment_method_id"),
            ({"payment_method_id": 7, "confirmation": None}, "payment_method_id"),
            ({"payment_method_id": "22e12f66-000f-5000-8000-18db351245c7"}, "confirmation"),
            ({"payment_method_id": "x", "payment_method_data": {"type": "bank_card"}}, "payment_method_data"),
            ({"payment_method_data": {"type": "sbp"}}, "payment_method_data.type"),
            ({"deal": {"id": "d"}}, "deal"),
        ],
    )
    def test_a_malformed_member_is_named_and_nothing_is_created(
        self, api: httpx.Client, yookassa: YookassaRemote, changes: dict[str, Any], parameter: str
    ) -> None:
        answer = api.post("/payments", json=a_payment(**changes), headers=KEY)

        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert answer.json()["parameter"] == parameter
        assert yookassa.payments() == []

    @pytest.mark.parametrize("params", [{"limit": "0"}, {"limit": "101"}, {"cursor": "x"}, {"status.not": "x"}])
    def test_a_list_refuses_what_it_does_not_know(self, api: httpx.Client, params: dict[str, str]) -> None:
        answer = api.get("/payments", params=params)

        assert answer.status_code == 400

    def test_unknown_addresses_and_methods_answer_in_the_providers_shape(self, api: httpx.Client) -> None:
        answers = [api.get("/nothing"), api.delete("/payments"), api.post("/payments", content=b"{}", headers=KEY)]

        assert [answer.status_code for answer in answers] == [404, 405, 415]
        assert {answer.json()["type"] for answer in answers} == {"error"}

    def test_a_body_that_is_no_object_is_refused(self, api: httpx.Client) -> None:
        headers = KEY | {"Content-Type": "application/json"}

        answers = [api.post("/payments", content=body, headers=headers) for body in (b"[]", b"{", b"\xff")]

        assert [answer.status_code for answer in answers] == [400, 400, 400]


class TestLists:
    def test_payments_since_a_moment(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        early = api.post("/payments", json=a_payment(), headers=KEY).json()
        yookassa.advance_clock(60)
        late = api.post("/payments", json=a_payment(), headers={"Idempotence-Key": "key-2"}).json()

        since = api.get("/payments", params={"created_at.gte": late["created_at"]}).json()
        before = api.get("/payments", params={"created_at.lt": late["created_at"]}).json()

        assert [payment["id"] for payment in since["items"]] == [late["id"]]
        assert early["id"] in [payment["id"] for payment in before["items"]]


class TestExpiry:
    def test_an_unpaid_payment_is_cancelled_after_an_hour(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        payment_id = api.post("/payments", json=a_payment(), headers=KEY).json()["id"]

        yookassa.advance_clock(60 * 60)

        payment = api.get(f"/payments/{payment_id}").json()
        assert payment["status"] == "canceled"
        assert payment["cancellation_details"] == {"party": "yoo_money", "reason": "expired_on_confirmation"}
        assert [sent["event"] for sent in yookassa.notifications()] == ["payment.canceled"]

    def test_an_uncaptured_payment_is_cancelled_after_seven_days(
        self, api: httpx.Client, yookassa: YookassaRemote
    ) -> None:
        payment_id = api.post("/payments", json=a_payment(capture=False), headers=KEY).json()["id"]
        yookassa.pay(payment_id)

        yookassa.advance_clock(7 * DAY)

        payment = api.get(f"/payments/{payment_id}").json()
        assert (payment["status"], payment["paid"]) == ("canceled", False)
        assert payment["cancellation_details"]["reason"] == "expired_on_capture"


class TestTheTestFlag:
    def test_a_shop_that_is_none_for_tests_says_so_everywhere(self, yookassa_settings: YookassaSettings) -> None:
        credentials = (yookassa_settings.shop_id, yookassa_settings.secret_key)
        app = create_yookassa(yookassa_settings.model_copy(update={"is_test": False}))

        with running(app) as server, httpx.Client(base_url=f"{server.url}/v3", auth=credentials) as api:
            payment = api.post("/payments", json=a_payment(), headers=KEY).json()
            me = api.get("/me").json()

        assert (payment["test"], me["test"]) == (False, False)


class TestSeeds:
    def test_equal_seeds_give_equal_ids_but_for_their_time(self, yookassa_settings: YookassaSettings) -> None:
        def first_id(settings: YookassaSettings) -> str:
            with running(create_yookassa(settings)) as server:
                credentials = (settings.shop_id, settings.secret_key)
                answer = httpx.post(f"{server.url}/v3/payments", json=a_payment(), headers=KEY, auth=credentials)
            return str(answer.json()["id"]).partition("-")[2]

        first, second = first_id(yookassa_settings), first_id(yookassa_settings)
        other = first_id(yookassa_settings.model_copy(update={"seed": 8}))

        assert first == second != other
