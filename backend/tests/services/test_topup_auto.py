"""A wallet tops itself up when it is low: once, within what its owner agreed to, and not without end."""

from __future__ import annotations

import asyncio
from contextvars import Context
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from backend.tests.builders.auto_topups import COOL_OFF, Garage
from backend.tests.builders.customers import Customer
from backend.tests.builders.payments import OFFER
from backend.tests.builders.wallets import rub
from backend.tests.fakes.payment_provider import EndingProvider, ProcessDiedError
from billing.customers.rules import AccountId
from billing.kit.unit_of_work import UnitOfWork
from billing.payments.errors import (
    ProviderRejected,
    ProviderUnavailable,
)
from billing.payments.ports import ReceiptOrder
from billing.payments.records import Contact

pytestmark = [pytest.mark.money, pytest.mark.slow]


async def refuse_cards(garage: Garage, customer: Customer) -> None:
    """From now on the bank refuses what the customer has saved."""
    for method in await garage.methods.methods_of(customer.principal):
        await garage.yookassa.refuse_method(method.ref.id)


class TestCharging:
    async def test_a_low_wallet_is_topped_up_with_the_saved_method(self, garage: Garage) -> None:
        customer = await garage.low()

        jobs = await garage.tick(customer)

        (charge,) = await garage.charges(customer)
        (payment,) = await garage.charged_at_provider(customer)
        assert (jobs, charge["state"], payment["amount"]["value"]) == (1, "succeeded", "500.00")
        assert await garage.available(customer) == rub("550")
        assert "confirmation" not in payment

    async def test_the_charge_names_the_agreement_and_the_method(self, garage: Garage) -> None:
        customer = await garage.low()

        await garage.tick(customer)

        (charge,) = await garage.charges(customer)
        agreed = (await garage.standing(customer)).auto_topup
        assert (charge["subject"], charge["method_id"]) == (agreed.agreement_id, agreed.method_id)
        assert charge["saves_method"] is False

    async def test_a_wallet_that_is_not_below_its_threshold_is_left_alone(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        await garage.agreed(customer, method_id, threshold="100")
        await garage.spend(customer, "400")

        jobs = await garage.tick(customer)

        assert (jobs, await garage.charges(customer)) == (0, [])

    async def test_what_is_only_held_is_not_spent(self, garage: Garage) -> None:
        customer, method_id = await garage.driver()
        await garage.agreed(customer, method_id)
        async with garage.begin() as uow:
            wallet_id = await garage.wallets.service.of_account(uow, customer.account.id, OFFER.currency)
        await garage.wallets.hold(wallet_id, "450")

        assert await garage.tick(customer) == 0

    async def test_a_wallet_without_an_agreement_is_left_alone(self, garage: Garage) -> None:
        customer, _ = await garage.driver()
        await garage.spend(customer, "450")

        assert await garage.tick(customer) == 0

    async def test_a_wallet_that_was_filled_meanwhile_is_not_charged(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.runs.enqueue_due()
        await garage.paid_with_consent(customer)

        for leased_until in await garage.jobs_of(customer.account.id):
            await garage.runs.run(customer.account.id, leased_until)

        assert await garage.charges(customer) == []

    async def test_an_abandoned_manual_top_up_is_in_nobody_s_way(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.topups.start(customer.principal, amount=rub("500"), idempotency_key="abandoned")

        await garage.tick(customer)

        assert [charge["state"] for charge in await garage.charges(customer)] == ["succeeded"]

    async def test_without_a_provider_nothing_is_begun(self, garage: Garage) -> None:
        customer = await garage.low()

        assert await garage.but(provider=None).tick(customer) == 0

    async def test_what_belongs_to_another_shop_waits_until_that_is_connected_again(self, garage: Garage) -> None:
        customer = await garage.low()
        async with garage.begin() as uow:
            await uow.connection.execute(
                text(
                    "INSERT INTO payment_methods SELECT 'pmt_' || id, account_id, provider, '999', provider_method_id,"
                    " NULL, title, payment_id, consent_at, NULL FROM payment_methods WHERE account_id = :id"
                ),
                {"id": customer.account.id},
            )
            await uow.connection.execute(
                text(
                    "UPDATE auto_topups SET method_id = (SELECT id FROM payment_methods"
                    " WHERE account_id = :id AND shop_id = '999') WHERE account_id = :id"
                ),
                {"id": customer.account.id},
            )

        assert await garage.tick(customer) == 0
        assert (await garage.standing(customer)).auto_topup.off_reason is None


class TestPausing:
    async def test_while_a_bank_wants_a_payment_back_no_card_of_the_account_is_charged(self, garage: Garage) -> None:
        customer = await garage.low()
        dispute = text(
            "INSERT INTO disputes (id, payment_id, account_id, provider, provider_dispute_id, amount_micros, currency,"
            " state, opened_at, updated_at) SELECT 'dsp' || id, id, account_id, provider, 'dsp' || id, 1, currency,"
            " :state, created_at, created_at FROM payments WHERE account_id = :id"
        )
        async with garage.begin() as uow:
            await uow.connection.execute(dispute, {"id": customer.account.id, "state": "open"})

        meanwhile = await garage.tick(customer)
        async with garage.begin() as uow:
            won = text("UPDATE disputes SET state = 'won' WHERE account_id = :id")
            await uow.connection.execute(won, {"id": customer.account.id})

        assert (meanwhile, await garage.tick(customer)) == (0, 1)

    async def test_the_next_one_waits_for_the_cool_off(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.tick(customer)
        await garage.spend(customer, "500")

        garage.clock.move(COOL_OFF - timedelta(seconds=1))
        too_early = await garage.tick(customer)
        garage.clock.move(timedelta(seconds=1))
        in_time = await garage.tick(customer)

        assert (too_early, in_time) == (0, 1)
        assert len(await garage.charged_at_provider(customer)) == 2

    async def test_the_month_s_limit_ends_it_until_the_next_month_of_the_account(self, garage: Garage) -> None:
        garage.clock.move(datetime(2026, 3, 31, 8, tzinfo=UTC) - garage.clock.now())
        customer = await garage.low(time_zone="America/New_York", limit="900")
        await garage.tick(customer)
        await garage.spend(customer, "500")

        garage.clock.move(timedelta(hours=19))  # midnight passed in UTC, not in New York
        await garage.tick(customer)
        within = await garage.standing(customer)
        garage.clock.move(timedelta(hours=1))
        await garage.tick(customer)

        assert within.auto_topup.limited_until == datetime(2026, 4, 1, 4, tzinfo=UTC)
        assert within.charged == rub("500")
        assert len(await garage.charges(customer)) == 2

    async def test_a_higher_limit_is_in_force_at_once(self, garage: Garage) -> None:
        customer = await garage.low(limit="900")
        await garage.tick(customer)
        await garage.spend(customer, "500")
        garage.clock.move(COOL_OFF)
        await garage.tick(customer)
        method_id = (await garage.standing(customer)).auto_topup.method_id

        await garage.agreed(customer, method_id, limit="1000")
        garage.clock.move(timedelta(minutes=5))
        await garage.tick(customer)

        assert len(await garage.charges(customer)) == 2

    async def test_what_was_canceled_does_not_count_against_the_limit(self, garage: Garage) -> None:
        customer = await garage.low(limit="500")
        await refuse_cards(garage, customer)

        await garage.tick(customer)

        assert (await garage.standing(customer)).charged == rub("0")


class TestDeclines:
    async def test_are_tried_again_after_one_and_six_hours_and_then_no_more(self, garage: Garage) -> None:
        customer = await garage.low()
        await refuse_cards(garage, customer)

        jobs = []
        for wait in (timedelta(), timedelta(minutes=59), timedelta(minutes=1), timedelta(hours=6), timedelta(days=30)):
            garage.clock.move(wait)
            jobs.append(await garage.tick(customer))

        assert jobs == [1, 0, 1, 1, 0]
        assert len(await garage.charged_at_provider(customer)) == 3
        assert (await garage.standing(customer)).auto_topup.off_reason == "declined"

    async def test_the_third_one_tells_the_customer_once(self, garage: Garage) -> None:
        customer = await garage.low()
        await refuse_cards(garage, customer)

        for wait in (timedelta(), timedelta(hours=1), timedelta(hours=6)):
            garage.clock.move(wait)
            await garage.tick(customer)

        (event,) = await garage.told(customer)
        agreed = (await garage.standing(customer)).auto_topup
        assert (event["kind"], event["subject"]) == ("auto_topup.disabled", agreed.agreement_id)
        assert event["payload"] == {
            "reason": "declined",
            "threshold": "100.00",
            "amount": "500.00",
            "currency": "RUB",
            "method_id": agreed.method_id,
        }

    async def test_a_success_between_them_starts_anew(self, garage: Garage) -> None:
        customer = await garage.low()
        await refuse_cards(garage, customer)
        await garage.tick(customer)
        (method,) = await garage.methods.methods_of(customer.principal)
        (await garage.yookassa.control.post(f"payment_methods/{method.ref.id}/accept")).raise_for_status()

        garage.clock.move(timedelta(hours=1))
        await garage.tick(customer)

        assert (await garage.standing(customer)).auto_topup.pace.declines == 0

    async def test_turned_on_again_the_same_method_waits_a_day_after_the_third(self, garage: Garage) -> None:
        customer = await garage.low()
        await refuse_cards(garage, customer)
        for wait in (timedelta(), timedelta(hours=1), timedelta(hours=6)):
            garage.clock.move(wait)
            await garage.tick(customer)

        await garage.agreed(customer, (await garage.standing(customer)).auto_topup.method_id)
        at_once = await garage.tick(customer)
        garage.clock.move(timedelta(hours=24))
        a_day_later = await garage.tick(customer)

        assert (at_once, a_day_later) == (0, 1)

    async def test_another_method_is_tried_at_once_and_is_not_blamed_for_the_old_one(self, garage: Garage) -> None:
        customer = await garage.low()
        await refuse_cards(garage, customer)
        await garage.tick(customer)
        garage.clock.move(timedelta(minutes=1))
        await garage.paid_with_consent(customer)
        await garage.spend(customer, "500")
        (new, _) = await garage.methods.methods_of(customer.principal)

        await garage.agreed(customer, new.id)
        await garage.tick(customer)

        assert [charge["state"] for charge in await garage.charges(customer)] == ["canceled", "succeeded"]

    async def test_a_late_decline_of_the_old_method_is_none_of_the_new_one(self, garage: Garage) -> None:
        customer = await garage.low()
        await refuse_cards(garage, customer)
        await garage.yookassa.plan("reset", "create_payment", effect="done", times=3)
        await garage.tick(customer)
        garage.clock.move(timedelta(minutes=1))
        await garage.paid_with_consent(customer)
        (new, _) = await garage.methods.methods_of(customer.principal)
        await garage.agreed(customer, new.id)

        (charge,) = await garage.charges(customer)
        await garage.heard(customer)

        assert charge["state"] == "created"
        assert [charge["state"] for charge in await garage.charges(customer)] == ["canceled"]
        assert (await garage.standing(customer)).auto_topup.pace.declines == 0

    async def test_a_method_that_the_provider_knows_no_more_is_declined(self, garage: Garage) -> None:
        customer = await garage.low()
        assert garage.provider is not None
        refusing = EndingProvider(garage.provider, ProviderRejected("The payment provider refused the request."))

        await garage.but(provider=refusing).tick(customer)

        (charge,) = await garage.charges(customer)
        assert (charge["state"], charge["cancellation"]) == ("canceled", "rejected")
        assert (await garage.standing(customer)).auto_topup.pace.declines == 1


class TestOnce:
    async def test_an_ambiguous_outcome_keeps_its_key_and_its_claim(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.yookassa.plan("reset", "create_payment", effect="done", times=3)
        await garage.tick(customer)
        (uncertain,) = await garage.charges(customer)

        garage.clock.move(timedelta(hours=2))
        blocked = await garage.tick(customer)
        await garage.runs.run(customer.account.id, garage.clock.now())

        (charge,) = await garage.charges(customer)
        assert (uncertain["state"], blocked) == ("created", 0)
        assert (charge["id"], charge["state"]) == (uncertain["id"], "succeeded")
        assert len(await garage.charged_at_provider(customer)) == 1
        assert await garage.available(customer) == rub("550")

    async def test_an_outage_leaves_one_payment_that_is_finished_later(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.yookassa.plan("unavailable", "create_payment", times=3)

        with pytest.raises(ProviderUnavailable):
            await garage.tick(customer)
        await garage.runs.run(customer.account.id, garage.clock.now())

        assert [charge["state"] for charge in await garage.charges(customer)] == ["succeeded"]

    async def test_a_job_that_runs_twice_charges_once_however_low_the_wallet_is_by_then(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.runs.enqueue_due()
        (leased_until,) = await garage.jobs_of(customer.account.id)

        await garage.runs.run(customer.account.id, leased_until)
        await garage.spend(customer, "500")
        await garage.runs.run(customer.account.id, leased_until)

        assert len(await garage.charged_at_provider(customer)) == 1

    async def test_two_jobs_at_once_charge_once(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.runs.enqueue_due()
        (leased_until,) = await garage.jobs_of(customer.account.id)

        await asyncio.gather(*(garage.runs.run(customer.account.id, leased_until) for _ in range(5)))

        assert len(await garage.charged_at_provider(customer)) == 1
        assert await garage.available(customer) == rub("550")

    async def test_two_ticks_at_once_give_one_job(self, garage: Garage) -> None:
        customer = await garage.low()

        await asyncio.gather(*(garage.runs.enqueue_due() for _ in range(4)))

        assert len(await garage.jobs_of(customer.account.id)) == 1

    async def test_a_job_that_never_ran_is_given_out_again_when_its_lease_is_over(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.runs.enqueue_due()
        (first,) = await garage.jobs_of(customer.account.id)

        garage.clock.move(timedelta(minutes=5))
        jobs = await garage.tick(customer)
        await garage.runs.run(customer.account.id, first)

        assert jobs == 1
        assert len(await garage.charged_at_provider(customer)) == 1

    async def test_a_process_that_died_after_the_row_is_continued_under_the_same_key(self, garage: Garage) -> None:
        customer = await garage.low()
        assert garage.provider is not None
        dying = garage.but(provider=EndingProvider(garage.provider, ProcessDiedError(), takes_effect=True))
        with pytest.raises(ProcessDiedError):
            await dying.tick(customer)

        await garage.runs.run(customer.account.id, garage.clock.now())

        assert [charge["state"] for charge in await garage.charges(customer)] == ["succeeded"]
        assert len(await garage.charged_at_provider(customer)) == 1

    async def test_the_database_takes_no_second_one_that_is_under_way(self, garage: Garage) -> None:
        customer = await garage.low()
        await garage.yookassa.plan("reset", "create_payment", effect="none", times=3)
        await garage.tick(customer)
        copy = text(
            "INSERT INTO payments (id, account_id, purpose, amount_micros, currency, provider, shop_id, is_test,"
            " return_url, is_own_return, state, created_at, updated_at, saves_method)"
            " SELECT id || 'x', account_id, purpose, 1, currency, provider, shop_id, is_test, return_url,"
            " is_own_return, 'created', created_at, updated_at, false FROM payments"
            " WHERE account_id = :id AND purpose = 'auto_topup'"
        )

        with pytest.raises(IntegrityError, match="uq_payments_auto_topup_in_flight"):
            async with garage.begin() as uow:
                await uow.connection.execute(copy, {"id": customer.account.id})

        await garage.runs.run(customer.account.id, garage.clock.now())

    async def test_terms_that_change_between_decision_and_claim_are_not_charged(self, garage: Garage) -> None:
        customer = await garage.low()
        method_id = (await garage.standing(customer)).auto_topup.method_id

        class ChangesHisMind:
            """While the receipt is looked up, the owner asks for less."""

            async def order_for(
                self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, contact: Contact
            ) -> ReceiptOrder | None:
                """Nothing; but the terms change."""
                del uow, account_id, purpose, contact
                await asyncio.create_task(changed(), context=Context())
                return None

        async def changed() -> None:
            await garage.agreed(customer, method_id, limit="600")

        await garage.but(provider=garage.provider, receipts=ChangesHisMind()).tick(customer)

        assert await garage.charges(customer) == []

    async def test_one_that_somebody_else_begins_meanwhile_is_the_only_one(self, garage: Garage) -> None:
        customer = await garage.low()
        method_id = (await garage.standing(customer)).auto_topup.method_id

        class Slow:
            """While the receipt is looked up, another worker charges by newer terms."""

            async def order_for(
                self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, contact: Contact
            ) -> ReceiptOrder | None:
                """Nothing; but another one begins."""
                del uow, account_id, purpose, contact
                await asyncio.create_task(another(), context=Context())
                return None

        async def another() -> None:
            await garage.agreed(customer, method_id, amount="1000")
            copy = text(
                "INSERT INTO payments (id, account_id, purpose, amount_micros, currency, provider, shop_id, is_test,"
                " return_url, is_own_return, state, created_at, updated_at, saves_method, provider_payment_id)"
                " SELECT id || 'x', account_id, 'auto_topup', amount_micros, currency, provider, shop_id, is_test,"
                " return_url, is_own_return, 'pending', created_at, updated_at, false, provider_payment_id || 'x'"
                " FROM payments WHERE account_id = :id"
            )
            async with garage.begin() as uow:
                await uow.connection.execute(copy, {"id": customer.account.id})

        await garage.but(provider=garage.provider, receipts=Slow()).tick(customer)

        assert [charge["state"] for charge in await garage.charges(customer)] == ["pending"]
        assert await garage.charged_at_provider(customer) == []

    async def test_a_bug_is_not_taken_for_a_claim(self, garage: Garage) -> None:
        customer = await garage.low()

        class Senseless:
            """Receipts that reach nobody."""

            async def order_for(
                self, uow: UnitOfWork, account_id: AccountId, *, purpose: str, contact: Contact
            ) -> ReceiptOrder | None:
                """One that the database refuses."""
                del uow, account_id, purpose, contact
                return ReceiptOrder(None, None, "x", 1, "full_payment", "service", None)

        with pytest.raises(IntegrityError, match="ck_payments_receipt_terms"):
            await garage.but(provider=garage.provider, receipts=Senseless()).tick(customer)
