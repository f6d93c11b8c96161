"""One object that makes no sense does not keep the others from being compared."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.upkeep import Caretaker, credited, only_difference, paid
from backend.tests.fakes.clock import StoppedClock
from billing.payments.comparison import DifferenceKind, Window

pytestmark = [pytest.mark.money, pytest.mark.slow]

ODD = {"status": "half_paid"}


@pytest.fixture
def clock() -> StoppedClock:
    """Stands where the simulator's clock stands, because its lists are asked for by time."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture
async def customer(caretaker: Caretaker) -> Customer:
    """Somebody who pays."""
    return await caretaker.till.town.customer()


async def listed(caretaker: Caretaker, operation: str, items: list[dict[str, Any]]) -> None:
    """The provider's next list has these objects."""
    await caretaker.till.yookassa.plan("altered", operation, times=1, changes={"items": items})


class TestAnOddPaymentInTheList:
    async def test_is_a_difference_and_the_others_are_compared(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await paid(caretaker, customer)
        (good,) = await caretaker.till.yookassa.payments()
        odd = {**good, **ODD, "id": f"odd-{payment_id}"}
        await listed(caretaker, "list_payments", [odd, good])

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.object_id) == (DifferenceKind.UNREADABLE, odd["id"])
        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"

    async def test_without_an_id_is_one_too(self, caretaker: Caretaker, customer: Customer, window: Window) -> None:
        payment_id = await paid(caretaker, customer)
        (good,) = await caretaker.till.yookassa.payments()
        await listed(caretaker, "list_payments", [{"id": "../refunds"}, good])

        await caretaker.reconciliation.run(window)

        kinds = {
            (one.difference.kind, one.difference.object_id) for one in await caretaker.reconciliation.differences()
        }
        assert (DifferenceKind.UNREADABLE, "unnamed") in kinds
        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"

    async def test_of_ours_is_not_asked_for_once_more(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        (ours,) = await caretaker.till.yookassa.payments()
        await listed(caretaker, "list_payments", [{**ours, **ODD}])
        asked_before = len(await caretaker.till.yookassa.calls("get_payment"))

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.object_id) == (DifferenceKind.UNREADABLE, ours["id"])
        assert len(await caretaker.till.yookassa.calls("get_payment")) == asked_before
        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"


class TestAnOddAnswerAboutOnePayment:
    async def test_is_a_difference_of_that_one(self, caretaker: Caretaker, customer: Customer, window: Window) -> None:
        payment_id = await credited(caretaker, customer)
        await listed(caretaker, "list_payments", [])
        await caretaker.till.yookassa.plan("altered", "get_payment", times=1, changes=ODD)

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.payment_id) == (DifferenceKind.UNREADABLE, payment_id)

    async def test_leaves_what_the_list_says_a_difference(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await paid(caretaker, customer)
        await caretaker.till.yookassa.plan("altered", "get_payment", times=1, changes=ODD)

        found = await only_difference(caretaker, window)
        healed = (await caretaker.reconciliation.run(window)).healed

        assert (found.difference.kind, found.difference.payment_id) == (DifferenceKind.STATUS, payment_id)
        assert (healed, (await caretaker.till.row(payment_id))["state"]) == (1, "succeeded")


class TestAnOddRefund:
    async def test_is_a_difference_and_the_others_are_compared(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.till.refunded(payment_id, "200")
        (good,) = await caretaker.till.yookassa.refunds()
        odd = {**good, **ODD, "id": f"odd-{payment_id}"}
        await listed(caretaker, "list_refunds", [odd, good])

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.object_id) == (DifferenceKind.UNREADABLE, odd["id"])

    async def test_of_a_payment_that_the_provider_does_not_show_is_foreign(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.till.refunded(payment_id, "200")
        (good,) = await caretaker.till.yookassa.refunds()
        orphan = {**good, "id": f"orphan-{payment_id}", "payment_id": f"nobody-{payment_id}", "metadata": {}}
        await listed(caretaker, "list_refunds", [orphan, good])

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.object_id) == (DifferenceKind.FOREIGN, orphan["id"])

    async def test_of_ours_that_cannot_be_read_is_a_difference(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.till.refunded(payment_id, "200")
        await listed(caretaker, "list_refunds", [])
        await caretaker.till.yookassa.plan("altered", "get_refund", times=1, changes=ODD)

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.payment_id) == (DifferenceKind.UNREADABLE, payment_id)

    async def test_that_gave_the_same_back_twice_is_a_difference(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.till.refunded(payment_id, "200")
        (good,) = await caretaker.till.yookassa.refunds()
        twin = {**good, "id": f"twin-{payment_id}"}
        await listed(caretaker, "list_refunds", [twin, good])

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.object_id) == (DifferenceKind.REFUND, twin["id"])

    async def test_of_which_the_provider_says_no_more_is_what_the_list_says(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.till.refunded(payment_id, "200")
        (good,) = await caretaker.till.yookassa.refunds()
        await listed(caretaker, "list_refunds", [{**good, "status": "pending"}])
        await caretaker.till.yookassa.plan("altered", "get_refund", times=1, changes=ODD)

        found = await only_difference(caretaker, window)

        assert (found.difference.kind, found.difference.theirs["status"]) == (DifferenceKind.REFUND, "pending")
