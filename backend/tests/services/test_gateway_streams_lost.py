"""What a stream leaves in the books when we die, cannot reach them, are overtaken by somebody or are told to stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from backend.tests.builders.gateway import Gate, free_terms, incoming
from backend.tests.builders.streams import (
    INPUT,
    LEASE,
    OUTPUT,
    WITH_USAGE,
    WORDS,
    asked,
    checkpoints,
    is_booked_once,
    is_given_back,
    janitor,
    read,
)
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.model_upstream import DONE, Step, delta, streaming, usage
from billing.gateway.calls import Answer
from billing.gateway.errors import BillingUnavailable, UpstreamBroken, UpstreamTimeout
from billing.gateway.rules.doors import Door
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.rules import Unit
from billing.pricing.seed import DEMO_FREE
from billing.usage.rules import BillingSource, EstimateReason
from billing.wallets.rules import OperationId

pytestmark = pytest.mark.money


def failing(broken: list[str], where: str, *, times: int = 1) -> Step:
    """A step of a script after which so many transactions fail, each at its BEGIN or its COMMIT."""

    async def breaks() -> None:
        broken.extend([where] * times)

    return breaks


class TestTheGatewayDies:
    """A task that is cancelled is as dead as a process: nobody books, only the checkpoint is there."""

    @staticmethod
    async def dead(behind: Gate) -> None:
        """Nothing of this gateway is left but what it stored."""
        for task in asyncio.all_tasks():
            if task.get_name().startswith(("stream ", "leases ")):
                task.cancel()
        await asyncio.sleep(0)
        await behind.service.close()

    async def test_and_what_it_had_stored_is_charged_once(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        behind = gate.behind(streaming(delta(WORDS), delta(WORDS), asyncio.Event().wait))
        answer = await behind.stream(payer, asked())
        await anext(aiter(answer.reading))

        await self.dead(behind)

        assert await janitor(gate).settle() == 0
        clock.move(LEASE)
        assert await janitor(gate).settle() == 1
        assert await janitor(gate).settle() == 0
        (found,) = (await gate.accounts(payer)).events
        assert found.charged.micros >= 20 * OUTPUT
        assert is_booked_once(await gate.accounts(payer), found.charged.micros, EstimateReason.GATEWAY_LOST)

    async def test_before_anything_was_delivered_and_all_is_given_back(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        waits = asyncio.Event()

        async def wait() -> None:
            waits.set()
            await asyncio.Event().wait()

        behind = gate.behind(streaming(wait))
        call = asyncio.create_task(behind.stream(payer, asked()))
        await waits.wait()

        await self.dead(behind)
        await asyncio.gather(call, return_exceptions=True)
        clock.move(LEASE)

        assert await janitor(gate).settle() == 1
        assert is_given_back(await gate.accounts(payer))

    async def test_and_even_after_its_hold_has_expired(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")
        behind = gate.behind(streaming(delta(WORDS), asyncio.Event().wait))
        answer = await behind.stream(payer, asked())
        await anext(aiter(answer.reading))

        await self.dead(behind)
        clock.move(timedelta(seconds=900))
        await gate.wallets.service.sweep()
        await janitor(gate).settle()

        after = await gate.accounts(payer)
        assert ("late_charge", "paid") in after.entries
        assert is_booked_once(after, after.events[0].charged.micros, EstimateReason.GATEWAY_LOST)


class TestTheBooksCannotBeReached:
    @pytest.fixture
    def broken(self) -> list[str]:
        """Put something in, and the next transactions fail, each taking one out."""
        return []

    @pytest.fixture
    def fragile(self, gate: Gate, broken: list[str]) -> Callable[..., Gate]:
        """A gateway whose database breaks when it is told to."""

        @asynccontextmanager
        async def begin() -> AsyncIterator[UnitOfWork]:
            if broken and broken[-1] == "BEGIN":
                raise OperationalError(broken.pop(), {}, ConnectionError())
            async with gate.begin() as uow:
                yield uow
            if broken and broken[-1] == "COMMIT":
                raise OperationalError(broken.pop(), {}, ConnectionError())

        return lambda upstream, **terms: gate.behind(upstream, begin=begin, **terms)

    async def test_at_the_end_and_it_is_booked_a_little_later(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        payer = await gate.payer("100")
        steps = (delta("a", finish="stop"), failing(broken, "BEGIN", times=4), usage(10, 20), DONE)

        got = read(await fragile(streaming(*steps), retry_seconds=0.01).streamed(payer, asked()))

        assert got[-1]["error"]["code"] == "billing_interrupted"
        assert broken == []
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_for_so_long_that_the_job_takes_over(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str], clock: StoppedClock
    ) -> None:
        payer = await gate.payer("100")
        steps = (delta(WORDS), failing(broken, "BEGIN", times=1000), delta(finish="stop"), usage(10, 20), DONE)
        terms = {"retry_seconds": 0.01, "lease": timedelta(seconds=0.05)}

        got = read(await fragile(streaming(*steps), **terms).streamed(payer, asked()))

        assert got[-1]["error"]["code"] == "billing_interrupted"
        clock.move(LEASE)
        assert await janitor(gate).settle() == 1
        assert (await gate.accounts(payer)).events[0].estimate_reason is EstimateReason.GATEWAY_LOST

    async def test_until_its_lease_is_over_and_only_the_job_goes_on(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str], clock: StoppedClock
    ) -> None:
        payer = await gate.payer("100")
        steps = (delta(WORDS), failing(broken, "BEGIN", times=1000), delta(finish="stop"), usage(10, 20), DONE)
        behind = fragile(streaming(*steps), retry_seconds=0.01, shutdown_seconds=60)

        answer = await behind.stream(payer, asked())
        got = read(b"".join([piece async for piece in answer.reading]))
        clock.move(LEASE)
        async with asyncio.timeout(5):
            await behind.service.close()

        assert got[-1]["error"]["code"] == "billing_interrupted"
        assert await janitor(gate).settle() == 1
        assert (await gate.accounts(payer)).events[0].estimate_reason is EstimateReason.GATEWAY_LOST

    async def test_right_after_the_commit_and_it_is_booked_once(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        payer = await gate.payer("100")
        steps = (delta("a", finish="stop"), failing(broken, "COMMIT"), usage(10, 20), DONE)

        got = read(await fragile(streaming(*steps)).streamed(payer, asked()))

        assert got[-1] == "[DONE]"
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_when_output_has_to_be_stored_and_nothing_more_passes(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        payer = await gate.payer("100")
        upstream = streaming(
            delta(WORDS), failing(broken, "BEGIN", times=2), delta(WORDS * 100), *[delta("never seen")] * 10, DONE
        )

        got = read(await fragile(upstream).streamed(payer, asked()))

        assert [chunk for chunk in got if "never seen" in json.dumps(chunk)] == []
        assert got[-1]["error"]["code"] == "billing_interrupted"
        (found,) = (await gate.accounts(payer)).events
        assert found.charged.micros >= 20 * OUTPUT

    async def test_when_the_first_output_comes_and_none_passes(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        payer = await gate.payer("100")
        behind = fragile(streaming(failing(broken, "BEGIN", times=2), *[delta("never seen")] * 10, DONE))

        with pytest.raises(BillingUnavailable):
            await behind.stream(payer, asked())

        await behind.service.close()
        assert is_given_back(await gate.accounts(payer))

    async def test_when_nothing_was_delivered_and_the_job_gives_back(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str], clock: StoppedClock
    ) -> None:
        payer = await gate.payer("100")
        behind = fragile(streaming(failing(broken, "BEGIN"), UpstreamTimeout()))

        with pytest.raises(UpstreamTimeout):
            await behind.stream(payer, asked())

        await behind.service.close()
        assert await checkpoints(gate, payer) == 1
        clock.move(LEASE)
        await janitor(gate).settle()
        assert is_given_back(await gate.accounts(payer))

    async def test_when_the_hold_has_to_grow_and_nothing_more_passes(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        payer = await gate.payer("100")
        steps: list[Step] = [delta(WORDS), failing(broken, "BEGIN"), *[delta(WORDS * 5)] * 300, DONE]
        behind = fragile(streaming(*steps), checkpoint_tokens=10**6, checkpoint_every=timedelta(days=1))

        got = read(await behind.streamed(payer, asked(max_tokens=None)))

        (found,) = (await gate.accounts(payer)).events
        assert got[-1]["error"]["code"] == "billing_interrupted"
        assert found.charged.micros < rub("1.2").micros

    async def test_when_the_server_stops_and_the_rest_is_the_jobs(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str], clock: StoppedClock
    ) -> None:
        payer = await gate.payer("100")
        steps = (delta(WORDS), failing(broken, "BEGIN", times=1000), delta(finish="stop"), usage(10, 20), DONE)
        behind = fragile(streaming(*steps), retry_seconds=10, shutdown_seconds=0.01)

        await behind.streamed(payer, asked())

        clock.move(LEASE)
        assert await janitor(gate).settle() == 1
        assert len((await gate.accounts(payer)).charges) == 1

    async def test_when_leases_are_due_and_the_stream_goes_on(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        all_failed = asyncio.Event()

        async def until_they_failed() -> None:
            broken.extend(["BEGIN"] * 3)
            while broken:
                async with gate.begin():  # as good a wait as any, until the keeper of the leases has come
                    pass
            all_failed.set()

        payer = await gate.payer("100")
        steps = (delta(WORDS), until_they_failed, delta(finish="stop"), usage(10, 20), DONE)

        got = read(await fragile(streaming(*steps), lease=timedelta(seconds=0.03)).streamed(payer, asked()))

        assert all_failed.is_set()
        assert got[-1] == "[DONE]"
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_before_the_call_and_nobody_is_called(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        payer = await gate.payer("100")
        upstream = streaming(delta("x"))
        broken.append("BEGIN")

        with pytest.raises(BillingUnavailable):
            await fragile(upstream).stream(payer, asked())

        assert upstream.asked == []


class TestSomebodyElseEndsIt:
    async def test_the_job_while_its_owner_is_only_slow(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")

        async def the_job_is_faster() -> None:
            clock.move(LEASE)
            assert await janitor(gate).settle() == 1

        steps: tuple[Step, ...] = (
            delta(WORDS),
            the_job_is_faster,
            delta("never seen"),
            *[delta("never seen")] * 5,
            usage(10, 20),
            DONE,
        )
        got = read(await gate.behind(streaming(*steps)).streamed(payer, asked()))

        after = await gate.accounts(payer)
        assert got[-1]["error"]["code"] == "billing_interrupted"
        assert is_booked_once(after, after.events[0].charged.micros, EstimateReason.GATEWAY_LOST)

    async def test_the_job_right_before_the_end(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")

        async def the_job_is_faster() -> None:
            clock.move(LEASE)
            assert await janitor(gate).settle() == 1

        steps = (delta(WORDS, finish="stop"), the_job_is_faster, usage(10, 20), DONE)
        got = read(
            await gate.behind(streaming(*steps), checkpoint_every=2 * LEASE).streamed(payer, asked(**WITH_USAGE))
        )

        after = await gate.accounts(payer)
        assert got[-2]["billing"]["charged"] == after.events[0].charged.to_decimal()
        assert is_booked_once(after, after.events[0].charged.micros, EstimateReason.GATEWAY_LOST)

    async def test_an_operator_who_charged_it_before_anything_was_delivered(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        error = json.dumps({"error": {"message": "No.", "code": "bad"}}).encode()

        async def an_operator_charges() -> None:
            async with gate.begin() as uow:
                rows = await uow.connection.scalars(text("SELECT operation_id FROM gateway_checkpoints"))
                event = await janitor(gate).hand_over(uow, OperationId(rows.one()))
                assert event is not None
                decided = replace(event, raw_cost=rub("2"), charged=rub("2"), estimate_reason=EstimateReason.OPERATOR)
                await gate.wallets.service.settle(uow, payer.wallet_id, event.operation_id, decided.charged)
                await gate.usage.record(uow, decided)

        behind = gate.behind(streaming(an_operator_charges, error, status=400))
        answer = await behind.service.serve(payer.principal, Door.CHAT, incoming(asked()))

        assert isinstance(answer, Answer)
        assert (answer.status, answer.balance) == (400, rub("98"))
        assert is_booked_once(await gate.accounts(payer), rub("2").micros, EstimateReason.OPERATOR)

    async def test_the_sweeper_that_found_the_reservation_expired(self, gate: Gate, clock: StoppedClock) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer("100")

        async def the_reservation_expires() -> None:
            clock.move(timedelta(seconds=900))
            assert await gate.quotas.sweep() >= 1

        words = [delta(WORDS * 5)] * 60
        steps: tuple[Step, ...] = (delta(WORDS), the_reservation_expires, *words, delta(finish="stop"), DONE)
        behind = gate.behind(streaming(*steps), checkpoint_tokens=10**6, checkpoint_every=timedelta(days=1))
        got = read(await behind.streamed(payer, asked(model=DEMO_FREE, max_tokens=None)))

        after = await gate.accounts(payer)
        (found,) = after.events
        assert got[-2]["billing"]["stopped"]["code"] == "reservation_ended"
        assert (found.billing_source, after.charges) == (BillingSource.LEAD_MAGNET, [])
        assert 4096 < after.free.metrics[1].used == found.quantities[Unit.OUTPUT] < 4096 + 1000
        assert (after.free.metrics[1].reserved, after.drifts) == (0, ())

    async def test_an_operator_who_released_the_hold(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        operations: list[OperationId] = []

        async def an_operator_releases() -> None:
            async with gate.begin() as uow:
                rows = await uow.connection.scalars(text("SELECT operation_id FROM gateway_checkpoints"))
                operations.extend(map(OperationId, rows))
                for operation in operations:
                    await gate.wallets.service.release(uow, payer.wallet_id, operation, reason="operator")

        steps = (delta(WORDS, finish="stop"), an_operator_releases, usage(10, 20), DONE)
        got = read(await gate.behind(streaming(*steps)).streamed(payer, asked(**WITH_USAGE)))

        assert len(operations) == 1
        assert got[-2]["billing"]["charged"] == "0.00"
        assert is_given_back(await gate.accounts(payer))
        assert await checkpoints(gate, payer) == 0

    async def test_the_sweeper_that_found_the_hold_expired(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")

        async def the_hold_expires() -> None:
            clock.move(timedelta(seconds=900))
            await gate.wallets.service.sweep()

        steps = (delta(WORDS, finish="stop"), the_hold_expires, usage(10, 20), DONE)
        await gate.behind(streaming(*steps)).streamed(payer, asked())

        after = await gate.accounts(payer)
        assert ("late_charge", "paid") in after.entries
        assert is_booked_once(after, 10 * INPUT + 20 * OUTPUT, None)

    async def test_a_free_stream_that_goes_on_keeps_its_reservation(self, gate: Gate, clock: StoppedClock) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()
        seen: list[int] = []

        async def time_passes() -> None:
            clock.move(timedelta(seconds=400))
            await gate.quotas.sweep()
            seen.append((await gate.accounts(payer)).free.metrics[1].reserved)

        steps = [step for _ in range(5) for step in (delta(WORDS), time_passes)]
        behind = gate.behind(streaming(*steps, delta(finish="stop"), usage(10, 20), DONE))
        await behind.streamed(payer, asked(model=DEMO_FREE))

        after = await gate.accounts(payer)
        assert seen == [100] * 5
        assert [(metric.used, metric.reserved) for metric in after.free.metrics][:2] == [(10, 0), (20, 0)]
        assert after.drifts == ()

    async def test_a_stream_that_goes_on_keeps_its_hold(self, gate: Gate, clock: StoppedClock) -> None:
        payer = await gate.payer("100")

        async def time_passes() -> None:
            clock.move(timedelta(seconds=400))
            await gate.wallets.service.sweep()

        steps = [step for _ in range(5) for step in (delta(WORDS), time_passes)]
        await gate.behind(streaming(*steps, delta(finish="stop"), usage(10, 20), DONE)).streamed(payer, asked())

        after = await gate.accounts(payer)
        assert ("charge", "paid") in after.entries
        assert is_booked_once(after, 10 * INPUT + 20 * OUTPUT, None)


class TestABugOfOurs:
    @staticmethod
    async def bug() -> None:
        """What nobody has foreseen."""
        raise RuntimeError

    async def test_before_any_output_ends_the_operation_uncharged(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        behind = gate.behind(streaming(self.bug))

        with pytest.raises(UpstreamBroken):
            await behind.stream(payer, asked())

        await behind.service.close()
        assert is_given_back(await gate.accounts(payer))
        assert await checkpoints(gate, payer) == 0

    async def test_after_some_output_ends_the_operation_with_one_charge(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        got = read(await gate.behind(streaming(delta(WORDS), self.bug)).streamed(payer, asked()))

        assert got[-1]["error"]["code"] == "upstream_broken"
        assert len((await gate.accounts(payer)).charges) == 1
        assert await checkpoints(gate, payer) == 0


class TestTheProcessIsToldToStop:
    async def test_streams_that_end_in_time_end_as_always(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        goes_on = asyncio.Event()
        steps = (delta("a"), goes_on.wait, delta(finish="stop"), usage(10, 20), DONE)
        behind = gate.behind(streaming(*steps))
        answer = await behind.stream(payer, asked())

        stopping = asyncio.create_task(behind.service.close())
        goes_on.set()
        got = read(b"".join([piece async for piece in answer.reading]))
        await stopping

        assert got[-1] == "[DONE]"
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_others_are_cut_and_settled(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        behind = gate.behind(streaming(delta(WORDS), asyncio.Event().wait), shutdown_seconds=0.01)
        answer = await behind.stream(payer, asked())

        await behind.service.close()
        got = read(b"".join([piece async for piece in answer.reading]))

        assert got[-1]["error"]["code"] == "gateway_stopping"
        (found,) = (await gate.accounts(payer)).events
        assert is_booked_once(await gate.accounts(payer), found.charged.micros, EstimateReason.STREAM_CUT)
