"""The job that ends abandoned streams: bounded, fair, and never in the way of a process that is alive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from sqlalchemy import text

from backend.tests.builders.gateway import Gate, Payer, free_terms
from backend.tests.builders.jobs import Ticks
from backend.tests.builders.streams import LEASE, WORDS, asked, checkpoints, is_given_back, janitor
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.model_upstream import DONE, delta, streaming, usage
from billing.gateway import jobs
from billing.gateway.abandoned import AbandonedStreams
from billing.gateway.booking import Booker
from billing.gateway.calls import StreamedAnswer
from billing.pricing.seed import DEMO_FREE
from billing.usage.rules import BillingSource, EstimateReason

pytestmark = pytest.mark.money


@asynccontextmanager
async def lost(gate: Gate, payer: Payer, model: str = "demo-small") -> AsyncIterator[StreamedAnswer]:
    """A stream whose first output is stored, and whose process has died when the block is left."""
    behind = gate.behind(streaming(delta(WORDS), asyncio.Event().wait))
    answer = await behind.stream(payer, asked(model=model))
    query = text("SELECT has_delivered FROM gateway_checkpoints WHERE operation_id = :operation_id")
    async with asyncio.timeout(5):
        while True:
            async with gate.begin() as uow:
                if await uow.connection.scalar(query, {"operation_id": answer.operation_id}):
                    break
    yield answer
    for task in asyncio.all_tasks():
        if task.get_name() in {f"stream {answer.operation_id}", "leases of streams"}:
            task.cancel()
    await behind.service.close()


class TestAnAbandonedStream:
    async def test_is_charged_from_its_checkpoint(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        async with lost(gate, payer) as answer:
            pass
        clock.move(LEASE)

        await janitor(gate).settle()

        after = await gate.accounts(payer)
        (found,) = after.events
        assert (found.operation_id, found.estimate_reason) == (answer.operation_id, EstimateReason.GATEWAY_LOST)
        assert (found.door, found.provider, found.model_asked) == ("chat/completions", "simulated", "demo-small")
        assert found.model_used == "gpt-4o-mini-2024"
        assert found.rates["model"] == "demo-small"
        assert after.charges == [found.charged] == [found.raw_cost]
        assert after.drifts == ()
        assert await checkpoints(gate, payer) == 0

    async def test_that_was_free_uses_the_quota_and_no_money(self, gate: Gate, clock: StoppedClock) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()
        async with lost(gate, payer, DEMO_FREE):
            pass
        clock.move(LEASE)

        await janitor(gate).settle()

        after = await gate.accounts(payer)
        (found,) = after.events
        assert (found.billing_source, found.charged.micros) == (BillingSource.LEAD_MAGNET, 0)
        assert [metric.reserved for metric in after.free.metrics][:2] == [0, 0]
        assert after.free.metrics[1].used == 20
        assert after.drifts == ()

    async def test_is_left_alone_while_its_process_shows_itself(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        goes_on = asyncio.Event()
        lease = timedelta(seconds=0.03)
        steps = (delta(WORDS), goes_on.wait, delta(finish="stop"), usage(10, 20), DONE)
        behind = gate.behind(streaming(*steps), lease=lease)
        answer = await behind.stream(payer, asked())
        clock.move(lease)
        query = text("SELECT lease_until FROM gateway_checkpoints WHERE operation_id = :operation_id")

        async with asyncio.timeout(5):
            while True:
                async with gate.begin() as uow:
                    if await uow.connection.scalar(query, {"operation_id": answer.operation_id}) > clock.now():
                        break

        await janitor(gate).settle()
        assert await checkpoints(gate, payer) == 1
        goes_on.set()
        await behind.service.close()
        assert (await gate.accounts(payer)).events[0].estimate_reason is None

    async def test_that_cannot_be_ended_keeps_no_other_waiting(self, gate: Gate, clock: StoppedClock) -> None:
        stuck, other = await gate.payer("100"), await gate.payer("100")
        async with lost(gate, stuck) as answer:
            pass
        clock.move(timedelta(seconds=1))
        async with lost(gate, other):
            pass
        spoil = text("UPDATE gateway_checkpoints SET event = event - 'door' WHERE operation_id = :operation_id")
        remove = text("DELETE FROM gateway_checkpoints WHERE operation_id = :operation_id")
        async with gate.begin() as uow:
            await uow.connection.execute(spoil, {"operation_id": answer.operation_id})
        clock.move(LEASE)

        with pytest.raises(ExceptionGroup):
            await janitor(gate).settle()

        assert len((await gate.accounts(other)).events) == 1
        assert await checkpoints(gate, stuck) == 1
        async with gate.begin() as uow:
            await uow.connection.execute(remove, {"operation_id": answer.operation_id})
            await gate.wallets.service.release(uow, stuck.wallet_id, answer.operation_id, reason="tests")
        assert is_given_back(await gate.accounts(stuck))

    async def test_that_an_operator_has_ended_is_only_forgotten(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        async with lost(gate, payer) as answer:
            pass
        async with gate.begin() as uow:
            await gate.wallets.service.release(uow, payer.wallet_id, answer.operation_id, reason="operator")
        clock.move(LEASE)

        await janitor(gate).settle()

        assert is_given_back(await gate.accounts(payer))
        assert await checkpoints(gate, payer) == 0

    async def test_that_two_jobs_find_is_ended_by_one(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        async with lost(gate, payer):
            pass
        clock.move(LEASE)

        ended = await asyncio.gather(*(janitor(gate).settle() for _ in range(4)))

        assert sum(ended) == 1
        assert len((await gate.accounts(payer)).charges) == 1


class _NeverDone(AbandonedStreams):
    """Finds one more stream whenever it is asked."""

    rounds = 0

    async def settle(self) -> int:
        self.rounds += 1
        return 1


class TestTheJob:
    async def test_works_until_there_is_nothing_left(self, gate: Gate, clock: StoppedClock) -> None:
        ticks = Ticks()
        jobs.register(ticks, janitor(gate))
        payers = [await gate.payer("100") for _ in range(2)]
        for payer in payers:
            async with lost(gate, payer):
                pass
        clock.move(LEASE)

        await ticks.work["gateway.settle_abandoned"]()

        assert [len((await gate.accounts(payer)).events) for payer in payers] == [1, 1]

    async def test_leaves_the_rest_to_its_next_run_after_so_many_rounds(self, gate: Gate) -> None:
        booker = Booker(clock=gate.wallets.clock, quotas=gate.quotas, wallets=gate.wallets.service, usage=gate.usage)
        service = _NeverDone(begin=gate.begin, clock=gate.wallets.clock, booker=booker)
        ticks = Ticks()
        jobs.register(ticks, service)

        await ticks.work["gateway.settle_abandoned"]()

        assert service.rounds == 50
