"""Payments and refunds carry a receipt where one is due, and what becomes of it is known (54-FZ)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from backend.tests.builders.auto_topups import Garage
from backend.tests.builders.customers import Customer
from backend.tests.builders.wallets import rub
from billing.customers.directory import AccountDirectory
from billing.payments.errors import BillingContactRequired, ProviderUnavailable
from billing.payments.receipts import TaxReceipts, parse_contact
from billing.payments.receipts_checks import ReceiptChecks
from billing.payments.receipts_rules import UnregisteredReceipt
from billing.payments.receipts_settings import ReceiptSettings
from billing.payments.records import NO_CONTACT, Contact

pytestmark = [pytest.mark.money, pytest.mark.slow]

SETTINGS = ReceiptSettings.model_validate({"BILLING_RECEIPTS_ENABLED": True, "BILLING_RECEIPTS_VAT_CODE": 4})
RECEIPT = {
    "items": [
        {
            "description": "Balance top-up",
            "quantity": "1.00",
            "amount": {"value": "500.00", "currency": "RUB"},
            "vat_code": 4,
            "payment_mode": "full_payment",
            "payment_subject": "service",
        }
    ]
}


@pytest.fixture
async def garage(garage: Garage) -> Garage:
    """Where payments carry receipts."""
    terms = SETTINGS.terms
    assert terms is not None
    await mode(garage, "succeed")
    return garage.but(provider=garage.provider, receipts=TaxReceipts(directory=AccountDirectory(), terms=terms))


@pytest.fixture
def checks(garage: Garage) -> ReceiptChecks:
    """Who asks about receipts."""
    return ReceiptChecks(
        begin=garage.begin,
        clock=garage.clock,
        job_queue=garage.job_queue,
        provider=garage.provider,
        states=garage.states,
    )


async def mode(garage: Garage, what: str) -> None:
    """What becomes of receipts from now on."""
    (await garage.yookassa.control.put("receipts/mode", json={"mode": what})).raise_for_status()


async def end_receipts(garage: Garage, how: str) -> None:
    """The cash register takes (`succeed`) or refuses (`cancel`) every receipt that is pending."""
    state = (await garage.yookassa.control.get("state")).json()
    for receipt in state["receipts"]:
        if receipt["status"] == "pending":
            (await garage.yookassa.control.post(f"receipts/{receipt['id']}/{how}")).raise_for_status()


async def paid(garage: Garage, customer: Customer, contact: Contact = NO_CONTACT) -> str:
    """Our id of a paid top-up of 500."""
    topup = await garage.topups.start(
        customer.principal, amount=rub("500"), contact=contact, idempotency_key=garage.ids.new("key")
    )
    await garage.yookassa.pay((await garage.row(topup.payment_id))["provider_payment_id"])
    await garage.topups.reconcile(customer.principal, topup.payment_id)
    return topup.payment_id


async def asked(garage: Garage, operation: str) -> list[dict[str, Any]]:
    """The bodies of the calls of one operation."""
    return [call["body"] for call in await garage.yookassa.calls(operation)]


async def listed(garage: Garage, checks: ReceiptChecks, payment_id: str, **how: bool) -> list[UnregisteredReceipt]:
    """What operators see of one payment's receipts."""
    async with garage.begin() as uow:
        found = await checks.unregistered(uow, only_failed=how.get("only_failed", False), limit=200)
    return [one for one in found if one.payment_id == payment_id]


