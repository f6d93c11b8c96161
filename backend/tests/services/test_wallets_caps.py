"""Caps bound what is spent and reserved in a day or a month, for calls at once and across every reset (G3)."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.customers import Town
from backend.tests.builders.limits import Bounded, account_wallet, bounded
from backend.tests.builders.wallets import RUB, Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import NOON, StoppedClock
from billing.kit.unit_of_work import Begin, UnitOfWork
from billing.wallets.caps import CapScope
from billing.wallets.errors import (
    CapExceeded,
    DailyCapExceeded,
    InsufficientFunds,
    KeyCapExceeded,
    MaxReplyCostExceeded,
    MemberCapExceeded,
    MonthlyCapExceeded,
)

pytestmark = pytest.mark.money

_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0"
)
# Within a transaction the list of sessions is the one that was looked at first, without those that came later.
_LOOK_AGAIN = text("SELECT pg_stat_clear_snapshot()")
NOTHING = rub("0")
MIDNIGHT = NOON.replace(hour=0) + timedelta(days=1)


class TestTheDailyCap:
    async def test_what_is_spent_and_reserved_and_required_fits_to_the_last_micro(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        await one.spend("4")
        await one.hold("3")

        await one.hold("3")

        assert await one.used() == (rub("4"), rub("6"))

    async def test_one_micro_more_is_refused_with_every_figure(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        await one.spend("4")
        await one.hold("3")

        with pytest.raises(DailyCapExceeded) as refusal:
            await one.hold("3.000001")

        assert refusal.value.facts == {
            "cap": "10.00",
            "spent": "4.00",
            "reserved": "3.00",
            "required": "3.000001",
            "currency": "RUB",
            "resets_at": "2026-03-03T00:00:00+00:00",
        }
        assert await one.used() == (rub("4"), rub("3"))

    async def test_ten_calls_at_once_never_pass_together_and_are_refused_alike(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")

        outcomes = await asyncio.gather(*(one.hold("3") for _ in range(10)), return_exceptions=True)

        refused = [outcome for outcome in outcomes if isinstance(outcome, DailyCapExceeded)]
        assert len(refused) == 7
        assert all(refusal.facts == refused[0].facts for refusal in refused)
        assert (refused[0].reserved, refused[0].required) == (rub("9"), rub("3"))
        assert await one.used() == (NOTHING, rub("9"))

    async def test_what_comes_back_can_be_used_again(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        first, second = await one.hold("5"), await one.hold("5")
        await one.settle(first, "1")
        await one.release(second)

        await one.hold("9")

        assert await one.used() == (rub("1"), rub("9"))

    async def test_a_cap_of_nothing_lets_nothing_pass(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="0")

        with pytest.raises(DailyCapExceeded):
            await one.hold("0.000001")

    async def test_a_charge_beyond_the_hold_counts_as_spent(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        operation = await one.hold("8")

        await one.settle(operation, "12")

        assert await one.used() == (rub("12"), NOTHING)
        with pytest.raises(DailyCapExceeded):
            await one.hold("0.01")

    async def test_a_call_that_is_asked_again_counts_once(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        operation = await one.hold("8")
        async with wallets.begin() as uow:
            await wallets.service.hold(uow, one.wallet_id, rub("8"), operation)
        for _ in range(2):
            await one.settle(operation, "6")

        assert await one.used() == (rub("6"), NOTHING)

    async def test_a_call_that_waited_while_the_cap_was_set_is_bound_by_it(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        is_locked, is_set = asyncio.Event(), asyncio.Event()

        async def limit() -> None:
            await is_locked.wait()
            await one.limit(daily="10")

        async def call() -> None:
            await is_set.wait()
            await one.hold("11")

        setting, calling = asyncio.create_task(limit()), asyncio.create_task(call())
        async with wallets.begin() as uow:
            await uow.connection.execute(
                text("SELECT id FROM wallets WHERE id = :wallet FOR UPDATE"), {"wallet": one.wallet_id}
            )
            is_locked.set()
            await _until_waiting(uow, 1)
            is_set.set()
            await _until_waiting(uow, 2)

        await setting
        with pytest.raises(DailyCapExceeded):
            await calling


class TestTheTurnOfTheDay:
    async def test_a_new_day_begins_with_nothing(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        await one.spend("10")
        wallets.clock.move(MIDNIGHT - wallets.clock.now())

        await one.hold("10")

        assert await one.used() == (NOTHING, rub("10"))

    async def test_the_last_moment_of_the_day_belongs_to_it(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        await one.spend("10")
        wallets.clock.move(MIDNIGHT - timedelta(microseconds=1) - wallets.clock.now())

        with pytest.raises(DailyCapExceeded):
            await one.hold("0.01")

    async def test_what_ends_the_next_day_counts_in_the_day_in_which_it_was_placed(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        wallets.clock.move(MIDNIGHT - timedelta(seconds=1) - wallets.clock.now())
        settled, released = await one.hold("6"), await one.hold("4")
        wallets.clock.move(timedelta(seconds=2))
        await one.hold("1")

        await one.settle(settled, "5")
        await one.release(released)

        assert await one.used() == (NOTHING, rub("1"))
        assert await _periods(one) == [(rub("5").micros, 0), (0, rub("1").micros)]

    async def test_growth_after_midnight_is_bound_by_the_day_of_the_hold(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        wallets.clock.move(MIDNIGHT - timedelta(seconds=1) - wallets.clock.now())
        operation = await one.hold("6")
        await one.hold("3")
        wallets.clock.move(timedelta(seconds=2))
        await one.hold("10")

        with pytest.raises(DailyCapExceeded) as refusal:
            await one.extend(operation, "8")
        grown = await one.extend(operation, "7")

        assert (refusal.value.reserved, refusal.value.required) == (rub("9"), rub("2"))
        assert refusal.value.resets_at == MIDNIGHT
        assert grown.amount == rub("7")
        assert await one.used() == (NOTHING, rub("10"))

    async def test_a_late_charge_counts_once_in_the_day_of_the_hold(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        operation = await one.hold("6")
        wallets.clock.move(timedelta(days=1))
        await wallets.service.sweep()

        for _ in range(2):
            charge = await one.settle(operation, "8")

        assert charge.is_late
        assert await one.used() == (NOTHING, NOTHING)
        assert await _periods(one) == [(rub("8").micros, 0)]

    async def test_days_begin_where_the_account_is(self, wallets: Wallets) -> None:
        one = await bounded(wallets, time_zone="Asia/Tokyo")
        await one.limit(daily="10")
        await one.spend("10")

        assert (await one.standing()).resets_at == NOON.replace(hour=15)
        wallets.clock.move(timedelta(hours=3))
        await one.hold("10")
        assert (await one.standing()).resets_at == NOON.replace(hour=15) + timedelta(days=1)

    async def test_a_day_that_has_begun_ends_when_it_said_although_the_account_moves(self, wallets: Wallets) -> None:
        one = await bounded(wallets, time_zone="Asia/Tokyo")
        await one.limit(daily="10")
        await one.spend("10")
        moved = Bounded(wallets, one.desk, replace(one.owner, time_zone="America/New_York"), one.wallet_id)

        with pytest.raises(DailyCapExceeded):
            await moved.hold("1")
        wallets.clock.move(timedelta(hours=3))
        await moved.spend("1")

        starts = await _starts(one)
        assert starts == [NOON.replace(hour=15) - timedelta(days=1), NOON.replace(hour=15)]
        assert (await moved.standing()).resets_at == datetime(2026, 3, 3, 5, tzinfo=UTC)

    async def test_a_process_whose_clock_lags_behind_counts_in_the_day_that_has_begun(
        self, begin: Begin, wallets: Wallets
    ) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        late = StoppedClock(MIDNIGHT - timedelta(seconds=1))
        wallets.clock.move(MIDNIGHT - wallets.clock.now())
        await one.spend("4")
        lagging = Bounded(build_wallets(begin, late, wallets.ids), one.desk, one.owner, one.wallet_id)

        operation = await lagging.hold("6")
        with pytest.raises(DailyCapExceeded):
            await lagging.hold("0.01")
        await lagging.settle(operation, "5")

        assert await one.used() == (rub("9"), NOTHING)


class TestOtherCaps:
    async def test_a_month_is_bound_across_its_days(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(monthly="10")
        await one.spend("6")
        wallets.clock.move(timedelta(days=29))

        with pytest.raises(MonthlyCapExceeded) as refusal:
            await one.hold("5")

        assert refusal.value.resets_at == datetime(2026, 4, 1, tzinfo=UTC)
        wallets.clock.move(timedelta(days=1))
        await one.hold("10")

    async def test_a_member_and_a_key_are_bound_and_others_are_not(self, wallets: Wallets, town: Town) -> None:
        one, person, key = await _organisation(wallets, town)
        await one.limit(members={person: "5"}, keys={key: "3"})
        await one.spend("2", person=person, key=key)

        with pytest.raises(KeyCapExceeded) as by_key:
            await one.hold("2", person=person, key=key)
        with pytest.raises(MemberCapExceeded) as by_member:
            await one.hold("4", person=person)
        await one.hold("100", person="per_somebody_else")

        assert (by_key.value.spent, by_member.value.spent) == (rub("2"), rub("2"))

    async def test_settlement_counts_for_whoever_placed_the_hold(self, wallets: Wallets, town: Town) -> None:
        one, person, key = await _organisation(wallets, town)
        await one.limit(members={person: "5"}, keys={key: "5"}, daily="50", monthly="50")

        operation = await one.hold("4", person=person, key=key)
        await one.extend(operation, "5")
        await one.settle(operation, "3")

        for scope in CapScope:
            assert await one.used(scope) == (rub("3"), NOTHING)

    async def test_the_tightest_cap_answers(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10", monthly="8")

        with pytest.raises(MonthlyCapExceeded):
            await one.hold("11")
        await one.limit(daily="7", monthly="8")
        with pytest.raises(DailyCapExceeded):
            await one.hold("11")

    async def test_the_wallets_limit_for_one_reply_is_not_widened_by_the_client(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(reply="5")

        with pytest.raises(MaxReplyCostExceeded):
            async with wallets.begin() as uow:
                await wallets.service.hold(uow, one.wallet_id, rub("6"), wallets.operation(), max_reply_cost=rub("100"))

    async def test_a_cap_that_has_room_does_not_replace_credit(self, wallets: Wallets) -> None:
        one = await bounded(wallets, "5")
        await one.limit(daily="10")

        with pytest.raises(InsufficientFunds):
            await one.hold("6")

        assert await one.used() == (NOTHING, NOTHING)


class TestSettingInTheMiddle:
    async def test_what_was_spent_and_reserved_before_counts(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.spend("4")
        await one.hold("3")

        await one.limit(daily="10", monthly="20")

        assert await one.used(CapScope.DAY) == (rub("4"), rub("3"))
        with pytest.raises(DailyCapExceeded):
            await one.hold("3.01")

    async def test_of_before_the_day_nothing_counts(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        early = await one.hold("3")
        wallets.clock.move(timedelta(days=1))

        await one.limit(daily="10")
        await one.settle(early, "3")

        assert await one.used() == (NOTHING, NOTHING)

    async def test_members_and_keys_begin_with_what_was_theirs(self, wallets: Wallets, town: Town) -> None:
        one, person, key = await _organisation(wallets, town)
        await one.spend("2", person=person)
        await one.spend("1", person=person, key=key)
        await one.spend("7", person="per_somebody_else")

        await one.limit(members={person: "5"}, keys={key: "5"})

        assert await one.used(CapScope.MEMBER) == (rub("3"), NOTHING)
        assert await one.used(CapScope.KEY) == (rub("1"), NOTHING)

    async def test_counting_goes_on_while_there_is_no_cap(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        await one.spend("4")
        await one.limit()
        await one.spend("90")

        limits = await one.limit(daily="100")

        assert [cap.spent for cap in limits.caps] == [rub("94")]

    async def test_a_lowered_cap_refuses_what_is_new_and_leaves_what_is_open(self, wallets: Wallets) -> None:
        one = await bounded(wallets)
        await one.limit(daily="10")
        operation = await one.hold("8")

        await one.limit(daily="5")

        with pytest.raises(CapExceeded):
            await one.hold("0.01")
        assert (await one.settle(operation, "8")).charged == rub("8")


async def _organisation(wallets: Wallets, town: Town) -> tuple[Bounded, str, str]:
    """A bounded wallet of an account that has a member and a key of its own."""
    customer = await town.customer()
    key = await town.service.create_api_key(customer.principal, "tests", scopes=["chat"], request_id="req_tests")
    async with wallets.begin() as uow:
        wallet_id = await wallets.service.of_account(uow, customer.account.id, RUB)
    await wallets.pay_in(wallet_id, "1000")
    one = Bounded(wallets, account_wallet(wallets), customer.principal, wallet_id)
    return one, str(customer.principal.person_id), key.id


async def _until_waiting(uow: UnitOfWork, count: int) -> None:
    async with asyncio.timeout(10):
        while await uow.connection.scalar(_WAITING) != count:
            await uow.connection.execute(_LOOK_AGAIN)


async def _periods(one: Bounded) -> list[tuple[int, int]]:
    """What is spent and reserved in each period, the oldest first."""
    async with one.wallets.begin() as uow:
        rows = await uow.connection.execute(
            text(
                "SELECT spent_micros, reserved_micros FROM spending_periods WHERE wallet_id = :wallet"
                " ORDER BY starts_at"
            ),
            {"wallet": one.wallet_id},
        )
        return [(row.spent_micros, row.reserved_micros) for row in rows]


async def _starts(one: Bounded) -> list[datetime]:
    async with one.wallets.begin() as uow:
        rows = await uow.connection.scalars(
            text("SELECT starts_at FROM spending_periods WHERE wallet_id = :wallet ORDER BY starts_at"),
            {"wallet": one.wallet_id},
        )
        return list(rows)
