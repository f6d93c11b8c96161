"""A hold grows while an answer streams, its lease begins anew, and it is never given more than there is."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from backend.tests.builders.wallets import Wallets, rub
from billing.wallets.errors import InsufficientFunds, MaxReplyCostExceeded, OperationEnded
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.service import Hold

pytestmark = pytest.mark.money

TTL = timedelta(seconds=900)


async def extend(wallets: Wallets, wallet: WalletId, operation: OperationId, to: str) -> Hold:
    async with wallets.begin() as uow:
        return await wallets.service.extend(uow, wallet, operation, rub(to))


class TestExtending:
    async def test_the_hold_grows_out_of_the_same_lot_and_the_next(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        await wallets.grant(wallet, "10")
        operation = await wallets.hold(wallet, "4")

        grown = await extend(wallets, wallet, operation, "25")

        balance = await wallets.balance(wallet)
        assert grown.amount == rub("25")
        assert (balance.granted, balance.paid, balance.held) == (rub("0"), rub("5"), rub("25"))

    async def test_what_it_grew_by_is_charged_and_the_rest_comes_back(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "4")
        await extend(wallets, wallet, operation, "9")

        async with wallets.begin() as uow:
            charge = await wallets.service.settle(uow, wallet, operation, rub("7"))

        assert (charge.charged, charge.debt) == (rub("7"), rub("0"))
        assert (await wallets.balance(wallet)).available == rub("13")

    @pytest.mark.parametrize("to", ["9", "5"])
    async def test_a_hold_that_has_so_much_keeps_its_amount(self, wallets: Wallets, to: str) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "4")
        await extend(wallets, wallet, operation, "9")

        again = await extend(wallets, wallet, operation, to)

        assert again.amount == rub("9")
        assert (await wallets.balance(wallet)).held == rub("9")

    async def test_growing_begins_the_lease_anew(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "4")
        wallets.clock.move(timedelta(seconds=600))

        grown = await extend(wallets, wallet, operation, "5")

        assert grown.expires_at == wallets.clock.now() + TTL

    async def test_ten_extensions_at_once_grow_it_once(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "4")

        await asyncio.gather(*(extend(wallets, wallet, operation, "9") for _ in range(10)))

        assert (await wallets.balance(wallet)).held == rub("9")

    async def test_the_first_call_again_still_answers_its_hold(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = wallets.operation()
        for to in ("4", "9"):
            async with wallets.begin() as uow:
                await wallets.service.hold(uow, wallet, rub("4"), operation)
                grown = await wallets.service.extend(uow, wallet, operation, rub(to))

        async with wallets.begin() as uow:
            again = await wallets.service.hold(uow, wallet, rub("4"), operation)

        assert again == grown


class TestRefusing:
    async def test_growth_beyond_the_credit_is_refused_and_the_hold_stays(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "4")

        with pytest.raises(InsufficientFunds) as refusal:
            await extend(wallets, wallet, operation, "10.01")

        assert (refusal.value.available, refusal.value.required) == (rub("6"), rub("6.01"))
        assert (await wallets.balance(wallet)).held == rub("4")

    async def test_two_streams_cannot_grow_into_the_same_credit(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")
        operations = [await wallets.hold(wallet, "2") for _ in range(4)]

        outcomes = await asyncio.gather(
            *(extend(wallets, wallet, one, "3") for one in operations), return_exceptions=True
        )

        assert sum(isinstance(outcome, InsufficientFunds) for outcome in outcomes) == 2
        assert (await wallets.balance(wallet)).held == rub("10")

    async def test_the_clients_own_limit_for_the_reply_holds_for_its_growth(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("100")
        operation = wallets.operation()
        async with wallets.begin() as uow:
            await wallets.service.hold(uow, wallet, rub("4"), operation, max_reply_cost=rub("5"))

        with pytest.raises(MaxReplyCostExceeded) as refusal:
            await extend(wallets, wallet, operation, "5.01")

        assert (refusal.value.limit, refusal.value.required) == (rub("5"), rub("5.01"))

    @pytest.mark.parametrize("ending", ["settled", "released", "expired"])
    async def test_an_ended_hold_does_not_grow(self, wallets: Wallets, ending: str) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "4")
        await _end(wallets, wallet, operation, ending)

        with pytest.raises(OperationEnded) as refusal:
            await extend(wallets, wallet, operation, "9")

        assert refusal.value.ending == ending


class TestRenewing:
    async def test_the_lease_begins_anew_and_the_sweeper_passes_by(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("20")
        operation = await wallets.hold(wallet, "4")
        wallets.clock.move(timedelta(seconds=899))

        async with wallets.begin() as uow:
            until = await wallets.service.renew(uow, wallet, operation)
        wallets.clock.move(timedelta(seconds=899))
        await wallets.service.sweep()

        assert until == wallets.clock.now() + timedelta(seconds=1)
        assert (await wallets.balance(wallet)).held == rub("4")

    @pytest.mark.parametrize("ending", ["settled", "released", "expired"])
    async def test_an_ended_hold_keeps_its_moment(self, wallets: Wallets, ending: str) -> None:
        wallet = await wallets.with_paid("20")
        ends_at = wallets.clock.now() + TTL
        operation = await wallets.hold(wallet, "4")
        await _end(wallets, wallet, operation, ending)

        async with wallets.begin() as uow:
            until = await wallets.service.renew(uow, wallet, operation)

        assert until == ends_at
        assert (await wallets.balance(wallet)).held == rub("0")


async def _end(wallets: Wallets, wallet: WalletId, operation: OperationId, ending: str) -> None:
    if ending == "expired":
        wallets.clock.move(TTL)
        await wallets.service.sweep()
        return
    async with wallets.begin() as uow:
        if ending == "settled":
            await wallets.service.settle(uow, wallet, operation, rub("1"))
        else:
            await wallets.service.release(uow, wallet, operation, reason="provider_error")
