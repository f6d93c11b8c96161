"""Notifications reach the shop's webhook in order, again, late, from elsewhere, or not at all."""

from collections.abc import Callable

import httpx
import pytest

from testkit.simulators.faults import Fault, FaultKind
from testkit.simulators.notifications import DeliveryMode
from testkit.simulators.remote import ReceiverRemote, YookassaRemote
from testkit.simulators.yookassa import WebhookTarget

NewPayment = Callable[[], str]


@pytest.fixture
def target(yookassa: YookassaRemote, receiver: ReceiverRemote) -> WebhookTarget:
    """The webhook of the shop, already set."""
    target = WebhookTarget(
        url=f"{receiver.url}/webhooks/yookassa?shop=1",
        source_address="127.0.0.2",
        query={"token": "t0ken"},
        headers={"X-Relay": "r1"},
        retry_delay_seconds=0.01,
    )
    yookassa.set_webhook(target)
    return target


@pytest.fixture
def new_payment(api: httpx.Client, target: WebhookTarget) -> NewPayment:
    """Creates a pending payment and returns its id."""
    del target
    keys = iter(range(1000))

    def create() -> str:
        body = {
            "amount": {"value": "100.00", "currency": "RUB"},
            "confirmation": {"type": "redirect", "return_url": "https://shop.example/back"},
            "capture": True,
        }
        answer = api.post("/payments", json=body, headers={"Idempotence-Key": f"key-{next(keys)}"})
        return str(answer.json()["id"])

    return create


def events_at(receiver: ReceiverRemote) -> list[tuple[str, str]]:
    """What the shop has received: event and object id."""
    return [(call["body"]["event"], call["body"]["object"]["id"]) for call in receiver.calls()]