class TestOrdering:
    async def test_a_top_up_orders_one_for_the_account_s_owner(self, garage: Garage) -> None:
        customer = await garage.town.customer()

        payment_id = await paid(garage, customer)

        (body,) = await asked(garage, "create_payment")
        assert body["receipt"] == {"customer": {"email": customer.email}, **RECEIPT}
        assert (await garage.row(payment_id))["receipt_status"] == "succeeded"

    async def test_the_contact_of_the_request_comes_first(self, garage: Garage) -> None:
        customer = await garage.town.customer()

        await paid(garage, customer, parse_contact(None, "8 (900) 123-45-67"))

        (body,) = await asked(garage, "create_payment")
        assert body["receipt"]["customer"] == {"phone": "79001234567"}

    async def test_an_automatic_top_up_orders_one_as_well(self, garage: Garage) -> None:
        customer = await garage.low()

        await garage.tick(customer)

        body = (await asked(garage, "create_payment"))[-1]
        assert (body["metadata"]["purpose"], body["receipt"]["customer"]) == ("auto_topup", {"email": customer.email})

    async def test_a_refund_orders_one_over_its_own_amount(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        payment_id = await paid(garage, customer)

        await garage.refunded(payment_id, "120")

        (body,) = await asked(garage, "create_refund")
        assert body["receipt"]["customer"] == {"email": customer.email}
        assert body["receipt"]["items"][0]["amount"] == {"value": "120.00", "currency": "RUB"}

    async def test_the_same_key_orders_the_same_receipt_whatever_was_changed_meanwhile(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        await garage.yookassa.plan("reset", "create_payment", effect="done", times=3)
        first = await garage.topups.start(
            customer.principal, amount=rub("500"), contact=Contact(email="a@example.com"), idempotency_key="k"
        )
        changed = SETTINGS.model_copy(update={"vat_code": 2}).terms
        assert changed is not None
        other = garage.but(provider=garage.provider, receipts=TaxReceipts(directory=AccountDirectory(), terms=changed))

        again = await other.topups.start(
            customer.principal, amount=rub("500"), contact=Contact(email="b@example.com"), idempotency_key="k"
        )

        bodies = await asked(garage, "create_payment")
        assert first.payment_id == again.payment_id
        assert {str(body["receipt"]) for body in bodies} == {str(bodies[0]["receipt"])}
        assert again.confirmation_url is not None

    async def test_nobody_s_contact_is_in_the_logs(self, garage: Garage) -> None:
        customer = await garage.town.customer()
        await garage.yookassa.plan("reset", "create_payment", effect="none", times=3)

        with capture_logs() as lines:
            await garage.topups.start(
                customer.principal, amount=rub("500"), contact=parse_contact(None, "79001234567"), idempotency_key="k"
            )

        assert lines
        assert "79001234567" not in str(lines)
        assert customer.email not in str(lines)


class TestWithoutAContact:
    async def test_nothing_is_written_and_nobody_is_asked(
        self, garage: Garage, forget_people: Callable[[str], Any]
    ) -> None:
        customer = await garage.town.customer()
        await forget_people(customer.account.id)

        with pytest.raises(BillingContactRequired):
            await garage.topups.start(customer.principal, amount=rub("500"), idempotency_key="k")

        async with garage.begin() as uow:
            rows = await uow.connection.scalar(
                text("SELECT count(*) FROM payments WHERE account_id = :id"), {"id": customer.account.id}
            )
        assert (rows, await asked(garage, "create_payment")) == (0, [])

    async def test_the_key_stays_good_for_the_request_with_one(
        self, garage: Garage, forget_people: Callable[[str], Any]
    ) -> None:
        customer = await garage.town.customer()
        await forget_people(customer.account.id)
        with pytest.raises(BillingContactRequired):
            await garage.topups.start(customer.principal, amount=rub("500"), idempotency_key="k")

        topup = await garage.topups.start(
            customer.principal, amount=rub("500"), contact=Contact(phone="79001234567"), idempotency_key="k"
        )

        assert topup.confirmation_url is not None

    @pytest.fixture
    def forget_people(self, garage: Garage) -> Callable[[str], Any]:
        """An account without people."""

        async def forget(account_id: str) -> None:
            async with garage.begin() as uow:
                await uow.connection.execute(text("DELETE FROM members WHERE account_id = :id"), {"id": account_id})

        return forget


class TestTracking:
    async def test_a_receipt_that_comes_later_is_asked_for(self, garage: Garage, checks: ReceiptChecks) -> None:
        await mode(garage, "wait")
        payment_id = await paid(garage, await garage.town.customer())
        waiting = await listed(garage, checks, payment_id)
        await end_receipts(garage, "succeed")

        await checks.run()

        assert [(one.status, one.refund_id) for one in waiting] == [("pending", None)]
        assert (await garage.row(payment_id))["receipt_status"] == "succeeded"
        assert await listed(garage, checks, payment_id) == []

    async def test_a_failed_one_is_listed_and_logged(self, garage: Garage, checks: ReceiptChecks) -> None:
        await mode(garage, "wait")
        customer = await garage.town.customer()
        payment_id = await paid(garage, customer)
        await end_receipts(garage, "cancel")

        with capture_logs() as lines:
            await checks.run()

        (failed,) = await listed(garage, checks, payment_id, only_failed=True)
        assert (failed.status, failed.account_id, failed.amount) == ("failed", customer.account.id, rub("500"))
        assert {"receipt_failed"} == {line["event"] for line in lines if line["log_level"] == "error"}

    async def test_a_refund_s_receipt_is_tracked_beside_its_payment_s(
        self, garage: Garage, checks: ReceiptChecks
    ) -> None:
        payment_id = await paid(garage, await garage.town.customer())
        await mode(garage, "wait")
        refund_id = (await garage.refunded(payment_id, "120")).id
        (waiting,) = await listed(garage, checks, payment_id)
        await end_receipts(garage, "cancel")

        await checks.run()

        (failed,) = await listed(garage, checks, payment_id, only_failed=True)
        assert (waiting.status, waiting.refund_id) == ("pending", refund_id)
        assert (failed.refund_id, failed.amount) == (refund_id, rub("120"))

    async def test_one_is_asked_about_once_an_hour_for_seven_days(self, garage: Garage, checks: ReceiptChecks) -> None:
        await mode(garage, "wait")
        payment_id = await paid(garage, await garage.town.customer())
        provider_id = (await garage.row(payment_id))["provider_payment_id"]

        times = []
        waits = (timedelta(), timedelta(minutes=59), timedelta(minutes=1), timedelta(days=5), timedelta(days=2))
        for wait in waits:
            garage.clock.move(wait)
            before = len(await garage.yookassa.calls("get_payment"))
            await checks.run()
            calls = (await garage.yookassa.calls("get_payment"))[before:]
            times.append(sum(call["path"].endswith(provider_id) for call in calls))

        assert times == [1, 0, 1, 1, 0]

    async def test_an_answer_that_makes_no_sense_is_about_one_and_the_others_are_asked_about(
        self, garage: Garage, checks: ReceiptChecks
    ) -> None:
        await mode(garage, "wait")
        await paid(garage, await garage.town.customer())
        garage.clock.move(timedelta(seconds=1))
        newest = await paid(garage, await garage.town.customer())
        await end_receipts(garage, "succeed")
        await garage.yookassa.plan("altered", "get_payment", times=1, changes={"status": "half_paid"})

        await checks.run()

        assert (await garage.row(newest))["receipt_status"] == "succeeded"

    async def test_an_outage_leaves_the_rest_for_later(self, garage: Garage, checks: ReceiptChecks) -> None:
        await mode(garage, "wait")
        payment_id = await paid(garage, await garage.town.customer())
        await garage.yookassa.plan("unavailable", "get_payment", times=3)

        with pytest.raises(ProviderUnavailable):
            await checks.run()

        assert len(await listed(garage, checks, payment_id)) == 1

    async def test_a_job_is_enqueued_for_it_and_none_where_nobody_collects(
        self, garage: Garage, checks: ReceiptChecks
    ) -> None:
        nobody = ReceiptChecks(
            begin=garage.begin,
            clock=garage.clock,
            job_queue=garage.job_queue,
            provider=None,
            states=garage.states,
        )
        before = await receipt_jobs(garage)

        await nobody.enqueue()
        without = await receipt_jobs(garage)
        await checks.enqueue()

        assert (without - before, await receipt_jobs(garage) - before) == (0, 1)
        assert await nobody.run() == 0


async def receipt_jobs(garage: Garage) -> int:
    """How many jobs about receipts there are."""
    async with garage.begin() as uow:
        found = await uow.connection.scalar(
            text("SELECT count(*) FROM procrastinate_jobs WHERE task_name = 'payments.receipts'")
        )
    return int(found or 0)
