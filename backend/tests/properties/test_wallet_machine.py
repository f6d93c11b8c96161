"""Whatever happens to a wallet, in whatever order, it stands as a purse full of coins would, and its books agree."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from sqlalchemy.engine import URL

from backend.tests.builders.wallets import RUB, Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.fakes.clock import NOON, StoppedClock
from backend.tests.properties.purse import Place, Purse, RefusedError
from billing.kit.database import application_engine
from billing.kit.errors import BillingError
from billing.kit.ids import Ids
from billing.kit.unit_of_work import Begin, UnitOfWork, snapshots, units_of_work
from billing.ledger.chart_of_accounts import BREAKAGE, PROMOTIONS, REVENUE, provider_account
from billing.ledger.invariants import Drift
from billing.wallets.models import LotSource
from billing.wallets.rules import OperationId, WalletId
from billing.wallets.settings import WalletSettings

# Making an example smaller takes minutes here, longer than a suite may; twenty steps can be read as they are.
_PHASES = (Phase.explicit, Phase.reuse, Phase.generate)

HOLD_TTL = timedelta(seconds=WalletSettings().hold_ttl_seconds)
OVERDUE_AFTER = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)

_CREDITS_MAX = 5  # the more often credit comes in, the less often anything is done with it

counts = st.integers(1, 20)
which = st.integers(0, 3)  # back from the latest
# Credit expires on a quarter of an hour or never, so that lots often expire together and at the moment of a jump.
lives = st.sampled_from([None, 1, 2, 4])
waits = st.sampled_from([timedelta(seconds=1), HOLD_TTL, HOLD_TTL + OVERDUE_AFTER * 2, None])

_SYSTEM_TOTALS = text(
    """
    SELECT account, -sum(amount_micros) / 1000000 AS roubles FROM ledger_entries
    WHERE wallet_id IS NULL
      AND transfer_id IN (SELECT transfer_id FROM ledger_entries WHERE wallet_id = :wallet_id)
    GROUP BY account
    """,
)


@dataclass(frozen=True)
class Ground:
    """The real services in a database of their own, to be called from where no event loop runs."""

    runner: asyncio.Runner
    begin: Begin
    snapshot: Begin

    def run(self, work: Callable[[UnitOfWork], Awaitable[object]]) -> object:
        """Does the work in one transaction."""

        async def in_a_transaction() -> object:
            async with self.begin() as uow:
                return await work(uow)

        return self.runner.run(in_a_transaction())


@pytest.fixture
def ground(own_database: URL) -> Iterator[Ground]:
    """A loop, an engine and a database that only the machine uses."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        engine = application_engine(own_database, connections_max=2)
        yield Ground(runner, units_of_work(engine), snapshots(engine))
        runner.run(engine.dispose())


