"""Saved methods and refunds that take their time at the simulated YooKassa."""

from typing import Any

import httpx
import pytest

from testkit.simulators.remote import YookassaRemote
from testkit.simulators.yookassa.refunds import RefundMode

RUB_500 = {"value": "500.00", "currency": "RUB"}
CARD = {"type": "redirect", "return_url": "https://shop.example/back"}


def post(api: httpx.Client, key: str, **members: Any) -> dict[str, Any]:
    """A new payment of 500 roubles."""
    answer = api.post("/payments", json={"amount": RUB_500} | members, headers={"Idempotence-Key": key})
    assert answer.status_code == 200, answer.text
    payment: dict[str, Any] = answer.json()
    return payment


@pytest.fixture
def method_id(api: httpx.Client, yookassa: YookassaRemote) -> str:
    """A card that a customer has let the provider keep."""
    payment_id = post(api, "key-1", confirmation=CARD, capture=True, save_payment_method=True)["id"]
    yookassa.pay(payment_id)
    return str(payment_id)


class TestSaving:
    def test_a_method_is_saved_once_its_payment_has_succeeded(
        self, api: httpx.Client, yookassa: YookassaRemote
    ) -> None:
        payment_id = post(api, "key-1", confirmation=CARD, save_payment_method=True)["id"]
        reserved = yookassa.pay(payment_id)

        taken = api.post(f"/payments/{payment_id}/capture", json={}, headers={"Idempotence-Key": "key-2"}).json()

        assert not reserved["payment_method"]["saved"]
        assert (taken["payment_method"]["saved"], taken["payment_method"]["id"]) == (True, payment_id)

    def test_nothing_is_saved_unasked(self, api: httpx.Client, yookassa: YookassaRemote) -> None:
        payment_id = post(api, "key-1", confirmation=CARD, capture=True)["id"]

        paid = yookassa.pay(payment_id)

        assert not paid["payment_method"]["saved"]


class TestCharging:
    def test_it_is_over_at_once_and_announced(
        self, api: httpx.Client, yookassa: YookassaRemote, method_id: str
    ) -> None:
        charged = post(api, "key-2", payment_method_id=method_id, capture=True)

        assert (charged["status"], charged["paid"], "confirmation" in charged) == ("succeeded", True, False)
        assert (charged["payment_method"]["id"], charged["payment_method"]["saved"]) == (method_id, True)
        assert [sent["object_id"] for sent in yookassa.notifications()] == [method_id, charged["id"]]

    def test_it_can_be_of_two_stages(self, api: httpx.Client, method_id: str) -> None:
        charged = post(api, "key-2", payment_method_id=method_id, capture=False)

        assert charged["status"] == "waiting_for_capture"

    def test_a_refusing_bank_ends_the_payment_until_it_accepts_again(
        self, api: httpx.Client, yookassa: YookassaRemote, method_id: str
    ) -> None:
        yookassa.refuse_method(method_id, reason="card_expired")
        refused = post(api, "key-2", payment_method_id=method_id, capture=True)
        yookassa.accept_method(method_id)

        accepted = post(api, "key-3", payment_method_id=method_id, capture=True)

        assert (refused["status"], refused["cancellation_details"]["reason"]) == ("canceled", "card_expired")
        assert accepted["status"] == "succeeded"

    def test_a_method_that_was_not_saved_cannot_be_refused(self, yookassa: YookassaRemote) -> None:
        with pytest.raises(httpx.HTTPStatusError):
            yookassa.refuse_method("unknown")


class TestRefundsThatWait:
    @pytest.mark.parametrize(
        ("is_good", "status", "refunded", "events"),
        [
            (True, "succeeded", "500.00", ["payment.succeeded", "refund.succeeded"]),
            (False, "canceled", "0.00", ["payment.succeeded"]),
        ],
    )
    def test_one_ends_by_hand(
        self,
        yookassa: YookassaRemote,
        method_id: str,
        *,
        is_good: bool,
        status: str,
        refunded: str,
        events: list[str],
    ) -> None:
        yookassa.let_refunds(RefundMode.WAIT)
        waiting = yookassa.refund_in_the_cabinet(method_id)
        before = yookassa.payments()[0]

        ended = yookassa.end_refund(waiting["id"], is_good=is_good)

        after = yookassa.payments()[0]
        assert (waiting["status"], ended["status"]) == ("pending", status)
        assert (before["refundable"], before["refunded_amount"]["value"]) == (False, "0.00")
        assert (after["refundable"], after["refunded_amount"]["value"]) == (not is_good, refunded)
        assert [sent["event"] for sent in yookassa.notifications()] == events

    def test_one_ends_once(self, yookassa: YookassaRemote, method_id: str) -> None:
        yookassa.let_refunds(RefundMode.WAIT)
        refund_id = yookassa.refund_in_the_cabinet(method_id)["id"]
        yookassa.end_refund(refund_id, is_good=False)

        with pytest.raises(httpx.HTTPStatusError):
            yookassa.end_refund(refund_id, is_good=True)
