"""Many holds and many lots: whatever ended long ago or expired is in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.owner import owner_engine
from backend.tests.builders.wallets import Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import StoppedClock
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.money import Currency, CurrencyMismatchError, Money
from billing.kit.unit_of_work import Begin, snapshots, units_of_work
from billing.ledger.chart_of_accounts import PROMOTIONS
from billing.wallets.errors import InsufficientFunds
from billing.wallets.models import LotSource
from billing.wallets.rules import WalletId
from billing.wallets.sweeping import ROUND_MAX, work_through

pytestmark = [pytest.mark.money, pytest.mark.slow]  # thousands of rows in a ledger of their own

YEN = Money.from_decimal("5", Currency("JPY"))

# Holds of nothing need no lots and no books, so that any number of them is a whole ledger.
_HOLDS_OF_NOTHING = text(
    """
    INSERT INTO holds (id, wallet_id, operation_id, amount_micros, status, placed_at, expires_at, ended_at)
    SELECT 'hld_' || :kind || lpad(n::text, 6, '0'), :wallet, 'opr_' || :kind || lpad(n::text, 6, '0'), 0, :status,
           CAST(:at AS timestamptz), CAST(:at AS timestamptz) + make_interval(secs => :lives),
           CASE WHEN :status <> 'open' THEN CAST(:at AS timestamptz) END
    FROM generate_series(1, :count) AS n
    """
)

_LOTS = text(
    """
    WITH lots AS (
        INSERT INTO credit_lots
            (id, wallet_id, source, is_granted, amount_micros, left_micros, origin, created_at, expires_at)
        SELECT 'lot_' || :kind || lpad(n::text, 6, '0'), :wallet, 'promotion', true, 1000000, 1000000, 'grt_1',
               CAST(:at AS timestamptz), CAST(:at AS timestamptz) + make_interval(secs => :lives)
        FROM generate_series(1, :count) AS n
    ),
    transfer AS (
        INSERT INTO ledger_transfers (id, kind, occurred_at, reference, details)
        VALUES ('trf_' || :kind || :wallet, 'credit', CAST(:at AS timestamptz), 'grt_1', '{}')
    ),
    entries AS (
        INSERT INTO ledger_entries
            (transfer_id, position, account, wallet_id, amount_micros, currency, balance_after_micros, sequence)
        SELECT 'trf_' || :kind || :wallet, 0, 'wallet.granted', :wallet, 1000000 * :count, 'RUB',
               granted_micros + 1000000 * :count, entry_sequence + 1
        FROM wallets WHERE id = :wallet
        UNION ALL
        SELECT 'trf_' || :kind || :wallet, 1, 'promotions', NULL, -1000000 * :count, 'RUB', NULL, NULL
    )
    UPDATE wallets SET granted_micros = granted_micros + 1000000 * :count, entry_sequence = entry_sequence + 1
    WHERE id = :wallet
    """
)

_STILL_OPEN = text("SELECT count(*) FROM holds WHERE status = 'open' AND expires_at <= :now")


@pytest.fixture
async def alone(own_database: URL, clock: StoppedClock, ids: Ids) -> AsyncIterator[Wallets]:
    """Wallets in a database of their own: what is many here is not everybody's burden."""
    engine = application_engine(own_database)
    wallets = build_wallets(units_of_work(engine), clock, ids)
    yield wallets
    assert await wallets.drifts(snapshots(engine)) == ()
    await engine.dispose()


async def holds_of_nothing(wallets: Wallets, wallet: WalletId, kind: str, status: str, lives: int, count: int) -> None:
    values = {"wallet": wallet, "kind": kind, "status": status, "lives": lives, "count": count}
    async with wallets.begin() as uow:
        await uow.connection.execute(_HOLDS_OF_NOTHING, {**values, "at": wallets.clock.now()})


async def lots(wallets: Wallets, wallet: WalletId, kind: str, lives: int, count: int) -> None:
    """So many lots of one rouble each."""
    async with wallets.begin() as uow:
        values = {"wallet": wallet, "kind": kind, "lives": lives, "count": count, "at": wallets.clock.now()}
        await uow.connection.execute(_LOTS, values)


class TestSweeping:
    @pytest.mark.slow
    async def test_every_hold_past_its_time_ends_in_one_run_however_many_others_there_are(self, alone: Wallets) -> None:
        wallet = await alone.with_paid("100")
        await holds_of_nothing(alone, wallet, "resolved", "released", 1, 30_000)
        await holds_of_nothing(alone, wallet, "running", "open", 86_400, 20_000)
        await holds_of_nothing(alone, wallet, "due", "open", 60, 1_000)
        await alone.hold(wallet, "15")
        alone.clock.move(timedelta(seconds=901))

        ended = await alone.service.sweep()

        async with alone.begin() as uow:
            still_open = await uow.connection.scalar(_STILL_OPEN, {"now": alone.clock.now()})
        assert (ended, still_open) == (1_001, 0)
        assert (await alone.balance(wallet)).available == rub("100")

    async def test_more_than_a_round_of_holds_that_cannot_end_keeps_no_other_waiting(
        self, alone: Wallets, own_database: URL
    ) -> None:
        broken, whole = await alone.with_paid("500"), await alone.with_paid("20")
        for _ in range(3):
            await asyncio.gather(*(alone.hold(broken, "1") for _ in range(100)))
        alone.clock.move(timedelta(seconds=1))
        await alone.hold(whole, "15")
        alone.clock.move(timedelta(seconds=901))
        await _multiply_pieces(own_database, broken, "* 1000")

        with pytest.raises(ExceptionGroup, match="300 of 301"):
            await alone.service.sweep()

        assert (await alone.balance(whole)).available == rub("20")
        await _multiply_pieces(own_database, broken, "/ 1000")
        assert await alone.service.sweep() == 300

    async def test_one_run_ends_however_much_is_due_and_the_next_goes_on(self) -> None:
        seen: list[int] = []

        async def due_after(last: int | None) -> Sequence[int]:
            first = 0 if last is None else last + 1
            return range(first, first + ROUND_MAX)

        async def work(thing: int) -> None:
            seen.append(thing)

        worked = await work_through(due_after, work)

        assert worked == 20_000
        assert sorted(seen) == list(range(20_000))


