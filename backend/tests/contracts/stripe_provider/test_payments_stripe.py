"""Our Stripe adapter against the simulated provider over real HTTP: what it sends, and what a payment is there."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
import stripe

from backend.tests.builders.stripe import ACCOUNT_ID, RETURN_URL, SimulatedStripe, kept_method, usd
from billing.kit.money import Currency, Money
from billing.kit.unit_of_work import Begin
from billing.payments.adapters.stripe import API_VERSION, StripeProvider
from billing.payments.errors import (
    ProviderObjectUnknown,
    ProviderRefusedUs,
    ProviderRejected,
)
from billing.payments.ports import PaymentOrder
from billing.payments.rules import (
    Cancellation,
    ProviderPaymentId,
    ProviderStatus,
)


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
    async def test_begun_again_under_its_key_it_is_shown_as_it_is_now(
        self, provider: StripeProvider, backstage: SimulatedStripe, order: PaymentOrder
    ) -> None:
        first = await provider.create_payment(order)
        await backstage.pay(first.id)

        again = await provider.create_payment(order)

        assert (again.id, again.status, again.confirmation_url) == (first.id, ProviderStatus.SUCCEEDED, None)

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
