"""Whoever waits for a wallet's lock in vain, or goes away while waiting, leaves nothing behind."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from psycopg.errors import LockNotAvailable
from sqlalchemy import text

from backend.tests.builders.wallets import Wallets, rub
from billing.kit.unit_of_work import UnitOfWork

pytestmark = pytest.mark.money

TTL = timedelta(seconds=900)

_WAITING_FOR_US = text("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
# Within a transaction the list of sessions is the one that was looked at first, without those that came later.
_LOOK_AGAIN = text("SELECT pg_stat_clear_snapshot()")
_LOCK = text("SELECT id FROM wallets WHERE id = :wallet FOR UPDATE")


class TestWaiting:
    async def test_a_lock_that_nobody_frees_is_given_up(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")
        is_locked = asyncio.Event()

        async def hold() -> None:
            await is_locked.wait()
            async with wallets.begin() as uow:
                await uow.connection.execute(text("SET LOCAL lock_timeout = '50ms'"))
                await wallets.service.hold(uow, wallet, rub("4"), wallets.operation())

        holding = asyncio.create_task(hold())
        async with wallets.begin() as uow:
            await uow.connection.execute(_LOCK, {"wallet": wallet})
            is_locked.set()
            with pytest.raises(LockNotAvailable):
                await holding

        assert (await wallets.balance(wallet)).available == rub("10")

    async def test_who_goes_away_while_waiting_leaves_the_wallet_and_the_connections_as_they_were(
        self, wallets: Wallets
    ) -> None:
        wallet = await wallets.with_paid("100")

        for _ in range(12):  # more often than there are connections
            is_locked = asyncio.Event()

            async def hold(is_locked: asyncio.Event) -> None:
                await is_locked.wait()
                await wallets.hold(wallet, "4")

            holding = asyncio.create_task(hold(is_locked))
            async with wallets.begin() as uow:
                await uow.connection.execute(_LOCK, {"wallet": wallet})
                is_locked.set()
                await _until_waiting(uow)
                holding.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await holding

        await wallets.hold(wallet, "4")
        assert (await wallets.balance(wallet)).available == rub("96")


class TestARenewalAndTheSweeper:
    async def test_a_hold_that_is_renewed_while_the_sweeper_waits_for_its_wallet_stays(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "4")
        wallets.clock.move(TTL)
        is_renewed = asyncio.Event()

        async def sweep() -> None:
            await is_renewed.wait()
            await wallets.service.sweep()

        sweeping = asyncio.create_task(sweep())
        async with wallets.begin() as uow:
            await wallets.service.renew(uow, wallet, operation)
            is_renewed.set()
            await _until_waiting(uow)
        await sweeping

        balance = await wallets.balance(wallet)
        assert (balance.held, balance.available) == (rub("4"), rub("6"))


async def _until_waiting(uow: UnitOfWork) -> None:
    async with asyncio.timeout(10):
        while not await uow.connection.scalar(_WAITING_FOR_US):
            await uow.connection.execute(_LOOK_AGAIN)
