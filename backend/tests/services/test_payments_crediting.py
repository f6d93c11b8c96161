"""Money that the provider took is credited exactly once, and only on the provider's own word."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import Till
from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import NOON
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.kit.unit_of_work import Begin
from billing.payments.errors import PaymentUnderReview
from billing.payments.provider_states import Outcome
from billing.payments.rules import Actor, ProviderPaymentId
from billing.payments.service import Topup, TopupStatus
from billing.webhooks.rules import MessageStatus
from billing.wiring.payments import payment_parts

pytestmark = pytest.mark.money

FIVE_HUNDRED = rub("500")
NOTHING = rub("0")


@pytest.fixture
async def customer(till: Till) -> Customer:
    """Somebody who wants to pay."""
    return await till.town.customer()


@pytest.fixture
async def topup(till: Till, customer: Customer) -> Topup:
    """A top-up of 500 roubles that waits to be paid."""
    return await till.started(customer, "500")


async def paid_notification(till: Till) -> bytes:
    """The customer has paid; this is what the provider sends."""
    await till.yookassa.pay(await till.yookassa.only_payment_id())
    return await till.yookassa.notification()


class TestANotification:
    async def test_of_a_paid_payment_credits_it(self, till: Till, customer: Customer, topup: Topup) -> None:
        message = await till.notified(await paid_notification(till))

        assert message["status"] == MessageStatus.DONE
        assert await till.available(customer) == FIVE_HUNDRED
        assert (await till.topups.get(customer.principal, topup.payment_id)).status is TopupStatus.SUCCEEDED

    async def test_of_a_declined_payment_ends_it_without_money(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await till.yookassa.decline(await till.yookassa.only_payment_id())

        await till.notified(await till.yookassa.notification("payment.canceled"))

        row = await till.row(topup.payment_id)
        assert (row["state"], row["cancellation"]) == ("canceled", "declined")
        assert await till.available(customer) == NOTHING

    async def test_that_is_forged_credits_nothing(self, till: Till, customer: Customer, topup: Topup) -> None:
        forged = {
            "type": "notification",
            "event": "payment.succeeded",
            "object": {
                **(await till.yookassa.payments())[0],
                "status": "succeeded",
                "paid": True,
                "amount": {"value": "500.00", "currency": "RUB"},
            },
        }

        message = await till.notified(json.dumps(forged).encode())

        assert message["status"] == MessageStatus.WAITING
        assert await till.available(customer) == NOTHING
        assert (await till.row(topup.payment_id))["state"] == "pending"

    @pytest.mark.parametrize("times", [2, 5])
    async def test_that_comes_again_credits_once(
        self, till: Till, customer: Customer, topup: Topup, times: int
    ) -> None:
        body = await paid_notification(till)

        stored = [await till.inbox.receive("yookassa", body) for _ in range(times)]
        message = await till.message_of(body)
        for _ in range(times):
            await till.inbox.hand_over(message["id"])

        assert stored == [True] + [False] * (times - 1)
        assert (message["provider"], message["status"]) == ("yookassa", MessageStatus.WAITING)
        assert await till.available(customer) == FIVE_HUNDRED
        assert topup.amount == FIVE_HUNDRED

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ({"event": "payout.succeeded", "object": {"id": "po-1"}}, "no use for this kind of event"),
            ({"event": "payment.succeeded"}, "not a notification"),
            ({"event": "payment.succeeded", "object": {"id": "../refunds"}}, "not a notification"),
            ({"event": "payment.succeeded", "object": {"id": "a?b"}}, "not a notification"),
            ({"event": "payment.succeeded", "object": {"id": "%2e%2e"}}, "not a notification"),
            ({}, "not a notification"),
        ],
    )
    async def test_that_we_have_no_use_for_is_stored_and_ignored(
        self, till: Till, body: dict[str, Any], reason: str
    ) -> None:
        body = {**body, "nonce": till.ids.new("non")}

        message = await till.notified(json.dumps(body).encode())

        assert (message["status"], message["reason"]) == (MessageStatus.IGNORED, reason)
        assert await till.yookassa.calls("get_payment") == []


class TestWaiting:
    async def test_for_an_object_that_the_provider_does_not_know(self, till: Till) -> None:
        body = {"event": "payment.succeeded", "object": {"id": "22e12f66-000f-5000-8000-18db351245c7"}}

        message = await till.notified(json.dumps({**body, "nonce": till.ids.new("non")}).encode())

        assert (message["status"], message["reason"]) == (MessageStatus.WAITING, "provider_object_unknown")
        assert message["due_at"] == NOON + timedelta(seconds=5)

    @pytest.mark.usefixtures("topup")
    async def test_for_a_provider_that_is_down_and_then_credits(self, till: Till, customer: Customer) -> None:
        body = await paid_notification(till)
        await till.yookassa.plan("unavailable", "get_payment", times=3)
        message = await till.notified(body)
        first = await till.available(customer)

        await till.inbox.hand_over(message["id"])

        assert (message["status"], message["reason"]) == (MessageStatus.WAITING, "provider_unavailable")
        assert (first, await till.available(customer)) == (NOTHING, FIVE_HUNDRED)

    async def test_for_a_payment_that_is_not_ours_ends_one_day(self, till: Till) -> None:
        body = {"event": "payment.canceled", "object": {"id": "22e12f66-000f-5000-8000-18db351245c7"}}
        message = await till.notified(json.dumps({**body, "nonce": till.ids.new("non")}).encode())

        for _ in range(7):
            await till.inbox.hand_over(message["id"])

        assert await till.status_of(message["id"]) is MessageStatus.GIVEN_UP


class TestALostAnswer:
    async def test_to_the_creation_is_made_good_by_the_notification(self, till: Till, customer: Customer) -> None:
        await till.yookassa.plan("reset", "create_payment", effect="done", times=3)
        uncertain = await till.started(customer)

        await till.notified(await paid_notification(till))

        row = await till.row(uncertain.payment_id)
        assert (row["state"], row["provider_payment_id"]) == ("succeeded", await till.yookassa.only_payment_id())
        assert await till.available(customer) == FIVE_HUNDRED


class TestALostNotification:
    async def test_is_made_good_by_reconciling(self, till: Till, customer: Customer, topup: Topup) -> None:
        await paid_notification(till)

        reconciled = await till.topups.reconcile(customer.principal, topup.payment_id)

        assert (reconciled.status, reconciled.confirmation_url) == (TopupStatus.SUCCEEDED, None)
        assert await till.available(customer) == FIVE_HUNDRED


class TestCreditingOnce:
    async def test_twenty_notifications_and_reconciliations_at_once_credit_once(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        body = (await paid_notification(till)).decode()

        await asyncio.gather(
            *(till.notifications.handle(body) for _ in range(10)),
            *(till.topups.reconcile(customer.principal, topup.payment_id) for _ in range(10)),
        )

        assert await till.available(customer) == FIVE_HUNDRED

    async def test_twenty_answers_applied_at_once_are_one_credit_and_nineteen_times_nothing(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        provider_id = await till.yookassa.only_payment_id()
        await till.yookassa.pay(provider_id)
        seen = await till.provider.get_payment(ProviderPaymentId(provider_id))

        async def apply() -> Outcome:
            async with till.begin() as uow:
                return (
                    await till.states.apply_provider_state(uow, topup.payment_id, seen, actor=Actor.READ_BACK)
                ).outcome

        outcomes = await asyncio.gather(*(apply() for _ in range(20)))

        assert sorted(outcomes) == [Outcome.CREDITED] + [Outcome.UNCHANGED] * 19
        assert await till.available(customer) == FIVE_HUNDRED

    async def test_the_transfer_is_the_payments_own(
        self, till: Till, customer: Customer, topup: Topup, begin: Begin
    ) -> None:
        await paid_notification(till)
        await till.topups.reconcile(customer.principal, topup.payment_id)

        async with begin() as uow:
            booked = await uow.connection.execute(
                text("SELECT id, reference FROM ledger_transfers WHERE reference = :id AND kind = 'credit'"),
                {"id": topup.payment_id},
            )
            wallet_id = await till.wallets.of_account(uow, customer.account.id, RUB)
        assert booked.all() == [(f"{wallet_id}/credit:{topup.payment_id}", topup.payment_id)]

    @pytest.mark.parametrize("chance_seed", range(5))
    async def test_any_order_and_number_of_answers_ends_the_same(
        self, till: Till, customer: Customer, topup: Topup, chance_seed: int
    ) -> None:
        chance = random.Random(chance_seed)  # noqa: S311 - a repeatable order
        provider_id = ProviderPaymentId(await till.yookassa.only_payment_id())
        waiting = await till.provider.get_payment(provider_id)
        await till.yookassa.pay(provider_id)
        paid = await till.provider.get_payment(provider_id)
        answers = [waiting, paid, *chance.choices([waiting, paid], k=6)]
        chance.shuffle(answers)

        for seen in answers:
            async with till.begin() as uow:
                await till.states.apply_provider_state(uow, topup.payment_id, seen, actor=Actor.READ_BACK)

        assert (await till.row(topup.payment_id))["state"] == "succeeded"
        assert await till.available(customer) == FIVE_HUNDRED

    async def test_a_crash_before_the_commit_credits_nothing_and_the_next_attempt_credits_once(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        body = await paid_notification(till)
        seen = await till.provider.get_payment(ProviderPaymentId(await till.yookassa.only_payment_id()))

        with pytest.raises(ProcessDiedError):
            async with till.begin() as uow:
                await till.states.apply_provider_state(uow, topup.payment_id, seen, actor=Actor.READ_BACK)
                raise ProcessDiedError
        after_the_crash = await till.available(customer)
        await till.notified(body)

        assert after_the_crash == NOTHING
        assert await till.available(customer) == FIVE_HUNDRED


class TestContradictions:
    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"amount": {"value": "5000.00"}}, "amount"),
            ({"amount": {"value": "499.99"}}, "amount"),
            ({"amount": {"currency": "USD"}}, "currency"),
            ({"metadata": {"account_id": "acc_somebody"}}, "owner"),
            ({"metadata": {"account_id": None}}, "owner"),
            ({"metadata": {"payment_id": "pay_other"}}, "payment"),
            ({"metadata": {"purpose": "subscription"}}, "purpose"),
            ({"recipient": {"account_id": "999"}}, "shop"),
            ({"test": False}, "test"),
            ({"paid": False}, "paid"),
        ],
    )
    async def test_are_quarantined_and_never_credited(
        self, till: Till, customer: Customer, topup: Topup, changes: dict[str, Any], named: str
    ) -> None:
        body = await paid_notification(till)
        await till.yookassa.plan("altered", "get_payment", changes=changes)

        message = await till.notified(body)

        row = await till.row(topup.payment_id)
        assert (message["status"], message["reason"]) == (
            MessageStatus.QUARANTINED,
            f"contradicts our record: {named}",
        )
        assert (row["state"], row["contradiction"]) == ("pending", named)
        assert await till.available(customer) == NOTHING

    async def test_are_told_to_the_customer_who_reconciles(self, till: Till, customer: Customer, topup: Topup) -> None:
        await paid_notification(till)
        await till.yookassa.plan("altered", "get_payment", changes={"amount": {"value": "5000.00"}})

        with pytest.raises(PaymentUnderReview):
            await till.topups.reconcile(customer.principal, topup.payment_id)

        assert await till.available(customer) == NOTHING

    async def test_that_have_gone_away_no_longer_stand_in_the_way(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        await paid_notification(till)
        await till.yookassa.plan("altered", "get_payment", changes={"paid": False})
        with pytest.raises(PaymentUnderReview):
            await till.topups.reconcile(customer.principal, topup.payment_id)

        await till.topups.reconcile(customer.principal, topup.payment_id)

        assert (await till.row(topup.payment_id))["contradiction"] is None
        assert await till.available(customer) == FIVE_HUNDRED

    async def test_a_second_payment_that_claims_our_id_is_not_ours(
        self, till: Till, customer: Customer, topup: Topup
    ) -> None:
        other = await till.started(await till.town.customer(), "1000")
        first, second = await till.yookassa.payments()
        await till.yookassa.pay(second["id"])
        body = await till.yookassa.notification()
        mine = {"payment_id": topup.payment_id, "account_id": customer.account.id}
        changes = {"id": second["id"], "metadata": mine, "amount": {"value": "500.00"}}
        await till.yookassa.plan("altered", "get_payment", changes=changes)

        message = await till.notified(body)

        assert first["id"] != second["id"]
        assert message["status"] == MessageStatus.QUARANTINED
        assert await till.available(customer) == NOTHING
        assert (await till.row(other.payment_id))["state"] == "pending"


class TestExpiry:
    async def test_credit_from_a_topup_lasts_a_year(self, till: Till, customer: Customer, topup: Topup) -> None:
        await paid_notification(till)
        await till.topups.reconcile(customer.principal, topup.payment_id)

        assert await lot_expiries(till, topup) == [NOON + timedelta(days=365)]

    async def test_unless_it_is_set_to_last_for_ever(self, till: Till, topup: Topup) -> None:
        await paid_notification(till)
        eternal = payment_parts(clock=till.clock, ids=till.ids, wallets=till.wallets, topup_ttl_days=0).states
        seen = await till.provider.get_payment(ProviderPaymentId(await till.yookassa.only_payment_id()))

        async with till.begin() as uow:
            await eternal.apply_provider_state(uow, topup.payment_id, seen, actor=Actor.READ_BACK)

        assert await lot_expiries(till, topup) == [None]


class TestADyingWorker:
    async def test_leaves_the_message_to_the_next_one(self, till: Till, customer: Customer, topup: Topup) -> None:
        body = await paid_notification(till)
        await till.inbox.receive("yookassa", body)
        message = await till.message_of(body)
        dying = EndingProvider(till.provider, ProcessDiedError())

        with pytest.raises(ProcessDiedError):
            await till.with_notifications_of(dying).inbox.hand_over(message["id"])
        till.clock.move(timedelta(minutes=10))
        leased = await till.inbox.hand_over_due()
        await till.inbox.hand_over(message["id"])

        assert leased >= 1
        assert await till.available(customer) == topup.amount


async def lot_expiries(till: Till, topup: Topup) -> list[Any]:
    """When the credit of this top-up expires, lot by lot."""
    async with till.begin() as uow:
        found = await uow.connection.execute(
            text("SELECT expires_at FROM credit_lots WHERE origin = :id"), {"id": topup.payment_id}
        )
        return list(found.scalars())
