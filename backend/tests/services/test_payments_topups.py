"""A wish to pay becomes one payment: one key, one intent, one row, whatever the network does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.providers import IMPATIENT
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.customers.errors import Forbidden
from billing.customers.rules import Role
from billing.kit.errors import IdempotencyKeyReused, InvalidInput
from billing.kit.money import Currency, Money
from billing.kit.public_address import InvalidReturnUrl
from billing.kit.unit_of_work import Begin
from billing.payments.errors import (
    PaymentNotFound,
    PaymentsNotConfigured,
    PaymentUnderReview,
    ProviderRefusedUs,
    ProviderRejected,
    ProviderUnavailable,
    TopupAmountNotOffered,
    TopupCurrencyNotOffered,
)
from billing.payments.rules import Cancellation
from billing.payments.service import TopupStatus

pytestmark = pytest.mark.money


@pytest.fixture
async def customer(till: Till) -> Customer:
    """Somebody who wants to pay."""
    return await till.town.customer()


class TestBeginning:
    async def test_a_new_topup_waits_for_its_customer_at_the_provider(self, till: Till, customer: Customer) -> None:
        topup = await till.started(customer, "500")

        (payment,) = await till.yookassa.payments()
        assert topup.status is TopupStatus.PENDING
        assert topup.confirmation_url == payment["confirmation"]["confirmation_url"]
        assert payment["amount"] == {"value": "500.00", "currency": "RUB"}

    async def test_the_provider_gets_our_key_and_our_names(self, till: Till, customer: Customer) -> None:
        topup = await till.started(customer)

        (call,) = await till.yookassa.calls("create_payment")
        assert call["headers"]["idempotence-key"] == topup.payment_id
        assert call["body"]["metadata"] == {
            "payment_id": topup.payment_id,
            "account_id": customer.account.id,
            "purpose": "topup",
        }

    async def test_the_customer_comes_back_below_the_base_path_to_exactly_this_payment(
        self, till: Till, customer: Customer
    ) -> None:
        topup = await till.started(customer, return_to="/billing/playground?model=small")

        (payment,) = await till.yookassa.payments()
        back = f"https://shop.example/chat/billing/topups/{topup.payment_id}/return"
        assert payment["confirmation"]["return_url"] == back
        assert topup.return_to == "/billing/playground?model=small"

    async def test_a_client_may_bring_its_customer_back_to_an_allowed_address(
        self, till: Till, customer: Customer
    ) -> None:
        await till.started(customer, return_url="https://app.example/wallet?tab=1")

        (payment,) = await till.yookassa.payments()
        assert payment["confirmation"]["return_url"] == "https://app.example/wallet?tab=1"

    async def test_beginning_leaves_one_audit_entry(self, till: Till, customer: Customer, begin: Begin) -> None:
        topup = await till.started(customer, request_id="req_1")

        async with begin() as uow:
            entries = await uow.connection.execute(
                text("SELECT action, after, request_id FROM audit_entries WHERE target = :id"), {"id": topup.payment_id}
            )
        assert entries.all() == [("topup.started", {"amount": "500.00", "currency": "RUB"}, "req_1")]


class TestRefusals:
    @pytest.mark.parametrize("amount", ["99.99", "10000.01", "500.005", "0", "-500"])
    async def test_an_amount_that_is_not_on_offer_is_refused(self, till: Till, customer: Customer, amount: str) -> None:
        with pytest.raises(TopupAmountNotOffered):
            await till.started(customer, amount)

        assert await till.rows_of(customer) == []

    async def test_another_currency_is_refused(self, till: Till, customer: Customer) -> None:
        dollars = Money.from_decimal("500", Currency("USD"))

        with pytest.raises(TopupCurrencyNotOffered):
            await till.topups.start(customer.principal, amount=dollars, idempotency_key="key")

    @pytest.mark.parametrize(
        "address",
        [
            {"return_url": "https://evil.example/"},
            {"return_to": "//evil.example"},
            {"return_to": "https://shop.example"},
        ],
    )
    async def test_an_address_that_leads_away_is_refused_before_anything_is_written(
        self, till: Till, customer: Customer, address: dict[str, str]
    ) -> None:
        with pytest.raises(InvalidReturnUrl):
            await till.started(customer, **address)

        assert await till.rows_of(customer) == []

    async def test_two_ways_back_are_one_too_many(self, till: Till, customer: Customer) -> None:
        with pytest.raises(InvalidInput):
            await till.started(customer, return_to="/", return_url="https://app.example/")

    @pytest.mark.parametrize("role", [Role.MEMBER, Role.AUDITOR])
    async def test_who_may_not_manage_billing_cannot_begin_a_payment(
        self, till: Till, customer: Customer, role: Role
    ) -> None:
        colleague = await till.town.colleague(customer.account, role)

        with pytest.raises(Forbidden):
            await till.started(colleague)

        assert await till.yookassa.payments() == []

    async def test_without_a_provider_nothing_begins(self, till: Till, customer: Customer) -> None:
        with pytest.raises(PaymentsNotConfigured):
            await till.with_provider(None).started(customer)

        assert await till.rows_of(customer) == []


class TestTheSameKey:
    async def test_answers_with_the_same_payment(self, till: Till, customer: Customer) -> None:
        first = await till.started(customer, idempotency_key="click")
        again = await till.started(customer, idempotency_key="click")

        assert again == first
        assert len(await till.yookassa.payments()) == 1

    async def test_answers_with_the_paid_payment_after_it_was_paid(self, till: Till, customer: Customer) -> None:
        first = await till.started(customer, idempotency_key="click")
        await till.yookassa.pay(await till.yookassa.only_payment_id())

        again = await till.started(customer, idempotency_key="click")

        assert (again.payment_id, again.status) == (first.payment_id, TopupStatus.SUCCEEDED)
        assert await till.available(customer) == rub("500")

    @pytest.mark.parametrize("other", [{"amount": "1000"}, {"return_to": "/other"}])
    async def test_for_something_else_is_refused(self, till: Till, customer: Customer, other: dict[str, str]) -> None:
        await till.started(customer, "500", idempotency_key="click")

        with pytest.raises(IdempotencyKeyReused):
            await till.started(customer, other.pop("amount", "500"), idempotency_key="click", **other)

        assert len(await till.yookassa.payments()) == 1

    async def test_of_another_account_is_another_key(self, till: Till, customer: Customer) -> None:
        stranger = await till.town.customer()

        mine = await till.started(customer, idempotency_key="click")
        theirs = await till.started(stranger, idempotency_key="click")

        assert mine.payment_id != theirs.payment_id

    async def test_ten_times_at_once_is_one_payment(self, till: Till, customer: Customer) -> None:
        topups = await asyncio.gather(*(till.started(customer, idempotency_key="click") for _ in range(10)))

        assert len({topup.payment_id for topup in topups}) == 1
        assert len(await till.yookassa.payments()) == 1


class TestTheSameIntent:
    async def test_under_a_new_key_gets_the_payment_that_still_waits(self, till: Till, customer: Customer) -> None:
        first = await till.started(customer, return_to="/one")
        again = await till.started(customer, return_to="/two")

        assert (again.payment_id, again.return_to) == (first.payment_id, "/two")
        assert len(await till.yookassa.payments()) == 1

    async def test_ten_clicks_with_ten_keys_at_once_are_one_payment(self, till: Till, customer: Customer) -> None:
        topups = await asyncio.gather(*(till.started(customer) for _ in range(10)))

        assert len({topup.payment_id for topup in topups}) == 1
        assert len(await till.yookassa.payments()) == 1

    async def test_of_another_amount_is_another_payment(self, till: Till, customer: Customer) -> None:
        small = await till.started(customer, "500")
        large = await till.started(customer, "1000")

        assert small.payment_id != large.payment_id

    async def test_that_leads_back_elsewhere_is_another_payment(self, till: Till, customer: Customer) -> None:
        ours = await till.started(customer)
        theirs = await till.started(customer, return_url="https://app.example/one")

        assert ours.payment_id != theirs.payment_id

    async def test_after_a_day_gets_a_new_payment(self, till: Till, customer: Customer) -> None:
        first = await till.started(customer)
        till.clock.move(timedelta(hours=24))

        again = await till.started(customer)

        assert again.payment_id != first.payment_id

    @pytest.mark.parametrize("end", ["decline", "expire"])
    async def test_a_payment_that_the_provider_has_ended_is_never_offered_again(
        self, till: Till, customer: Customer, end: str
    ) -> None:
        first = await till.started(customer)
        await getattr(till.yookassa, end)(await till.yookassa.only_payment_id())

        again = await till.started(customer)

        assert again.payment_id != first.payment_id
        assert again.status is TopupStatus.PENDING
        assert (await till.row(first.payment_id))["state"] == "canceled"

    async def test_that_is_paid_already_is_credited_and_not_sold_again(self, till: Till, customer: Customer) -> None:
        first = await till.started(customer)
        await till.yookassa.pay(await till.yookassa.only_payment_id())

        again = await till.started(customer)

        assert (again.payment_id, again.status) == (first.payment_id, TopupStatus.SUCCEEDED)
        assert await till.available(customer) == rub("500")

    async def test_whose_money_is_only_reserved_is_processing_and_not_sold_again(
        self, till: Till, customer: Customer
    ) -> None:
        first = await till.started(customer)
        reserved = {"status": "waiting_for_capture", "paid": True}
        await till.yookassa.plan("altered", "get_payment", changes=reserved, times=2)

        again = [await till.started(customer) for _ in range(2)]

        assert [(topup.payment_id, topup.status) for topup in again] == [(first.payment_id, TopupStatus.PROCESSING)] * 2
        assert await till.available(customer) == rub("0")

    async def test_is_not_offered_while_the_provider_cannot_say_whether_it_can_be_paid(
        self, till: Till, customer: Customer
    ) -> None:
        await till.started(customer)
        await till.yookassa.plan("unavailable", "get_payment", times=3)

        with pytest.raises(ProviderUnavailable):
            await till.started(customer)


class TestUncertainty:
    @pytest.mark.parametrize("effect", ["none", "done"])
    @pytest.mark.parametrize("kind", ["hang", "reset", "server_error", "bad_gateway_html", "gateway_timeout"])
    async def test_a_lost_answer_leaves_a_processing_topup_that_the_same_key_finishes(
        self, till: Till, customer: Customer, kind: str, effect: str
    ) -> None:
        hasty = till.yookassa.provider(IMPATIENT)
        await till.yookassa.plan(kind, "create_payment", effect=effect, seconds=5)

        uncertain = await till.with_provider(hasty).started(customer, idempotency_key="click")
        finished = await till.started(customer, idempotency_key="click")
        await hasty.aclose()

        assert (uncertain.status, uncertain.confirmation_url) == (TopupStatus.PROCESSING, None)
        assert (finished.payment_id, finished.status) == (uncertain.payment_id, TopupStatus.PENDING)
        assert len(await till.yookassa.payments()) == 1
        keys = {call["headers"]["idempotence-key"] for call in await till.yookassa.calls("create_payment")}
        assert keys == {uncertain.payment_id}

    @pytest.mark.parametrize("kind", ["malformed_json", "empty_body", "half_response"])
    async def test_a_spoilt_answer_is_as_uncertain_as_none(self, till: Till, customer: Customer, kind: str) -> None:
        await till.yookassa.plan(kind, "create_payment", times=3)

        uncertain = await till.started(customer, idempotency_key="click")
        finished = await till.started(customer, idempotency_key="click")

        assert uncertain.status is TopupStatus.PROCESSING
        assert finished.status is TopupStatus.PENDING
        assert len(await till.yookassa.payments()) == 1

    async def test_a_new_click_for_the_same_intent_finishes_it_too(self, till: Till, customer: Customer) -> None:
        await till.yookassa.plan("reset", "create_payment", effect="done", times=3)

        uncertain = await till.started(customer)
        finished = await till.started(customer)

        assert finished.payment_id == uncertain.payment_id
        assert len(await till.yookassa.payments()) == 1

    async def test_reconciling_finishes_it_too(self, till: Till, customer: Customer) -> None:
        await till.yookassa.plan("reset", "create_payment", effect="done", times=3)
        uncertain = await till.started(customer)

        finished = await till.topups.reconcile(customer.principal, uncertain.payment_id)

        assert finished.status is TopupStatus.PENDING

    async def test_a_key_that_the_provider_has_forgotten_is_not_used_again(
        self, till: Till, customer: Customer
    ) -> None:
        await till.yookassa.plan("reset", "create_payment", effect="done", times=3)
        uncertain = await till.started(customer)
        till.clock.move(timedelta(hours=23))

        later = await till.topups.reconcile(customer.principal, uncertain.payment_id)

        assert later.status is TopupStatus.PROCESSING
        assert len(await till.yookassa.payments()) == 1


class TestFailures:
    async def test_a_rejected_payment_ends_and_the_same_key_says_so_again(self, till: Till, customer: Customer) -> None:
        rejecting = till.with_provider(EndingProvider(till.provider, ProviderRejected("No.")))

        for ask in (rejecting, till):
            with pytest.raises(ProviderRejected):
                await ask.started(customer, idempotency_key="click")

        (row,) = await till.rows_of(customer)
        assert (row["state"], row["cancellation"]) == ("canceled", Cancellation.REJECTED)

    async def test_refused_credentials_leave_the_payment_to_be_begun_later(
        self, till: Till, customer: Customer
    ) -> None:
        locked_out = till.yookassa.provider(secret_key="wrong")

        with pytest.raises(ProviderRefusedUs):
            await till.with_provider(locked_out).started(customer, idempotency_key="click")
        topup = await till.started(customer, idempotency_key="click")
        await locked_out.aclose()

        assert topup.status is TopupStatus.PENDING
        assert len(await till.rows_of(customer)) == 1

    async def test_an_outage_leaves_the_payment_to_be_begun_later(self, till: Till, customer: Customer) -> None:
        await till.yookassa.plan("unavailable", "create_payment", times=3)

        with pytest.raises(ProviderUnavailable):
            await till.started(customer, idempotency_key="click")
        topup = await till.started(customer, idempotency_key="click")

        assert topup.status is TopupStatus.PENDING
        assert len(await till.yookassa.payments()) == 1

    async def test_a_provider_that_begins_something_else_is_not_believed(self, till: Till, customer: Customer) -> None:
        other = {"amount": {"value": "5.00", "currency": "RUB"}}
        await till.yookassa.plan("altered", "create_payment", changes=other)

        with pytest.raises(PaymentUnderReview):
            await till.started(customer)

        (row,) = await till.rows_of(customer)
        assert (row["state"], row["contradiction"]) == ("created", "amount")


class TestCrashes:
    async def test_between_intent_and_call_the_row_is_there_and_the_next_attempt_uses_its_key(
        self, till: Till, customer: Customer
    ) -> None:
        dying = EndingProvider(till.provider, ProcessDiedError())

        with pytest.raises(ProcessDiedError):
            await till.with_provider(dying).started(customer, idempotency_key="click")
        (row,) = await till.rows_of(customer)
        begun_before = await till.yookassa.payments()
        topup = await till.started(customer, idempotency_key="click")

        assert (row["state"], begun_before) == ("created", [])
        assert topup.payment_id == row["id"]
        (call,) = await till.yookassa.calls("create_payment")
        assert call["headers"]["idempotence-key"] == row["id"]

    async def test_between_call_and_outcome_the_next_attempt_finds_the_payment_that_was_begun(
        self, till: Till, customer: Customer
    ) -> None:
        dying = EndingProvider(till.provider, ProcessDiedError(), takes_effect=True)
        with pytest.raises(ProcessDiedError):
            await till.with_provider(dying).started(customer, idempotency_key="click")

        topup = await till.started(customer, idempotency_key="click")

        row = await till.row(topup.payment_id)
        assert row["provider_payment_id"] == await till.yookassa.only_payment_id()


class TestTenancy:
    async def test_a_payment_of_somebody_else_is_not_there(self, till: Till, customer: Customer) -> None:
        topup = await till.started(customer)
        stranger = await till.town.customer()
        before = await till.row(topup.payment_id)

        for ask in (till.topups.get, till.topups.reconcile):
            with pytest.raises(PaymentNotFound):
                await ask(stranger.principal, topup.payment_id)

        assert await till.row(topup.payment_id) == before
        assert await till.yookassa.calls("get_payment") == []

    async def test_the_owner_sees_it(self, till: Till, customer: Customer) -> None:
        topup = await till.started(customer)

        assert await till.topups.get(customer.principal, topup.payment_id) == topup


class TestTheDatabase:
    async def test_does_not_let_a_succeeded_payment_go_back(self, till: Till, customer: Customer, begin: Begin) -> None:
        topup = await till.started(customer)
        await till.yookassa.pay(await till.yookassa.only_payment_id())
        await till.topups.reconcile(customer.principal, topup.payment_id)

        with pytest.raises(Exception, match="has succeeded and stays so"):
            async with begin() as uow:
                await uow.connection.execute(
                    text(
                        "UPDATE payments SET state = 'canceled', succeeded_at = NULL, cancellation = 'declined'"
                        " WHERE id = :id"
                    ),
                    {"id": topup.payment_id},
                )

    async def test_does_not_let_a_refunded_payment_go_back_either(
        self, till: Till, customer: Customer, begin: Begin
    ) -> None:
        topup = await till.paid(customer)
        await till.refunded(topup.payment_id)

        with pytest.raises(Exception, match="has succeeded and stays so"):
            async with begin() as uow:
                await uow.connection.execute(
                    text(
                        "UPDATE payments SET state = 'pending', succeeded_at = NULL, refunded_micros = 0 WHERE id = :id"
                    ),
                    {"id": topup.payment_id},
                )

    async def test_does_not_let_the_application_change_what_a_payment_is_about(
        self, till: Till, customer: Customer, begin: Begin
    ) -> None:
        topup = await till.started(customer)

        with pytest.raises(Exception, match="permission denied"):
            async with begin() as uow:
                await uow.connection.execute(
                    text("UPDATE payments SET amount_micros = 1 WHERE id = :id"), {"id": topup.payment_id}
                )