class TestDelivery:
    def test_a_paid_payment_is_announced_once(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        payment_id = new_payment()

        yookassa.pay(payment_id)

        (sent,) = yookassa.wait_for_notifications()
        (received,) = receiver.calls()
        assert (sent["state"], [attempt["status"] for attempt in sent["attempts"]]) == ("delivered", [200])
        assert received["body"] == sent["body"]
        assert received["body"]["type"] == "notification"
        assert received["body"]["object"]["status"] == "succeeded"

    def test_it_comes_from_the_chosen_address_with_the_chosen_extras(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        yookassa.pay(new_payment())

        (received,) = receiver.calls(at_least=1)

        assert received["client"] == "127.0.0.2"
        assert (received["path"], received["query"]) == ("/webhooks/yookassa", "shop=1&token=t0ken")
        assert received["headers"]["x-relay"] == "r1"

    def test_notifications_keep_the_order_of_their_events(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        payment_id = new_payment()
        yookassa.pay(payment_id)

        refund = yookassa.refund_in_the_cabinet(payment_id, {"value": "40.00", "currency": "RUB"})

        yookassa.wait_for_notifications()
        assert events_at(receiver) == [("payment.succeeded", payment_id), ("refund.succeeded", refund["id"])]

    def test_a_refused_notification_is_tried_again(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        receiver.plan(Fault(kind=FaultKind.SERVER_ERROR))
        receiver.plan(Fault(kind=FaultKind.RESET))

        yookassa.pay(new_payment())

        (sent,) = yookassa.wait_for_notifications()
        assert [attempt["status"] for attempt in sent["attempts"]] == [500, None, 200]
        assert sent["attempts"][1]["error"] == "ReadError"
        assert sent["state"] == "delivered"

    def test_tries_are_bounded(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        receiver.plan(Fault(kind=FaultKind.SERVER_ERROR, times=10))

        yookassa.pay(new_payment())

        (sent,) = yookassa.wait_for_notifications()
        assert (sent["state"], len(sent["attempts"])) == ("failed", 3)

    def test_without_a_webhook_nothing_is_sent(self, yookassa: YookassaRemote, api: httpx.Client) -> None:
        body = {
            "amount": {"value": "100.00", "currency": "RUB"},
            "confirmation": {"type": "redirect", "return_url": "https://shop.example/back"},
            "capture": True,
        }
        payment_id = api.post("/payments", json=body, headers={"Idempotence-Key": "k"}).json()["id"]

        yookassa.pay(payment_id)

        (sent,) = yookassa.wait_for_notifications()
        assert (sent["state"], sent["attempts"]) == ("unaddressed", [])


class TestHoldingBack:
    def test_a_held_notification_waits_for_its_release(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        payment_id = new_payment()
        yookassa.notify(DeliveryMode.HOLD)
        yookassa.pay(payment_id)
        before = (yookassa.wait_for_notifications()[0]["state"], events_at(receiver))

        (released,) = yookassa.release()

        assert before == ("held", [])
        assert released["state"] == "delivered"
        assert events_at(receiver) == [("payment.succeeded", payment_id)]

    def test_held_notifications_can_be_released_in_another_order(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        payment_id = new_payment()
        yookassa.notify(DeliveryMode.HOLD)
        yookassa.pay(payment_id)
        yookassa.refund_in_the_cabinet(payment_id)

        yookassa.release([sent["id"] for sent in reversed(yookassa.notifications())])

        assert [event for event, _ in events_at(receiver)] == ["refund.succeeded", "payment.succeeded"]

    def test_a_held_notification_shows_the_object_as_it_was(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        payment_id = new_payment()
        yookassa.notify(DeliveryMode.HOLD)
        yookassa.pay(payment_id)
        yookassa.refund_in_the_cabinet(payment_id)

        yookassa.release()

        assert receiver.calls()[0]["body"]["object"]["refunded_amount"]["value"] == "0.00"

    def test_a_lost_notification_never_arrives(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        yookassa.notify(DeliveryMode.LOSE)
        yookassa.pay(new_payment())

        released = yookassa.release()

        assert released == []
        assert yookassa.notifications()[0]["state"] == "lost"
        assert receiver.calls() == []

    def test_a_held_notification_can_still_be_lost(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        yookassa.notify(DeliveryMode.HOLD)
        yookassa.pay(new_payment())

        yookassa.lose(yookassa.notifications()[0]["id"])

        assert yookassa.release() == []
        assert receiver.calls() == []


class TestRepeating:
    @pytest.mark.parametrize("at_once", [False, True])
    def test_a_notification_can_be_repeated(
        self,
        yookassa: YookassaRemote,
        receiver: ReceiverRemote,
        new_payment: NewPayment,
        at_once: bool,  # noqa: FBT001 - pytest passes parameters by name
    ) -> None:
        payment_id = new_payment()
        yookassa.pay(payment_id)
        (sent,) = yookassa.wait_for_notifications()

        repeated = yookassa.repeat(sent["id"], times=4, at_once=at_once)

        assert [attempt["status"] for attempt in repeated["attempts"]] == [200] * 5
        assert events_at(receiver) == [("payment.succeeded", payment_id)] * 5

    def test_an_unknown_notification_is_refused(self, yookassa: YookassaRemote) -> None:
        with pytest.raises(httpx.HTTPStatusError, match="404"):
            yookassa.repeat("ntf_999999")


class TestForging:
    def test_a_forged_notification_can_come_from_anywhere(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, target: WebhookTarget
    ) -> None:
        stranger = target.model_copy(update={"source_address": "127.0.0.66", "query": {}, "headers": {}})

        forged = yookassa.forge("payment.succeeded", {"id": "p-1", "status": "succeeded"}, target=stranger)

        (received,) = receiver.calls()
        assert forged["state"] == "delivered"
        assert (received["client"], received["query"]) == ("127.0.0.66", "shop=1")
        assert received["body"]["object"] == {"id": "p-1", "status": "succeeded"}
        assert yookassa.payments() == []


class TestDisorder:
    def test_in_the_duplicate_mode_each_arrives_twice(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        yookassa.notify(DeliveryMode.DUPLICATE)
        payment_id = new_payment()

        yookassa.pay(payment_id)
        yookassa.wait_for_notifications()

        assert events_at(receiver) == [("payment.succeeded", payment_id)] * 2

    def test_in_the_reorder_mode_each_second_one_overtakes_the_first(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        yookassa.notify(DeliveryMode.REORDER)
        payments = [new_payment() for _ in range(3)]

        for payment_id in payments:
            yookassa.pay(payment_id)
        sent = yookassa.wait_for_notifications()

        first, second, third = payments
        assert [payment_id for _, payment_id in events_at(receiver)] == [second, first]
        assert (sent[2]["object_id"], sent[2]["state"]) == (third, "held")

    def test_in_the_late_mode_it_arrives_when_its_time_has_come(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        yookassa.notify(DeliveryMode.LATE, late_seconds=600)
        payment_id = new_payment()
        yookassa.pay(payment_id)
        yookassa.advance_clock(590)
        before = yookassa.wait_for_notifications()

        yookassa.advance_clock(10)

        yookassa.wait_for_notifications()
        assert before[0]["state"] == "held"
        assert events_at(receiver) == [("payment.succeeded", payment_id)]

    def test_a_late_one_that_is_lost_by_hand_never_arrives(
        self, yookassa: YookassaRemote, receiver: ReceiverRemote, new_payment: NewPayment
    ) -> None:
        yookassa.notify(DeliveryMode.LATE, late_seconds=600)
        yookassa.pay(new_payment())
        yookassa.lose(yookassa.notifications()[0]["id"])

        yookassa.advance_clock(600)

        yookassa.wait_for_notifications()
        assert events_at(receiver) == []
