"""A process is killed at every commit of every operation: whatever it had done, each operation ends exactly once."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from backend.tests.builders.wallets import RUB, rub
from backend.tests.crash.processes import Forker, deaths, forker
from backend.tests.crash.scripts import SCRIPTS, Bank, Names, bank
from billing.kit.database import application_engine
from billing.kit.money import Money
from billing.kit.unit_of_work import snapshots, units_of_work
from billing.ledger.invariants import Drift, Extent, LedgerVerifier
from billing.pricing.seed import seed_demo_rates
from billing.usage.invariants import UsageVerifier
from billing.wallets.invariants import WalletVerifier
from billing.wiring.verification import Verification

pytestmark = [pytest.mark.slow, pytest.mark.money]

_COMMITS_MIN = {"credit": 1, "hold": 2, "settle": 3, "release": 3, "extend": 4, "late": 5, "stream": 6}
_CHARGED_TWELVE = {"settle", "extend", "late", "by_operator"}

_ENDINGS = text(
    """
    SELECT count(*) FILTER (WHERE status = 'open') AS open,
           (SELECT count(*) FROM usage_events WHERE wallet_id = :wallet_id) AS events,
           (SELECT count(DISTINCT transfer.id) FROM ledger_transfers AS transfer
            JOIN ledger_entries AS entry ON entry.transfer_id = transfer.id
            WHERE entry.wallet_id = :wallet_id AND transfer.kind IN ('charge', 'late_charge')) AS charges,
           (SELECT count(*) FROM gateway_checkpoints WHERE wallet_id = :wallet_id) AS checkpoints
    FROM holds WHERE wallet_id = :wallet_id
    """,
)


@dataclass(frozen=True)
class Undertaker:
    """Has children killed, and looks at what they leave."""

    forker: Forker
    engine: AsyncEngine
    bank: Bank

    def restarted(self) -> Bank:
        """The services of the next process."""
        return bank(units_of_work(self.engine))

    async def names(self) -> Names:
        """A fresh account with an empty wallet."""
        customer = await self.bank.gate.town.customer()
        async with self.bank.begin() as uow:
            wallet_id = await self.bank.wallets.service.of_account(uow, customer.account.id, RUB)
        unique = secrets.token_hex(8)
        person_id = str(customer.principal.person_id)
        return Names(customer.account.id, person_id, wallet_id, f"opr_{unique}", f"trf_{unique}")

    async def left(self, names: Names) -> tuple[int, int, int, int]:
        """Open holds, usage events, charges and checkpoints of the wallet."""
        async with self.bank.begin() as uow:
            row = (await uow.connection.execute(_ENDINGS, {"wallet_id": names.wallet_id})).one()
        return (row.open, row.events, row.charges, row.checkpoints)

    async def drifts(self, names: Names) -> tuple[Drift, ...]:
        """What the checker finds in the wallet."""
        verifiers = (LedgerVerifier(), WalletVerifier(self.bank.clock), UsageVerifier())
        return await Verification(snapshots(self.engine), verifiers).drifts(Extent(names.wallet_id))

    async def charged(self, names: Names) -> Money:
        """What the wallet was charged in all."""
        async with self.bank.begin() as uow:
            lines = await self.bank.wallets.service.statement(uow, names.wallet, limit=50)
        kinds = {"charge", "late_charge"}
        return sum((-line.amount for line in lines if line.kind in kinds), start=Money.zero(RUB))


@pytest.fixture
async def undertaker(own_database: URL) -> AsyncIterator[Undertaker]:
    """A database of its own, prices, and the process that forks."""
    engine = application_engine(own_database, connections_max=6)
    services = bank(units_of_work(engine))
    async with services.begin() as uow:
        await seed_demo_rates(uow, services.gate.pricing, services.clock.now())
    with forker("backend.tests.crash.boundaries", own_database) as children:
        yield Undertaker(children, engine, services)
    await engine.dispose()


class TestEveryCommit:
    """Each script is done once without a death, which says how many commits it has; then it dies at each of them."""

    @pytest.mark.timeout(300)  # every boundary of a script is a death and a restart
    @pytest.mark.parametrize("script", sorted(set(SCRIPTS) - {"stream"}))
    async def test_whoever_asks_again_after_the_death_brings_it_to_the_same_end(
        self, undertaker: Undertaker, script: str
    ) -> None:
        whole = await undertaker.names()
        commits = undertaker.forker.lives(script, whole)
        expected = await undertaker.left(whole), (await undertaker.bank.wallets.balance(whole.wallet)).available

        for at, is_after in deaths(commits):
            names = await undertaker.names()
            undertaker.forker.dies(script, names, at=at, is_after=is_after)
            assert await undertaker.drifts(names) == ()
            await SCRIPTS[script](undertaker.restarted(), names)
            left = await undertaker.left(names), (await undertaker.bank.wallets.balance(names.wallet)).available
            assert left == expected, (at, is_after)
            assert await undertaker.drifts(names) == ()

        assert commits >= _COMMITS_MIN.get(script, 2)
        assert await undertaker.charged(whole) == rub("12" if script in _CHARGED_TWELVE else "0")

    @pytest.mark.timeout(300)  # the same
    @pytest.mark.parametrize("script", ["settle", "extend", "late", "by_operator"])
    async def test_where_nobody_asks_again_the_jobs_end_it_charged_whole_or_not_at_all(
        self, undertaker: Undertaker, script: str
    ) -> None:
        commits = undertaker.forker.lives(script, await undertaker.names())

        for at, is_after in deaths(commits):
            names = await undertaker.names()
            undertaker.forker.dies(script, names, at=at, is_after=is_after)
            await undertaker.restarted().restart()
            open_holds, events, charges, _ = await undertaker.left(names)
            assert (open_holds, events) == (0, charges), (at, is_after)
            assert await undertaker.charged(names) == rub("12" if charges else "0")
            assert (charges == 1) == ((at, is_after) == (commits - 1, True))
            assert await undertaker.drifts(names) == ()


class TestEveryCommitOfAStream:
    @pytest.mark.timeout(300)  # the same
    async def test_what_was_metered_is_charged_once_and_nothing_stays_open(self, undertaker: Undertaker) -> None:
        whole = await undertaker.names()
        commits = undertaker.forker.lives("stream", whole)
        price = await undertaker.charged(whole)
        charged: list[Money] = []

        for at, is_after in deaths(commits):
            names = await undertaker.names()
            undertaker.forker.dies("stream", names, at=at, is_after=is_after)
            await undertaker.restarted().restart()
            open_holds, events, charges, checkpoints = await undertaker.left(names)
            assert (open_holds, checkpoints, events) == (0, 0, charges), (at, is_after)
            charged.append(await undertaker.charged(names))
            assert await undertaker.drifts(names) == ()

        assert commits >= _COMMITS_MIN["stream"]
        assert price > Money.zero(RUB)
        # The later the death, the more had been metered; once it was booked, all of it. Our own count may be above
        # what the provider would have said.
        assert charged[-1] == price
        assert charged[:4] == [Money.zero(RUB)] * 4
        assert all(Money.zero(RUB) < one for one in charged[5:])
