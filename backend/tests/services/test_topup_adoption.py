"""People decide about what differs: they adopt what was lost, let it stand, or leave it alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.upkeep import Caretaker, begun, lost, only_difference
from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import YookassaBackstage
from backend.tests.fakes.clock import StoppedClock
from billing.customers.errors import AccountNotFound, Forbidden
from billing.kit.errors import InvalidInput
from billing.payments.comparison import DifferenceKind, Resolution, Window
from billing.payments.errors import (
    DifferenceNotAdoptable,
    DifferenceNotFound,
    DifferenceResolved,
    PaymentsNotConfigured,
)

pytestmark = [pytest.mark.money, pytest.mark.slow]

FIVE_HUNDRED = rub("500")
NOTHING = rub("0")
WHY = {"reason": "the backup of Monday was restored", "request_id": "req_1"}


@pytest.fixture
def clock() -> StoppedClock:
    """Stands where the simulator's clock stands, because its lists are asked for by time."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture
async def customer(caretaker: Caretaker) -> Customer:
    """Somebody who pays."""
    return await caretaker.till.town.customer()


@pytest.fixture
async def operator(caretaker: Caretaker) -> Customer:
    """Somebody who decides."""
    return await caretaker.operator()


class TestAdopting:
    async def test_makes_the_row_and_credits_it(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        payment_id = await lost(caretaker, customer)
        found = await only_difference(caretaker, window)

        adopted = await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        row = await caretaker.till.row(payment_id)
        assert (adopted.id, row["state"], row["account_id"]) == (payment_id, "succeeded", customer.account.id)
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_credits_once_whatever_comes_after_it(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        payment_id = await lost(caretaker, customer)
        body = await caretaker.till.yookassa.notification()
        found = await only_difference(caretaker, window)
        await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        await caretaker.till.notified(body)
        await caretaker.till.topups.reconcile(customer.principal, payment_id)
        again = await caretaker.reconciliation.run(window)
        with pytest.raises(DifferenceResolved):
            await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        assert again.differences == 0
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_twice_at_once_credits_once(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        await lost(caretaker, customer)
        found = await only_difference(caretaker, window)

        ends = await asyncio.gather(
            *(caretaker.desk.adopt(operator.principal, found.id, **WHY) for _ in range(2)), return_exceptions=True
        )

        assert sorted(type(end).__name__ for end in ends) == ["DifferenceResolved", "Payment"]
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_books_what_was_refunded_meanwhile(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        await lost(caretaker, customer)
        provider_id = await caretaker.till.yookassa.only_payment_id()
        await caretaker.till.yookassa.refund_in_cabinet(provider_id, rub("200"))
        await caretaker.reconciliation.run(window)
        (found,) = [
            one
            for one in await caretaker.reconciliation.differences(kind=DifferenceKind.MISSING_HERE)
            if one.difference.object_id == provider_id
        ]

        adopted = await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        assert adopted.refunded == rub("200")
        assert await caretaker.till.available(customer) == rub("300")

    async def test_of_a_payment_that_nobody_paid_yet_leaves_it_to_the_janitor(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        payment_id = await begun(caretaker, customer)
        await caretaker.as_owner("DELETE FROM payments WHERE id = :id", id=payment_id)
        found = await only_difference(caretaker, window)
        await caretaker.desk.adopt(operator.principal, found.id, **WHY)
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())

        await caretaker.after(timedelta(0))

        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_leaves_one_entry_in_the_audit_trail(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        payment_id = await lost(caretaker, customer)
        found = await only_difference(caretaker, window)

        await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        (entry,) = await caretaker.rows("SELECT * FROM audit_entries WHERE target = :id", id=found.id)
        assert (entry["action"], entry["reason"], entry["account_id"]) == (
            "difference.adopted",
            WHY["reason"],
            customer.account.id,
        )
        assert (entry["before"]["kind"], entry["after"]["payment_id"]) == ("missing_here", payment_id)

    async def test_for_an_account_that_is_not_there_changes_nothing(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        await lost(caretaker, customer)
        found = await only_difference(caretaker, window)
        change = {"metadata": {"payment_id": "pay_x", "account_id": "acc_gone", "purpose": "topup"}}
        await caretaker.till.yookassa.plan("altered", "get_payment", times=1, changes=change)

        with pytest.raises(AccountNotFound):
            await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        assert await caretaker.rows("SELECT * FROM audit_entries WHERE target = :id", id=found.id) == []
        assert (await caretaker.reconciliation.open_difference(found.id)).resolution is None

    @pytest.mark.parametrize(
        "change",
        [
            {"metadata": {"payment_id": None}},
            {"metadata": {"payment_id": "order-17", "account_id": "acc_1", "purpose": "topup"}},
            {"metadata": {"payment_id": "pay_x", "account_id": "acc_1", "purpose": "gift"}},
            {"metadata": {"payment_id": "pay_x", "account_id": "acc_1", "purpose": "subscription"}},
        ],
    )
    async def test_of_what_does_not_say_whose_it_is_is_refused(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window, change: dict[str, object]
    ) -> None:
        await lost(caretaker, customer)
        found = await only_difference(caretaker, window)
        await caretaker.till.yookassa.plan("altered", "get_payment", times=1, changes=change)

        with pytest.raises(DifferenceNotAdoptable):
            await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        assert await caretaker.till.available(customer) == NOTHING

    async def test_of_what_is_another_shops_is_refused(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        await lost(caretaker, customer)
        found = await only_difference(caretaker, window)
        change = {"recipient": {"account_id": "7", "gateway_id": "7"}}
        await caretaker.till.yookassa.plan("altered", "get_payment", times=1, changes=change)

        with pytest.raises(DifferenceNotAdoptable):
            await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        assert await caretaker.till.available(customer) == NOTHING

    async def test_of_a_payment_whose_row_came_back_is_refused(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        await lost(caretaker, customer)
        found = await only_difference(caretaker, window)
        await caretaker.desk.adopt(operator.principal, found.id, **WHY)
        await caretaker.as_owner(
            "UPDATE reconciliation_differences SET resolution = NULL, resolved_at = NULL WHERE id = :id", id=found.id
        )

        with pytest.raises(DifferenceNotAdoptable):
            await caretaker.desk.adopt(operator.principal, found.id, **WHY)

        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_of_another_kind_of_difference_is_refused(
        self, caretaker: Caretaker, operator: Customer, window: Window
    ) -> None:
        await YookassaBackstage(caretaker.till.yookassa).reserved(FIVE_HUNDRED)
        found = await only_difference(caretaker, window)

        with pytest.raises(DifferenceNotAdoptable):
            await caretaker.desk.adopt(operator.principal, found.id, **WHY)

    async def test_needs_a_provider(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window
    ) -> None:
        await lost(caretaker, customer)
        found = await only_difference(caretaker, window)

        with pytest.raises(PaymentsNotConfigured):
            await caretaker.with_provider(None).desk.adopt(operator.principal, found.id, **WHY)


class TestDeciding:
    async def test_to_accept_lets_it_stand_until_a_side_says_something_else(
        self, caretaker: Caretaker, operator: Customer, window: Window
    ) -> None:
        provider_id = await YookassaBackstage(caretaker.till.yookassa).reserved(FIVE_HUNDRED)
        found = await only_difference(caretaker, window)
        await caretaker.desk.accept(operator.principal, found.id, **WHY)
        await caretaker.reconciliation.run(window)
        still_open = [one.id for one in await caretaker.reconciliation.differences()]

        await caretaker.till.provider.capture(provider_id, FIVE_HUNDRED, key=provider_id)
        later = await only_difference(caretaker, window)

        assert found.id not in still_open
        assert (later.difference.object_id, later.difference.theirs["status"]) == (provider_id, "succeeded")

    async def test_to_ignore_leaves_the_object_alone_for_good(
        self, caretaker: Caretaker, operator: Customer, window: Window
    ) -> None:
        provider_id = await YookassaBackstage(caretaker.till.yookassa).reserved(FIVE_HUNDRED)
        found = await only_difference(caretaker, window)
        await caretaker.desk.ignore(operator.principal, found.id, **WHY)

        await caretaker.till.provider.capture(provider_id, FIVE_HUNDRED, key=provider_id)
        await caretaker.reconciliation.run(window)

        open_objects = {one.difference.object_id for one in await caretaker.reconciliation.differences()}
        (decided,) = [
            one
            for one in await caretaker.desk.differences(operator.principal, is_open=False)
            if one.difference.object_id == provider_id
        ]
        assert provider_id not in open_objects
        assert decided.resolution is Resolution.IGNORED

    @pytest.mark.parametrize("way", ["adopt", "accept", "ignore"])
    async def test_needs_an_operator_a_reason_and_a_difference(
        self, caretaker: Caretaker, customer: Customer, operator: Customer, window: Window, way: str
    ) -> None:
        await lost(caretaker, customer)
        found = await only_difference(caretaker, window)
        decide = getattr(caretaker.desk, way)

        with pytest.raises(Forbidden):
            await decide(customer.principal, found.id, **WHY)
        with pytest.raises(InvalidInput):
            await decide(operator.principal, found.id, reason=" ", request_id="req_1")
        with pytest.raises(DifferenceNotFound):
            await decide(operator.principal, "rcd_none", **WHY)

        assert (await caretaker.reconciliation.open_difference(found.id)).resolution is None

    async def test_is_for_operators_to_see_too(self, caretaker: Caretaker, customer: Customer) -> None:
        with pytest.raises(Forbidden):
            await caretaker.desk.differences(customer.principal)
        with pytest.raises(Forbidden):
            await caretaker.desk.stuck(customer.principal)
