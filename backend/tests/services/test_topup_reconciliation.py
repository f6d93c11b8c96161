"""What the provider's books and ours say differently is found, and healed where it can be."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from backend.tests.builders.customers import Customer
from backend.tests.builders.upkeep import Caretaker, begun, credited, lost, only_difference, paid
from backend.tests.builders.wallets import rub
from backend.tests.builders.yookassa import YookassaBackstage
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.payment_provider import EndingProvider
from billing.kit.errors import InvalidInput
from billing.payments.comparison import DifferenceKind, Window
from billing.payments.errors import (
    PaymentsNotConfigured,
    ProviderUnavailable,
)
from billing.payments.matching import Matcher
from billing.payments.reconciliation import EVERY
from billing.payments.rules import RefundState

pytestmark = [pytest.mark.money, pytest.mark.slow]

FIVE_HUNDRED = rub("500")
LOST_ID = "22e12f66-000f-5000-8000-18db351245c7"


@pytest.fixture
def clock() -> StoppedClock:
    """Stands where the simulator's clock stands, because its lists are asked for by time."""
    return StoppedClock(datetime.now(UTC))


@pytest.fixture
async def customer(caretaker: Caretaker) -> Customer:
    """Somebody who pays."""
    return await caretaker.till.town.customer()


class TestBooksThatAgree:
    async def test_have_no_differences(self, caretaker: Caretaker, customer: Customer, window: Window) -> None:
        await credited(caretaker, customer)

        done = await caretaker.reconciliation.run(window)

        assert (done.payments, done.healed, done.differences) == (1, 0, 0)

    async def test_have_the_providers_fee_once(self, caretaker: Caretaker, customer: Customer, window: Window) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.reconciliation.run(window)

        entries = await caretaker.rows(
            "SELECT account, amount_micros FROM ledger_entries WHERE transfer_id = :id ORDER BY account",
            id=f"fee:{payment_id}",
        )
        assert (await caretaker.till.row(payment_id))["fee_micros"] == rub("17.50").micros
        assert entries == [
            {"account": "provider:yookassa", "amount_micros": rub("17.50").micros},
            {"account": "provider_fees", "amount_micros": -rub("17.50").micros},
        ]

    async def test_have_no_entry_for_a_provider_that_keeps_nothing(
        self, caretaker: Caretaker, customer: Customer
    ) -> None:
        payment_id = await paid(caretaker, customer)
        changes = {"income_amount": {"value": "500.00", "currency": "RUB"}}
        await caretaker.till.yookassa.plan("altered", "get_payment", times=1, changes=changes)

        await caretaker.till.topups.reconcile(customer.principal, payment_id)

        assert (await caretaker.till.row(payment_id))["fee_micros"] == 0
        assert await caretaker.rows("SELECT id FROM ledger_transfers WHERE id = :id", id=f"fee:{payment_id}") == []

    async def test_of_a_payment_that_ended_without_money_have_none(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        await begun(caretaker, customer)
        await caretaker.till.yookassa.decline(await caretaker.till.yookassa.only_payment_id())

        first = await caretaker.reconciliation.run(window)
        await caretaker.as_owner("DELETE FROM payments WHERE account_id = :id", id=customer.account.id)
        without_row = await caretaker.reconciliation.run(window)

        assert (first.healed, first.differences, without_row.differences) == (1, 0, 0)


class TestWhatHeals:
    async def test_is_a_payment_of_which_we_never_heard(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await paid(caretaker, customer)

        done = await caretaker.reconciliation.run(window)

        assert (done.healed, done.differences) == (1, 0)
        assert (await caretaker.till.row(payment_id))["state"] == "succeeded"
        assert await caretaker.till.available(customer) == FIVE_HUNDRED

    async def test_is_a_refund_of_which_we_never_heard(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        provider_id = await caretaker.till.yookassa.only_payment_id()
        await caretaker.till.yookassa.refund_in_cabinet(provider_id, rub("200"))

        done = await caretaker.reconciliation.run(window)

        assert (done.refunds, done.differences) == (1, 0)
        assert (await caretaker.till.row(payment_id))["state"] == "partially_refunded"
        assert await caretaker.till.available(customer) == rub("300")

    async def test_is_a_fee_that_was_not_booked(self, caretaker: Caretaker, customer: Customer, window: Window) -> None:
        payment_id = await begun(caretaker, customer)
        await caretaker.till.yookassa.plan("altered", "get_payment", times=1, changes={"income_amount": None})
        await caretaker.till.yookassa.pay(await caretaker.till.yookassa.only_payment_id())
        await caretaker.till.topups.reconcile(customer.principal, payment_id)
        before = (await caretaker.till.row(payment_id))["fee_micros"]

        done = await caretaker.reconciliation.run(window)

        assert (before, done.healed, done.differences) == (None, 1, 0)
        assert (await caretaker.till.row(payment_id))["fee_micros"] == rub("17.50").micros

    async def test_is_not_healed_a_second_time(self, caretaker: Caretaker, customer: Customer, window: Window) -> None:
        await paid(caretaker, customer)

        runs = [await caretaker.reconciliation.run(window) for _ in range(3)]

        assert [done.healed for done in runs] == [1, 0, 0]
        assert await caretaker.till.available(customer) == FIVE_HUNDRED


class TestEachKind:
    async def test_of_a_payment_that_we_lost_is_missing_here(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await lost(caretaker, customer)

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.payment_id) == (DifferenceKind.MISSING_HERE, payment_id)
        assert found.theirs["account_id"] == customer.account.id

    async def test_of_a_payment_that_names_nobody_of_ours_is_foreign(
        self, caretaker: Caretaker, window: Window
    ) -> None:
        provider_id = await YookassaBackstage(caretaker.till.yookassa).reserved(FIVE_HUNDRED)

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.object_id) == (DifferenceKind.FOREIGN, provider_id)

    async def test_of_a_payment_that_only_we_have_is_missing_there(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await begun(caretaker, customer)
        await caretaker.as_owner(
            "INSERT INTO payments SELECT (jsonb_populate_record(payments, jsonb_build_object("
            "'id', 'pay_lost' || id, 'provider_payment_id', CAST(:named AS text) || id))).*"
            " FROM payments WHERE id = :id",
            id=payment_id,
            named=LOST_ID[:8],
        )

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.payment_id) == (DifferenceKind.MISSING_THERE, f"pay_lost{payment_id}")

    @pytest.mark.parametrize(
        ("change", "kind"),
        [
            ("amount_micros = amount_micros + 1000000", DifferenceKind.AMOUNT),
            ("currency = 'USD'", DifferenceKind.CURRENCY),
            ("purpose = 'subscription'", DifferenceKind.IDENTITY),
        ],
    )
    async def test_of_a_row_that_is_not_what_was_paid(
        self, caretaker: Caretaker, customer: Customer, window: Window, change: str, kind: DifferenceKind
    ) -> None:
        payment_id = await begun(caretaker, customer)
        await caretaker.as_owner(f"UPDATE payments SET {change} WHERE id = :id", id=payment_id)  # noqa: S608 - constants

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.payment_id) == (kind, payment_id)
        assert (await caretaker.till.row(payment_id))["state"] == "pending"

    async def test_of_a_payment_that_ended_only_here_is_its_status(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await begun(caretaker, customer)
        await caretaker.as_owner(
            "UPDATE payments SET state = 'canceled', cancellation = 'expired' WHERE id = :id", id=payment_id
        )

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.ours["status"], found.theirs["status"]) == (
            DifferenceKind.STATUS,
            "canceled",
            "pending",
        )

    async def test_of_another_fee_than_the_booked_one_is_the_fee(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.as_owner("UPDATE payments SET fee_micros = 1 WHERE id = :id", id=payment_id)

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.theirs["fee"]) == (DifferenceKind.FEE, str(rub("17.50")))

    async def test_fee_stays_as_it_was_booked_whatever_else_is_booked(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.as_owner("UPDATE payments SET fee_micros = 1 WHERE id = :id", id=payment_id)
        await caretaker.till.yookassa.refund_in_cabinet(await caretaker.till.yookassa.only_payment_id(), rub("1"))
        await caretaker.till.notified(await caretaker.till.yookassa.notification("refund.succeeded"))

        found = (await only_difference(caretaker, window)).difference

        row = await caretaker.till.row(payment_id)
        assert found.kind is DifferenceKind.FEE
        assert (row["fee_micros"], row["refunded_micros"]) == (1, rub("1").micros)

    async def test_refund_that_only_we_have(self, caretaker: Caretaker, customer: Customer, window: Window) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.as_owner(
            "INSERT INTO refunds (id, payment_id, provider, amount_micros, currency, state, begun_by, is_overdraft,"
            " reason, provider_refund_id, created_at, updated_at)"
            " SELECT 'rfd_' || id, id, provider, 1, currency, 'pending', 'operator', false, '', :named || id,"
            " created_at, created_at FROM payments WHERE id = :id",
            id=payment_id,
            named="2e",
        )

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.payment_id, found.ours["status"]) == (
            DifferenceKind.REFUND,
            payment_id,
            RefundState.PENDING,
        )

    async def test_refund_that_has_another_state_with_us(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        await caretaker.till.yookassa.hold_refunds()
        refund = await caretaker.till.refunded(payment_id, "200")
        await caretaker.as_owner(
            "UPDATE refunds SET state = 'failed', failure = 'canceled' WHERE id = :id", id=refund.id
        )

        found = (await only_difference(caretaker, window)).difference

        assert (found.kind, found.ours["status"], found.theirs["status"]) == (
            DifferenceKind.REFUND,
            "failed",
            "pending",
        )

    async def test_refund_of_a_foreign_payment(self, caretaker: Caretaker, window: Window) -> None:
        backstage = YookassaBackstage(caretaker.till.yookassa)
        provider_id = await backstage.reserved(FIVE_HUNDRED)
        await caretaker.till.provider.capture(provider_id, FIVE_HUNDRED, key=provider_id)
        await backstage.refund_in_cabinet(provider_id, rub("1"))

        await caretaker.reconciliation.run(window)

        (refund,) = await caretaker.till.yookassa.refunds()
        found = {one.difference.object_id: one for one in await caretaker.reconciliation.differences()}
        assert found[refund["id"]].difference.kind is DifferenceKind.FOREIGN
        assert found[provider_id].difference.kind is DifferenceKind.FOREIGN


class TestARun:
    async def test_lists_a_difference_once_however_often_it_is_made(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        await lost(caretaker, customer)
        first = await only_difference(caretaker, window)

        caretaker.till.clock.move(timedelta(hours=1))
        await caretaker.reconciliation.run(window)

        (again,) = [one for one in await caretaker.reconciliation.differences() if one.id == first.id]
        same = [
            one
            for one in await caretaker.reconciliation.differences()
            if one.difference.object_id == first.difference.object_id
        ]
        assert len(same) == 1
        assert (again.found_at, again.last_seen_at) == (first.found_at, first.found_at + timedelta(hours=1))

    async def test_beside_another_one_lists_it_once_too(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await lost(caretaker, customer)

        await asyncio.gather(*(caretaker.reconciliation.run(window) for _ in range(2)))

        listed = [one.difference.payment_id for one in await caretaker.reconciliation.differences()]
        assert listed.count(payment_id) == 1

    async def test_reads_both_books_piece_by_piece(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        payment_id = await credited(caretaker, customer)
        provider_id = await caretaker.till.yookassa.only_payment_id()
        for amount in ("1", "2", "3"):
            await caretaker.till.yookassa.refund_in_cabinet(provider_id, rub(amount))
            await caretaker.till.started(customer, f"{amount}00")
        matcher = Matcher(
            begin=caretaker.ground.begin,
            clock=caretaker.ground.clock,
            ids=caretaker.ground.ids,
            provider=caretaker.till.provider,
            states=caretaker.parts.states,
            at_once=2,
        )

        found = await matcher.match(window)

        assert (len(found.payments), len(found.refunds), found.differences) == (4, 3, 0)
        assert (await caretaker.till.row(payment_id))["refunded_micros"] == rub("6").micros

    async def test_that_the_provider_cuts_short_is_no_run(
        self, caretaker: Caretaker, customer: Customer, window: Window
    ) -> None:
        await paid(caretaker, customer)
        down = caretaker.with_provider(EndingProvider(caretaker.till.provider, ProviderUnavailable("down")))
        runs = "SELECT count(*) AS runs FROM reconciliation_runs"
        before = await caretaker.rows(runs)

        with pytest.raises(ProviderUnavailable):
            await down.reconciliation.run(window)

        assert await caretaker.rows(runs) == before

    @pytest.mark.parametrize("length", [timedelta(0), timedelta(days=31, seconds=1)])
    async def test_compares_some_time_and_not_too_much(
        self, caretaker: Caretaker, window: Window, length: timedelta
    ) -> None:
        with pytest.raises(InvalidInput):
            await caretaker.reconciliation.run(Window(window.since, window.since + length))

    async def test_needs_a_provider(self, caretaker: Caretaker, window: Window) -> None:
        with pytest.raises(PaymentsNotConfigured):
            await caretaker.with_provider(None).reconciliation.run(window)


class TestTheDailyRun:
    async def test_is_made_once_a_day_and_goes_on_where_the_last_ended(self, caretaker: Caretaker) -> None:
        reconciliation = caretaker.reconciliation
        caretaker.till.clock.move(EVERY)  # another test may have made one today
        first = await reconciliation.run_due()
        too_early = (await reconciliation.enqueue_due(), await reconciliation.run_due())
        caretaker.till.clock.move(EVERY)
        is_due = await reconciliation.enqueue_due()
        second = await reconciliation.run_due()

        assert first is not None
        assert second is not None
        assert (too_early, is_due) == ((False, None), True)
        assert (second.since, second.until) == (first.until - timedelta(days=3), caretaker.till.clock.now())

    async def test_is_made_although_a_clock_that_went_wrong_made_one_in_the_future(self, caretaker: Caretaker) -> None:
        reconciliation = caretaker.reconciliation
        caretaker.till.clock.move(EVERY)
        await reconciliation.run_due()
        await caretaker.as_owner(
            "UPDATE reconciliation_runs SET until_at = until_at + make_interval(days => 400),"
            " finished_at = finished_at + make_interval(days => 400) WHERE is_daily"
        )

        run = await reconciliation.run_due()
        again = (await reconciliation.enqueue_due(), await reconciliation.run_due())

        assert run is not None
        assert run.until == caretaker.till.clock.now()
        assert again == (False, None)

    async def test_is_not_due_without_a_provider(self, caretaker: Caretaker) -> None:
        assert await caretaker.with_provider(None).reconciliation.enqueue_due() is False