class WalletMachine(RuleBasedStateMachine):
    """One wallet beside one purse; both are told the same, and must answer and stand the same."""

    ground: ClassVar[Ground]

    def __init__(self) -> None:
        super().__init__()
        self.clock = StoppedClock()
        self.wallets: Wallets = build_wallets(self.ground.begin, self.clock, Ids(self.clock))
        self.purse = Purse(HOLD_TTL)
        self.transfers: list[tuple[str, int, LotSource, datetime | None]] = []
        self.operations: list[OperationId] = []
        self.wallet_id = WalletId("")

    @initialize(paid=counts, granted=counts, life=lives, holds=st.integers(0, 3))
    def open(self, paid: int, granted: int, life: int | None, holds: int) -> None:
        """A fresh wallet with two lots that expire together, and calls under way."""
        self.wallet_id = self.ground.runner.run(self.wallets.opened())
        self.credit(paid, LotSource.TOPUP, life)
        self.credit(granted, LotSource.PROMOTION, life)
        for _ in range(holds):
            self.hold(1, 0)

    @precondition(lambda self: len(self.transfers) < _CREDITS_MAX)
    @rule(count=counts, source=st.sampled_from([LotSource.TOPUP, LotSource.PROMOTION]), life=lives)
    def credit(self, count: int, source: LotSource, life: int | None) -> None:
        """Credit comes in."""
        self.clock.move(timedelta(milliseconds=1))  # so that lots are older and younger
        expires_at = None if life is None else self._next_quarter() + (life - 1) * QUARTER
        transfer = (self.wallets.ids.new("trf"), count, source, expires_at)
        self._credit(transfer)
        self.purse.put_in(count, is_granted=source is LotSource.PROMOTION, expires_at=expires_at)
        self.transfers.append(transfer)

    @rule(thirds=st.integers(0, 3), beyond=st.sampled_from([0, 0, 0, 1]))
    def hold(self, thirds: int, beyond: int) -> None:
        """A new operation sets a part of the credit aside, or asks for more than there is."""
        operation = self.wallets.operation()
        count = self.purse.available(self.clock.now()) * thirds // 3 + beyond
        self._hold(operation, count)
        if operation in self.purse.operations:
            self.operations.append(operation)

    @precondition(lambda self: self.operations)
    @rule(which=which, thirds=st.integers(0, 3))
    def settle(self, which: int, thirds: int) -> None:
        """An operation used a part of what it set aside."""
        operation = self._operation(which)
        self._settle(operation, self.purse.operations[operation].amount * thirds // 3)

    @precondition(lambda self: self.operations)
    @rule(which=which, beyond=st.sampled_from([1, 50]))
    def settle_beyond(self, which: int, beyond: int) -> None:
        """An operation used more than it set aside, perhaps more than there is."""
        operation = self._operation(which)
        self._settle(operation, self.purse.operations[operation].amount + beyond)

    @precondition(lambda self: self.operations)
    @rule(which=which)
    def release(self, which: int) -> None:
        """An operation delivered nothing."""
        operation = self._operation(which)
        with self.refused_alike(lambda: self.purse.release(operation, self.clock.now())):
            self.ground.run(
                lambda uow: self.wallets.service.release(uow, self.wallet_id, operation, reason="provider_error")
            )

    @precondition(lambda self: self.operations)
    @rule(which=which, what=st.sampled_from(["credit", "hold", "hold more", "settle"]))
    def again(self, which: int, what: str) -> None:
        """What was asked before is asked again; it is answered the same, or refused, and changes nothing."""
        operation = self._operation(which)
        earlier = self.purse.operations[operation]
        if what == "credit":
            self._credit(self.transfers[which % len(self.transfers)])
        elif what == "settle" and earlier.charged is not None:
            self._settle(operation, earlier.charged)
        else:
            self._hold(operation, earlier.amount + (what == "hold more"))

    @precondition(lambda self: self.purse.overdue(self.clock.now()))
    @rule()
    def sweep(self) -> None:
        """The sweeper comes by."""
        self.ground.runner.run(self.wallets.service.sweep())
        self.purse.sweep(self.clock.now())

    @precondition(lambda self: self.purse.has_expired_credit(self.clock.now()))
    @rule()
    def expire_credit(self) -> None:
        """The job that books expired credit comes by."""
        self.ground.runner.run(self.wallets.service.expire_credit())
        self.purse.break_expired(self.clock.now())

    @rule(wait=waits)
    def let_time_pass(self, wait: timedelta | None) -> None:
        """Nobody does anything for so long, or until credit may expire at this very moment."""
        self.clock.move(self._next_quarter() - self.clock.now() if wait is None else wait)

    @invariant()
    def stands_like_the_purse(self) -> None:
        """Every figure that the owner sees is that of the purse."""
        if not self.wallet_id:
            return
        now = self.clock.now()
        balance = self.ground.runner.run(self.wallets.balance(self.wallet_id))
        figures = (balance.paid, balance.granted, balance.held, balance.debt, balance.available)
        expected = (
            self.purse.count(Place.LEFT, is_granted=False, now=now),
            self.purse.count(Place.LEFT, is_granted=True, now=now),
            self.purse.count(Place.HELD),
            self.purse.debt,
            self.purse.available(now),
        )
        assert figures == tuple(rub(str(number)) for number in expected)
        assert {lot.left.currency for lot in balance.lots} <= {RUB}

    @invariant()
    def the_books_tell_where_every_coin_went(self) -> None:
        """Revenue and breakage are what was spent, owed and broken; the checker finds no drift of its own."""
        if not self.wallet_id:
            return
        charged = sum(one.charged or 0 for one in self.purse.operations.values())
        broken = self.purse.count(Place.BROKEN)
        totals, drifts = self.ground.runner.run(self._books())
        assert (totals.get(REVENUE, 0), totals.get(BREAKAGE, 0)) == (-charged, -broken)
        overdue = {
            name
            for name in self.purse.overdue(self.clock.now())
            if self.purse.operations[name].expires_at < self.clock.now() - OVERDUE_AFTER
        }
        assert {drift.subject for drift in drifts if drift.subject in self.operations} == overdue
        assert [drift for drift in drifts if drift.invariant != "G2"] == []

    def teardown(self) -> None:
        """What one example leaves open is not the next one's concern."""
        self.clock.move(HOLD_TTL)
        self.ground.runner.run(self.wallets.service.sweep())

    def _next_quarter(self) -> datetime:
        return NOON + ((self.clock.now() - NOON) // QUARTER + 1) * QUARTER

    def _operation(self, which: int) -> OperationId:
        return self.operations[-1 - which % len(self.operations)]

    def _credit(self, transfer: tuple[str, int, LotSource, datetime | None]) -> None:
        transfer_id, count, source, expires_at = transfer
        self.ground.run(
            lambda uow: self.wallets.service.credit(
                uow,
                self.wallet_id,
                rub(str(count)),
                source=source,
                transfer_id=transfer_id,
                counter_account=PROMOTIONS if source.is_granted else provider_account("yookassa"),
                origin="pay_1",
                expires_at=expires_at,
            )
        )

    def _hold(self, operation: OperationId, count: int) -> None:
        with self.refused_alike(lambda: self.purse.hold(operation, count, self.clock.now())):
            self.ground.run(lambda uow: self.wallets.service.hold(uow, self.wallet_id, rub(str(count)), operation))

    def _settle(self, operation: OperationId, count: int) -> None:
        with self.refused_alike(lambda: self.purse.settle(operation, count, self.clock.now())):
            self.ground.run(lambda uow: self.wallets.service.settle(uow, self.wallet_id, operation, rub(str(count))))

    async def _books(self) -> tuple[dict[str, int], tuple[Drift, ...]]:
        async with self.ground.snapshot() as view:
            rows = await view.connection.execute(_SYSTEM_TOTALS, {"wallet_id": self.wallet_id})
            totals = {row.account: int(row.roubles) for row in rows}
        return totals, await self.wallets.drifts(self.ground.snapshot)

    @contextmanager
    def refused_alike(self, purse: Callable[[], None]) -> Iterator[None]:
        """The purse refuses exactly what the wallet refuses."""
        try:
            yield
        except BillingError:
            with pytest.raises(RefusedError):
                purse()
        else:
            purse()


class TestWallets:
    @pytest.mark.timeout(600)  # the thorough profile takes its time
    @pytest.mark.slow
    def test_a_wallet_stands_like_a_purse_full_of_coins(self, ground: Ground) -> None:
        class Machine(WalletMachine):
            pass

        Machine.ground = ground
        run_state_machine_as_test(Machine, settings=settings(phases=_PHASES))
