"""Our Stripe adapter against the simulated provider over real HTTP: what only this provider has."""

from __future__ import annotations

import asyncio
import socket
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import pytest
import stripe

from backend.tests.builders.stripe import ACCOUNT_ID, SECRET_KEY, SimulatedStripe, simulated_stripe
from backend.tests.builders.yookassa import IMPATIENT
from billing.kit.ids import Ids
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import Begin
from billing.payments.adapters.calls import Budget
from billing.payments.adapters.stripe import API_VERSION, StripeProvider
from billing.payments.errors import (
    ProviderAmbiguous,
    ProviderFailure,
    ProviderMalformed,
    ProviderObjectUnknown,
    ProviderRefusedUs,
    ProviderRejected,
    ProviderUnavailable,
)
from billing.payments.ports import MethodRef, PaymentOrder, RefundOrder
from billing.payments.rules import (
    Cancellation,
    DisputeStatus,
    ProviderMethodId,
    ProviderPaymentId,
    ProviderRefundId,
    ProviderStatus,
    RefundStatus,
)

USD = Currency("USD")
RETURN_URL = "https://shop.example/chat/billing/topups/x/return"


def usd(text: str) -> Money:
    return Money.from_decimal(text, USD)


@pytest.fixture(scope="module")
async def simulator() -> AsyncIterator[SimulatedStripe]:
    """The provider."""
    async with simulated_stripe() as simulator:
        yield simulator


@pytest.fixture
async def backstage(simulator: SimulatedStripe) -> SimulatedStripe:
    """The provider, without what earlier tests left."""
    return await simulator.fresh()


@pytest.fixture
async def provider(backstage: SimulatedStripe) -> AsyncIterator[StripeProvider]:
    """Our adapter."""
    provider = backstage.provider()
    yield provider
    await provider.aclose()


@pytest.fixture
async def impatient(backstage: SimulatedStripe) -> AsyncIterator[StripeProvider]:
    """Our adapter with a third of a second for everything and no second attempt."""
    provider = backstage.provider(IMPATIENT)
    yield provider
    await provider.aclose()


@pytest.fixture
async def mistaken(backstage: SimulatedStripe) -> AsyncIterator[StripeProvider]:
    """Our adapter with a key that is not its account's."""
    provider = StripeProvider(account_id="acct_other", secret_key=SECRET_KEY, api_url=backstage.url, is_test=True)
    yield provider
    await provider.aclose()


@asynccontextmanager
async def connected(api_url: str) -> AsyncIterator[StripeProvider]:
    """An adapter to any address, without repetitions, closed at the end."""
    budget = Budget(connect_seconds=1.0, total_seconds=3.0, retries_max=0, first_wait_seconds=0.001)
    provider = StripeProvider(
        account_id=ACCOUNT_ID, secret_key=SECRET_KEY, api_url=api_url, is_test=True, budget=budget
    )
    try:
        yield provider
    finally:
        await provider.aclose()


@asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[str]:
    """The address of a server that gives every request the same answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def http_answer(status: int, body: bytes, *headers: bytes) -> bytes:
    """A whole answer as it travels."""
    head = [f"HTTP/1.1 {status} Whatever".encode(), b"Connection: close", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*head, b"", body])


@pytest.fixture
def order(ids: Ids) -> PaymentOrder:
    """What a top-up of 500 dollars asks for."""
    payment_id = ids.new("pay")
    return PaymentOrder(
        key=payment_id,
        amount=usd("500"),
        description=f"Top-up {payment_id}",
        return_url=RETURN_URL,
        payment_id=payment_id,
        account_id="acc_1",
        purpose="topup",
    )


async def kept_method(provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder) -> MethodRef:
    """A method that a first payment left with the provider."""
    begun = await provider.create_payment(replace(order, key=f"{order.key}-first", saves_method=True))
    await backstage.pay(begun.id)
    method = (await provider.get_payment(begun.id)).method
    assert method is not None
    return MethodRef(method.id, customer=method.customer)


class TestWhatItSends:
    async def test_to_begin_a_topup(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        await provider.create_payment(order)

        (call,) = await backstage.calls("create_payment")
        metadata = {"payment_id": order.payment_id, "account_id": "acc_1", "purpose": "topup"}
        assert dict(parse_qsl(call["body"])) == {
            "mode": "payment",
            "success_url": RETURN_URL,
            "cancel_url": RETURN_URL,
            "client_reference_id": order.payment_id,
            "line_items[0][price_data][currency]": "usd",
            "line_items[0][price_data][unit_amount]": "50000",
            "line_items[0][price_data][product_data][name]": order.description,
            "line_items[0][quantity]": "1",
            "adaptive_pricing[enabled]": "false",
            "payment_intent_data[description]": order.description,
            "payment_intent_data[metadata][way]": "checkout",
            **{f"metadata[{name}]": value for name, value in metadata.items()},
            **{f"payment_intent_data[metadata][{name}]": value for name, value in metadata.items()},
        }
        assert (call["headers"]["idempotency-key"], call["headers"]["stripe-version"]) == (order.key, API_VERSION)

    async def test_to_keep_a_method_it_names_a_customer_once_a_day(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        first = replace(order, account_id="acc_7", saves_method=True)
        await provider.create_payment(first)
        await provider.create_payment(replace(first, key=f"{order.key}-2"))

        customers = [item for item in await backstage.state("customers") if item["metadata"] == {"account_id": "acc_7"}]
        sessions = [item for item in await backstage.state("sessions") if item["id"] not in backstage.before]
        assert [session["customer"] for session in sessions] == [customers[0]["id"]] * 2
        assert len(customers) == 1
        assert (customers[0]["email"], customers[0]["name"]) == (None, None)

    async def test_to_charge_a_kept_method(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)

        await provider.create_payment(replace(order, method=method, purpose="auto_topup"))

        (call,) = await backstage.calls("create_intent")
        sent = dict(parse_qsl(call["body"]))
        assert (sent["amount"], sent["currency"], sent["off_session"], sent["confirm"]) == (
            "50000",
            "usd",
            "true",
            "true",
        )
        assert (sent["payment_method"], sent["customer"]) == (method.id, method.customer)
        assert (sent["metadata[purpose]"], sent["metadata[way]"]) == ("auto_topup", "direct")

    async def test_nothing_about_the_machine_that_it_runs_on(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await provider.get_payment(begun.id)

        (call,) = await backstage.calls("get_payment")
        assert "x-stripe-client-telemetry" not in call["headers"]
        assert "telemetry_id" not in call["headers"]["x-stripe-client-user-agent"]
        assert not stripe.enable_telemetry

    async def test_nothing_while_a_transaction_is_open(
        self, provider: StripeProvider, backstage: SimulatedStripe, begin: Begin
    ) -> None:
        with pytest.raises(AssertionError, match="a database transaction is open"):
            async with begin():
                await provider.get_payment(ProviderPaymentId("cs_test_1"))

        assert await backstage.calls("get_payment") == []


class TestWhatAPaymentIs:
    async def test_the_intent_behind_a_session_leads_to_the_session(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)

        intent_id = await backstage.intent_of(begun.id)

        assert intent_id.startswith("pi_")
        assert await provider.get_payment(ProviderPaymentId(intent_id)) == await provider.get_payment(begun.id)

    async def test_an_intent_that_stands_alone_is_a_payment_itself(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)

        charged = await provider.create_payment(replace(order, method=method))

        assert charged.id.startswith("pi_")
        assert await provider.get_payment(charged.id) == charged
        assert charged.method is not None
        assert (charged.method.id, charged.method.is_saved, charged.method.title) == (method.id, True, "visa *4242")

    async def test_nothing_else_is_one(self, provider: StripeProvider, backstage: SimulatedStripe) -> None:
        with pytest.raises(ProviderObjectUnknown):
            await provider.get_payment(ProviderPaymentId("ch_1"))

        assert await backstage.calls("get_charge") == []

    async def test_its_shop_is_the_account_that_the_key_opens(
        self, mistaken: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        payment_id = await backstage.reserved(usd("5"))

        seen = await mistaken.get_payment(payment_id)

        assert (seen.shop_id, mistaken.shop_id) == (ACCOUNT_ID, "acct_other")

    async def test_none_is_begun_with_the_key_of_another_account(
        self, mistaken: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        with pytest.raises(ProviderRefusedUs):
            await mistaken.create_payment(order)

        assert await backstage.calls("create_payment") == []

    async def test_the_account_is_asked_for_once(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await provider.get_payment(begun.id)

        assert len(await backstage.calls("get_account")) == 1

    async def test_a_key_that_may_not_read_the_account_begins_nothing(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        await backstage.go_wrong("refused", "get_account", status=403)

        with pytest.raises(ProviderRefusedUs):
            await provider.create_payment(order)

        assert await backstage.calls("create_payment") == []


class TestHowASessionGoes:
    async def test_a_refused_card_is_no_end(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)

        await backstage.act(begun.id, "decline")

        open_still = await provider.get_payment(begun.id)
        assert (open_still.status, open_still.is_paid, open_still.cancellation) == (ProviderStatus.PENDING, False, None)
        assert open_still.confirmation_url == begun.confirmation_url

    @pytest.mark.parametrize("step", ["challenge", "process"])
    async def test_it_is_pending_until_the_bank_has_decided(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, step: str
    ) -> None:
        begun = await provider.create_payment(order)

        await backstage.act(begun.id, step)

        waiting = await provider.get_payment(begun.id)
        assert (waiting.status, waiting.is_paid) == (ProviderStatus.PENDING, False)

    async def test_money_that_takes_days_comes_in_the_end(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.act(begun.id, "process")

        await backstage.act(begun.id, "arrive")

        paid = await provider.get_payment(begun.id)
        assert (paid.status, paid.is_paid, paid.refunded) == (ProviderStatus.SUCCEEDED, True, usd("0"))

    async def test_what_the_session_does_not_call_paid_is_not(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        await backstage.go_wrong("altered", "get_payment", changes={"payment_status": "unpaid"})

        assert (await provider.get_payment(begun.id)).status is ProviderStatus.PENDING

    async def test_a_charge_that_was_not_paid_is_told(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        changes = {"payment_intent": {"latest_charge": {"paid": False}}}
        await backstage.go_wrong("altered", "get_payment", changes=changes)

        contradiction = await provider.get_payment(begun.id)

        assert (contradiction.status, contradiction.is_paid) == (ProviderStatus.SUCCEEDED, False)

    async def test_one_that_we_ended_was_withdrawn(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.act(begun.id, "decline")

        ended = await provider.cancel(begun.id, key="cancel-of-an-open-session")

        assert (ended.status, ended.cancellation) == (ProviderStatus.CANCELED, Cancellation.WITHDRAWN)
        assert ended.confirmation_url is None

    async def test_what_is_paid_on_its_page_cannot_be_captured_again(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)

        with pytest.raises(ProviderRejected, match="Nobody has begun"):
            await provider.capture(begun.id, usd("500"), key="capture-too-early")
        await backstage.pay(begun.id)
        with pytest.raises(ProviderRejected):
            await provider.capture(begun.id, usd("500"), key="capture-too-late")

    async def test_a_fee_in_another_currency_is_not_told(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        settled = {"payment_intent": {"latest_charge": {"balance_transaction": {"currency": "eur"}}}}
        await backstage.go_wrong("altered", "get_payment", changes=settled)

        assert (await provider.get_payment(begun.id)).fee is None
        assert (await provider.get_payment(begun.id)).fee == usd("14.80")


class TestCurrencies:
    @pytest.mark.parametrize(
        ("code", "amount", "minor_units"),
        [
            ("JPY", "500", 500),
            ("USD", "5.01", 501),
            ("KWD", "5.010", 5010),
            # CLDR gives these two no coins; Stripe counts them in hundredths all the same.
            ("ISK", "500", 50_000),
            ("UGX", "500", 50_000),
        ],
    )
    async def test_each_is_counted_as_the_provider_counts_it(
        self,
        provider: StripeProvider,
        backstage: SimulatedStripe,
        order: PaymentOrder,
        code: str,
        amount: str,
        minor_units: int,
    ) -> None:
        asked = Money.from_decimal(amount, Currency(code))

        begun = await provider.create_payment(replace(order, amount=asked))

        assert (await backstage.state("sessions"))[-1]["amount_total"] == minor_units
        assert begun.amount == asked

    async def test_an_amount_that_cannot_be_counted_is_not_sent(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        with pytest.raises(ProviderRejected):
            await provider.create_payment(replace(order, amount=usd("5.001")))

        assert await backstage.calls("create_payment") == []


class TestKeptMethods:
    async def test_a_refusal_repeated_under_its_key_is_the_same_payment(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)
        await backstage.refuse_method(method.id)

        first = await provider.create_payment(replace(order, method=method))
        again = await provider.create_payment(replace(order, method=method))

        assert first == again
        assert (first.status, first.cancellation) == (ProviderStatus.CANCELED, Cancellation.DECLINED)

    async def test_a_charge_repeated_under_its_key_is_read_again(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)
        first = await provider.create_payment(replace(order, method=method))
        await backstage.refund_in_cabinet(first.id, usd("100"))

        again = await provider.create_payment(replace(order, method=method))

        assert (first.refunded, again.refunded) == (usd("0"), usd("100"))

    async def test_a_refusal_that_names_no_payment_is_malformed(
        self, impatient: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        await backstage.go_wrong("refused", "create_intent", status=402)

        with pytest.raises(ProviderMalformed):
            await impatient.create_payment(replace(order, method=MethodRef(ProviderMethodId("pm_1"), customer="cus_1")))

    async def test_somebody_elses_is_a_rejection(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        method = await kept_method(provider, backstage, order)

        with pytest.raises(ProviderRejected):
            await provider.create_payment(replace(order, method=replace(method, customer=None)))


class TestWhatWasDoneAndCannotBeRead:
    async def test_is_ambiguous_and_not_undone(self, impatient: StripeProvider, backstage: SimulatedStripe) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await backstage.go_wrong("unavailable", "get_intent")

        with pytest.raises(ProviderAmbiguous):
            await impatient.capture(payment_id, usd("5"), key="capture-unread")

        again = await impatient.capture(payment_id, usd("5"), key="capture-unread")
        assert again.status is ProviderStatus.SUCCEEDED

    async def test_holds_for_refunds_too(
        self, impatient: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await impatient.create_payment(order)
        await backstage.pay(begun.id)
        asked = a_refund(begun.id)
        first = await impatient.refund(asked)
        await backstage.go_wrong("unavailable", "get_refund")

        with pytest.raises(ProviderAmbiguous):
            await impatient.refund(asked)

        assert await impatient.refund(asked) == first


class TestRefunds:
    async def test_one_from_the_dashboard_is_of_the_session(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        await backstage.refund_in_cabinet(begun.id, usd("20"))
        made = (await backstage.state("refunds"))[-1]

        found = await provider.get_refund(ProviderRefundId(made["id"]))

        assert (found.payment_id, found.refund_id, found.amount) == (begun.id, None, usd("20"))

    async def test_one_of_an_intent_that_stands_alone_is_of_the_intent(
        self, provider: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await provider.capture(payment_id, usd("5"), key="capture-alone")
        await backstage.refund_in_cabinet(payment_id, usd("2"))

        (found,) = await provider.refunds_of(payment_id)

        assert found == await provider.get_refund(found.id)
        assert found.payment_id == payment_id

    async def test_one_without_an_intent_is_of_its_charge(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        await backstage.refund_in_cabinet(begun.id, usd("20"))
        made = (await backstage.state("refunds"))[-1]
        await backstage.go_wrong("altered", "get_refund", changes={"payment_intent": None})

        assert (await provider.get_refund(ProviderRefundId(made["id"]))).payment_id == made["charge"]

    async def test_one_that_came_back_after_all_has_failed(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        refund = await provider.refund(a_refund(begun.id))

        await backstage.end_refund(refund.id, is_good=False)

        assert (await provider.get_refund(refund.id)).status is RefundStatus.FAILED
        assert (await provider.get_payment(begun.id)).refunded == usd("0")

    async def test_a_payment_that_nobody_began_has_none(self, provider: StripeProvider, order: PaymentOrder) -> None:
        begun = await provider.create_payment(order)

        assert await provider.refunds_of(begun.id) == ()
        assert await provider.disputes_of(begun.id) == ()
        with pytest.raises(ProviderRejected):
            await provider.refund(a_refund(begun.id))


class TestDisputes:
    async def test_an_inquiry_is_none_because_it_moves_no_money(
        self, provider: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await provider.capture(payment_id, usd("5"), key="capture-inquired")
        await backstage.post("disputes", {"of": payment_id, "is_warning": True})
        assert await provider.disputes_of(payment_id) == ()
        assert not (await provider.get_payment(payment_id)).is_disputed

        await backstage.close_dispute(payment_id, is_won=False)

        (lost,) = await provider.disputes_of(payment_id)
        assert (lost.status, lost.amount) == (DisputeStatus.LOST, usd("5"))
        assert (await provider.get_payment(payment_id)).is_disputed


class TestLists:
    async def test_strangers_payments_are_listed_once_as_what_they_are(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        session = await provider.create_payment(order)
        await backstage.pay(session.id)
        method = await kept_method(provider, backstage, order)
        direct = await provider.create_payment(replace(order, key=f"{order.key}-direct", method=method))
        alone = await backstage.reserved(usd("5"))
        since = session.created_at or datetime.now(UTC)

        listed = [item.id async for item in provider.list_payments(since=since, until=since + timedelta(hours=1))]

        assert len(listed) == len(set(listed))
        assert {session.id, direct.id, alone} <= set(listed)
        assert await backstage.intent_of(session.id) not in listed

    async def test_a_strangers_session_is_listed_without_its_intent(
        self, provider: StripeProvider, backstage: SimulatedStripe
    ) -> None:
        client = stripe.StripeClient(SECRET_KEY, base_addresses={"api": backstage.url}, max_network_retries=0)
        price: Any = {"currency": "usd", "unit_amount": 500, "product_data": {"name": "Theirs"}}
        params: Any = {
            "mode": "payment",
            "success_url": RETURN_URL,
            "line_items": [{"price_data": price, "quantity": 1}],
        }
        theirs = await asyncio.to_thread(client.v1.checkout.sessions.create, params)
        await backstage.pay(theirs.id)
        since = datetime.fromtimestamp(theirs.created, UTC)

        listed = {item.id: item async for item in provider.list_payments(since=since, until=since + timedelta(hours=1))}

        assert set(listed) == {theirs.id}
        assert listed[ProviderPaymentId(theirs.id)].payment_id is None


class TestWhatMakesNoSense:
    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "../refunds"},
            {"id": None},
            {"status": "nearly_complete"},
            {"status": "complete"},
            {"amount_total": "500"},
            {"amount_total": None},
            {"currency": "dollars"},
            {"livemode": None},
            {"livemode": "false"},
            {"created": 10**18},
            {"url": "javascript:alert(1)"},
            {"metadata": ["payment_id"]},
            {"payment_intent": {"id": "pi_1"}},
        ],
    )
    async def test_is_not_guessed_at(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, changes: dict[str, Any]
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.go_wrong("altered", "get_payment", changes=changes, times=3)

        with pytest.raises(ProviderMalformed):
            await provider.get_payment(begun.id)

    @pytest.mark.parametrize("changes", [{"status": "somewhere"}, {"amount": "1"}, {"currency": None}])
    async def test_holds_for_refunds_too(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, changes: dict[str, Any]
    ) -> None:
        begun = await provider.create_payment(order)
        await backstage.pay(begun.id)
        refund = await provider.refund(a_refund(begun.id))
        await backstage.go_wrong("altered", "get_refund", changes=changes)

        with pytest.raises(ProviderMalformed):
            await provider.get_refund(refund.id)

    @pytest.mark.parametrize("changes", [{"status": "sunk"}, {"latest_charge": {"disputed": None}}])
    async def test_holds_for_intents_too(
        self, provider: StripeProvider, backstage: SimulatedStripe, changes: dict[str, Any]
    ) -> None:
        payment_id = await backstage.reserved(usd("5"))
        await backstage.go_wrong("altered", "get_intent", changes=changes)

        with pytest.raises(ProviderMalformed):
            await provider.get_payment(payment_id)


class TestHowACallEnds:
    @pytest.mark.parametrize(
        ("status", "answer"),
        [
            (400, ProviderRejected),
            (401, ProviderRefusedUs),
            (402, ProviderRejected),
            (403, ProviderRefusedUs),
            (404, ProviderObjectUnknown),
            (408, ProviderUnavailable),
            (409, ProviderUnavailable),
            (424, ProviderRejected),
            (500, ProviderUnavailable),
            (503, ProviderUnavailable),
            (599, ProviderUnavailable),
        ],
    )
    @pytest.mark.parametrize("body", [b'{"error": {"type": "x"}}', b'{"error": "x"}', b"[1]", b"<html>", b""])
    async def test_a_question_ends_by_its_status_whatever_the_body_looks_like(
        self, status: int, answer: type[ProviderFailure], body: bytes
    ) -> None:
        async with answering(http_answer(status, body)) as url, connected(url) as provider:
            with pytest.raises(answer):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    @pytest.mark.parametrize("status", [408, 409, 500, 502, 503, 504])
    async def test_a_change_without_a_clear_answer_is_ambiguous(
        self, impatient: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder, status: int
    ) -> None:
        await backstage.go_wrong("refused", "create_payment", status=status)

        with pytest.raises(ProviderAmbiguous):
            await impatient.create_payment(order)

    async def test_a_change_of_what_there_is_not_is_a_rejection(self, provider: StripeProvider) -> None:
        with pytest.raises(ProviderRejected):
            await provider.capture(ProviderPaymentId("pi_nobodys"), usd("5"), key="capture-nobodys")

    @pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b"{", b"", b"\xff"])
    async def test_an_answer_that_is_no_object_is_malformed(self, body: bytes) -> None:
        async with answering(http_answer(200, body)) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    @pytest.mark.parametrize("body", [b"{}", b'{"id": {}}', b'{"object": "list", "data": 1}', b'{"metadata": 1}'])
    async def test_an_object_of_another_shape_is_malformed(self, body: bytes) -> None:
        async with answering(http_answer(200, body)) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    async def test_a_redirection_is_malformed_and_not_followed(self) -> None:
        location = b"Location: http://127.0.0.1:1/v1/checkout/sessions/cs_1"
        async with answering(http_answer(302, b"{}", location)) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    async def test_an_answer_without_end_is_cut_off(self) -> None:
        async with answering(http_answer(200, b" " * (2 * 1024 * 1024))) as url, connected(url) as provider:
            with pytest.raises(ProviderMalformed, match="larger"):
                await provider.get_payment(ProviderPaymentId("cs_1"))

    async def test_nobody_there_is_an_outage_even_for_a_change(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
            async with connected(f"http://127.0.0.1:{taken.getsockname()[1]}") as provider:
                with pytest.raises(ProviderUnavailable):
                    await provider.capture(ProviderPaymentId("pi_1"), usd("5"), key="capture-nowhere")

    async def test_nothing_that_the_provider_wrote_is_shown(
        self, impatient: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        await backstage.go_wrong("server_error", "create_payment")

        with pytest.raises(ProviderFailure) as failed:
            await impatient.create_payment(order)

        assert "Planned" not in "".join(traceback.format_exception(failed.value))


def a_refund(payment_id: ProviderPaymentId) -> RefundOrder:
    """An order to give 200 dollars back."""
    return RefundOrder(
        key=f"refund-{payment_id}",
        provider_payment_id=payment_id,
        amount=usd("200"),
        refund_id="rfd_1",
        description="Unused credit",
    )
