"""Several processes do the same to one wallet at once, on a real PostgreSQL: it is as if they had come one by one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.limits import Bounded, bounded
from backend.tests.builders.quotas import FREE_MODEL, quota_service
from backend.tests.builders.wallets import Wallets, rub
from backend.tests.builders.wallets import wallets as build_wallets
from backend.tests.crash.scripts import TTL
from backend.tests.fakes.clock import StoppedClock
from billing.customers.rules import AccountId
from billing.kit.database import application_engine
from billing.kit.ids import Ids
from billing.kit.unit_of_work import snapshots, units_of_work
from billing.ledger.invariants import Drift, LedgerVerifier
from billing.quotas.invariants import QuotaVerifier
from billing.quotas.rules import Amounts, FreeTerms
from billing.wallets.invariants import WalletVerifier
from billing.wallets.rules import OperationId, WalletId
from billing.wiring.verification import Verification

pytestmark = [
    pytest.mark.slow,
    pytest.mark.money,
    pytest.mark.timeout(180),  # every process starts an interpreter of its own
]

_ROOT = Path(__file__).parents[3]
_WAIT_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Crowd:
    """Processes that wait for each other, then all begin."""

    url: URL
    engine: AsyncEngine
    wallets: Wallets

    async def rush(
        self,
        parts: Sequence[tuple[str, int]],
        *,
        account_id: str = "-",
        wallet_id: str = "-",
        operation_id: str = "-",
    ) -> Counter[str]:
        """Each part in a process of its own, so often; what came of all of them."""
        url = self.url.render_as_string(hide_password=False)
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "backend.tests.concurrency.callers",
                part,
                str(times),
                url,
                account_id,
                wallet_id,
                operation_id,
                f"{position}",
                cwd=_ROOT,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for position, (part, times) in enumerate(parts)
        ]
        try:
            return await asyncio.wait_for(self._begin_together(children), _WAIT_SECONDS_MAX)
        finally:
            for child in children:
                if child.returncode is None:
                    child.kill()
                await child.wait()

    async def _begin_together(self, children: Sequence[asyncio.subprocess.Process]) -> Counter[str]:
        for child in children:
            assert child.stdout is not None
            assert await child.stdout.readline() == b"ready\n"
        outcomes: Counter[str] = Counter()
        for said, _ in await asyncio.gather(*(child.communicate(b"go\n") for child in children)):
            outcomes.update(json.loads(said))
        return outcomes

    async def drifts(self) -> tuple[Drift, ...]:
        """What the checker finds in the whole database."""
        verifiers = (LedgerVerifier(), WalletVerifier(self.wallets.clock), QuotaVerifier())
        return await Verification(snapshots(self.engine), verifiers).drifts()

    async def holding(self, paid: str = "100") -> tuple[WalletId, OperationId]:
        """A wallet with an open hold of thirty."""
        wallet_id = await self.wallets.with_paid(paid)
        return wallet_id, await self.wallets.hold(wallet_id, "30")


@pytest.fixture
async def crowd(own_database: URL) -> AsyncIterator[Crowd]:
    """A database that only these processes use."""
    engine = application_engine(own_database, connections_max=4)
    clock = StoppedClock()
    crowd = Crowd(own_database, engine, build_wallets(units_of_work(engine), clock, Ids(clock)))
    yield crowd
    assert await crowd.drifts() == ()
    await engine.dispose()


class TestTheFirstCall:
    async def test_twenty_first_calls_find_one_wallet(self, crowd: Crowd) -> None:
        account_id = await crowd.wallets.account()

        found = await crowd.rush([("touch", 5)] * 4, account_id=account_id)

        (wallet_id,) = found
        assert found[wallet_id] == 20
        async with crowd.wallets.begin() as uow:
            stored = await uow.connection.scalars(
                text("SELECT id FROM wallets WHERE account_id = :account"), {"account": account_id}
            )
            assert list(stored) == [wallet_id]


class TestTheSameCredit:
    async def test_one_payment_that_four_processes_credit_at_once_comes_in_once(self, crowd: Crowd) -> None:
        wallet_id = await crowd.wallets.opened()

        outcomes = await crowd.rush([("credit", 5)] * 4, wallet_id=wallet_id)

        assert outcomes == {"new": 1, "known": 19}
        assert (await crowd.wallets.balance(wallet_id)).paid == rub("50")


class TestCaps:
    async def test_a_daily_cap_is_never_exceeded_and_is_used_up(self, crowd: Crowd) -> None:
        account = await self._bounded(crowd, "23")

        outcomes = await crowd.rush([("spend", 10)] * 3, wallet_id=account.wallet_id)

        spent, reserved = await account.used()
        assert set(outcomes) <= {"spent", "daily_cap_exceeded"}
        assert (spent, reserved) == (rub(str(2 * outcomes["spent"])), rub("0"))
        assert spent <= rub("23")
        assert outcomes["spent"] >= 7  # seven at once would have reserved 21; each that has settled makes room

    async def test_credit_is_never_spent_twice(self, crowd: Crowd) -> None:
        wallet_id = await crowd.wallets.with_paid("40")

        outcomes = await crowd.rush([("hold", 5)] * 3, wallet_id=wallet_id)

        assert outcomes == {"held": 4, "insufficient_funds": 11}
        assert (await crowd.wallets.balance(wallet_id)).held == rub("40")

    @staticmethod
    async def _bounded(crowd: Crowd, cap: str) -> Bounded:
        account = await bounded(crowd.wallets)
        await account.limit(daily=cap)
        return account


class TestFreeQuotas:
    async def test_counters_are_exact_and_no_limit_is_exceeded(self, crowd: Crowd) -> None:
        account_id = AccountId(await crowd.wallets.account())
        quotas = quota_service(crowd.wallets.begin, crowd.wallets.clock, crowd.wallets.ids)
        terms = FreeTerms(True, 30, Amounts(output_tokens=23), frozenset({FREE_MODEL}))
        async with crowd.wallets.begin() as uow:
            await quotas.set_terms(uow, terms)

        outcomes = await crowd.rush([("reserve", 10)] * 3, account_id=account_id)

        async with crowd.wallets.begin() as uow:
            (output,) = (await quotas.standing(uow, account_id)).metrics
        assert set(outcomes) <= {"reserved", "exhausted"}
        assert (output.used, output.reserved) == (2 * outcomes["reserved"], 0)
        assert output.used <= output.limit


class TestOneOperation:
    async def test_settling_against_the_sweeper_charges_once(self, crowd: Crowd) -> None:
        wallet_id, operation_id = await crowd.holding()

        outcomes = await crowd.rush(
            [("settle", 5), ("settle", 5), ("sweep", 1)], wallet_id=wallet_id, operation_id=operation_id
        )

        # All that settled say the same: they were before the sweeper, or after it.
        assert sum(outcomes[kind] for kind in ("in time", "late")) == 10
        assert 10 in {outcomes["in time"], outcomes["late"]}
        assert (await crowd.wallets.balance(wallet_id)).available == rub("88")

    async def test_settling_against_releasing_ends_it_in_one_way(self, crowd: Crowd) -> None:
        wallet_id, operation_id = await crowd.holding()

        outcomes = await crowd.rush([("settle", 5), ("release", 5)], wallet_id=wallet_id, operation_id=operation_id)

        assert outcomes in ({"in time": 5, "operation_ended": 5}, {"released": 5, "operation_ended": 5})
        expected = rub("88") if outcomes["in time"] else rub("100")
        assert (await crowd.wallets.balance(wallet_id)).available == expected

    async def test_extending_against_settling_leaves_nothing_held(self, crowd: Crowd) -> None:
        wallet_id, operation_id = await crowd.holding()

        outcomes = await crowd.rush([("extend", 20), ("settle", 5)], wallet_id=wallet_id, operation_id=operation_id)

        balance = await crowd.wallets.balance(wallet_id)
        assert (outcomes["in time"], outcomes["grown"] + outcomes["operation_ended"]) == (5, 20)
        assert (balance.held, balance.available) == (rub("0"), rub("88"))

    async def test_holding_against_the_job_that_books_expired_credit_keeps_every_rouble(self, crowd: Crowd) -> None:
        wallet_id = await crowd.wallets.with_paid("50", expires_at=crowd.wallets.clock.now() + TTL)

        outcomes = await crowd.rush([("hold", 5), ("expire", 1), ("expire", 1)], wallet_id=wallet_id)

        held = (await crowd.wallets.balance(wallet_id)).held
        assert outcomes["expired"] == 2
        assert outcomes["held"] + outcomes["insufficient_funds"] == 5
        assert held == rub(str(10 * outcomes["held"]))
