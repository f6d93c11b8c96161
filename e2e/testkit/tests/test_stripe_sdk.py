"""The official `stripe` SDK works against the simulator unchanged, with and without asyncio."""

import json
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from stripe import (
    AuthenticationError,
    CardError,
    HTTPXClient,
    IdempotencyError,
    InvalidRequestError,
    PaymentIntent,
    SignatureVerificationError,
    StripeClient,
    Webhook,
)
from stripe.checkout import Session

from testkit.simulators.notifications import WebhookTarget
from testkit.simulators.remote import ReceiverRemote, StripeRemote
from testkit.simulators.stripe import StripeSettings

RETURN_URL = "https://shop.example/back?order=7"


@pytest.fixture
def sdk(stripe: StripeRemote, stripe_settings: StripeSettings) -> StripeClient:
    """The SDK, pointed at the simulator the way its documentation says."""
    return StripeClient(stripe_settings.secret_key, base_addresses={"api": stripe.url}, max_network_retries=0)


@pytest.fixture
async def async_sdk(stripe: StripeRemote, stripe_settings: StripeSettings) -> AsyncIterator[StripeClient]:
    """The same for asyncio."""
    connections = HTTPXClient(timeout=10)
    yield StripeClient(
        stripe_settings.secret_key,
        base_addresses={"api": stripe.url},
        max_network_retries=0,
        http_client=connections,
    )
    await connections.close_async()  # type: ignore[no-untyped-call]  # the SDK leaves it without types


def a_session(*, amount: int = 50_000, currency: str = "usd", **more: Any) -> Any:
    """A request for a Checkout session as a shop writes it."""
    price = {"currency": currency, "unit_amount": amount, "product_data": {"name": "Top-up"}}
    return {
        "mode": "payment",
        "success_url": RETURN_URL,
        "cancel_url": RETURN_URL,
        "client_reference_id": "pay_1",
        "line_items": [{"price_data": price, "quantity": 1}],
        "metadata": {"payment_id": "pay_1"},
        **more,
    }


def a_kept_card(sdk: StripeClient, stripe: StripeRemote) -> dict[str, str]:
    """A customer and the card that a first payment left with the provider."""
    customer = sdk.v1.customers.create({"metadata": {"account_id": "acc_1"}})
    intent_data = {"setup_future_usage": "off_session"}
    session = sdk.v1.checkout.sessions.create(a_session(customer=customer.id, payment_intent_data=intent_data))
    stripe.act(session.id, "pay")
    intent = the_intent(sdk, session.id)
    return {"customer": customer.id, "payment_method": cast("str", intent.payment_method)}


def the_intent(sdk: StripeClient, session_id: str) -> PaymentIntent:
    """The intent behind a session."""
    session = sdk.v1.checkout.sessions.retrieve(session_id, {"expand": ["payment_intent"]})
    return cast("PaymentIntent", session.payment_intent)


def an_off_session_charge(amount: int, card: dict[str, str]) -> Any:
    """A request to charge a kept card without its owner."""
    return {"amount": amount, "currency": "usd", "confirm": True, "off_session": True, **card}


