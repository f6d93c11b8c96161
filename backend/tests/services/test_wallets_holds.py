"""A hold sets credit aside, ends once, and what was really used is charged once."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.wallets import RUB, Wallets, rub
from billing.kit.money import Money
from billing.kit.unit_of_work import Begin
from billing.wallets.errors import InsufficientFunds, MaxReplyCostExceeded, OperationEnded, OperationReused

pytestmark = pytest.mark.money

# A hold that says it keeps more than its wallet holds cannot be given back: the database's floors refuse it.
_BREAK = text(
    "UPDATE hold_allocations SET amount_micros = amount_micros * 2"
    " WHERE hold_id = (SELECT id FROM holds WHERE operation_id = :operation)"
)
_MEND = text(
    "UPDATE hold_allocations SET amount_micros = amount_micros / 2"
    " WHERE hold_id = (SELECT id FROM holds WHERE operation_id = :operation)"
)

_WAITING_FOR_US = text("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
# Within a transaction the list of sessions is the one that was looked at first, without those that came later.
_LOOK_AGAIN = text("SELECT pg_stat_clear_snapshot()")


class TestHolding:
    async def test_a_hold_moves_credit_out_of_reach(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")

        await wallets.hold(wallet, "30")

        balance = await wallets.balance(wallet)
        assert (balance.available, balance.held) == (rub("70"), rub("30"))

    async def test_a_hold_beyond_the_credit_is_refused_with_both_numbers(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")

        with pytest.raises(InsufficientFunds) as refusal:
            await wallets.hold(wallet, "10.000001")

        assert refusal.value.facts == {"available": "10.00", "required": "10.000001", "currency": "RUB"}
        assert (await wallets.balance(wallet)).available == rub("10")

    async def test_two_holds_at_once_cannot_spend_the_same_credit(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")

        outcomes = await asyncio.gather(*(wallets.hold(wallet, "15") for _ in range(10)), return_exceptions=True)

        refused = [outcome for outcome in outcomes if isinstance(outcome, InsufficientFunds)]
        assert len(refused) == 4
        assert (await wallets.balance(wallet)).held == rub("90")

    async def test_the_same_operation_again_answers_its_first_hold(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = wallets.operation()
        async with wallets.begin() as uow:
            first = await wallets.service.hold(uow, wallet, rub("40"), operation)

        async with wallets.begin() as uow:
            second = await wallets.service.hold(uow, wallet, rub("40"), operation)

        assert second == first
        assert (await wallets.balance(wallet)).held == rub("40")

    async def test_the_same_operation_with_another_amount_is_refused(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = await wallets.hold(wallet, "40")

        with pytest.raises(OperationReused):
            async with wallets.begin() as uow:
                await wallets.service.hold(uow, wallet, rub("41"), operation)

        assert (await wallets.balance(wallet)).held == rub("40")

    async def test_a_reply_that_may_cost_more_than_the_client_allows_is_refused(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")

        with pytest.raises(MaxReplyCostExceeded) as refusal:
            async with wallets.begin() as uow:
                await wallets.service.hold(uow, wallet, rub("5.01"), wallets.operation(), max_reply_cost=rub("5"))

        assert refusal.value.facts == {"limit": "5.00", "required": "5.01", "currency": "RUB"}

    async def test_a_hold_of_nothing_keeps_nothing_and_can_be_settled(self, wallets: Wallets) -> None:
        wallet = await wallets.opened()
        operation = await wallets.hold(wallet, "0")

        async with wallets.begin() as uow:
            charge = await wallets.service.settle(uow, wallet, operation, Money.zero(RUB))

        assert charge.charged == Money.zero(RUB)

    async def test_expired_credit_cannot_be_held(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100", expires_at=wallets.clock.now() + timedelta(days=1))
        wallets.clock.move(timedelta(days=1))

        with pytest.raises(InsufficientFunds):
            await wallets.hold(wallet, "1")

    async def test_the_credit_that_expires_first_is_spent_first_and_granted_before_paid(self, wallets: Wallets) -> None:
        soon = wallets.clock.now() + timedelta(days=1)
        wallet = await wallets.with_paid("10", expires_at=soon)
        await wallets.grant(wallet, "10", expires_at=soon)
        await wallets.grant(wallet, "10")

        await wallets.hold(wallet, "15")

        lots = {(lot.is_granted, lot.expires_at): lot.left for lot in (await wallets.balance(wallet)).lots}
        assert lots == {(False, soon): rub("5"), (True, soon): rub("0"), (True, None): rub("10")}


class TestSettling:
    async def test_less_than_the_hold_is_charged_and_the_rest_comes_back(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = await wallets.hold(wallet, "30")

        async with wallets.begin() as uow:
            charge = await wallets.service.settle(uow, wallet, operation, rub("12.5"))

        balance = await wallets.balance(wallet)
        assert (charge.charged, charge.available) == (rub("12.5"), rub("87.5"))
        assert (balance.available, balance.held) == (rub("87.5"), rub("0"))

    async def test_more_than_the_hold_takes_the_rest_of_the_balance_and_then_becomes_debt(
        self, wallets: Wallets
    ) -> None:
        wallet = await wallets.with_paid("30")
        operation = await wallets.hold(wallet, "10")

        async with wallets.begin() as uow:
            charge = await wallets.service.settle(uow, wallet, operation, rub("50"))

        balance = await wallets.balance(wallet)
        assert (charge.charged, charge.debt) == (rub("50"), rub("20"))
        assert (balance.paid, balance.debt, balance.available) == (rub("0"), rub("20"), rub("0"))

    async def test_the_next_credit_pays_the_debt_first(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "10")
        async with wallets.begin() as uow:
            await wallets.service.settle(uow, wallet, operation, rub("25"))

        await wallets.pay_in(wallet, "100")

        balance = await wallets.balance(wallet)
        assert (balance.debt, balance.paid) == (rub("0"), rub("85"))

    async def test_new_holds_are_refused_while_debt_is_not_covered(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")
        other = await wallets.hold(wallet, "4")
        operation = await wallets.hold(wallet, "6")
        async with wallets.begin() as uow:
            await wallets.service.settle(uow, wallet, operation, rub("20"))
        async with wallets.begin() as uow:
            await wallets.service.release(uow, wallet, other, reason="provider_error")

        with pytest.raises(InsufficientFunds) as refusal:
            await wallets.hold(wallet, "1")

        assert refusal.value.facts["available"] == "0.00"

    async def test_the_second_settlement_answers_like_the_first_and_moves_nothing(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = await wallets.hold(wallet, "30")
        async with wallets.begin() as uow:
            await wallets.service.settle(uow, wallet, operation, rub("10"))

        async with wallets.begin() as uow:
            again = await wallets.service.settle(uow, wallet, operation, rub("10"))

        assert again.charged == rub("10")
        assert (await wallets.balance(wallet)).available == rub("90")

    async def test_a_second_settlement_of_another_amount_is_refused(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = await wallets.hold(wallet, "30")
        async with wallets.begin() as uow:
            await wallets.service.settle(uow, wallet, operation, rub("10"))

        with pytest.raises(OperationEnded):
            async with wallets.begin() as uow:
                await wallets.service.settle(uow, wallet, operation, rub("11"))

        assert (await wallets.balance(wallet)).available == rub("90")

    async def test_ten_settlements_at_once_charge_once(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = await wallets.hold(wallet, "30")

        async def settle() -> None:
            async with wallets.begin() as uow:
                await wallets.service.settle(uow, wallet, operation, rub("7"))

        await asyncio.gather(*(settle() for _ in range(10)))

        assert (await wallets.balance(wallet)).available == rub("93")

    async def test_a_hold_of_nothing_that_is_released_meanwhile_cannot_be_charged(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = await wallets.hold(wallet, "0")
        is_locked = asyncio.Event()

        async def settle() -> None:
            await is_locked.wait()
            async with wallets.begin() as uow:
                await wallets.service.settle(uow, wallet, operation, rub("7"))

        settling = asyncio.create_task(settle())
        async with wallets.begin() as uow:
            await wallets.service.release(uow, wallet, operation, reason="nothing_delivered")
            is_locked.set()
            async with asyncio.timeout(10):
                while not await uow.connection.scalar(_WAITING_FOR_US):
                    await uow.connection.execute(_LOOK_AGAIN)

        with pytest.raises(OperationEnded):
            await settling
        assert (await wallets.balance(wallet)).available == rub("100")

    async def test_a_released_operation_cannot_be_charged(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = await wallets.hold(wallet, "30")
        async with wallets.begin() as uow:
            await wallets.service.release(uow, wallet, operation, reason="provider_error")

        with pytest.raises(OperationEnded):
            async with wallets.begin() as uow:
                await wallets.service.settle(uow, wallet, operation, rub("10"))

        assert (await wallets.balance(wallet)).available == rub("100")


class TestReleasing:
    async def test_a_release_gives_everything_back_to_the_lots_it_came_from(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        await wallets.grant(wallet, "5")
        operation = await wallets.hold(wallet, "22")

        async with wallets.begin() as uow:
            await wallets.service.release(uow, wallet, operation, reason="provider_error")

        balance = await wallets.balance(wallet)
        assert (balance.paid, balance.granted, balance.held) == (rub("20"), rub("5"), rub("0"))

    async def test_releasing_twice_changes_nothing_more(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "20")

        for _ in range(2):
            async with wallets.begin() as uow:
                await wallets.service.release(uow, wallet, operation, reason="provider_error")

        assert (await wallets.balance(wallet)).available == rub("20")

    async def test_a_charged_operation_cannot_be_released(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "20")
        async with wallets.begin() as uow:
            await wallets.service.settle(uow, wallet, operation, rub("20"))

        with pytest.raises(OperationEnded):
            async with wallets.begin() as uow:
                await wallets.service.release(uow, wallet, operation, reason="provider_error")

        assert (await wallets.balance(wallet)).available == rub("0")

    async def test_credit_that_expired_while_held_is_not_given_back(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20", expires_at=wallets.clock.now() + timedelta(minutes=1))
        operation = await wallets.hold(wallet, "15")
        wallets.clock.move(timedelta(minutes=2))

        async with wallets.begin() as uow:
            await wallets.service.release(uow, wallet, operation, reason="provider_error")

        balance = await wallets.balance(wallet)
        assert (balance.available, balance.held) == (rub("0"), rub("0"))


class TestExpiry:
    async def test_a_hold_whose_owner_died_is_given_back_by_the_sweeper(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        await wallets.hold(wallet, "15")
        wallets.clock.move(timedelta(seconds=900))

        await wallets.service.sweep()

        balance = await wallets.balance(wallet)
        assert (balance.available, balance.held) == (rub("20"), rub("0"))

    async def test_a_hold_is_not_swept_one_moment_before_its_time(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        await wallets.hold(wallet, "15")
        wallets.clock.move(timedelta(seconds=899, microseconds=999_999))

        await wallets.service.sweep()

        assert (await wallets.balance(wallet)).held == rub("15")

    async def test_a_result_after_expiry_is_charged_late_once(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "15")
        wallets.clock.move(timedelta(seconds=901))
        await wallets.service.sweep()

        for _ in range(2):
            async with wallets.begin() as uow:
                charge = await wallets.service.settle(uow, wallet, operation, rub("18"))
            assert charge.is_late

        assert (await wallets.balance(wallet)).available == rub("2")

    async def test_settle_and_sweep_at_once_end_the_operation_once(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "15")
        wallets.clock.move(timedelta(seconds=901))

        async def settle() -> None:
            async with wallets.begin() as uow:
                await wallets.service.settle(uow, wallet, operation, rub("15"))

        await asyncio.gather(settle(), wallets.service.sweep(), wallets.service.sweep())

        balance = await wallets.balance(wallet)
        assert (balance.available, balance.held) == (rub("5"), rub("0"))

    async def test_one_hold_that_cannot_be_ended_keeps_no_other_waiting(
        self, wallets: Wallets, begin_as_owner: Begin
    ) -> None:
        broken, whole = await wallets.with_paid("20"), await wallets.with_paid("20")
        first = await wallets.hold(broken, "15")
        await wallets.hold(whole, "15")
        wallets.clock.move(timedelta(seconds=901))
        async with begin_as_owner() as uow:
            await uow.connection.execute(_BREAK, {"operation": first})

        with pytest.raises(ExceptionGroup, match="1 of "):
            await wallets.service.sweep()

        async with begin_as_owner() as uow:
            await uow.connection.execute(_MEND, {"operation": first})
        assert (await wallets.balance(whole)).available == rub("20")
        await wallets.service.sweep()
        assert (await wallets.balance(broken)).available == rub("20")