class TestLots:
    async def test_expired_lots_do_not_hide_the_others(self, alone: Wallets) -> None:
        wallet = await alone.opened()
        await lots(alone, wallet, "old", 60, 1_200)
        await lots(alone, wallet, "new", 3_600, 5)
        alone.clock.move(timedelta(seconds=61))

        await alone.hold(wallet, "5")

        assert (await alone.balance(wallet)).held == rub("5")

    async def test_credit_in_more_lots_than_are_read_at_once_is_spent_to_the_last(self, alone: Wallets) -> None:
        wallet = await alone.opened()
        await lots(alone, wallet, "many", 3_600, 1_500)

        with pytest.raises(InsufficientFunds) as refusal:
            await alone.hold(wallet, "1500.000001")
        before = await alone.balance(wallet)
        operation = await alone.hold(wallet, "1500")
        async with alone.begin() as uow:
            charge = await alone.service.settle(uow, wallet, operation, rub("1400"))

        assert (refusal.value.available, before.available, len(before.lots)) == (rub("1500"), rub("1500"), 1_000)
        assert (charge.debt, charge.available) == (rub("0"), rub("100"))

    async def test_every_expired_lot_becomes_breakage_in_one_run(self, alone: Wallets) -> None:
        wallet = await alone.opened()
        await lots(alone, wallet, "old", 60, 2_100)
        await lots(alone, wallet, "new", 3_600, 5)
        alone.clock.move(timedelta(seconds=61))

        assert await alone.service.expire_credit() == 1
        assert await alone.service.expire_credit() == 0

        async with alone.begin() as uow:
            left = await uow.connection.scalar(text("SELECT granted_micros FROM wallets"))
        assert left == rub("5").micros

    async def test_credit_that_expires_while_held_is_used_first_and_the_rest_goes_to_breakage(
        self, wallets: Wallets
    ) -> None:
        wallet = await wallets.with_paid("10", expires_at=wallets.clock.now() + timedelta(minutes=1))
        await wallets.pay_in(wallet, "10")
        operation = await wallets.hold(wallet, "12")
        wallets.clock.move(timedelta(minutes=2))

        async with wallets.begin() as uow:
            charge = await wallets.service.settle(uow, wallet, operation, rub("4"))

        balance = await wallets.balance(wallet)
        assert (charge.debt, balance.paid, balance.available) == (rub("0"), rub("10"), rub("10"))


class TestOtherCurrencies:
    async def test_no_amount_of_another_currency_moves_anything(self, wallets: Wallets) -> None:
        wallet = await wallets.with_paid("10")
        operation = await wallets.hold(wallet, "4")
        service = wallets.service

        async def credit(begin: Begin) -> None:
            async with begin() as uow:
                await service.credit(
                    uow,
                    wallet,
                    YEN,
                    source=LotSource.PROMOTION,
                    transfer_id=wallets.ids.new("trf"),
                    counter_account=PROMOTIONS,
                    origin="grt_1",
                )

        with pytest.raises(CurrencyMismatchError):
            await credit(wallets.begin)
        with pytest.raises(CurrencyMismatchError):
            async with wallets.begin() as uow:
                await service.hold(uow, wallet, YEN, wallets.operation())
        with pytest.raises(CurrencyMismatchError):
            async with wallets.begin() as uow:
                await service.hold(uow, wallet, rub("1"), wallets.operation(), max_reply_cost=YEN)
        with pytest.raises(CurrencyMismatchError):
            async with wallets.begin() as uow:
                await service.extend(uow, wallet, operation, YEN)
        with pytest.raises(CurrencyMismatchError):
            async with wallets.begin() as uow:
                await service.settle(uow, wallet, operation, YEN)

        balance = await wallets.balance(wallet)
        assert (balance.paid, balance.held) == (rub("6"), rub("4"))


async def _multiply_pieces(url: URL, wallet: WalletId, factor: str) -> None:
    """Lets holds say that they keep more than their wallet holds, which no database floor lets them give back."""
    engine = owner_engine(url)
    async with engine.begin() as connection:
        await connection.execute(
            text(
                f"UPDATE hold_allocations SET amount_micros = amount_micros {factor}"  # noqa: S608 - a constant of these tests
                " WHERE hold_id IN (SELECT id FROM holds WHERE wallet_id = :wallet AND status = 'open')"
            ),
            {"wallet": wallet},
        )
    await engine.dispose()