class TestCheckout:
    def test_a_new_session_is_open_and_leads_to_a_page(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        session = sdk.v1.checkout.sessions.create(a_session(), {"idempotency_key": "key-1"})

        assert (session.status, session.payment_status, session.livemode) == ("open", "unpaid", False)
        assert (session.amount_total, session.currency, session.payment_intent) == (50_000, "usd", None)
        assert session.metadata is not None
        assert session.metadata["payment_id"] == "pay_1"
        assert (session.url or "").startswith(f"{stripe.url}/c/pay/cs_")

    def test_a_paid_one_shows_charge_and_fee_on_request(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        session = sdk.v1.checkout.sessions.create(a_session())
        stripe.act(session.id, "pay")

        paths = ["payment_intent.latest_charge.balance_transaction"]
        found = sdk.v1.checkout.sessions.retrieve(session.id, {"expand": paths}).to_dict()

        charge = found["payment_intent"]["latest_charge"]
        assert (found["status"], found["payment_status"], found["url"]) == ("complete", "paid", None)
        assert (charge["paid"], charge["captured"], charge["disputed"]) == (True, True, False)
        assert charge["balance_transaction"]["fee"] == 1480

    def test_a_refused_card_can_be_followed_by_another_one(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        session = sdk.v1.checkout.sessions.create(a_session())

        stripe.act(session.id, "decline")
        refused = the_intent(sdk, session.id)
        stripe.act(session.id, "pay")
        paid = the_intent(sdk, session.id)

        assert refused.status == "requires_payment_method"
        assert refused.last_payment_error is not None
        assert (paid.id, paid.status, paid.last_payment_error) == (refused.id, "succeeded", None)

    def test_it_can_be_ended_while_it_is_open(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        unpaid, paid = (sdk.v1.checkout.sessions.create(a_session()) for _ in range(2))
        stripe.act(paid.id, "pay")

        ended = sdk.v1.checkout.sessions.expire(unpaid.id)
        with pytest.raises(InvalidRequestError):
            sdk.v1.checkout.sessions.expire(paid.id)

        assert (ended.status, ended.url) == ("expired", None)

    def test_currencies_without_coins_are_counted_whole(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        session = sdk.v1.checkout.sessions.create(a_session(amount=500, currency="jpy"))
        stripe.act(session.id, "pay")

        assert the_intent(sdk, session.id).amount_received == 500


class TestIdempotency:
    def test_the_same_key_gives_the_first_answer_again(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        first = sdk.v1.checkout.sessions.create(a_session(), {"idempotency_key": "key-1"})
        stripe.act(first.id, "pay")

        again = sdk.v1.checkout.sessions.create(a_session(), {"idempotency_key": "key-1"})

        assert again.to_dict() == first.to_dict()
        assert cast("Any", again).last_response.headers["Idempotent-Replayed"] == "true"
        assert len(stripe.state("sessions")) == 1

    def test_the_same_key_for_something_else_is_a_conflict(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        sdk.v1.checkout.sessions.create(a_session(), {"idempotency_key": "key-1"})

        with pytest.raises(IdempotencyError):
            sdk.v1.checkout.sessions.create(a_session(amount=50_100), {"idempotency_key": "key-1"})

        assert len(stripe.state("sessions")) == 1

    def test_a_day_later_the_key_is_forgotten(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        first = sdk.v1.checkout.sessions.create(a_session(), {"idempotency_key": "key-1"})
        stripe.advance_clock(24 * 60 * 60)

        second = sdk.v1.checkout.sessions.create(a_session(), {"idempotency_key": "key-1"})

        assert second.id != first.id

    def test_a_banks_refusal_is_remembered_too(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        card = a_kept_card(sdk, stripe)
        stripe.refuse_method(card["payment_method"])
        charge = an_off_session_charge(500, card)

        refusals = []
        for _ in range(2):
            with pytest.raises(CardError) as refused:
                sdk.v1.payment_intents.create(charge, {"idempotency_key": "key-2"})
            refusals.append(cast("Any", refused.value.error).payment_intent.id)

        assert len(set(refusals)) == 1

    def test_a_request_that_was_not_valid_leaves_its_key_free(self, sdk: StripeClient) -> None:
        with pytest.raises(InvalidRequestError):
            sdk.v1.checkout.sessions.create(a_session(mode="setup"), {"idempotency_key": "key-1"})

        assert sdk.v1.checkout.sessions.create(a_session(), {"idempotency_key": "key-1"}).status == "open"


class TestKeptCards:
    def test_one_is_charged_without_its_owner(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        card = a_kept_card(sdk, stripe)

        intent = sdk.v1.payment_intents.create(an_off_session_charge(700, card))

        assert (intent.status, intent.amount_received) == ("succeeded", 700)

    def test_a_refusal_leaves_an_intent_behind(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        card = a_kept_card(sdk, stripe)
        stripe.refuse_method(card["payment_method"], "insufficient_funds")

        with pytest.raises(CardError) as refused:
            sdk.v1.payment_intents.create(an_off_session_charge(700, card))

        error = cast("Any", refused.value.error)
        assert (error.code, error.decline_code) == ("card_declined", "insufficient_funds")
        assert sdk.v1.payment_intents.retrieve(error.payment_intent.id).status == "requires_payment_method"

    def test_it_is_nobody_elses(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        card = a_kept_card(sdk, stripe)
        other = sdk.v1.customers.create({})

        with pytest.raises(InvalidRequestError):
            sdk.v1.payment_intents.create(an_off_session_charge(700, {**card, "customer": other.id}))


class TestTwoStagePayments:
    def test_reserved_money_is_taken_in_part(self, sdk: StripeClient) -> None:
        intent = sdk.v1.payment_intents.create(
            {"amount": 500, "currency": "usd", "capture_method": "manual", "payment_method": "pm_card_visa"}
        )
        reserved = sdk.v1.payment_intents.confirm(intent.id)

        taken = sdk.v1.payment_intents.capture(intent.id, {"amount_to_capture": 300})

        assert (reserved.status, reserved.amount_capturable) == ("requires_capture", 500)
        assert (taken.status, taken.amount_received) == ("succeeded", 300)

    def test_reserved_money_is_given_back(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        reserved = stripe.reserve(500)

        ended = sdk.v1.payment_intents.cancel(reserved["id"], {"cancellation_reason": "requested_by_customer"})
        with pytest.raises(InvalidRequestError) as refused:
            sdk.v1.payment_intents.capture(reserved["id"])

        assert (ended.status, ended.cancellation_reason) == ("canceled", "requested_by_customer")
        assert refused.value.code == "payment_intent_unexpected_state"

    @pytest.mark.parametrize(
        ("card", "status"),
        [("pm_card_authenticationRequired", "requires_action"), ("pm_card_chargeDeclined", "requires_payment_method")],
    )
    def test_test_cards_behave_as_documented(self, sdk: StripeClient, card: str, status: str) -> None:
        intent = sdk.v1.payment_intents.create({"amount": 500, "currency": "usd"})

        try:
            sdk.v1.payment_intents.confirm(intent.id, {"payment_method": card})
        except CardError as refused:
            assert refused.code == "card_declined"  # noqa: PT017 - one of the two cards is refused, the other is not

        assert sdk.v1.payment_intents.retrieve(intent.id).status == status


class TestRefundsAndDisputes:
    def test_parts_are_given_back_until_nothing_is_left(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        intent_id = a_paid_intent(sdk, stripe)

        first = sdk.v1.refunds.create({"payment_intent": intent_id, "amount": 200}, {"idempotency_key": "key-2"})
        again = sdk.v1.refunds.create({"payment_intent": intent_id, "amount": 200}, {"idempotency_key": "key-2"})
        rest = sdk.v1.refunds.create({"payment_intent": intent_id})
        with pytest.raises(InvalidRequestError):
            sdk.v1.refunds.create({"payment_intent": intent_id, "amount": 1})

        listed = sdk.v1.refunds.list({"payment_intent": intent_id})
        assert (first.id, rest.amount) == (again.id, 49_800)
        assert [refund.id for refund in listed.data] == [rest.id, first.id]

    @pytest.mark.parametrize(("is_good", "status", "refunded"), [(True, "succeeded", 200), (False, "failed", 0)])
    def test_one_that_waits_arrives_or_comes_back(
        self, sdk: StripeClient, stripe: StripeRemote, *, is_good: bool, status: str, refunded: int
    ) -> None:
        intent_id = a_paid_intent(sdk, stripe)
        stripe.hold_refunds()
        refund = sdk.v1.refunds.create({"payment_intent": intent_id, "amount": 200})

        stripe.end_refund(refund.id, is_good=is_good)

        (charge,) = stripe.state("charges")
        assert (refund.status, sdk.v1.refunds.retrieve(refund.id).status) == ("pending", status)
        assert charge["amount_refunded"] == refunded

    @pytest.mark.parametrize(("is_won", "status"), [(True, "won"), (False, "lost")])
    def test_a_dispute_opens_and_ends(
        self, sdk: StripeClient, stripe: StripeRemote, *, is_won: bool, status: str
    ) -> None:
        intent_id = a_paid_intent(sdk, stripe)

        opened = stripe.dispute(intent_id)
        stripe.close_dispute(opened["id"], is_won=is_won)

        (found,) = sdk.v1.disputes.list({"payment_intent": intent_id}).data
        assert (opened["status"], found.status, found.amount) == ("needs_response", status, 50_000)


class TestLists:
    def test_the_sdk_pages_through_all_of_them(self, sdk: StripeClient) -> None:
        ids = [sdk.v1.checkout.sessions.create(a_session()).id for _ in range(5)]

        found = [session.id for session in sdk.v1.checkout.sessions.list({"limit": 2}).auto_paging_iter()]

        assert found == ids[::-1]

    def test_they_are_narrowed_by_the_moment_of_creation(self, sdk: StripeClient, stripe: StripeRemote) -> None:
        old = sdk.v1.checkout.sessions.create(a_session())
        stripe.advance_clock(60)
        new = sdk.v1.checkout.sessions.create(a_session())

        since = sdk.v1.checkout.sessions.list({"created": {"gte": new.created}})
        until = sdk.v1.checkout.sessions.list({"created": {"lt": new.created}})

        assert [[session.id for session in found.data] for found in (since, until)] == [[new.id], [old.id]]


class TestTheAccount:
    def test_it_says_whose_it_is(self, sdk: StripeClient, stripe_settings: StripeSettings) -> None:
        assert sdk.v1.accounts.retrieve_current().id == stripe_settings.account_id

    def test_a_wrong_key_is_refused(self, stripe: StripeRemote) -> None:
        stranger = StripeClient("sk_test_wrong", base_addresses={"api": stripe.url}, max_network_retries=0)

        with pytest.raises(AuthenticationError):
            stranger.v1.accounts.retrieve_current()


class TestEvents:
    def test_the_sdk_believes_those_that_arrive(
        self, sdk: StripeClient, stripe: StripeRemote, receiver: ReceiverRemote, stripe_settings: StripeSettings
    ) -> None:
        stripe.set_webhook(WebhookTarget(url=f"{receiver.url}/webhooks/stripe"))
        session = sdk.v1.checkout.sessions.create(a_session())
        stripe.act(session.id, "pay")
        stripe.wait_for_notifications()

        arrived = [call for call in receiver.calls() if call["body"]["type"] == "checkout.session.completed"]
        (body, signature) = as_sent(arrived[0])
        event = Webhook.construct_event(body, signature, stripe_settings.webhook_secret)

        assert (event.type, cast("Session", event.data.object).id) == ("checkout.session.completed", session.id)
        assert event.id.startswith("evt_")
        with pytest.raises(SignatureVerificationError):
            Webhook.construct_event(body, signature, "whsec_other")
        with pytest.raises(SignatureVerificationError):
            Webhook.construct_event(body.replace("50000", "90000"), signature, stripe_settings.webhook_secret)

    def test_one_that_comes_again_is_the_same_event_signed_anew(
        self, sdk: StripeClient, stripe: StripeRemote, receiver: ReceiverRemote
    ) -> None:
        stripe.act(sdk.v1.checkout.sessions.create(a_session()).id, "pay")
        stripe.set_webhook(WebhookTarget(url=receiver.url))
        completed = stripe.notifications()[-1]

        stripe.repeat(completed["id"])
        stripe.advance_clock(5)
        stripe.repeat(completed["id"])

        first, second = receiver.calls()
        assert first["body"] == second["body"]
        assert as_sent(first)[1] != as_sent(second)[1]


# The SDK's own httpx client hands bodies over in a way that httpx wants to give up.
@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
class TestAsyncio:
    async def test_the_whole_life_of_a_payment(self, async_sdk: StripeClient, stripe: StripeRemote) -> None:
        api = async_sdk.v1
        session = await api.checkout.sessions.create_async(a_session(), {"idempotency_key": "key-1"})
        stripe.act(session.id, "pay")
        paid = await api.checkout.sessions.retrieve_async(session.id)
        intent_id = cast("str", paid.payment_intent)

        refund = await api.refunds.create_async({"payment_intent": intent_id, "amount": 200})
        listed = await api.refunds.list_async({"payment_intent": intent_id})

        assert paid.payment_status == "paid"
        assert [found.id async for found in listed.auto_paging_iter()] == [refund.id]
        assert (await api.refunds.retrieve_async(refund.id)).status == "succeeded"

    async def test_capture_and_cancel(self, async_sdk: StripeClient, stripe: StripeRemote) -> None:
        intents = async_sdk.v1.payment_intents
        taken, given_back = (stripe.reserve(500)["id"] for _ in range(2))

        captured = await intents.capture_async(taken)
        canceled = await intents.cancel_async(given_back)

        assert (captured.status, canceled.status) == ("succeeded", "canceled")


def a_paid_intent(sdk: StripeClient, stripe: StripeRemote) -> str:
    """The id of an intent that was paid on the page of a session."""
    session = sdk.v1.checkout.sessions.create(a_session())
    stripe.act(session.id, "pay")
    return the_intent(sdk, session.id).id


def as_sent(call: dict[str, Any]) -> tuple[str, str]:
    """Body and signature of a delivery, as they travelled."""
    body = json.dumps(call["body"], ensure_ascii=False, separators=(",", ":"))
    return body, call["headers"]["stripe-signature"]
