"""What a stream leaves in the books, whoever leaves, breaks off, runs out of money or dies, and wherever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from backend.tests.builders.gateway import Accounts, Gate, chat, free_terms
from backend.tests.builders.wallets import rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.model_upstream import DONE, Script, ScriptedUpstream, Step, delta, event, streaming, usage
from billing.gateway.abandoned import AbandonedStreams
from billing.gateway.booking import Booker
from billing.gateway.calls import Answer, StreamedAnswer
from billing.gateway.errors import (
    BillingUnavailable,
    UpstreamBroken,
    UpstreamFailure,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming
from billing.gateway.rules.sse import SseParser
from billing.kit.unit_of_work import UnitOfWork
from billing.pricing.seed import DEMO_FREE
from billing.usage.rules import BillingSource, EstimateReason
from billing.wallets.errors import InsufficientFunds
from billing.wallets.rules import OperationId

pytestmark = pytest.mark.money

# Micros for one token of `demo-small`.
INPUT, OUTPUT = 60, 240
WORDS = "word" * 20  # twenty tokens by our own count
LEASE = timedelta(seconds=30)
WITH_USAGE = {"stream_options": {"include_usage": True}}


def asked(**more: Any) -> dict[str, Any]:
    """A request for a stream."""
    return chat(stream=True, **more)


def read(content: bytes) -> list[Any]:
    """Events as a client reads them."""
    return [found.data if found.data == "[DONE]" else json.loads(found.data) for found in SseParser().feed(content)]


async def left_after(answer: StreamedAnswer, pieces: int) -> list[bytes]:
    """What a client gets that leaves after so many pieces."""
    got: list[bytes] = []
    reading = aiter(answer.reading)
    while len(got) < pieces:
        got.append(await anext(reading))
    answer.reading.leave()
    return got


def checkpoints(gate: Gate) -> Callable[[], Awaitable[int]]:
    """How many streams have a checkpoint."""

    async def count() -> int:
        async with gate.begin() as uow:
            return int(await uow.connection.scalar(text("SELECT count(*) FROM gateway_checkpoints")) or 0)

    return count


def janitor(gate: Gate) -> AbandonedStreams:
    """What the job runs."""
    booker = Booker(clock=gate.wallets.clock, quotas=gate.quotas, wallets=gate.wallets.service, usage=gate.usage)
    return AbandonedStreams(begin=gate.begin, clock=gate.wallets.clock, booker=booker)


def is_booked_once(after: Accounts, charged: int, reason: EstimateReason | None) -> bool:
    """One charge and one event of this amount, nothing held, nothing adrift."""
    (found,) = after.events
    assert [charge.micros for charge in after.charges] == [charged]
    assert (found.charged.micros, found.estimate_reason) == (charged, reason)
    assert (after.balance.held.micros, after.balance.debt.micros, after.drifts) == (0, 0, ())
    return True


def is_given_back(after: Accounts) -> bool:
    """No charge, no event, nothing held."""
    assert (after.charges, after.events, after.drifts) == ([], (), ())
    assert (after.balance.available, after.balance.held.micros) == (rub("100"), 0)
    return True


class TestAWholeStream:
    async def test_is_passed_on_and_charged_what_the_provider_counted(self, gate: Gate) -> None:
        upstream = streaming(delta("Hello"), delta(" world"), delta(finish="stop"), usage(10, 20), DONE)
        payer = await gate.payer("100")

        got = read(await gate.behind(upstream).streamed(payer, asked()))

        assert [chunk["choices"][0]["delta"].get("content") for chunk in got[:-1]] == ["Hello", " world", None]
        assert got[-1] == "[DONE]"
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)
        assert upstream.sent()[0]["stream_options"] == {"include_usage": True}
        assert await checkpoints(gate)() == 0

    async def test_ends_with_its_cost_where_that_was_asked_for(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        body = asked(**WITH_USAGE)

        got = read(await gate.behind(streaming(delta("Hi", finish="stop"), usage(10, 20), DONE)).streamed(payer, body))

        after = await gate.accounts(payer)
        (found,) = after.events
        assert got[-2]["billing"] == {
            "operation": found.operation_id,
            "charged": found.charged.to_decimal(),
            "currency": "RUB",
            "balance": after.balance.available.to_decimal(),
            "source": "payg",
        }
        assert got[-2]["usage"]["completion_tokens"] == 20

    async def test_without_usage_is_charged_by_our_own_meter(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        await gate.behind(streaming(delta(WORDS), delta(finish="stop"), DONE)).streamed(payer, asked())

        (found,) = (await gate.accounts(payer)).events
        assert found.estimate_reason is EstimateReason.USAGE_MISSING
        assert found.charged.micros > 20 * OUTPUT

    async def test_for_free_uses_the_quota_and_no_money(self, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer()
        upstream = streaming(delta("Hi"), delta(finish="stop"), usage(10, 20), DONE)

        await gate.behind(upstream).streamed(payer, asked(model=DEMO_FREE))

        after = await gate.accounts(payer)
        (found,) = after.events
        assert (found.billing_source, found.charged.micros) == (BillingSource.LEAD_MAGNET, 0)
        assert [(metric.used, metric.reserved) for metric in after.free.metrics][:2] == [(10, 0), (20, 0)]
        assert after.drifts == ()

    async def test_that_says_only_what_it_used_is_charged_that(self, gate: Gate) -> None:
        upstream = streaming(delta(finish="length"), usage(10, 20), DONE)
        payer = await gate.payer("100")

        await gate.behind(upstream).streamed(payer, asked())

        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_costs_the_same_however_the_bytes_come(self, gate: Gate) -> None:
        whole = delta("Привет ") + delta("🤖" * 40) + delta(finish="stop") + DONE
        charges = set()

        for size in (1, 7, 64, len(whole)):
            payer = await gate.payer("100")
            pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
            await gate.behind(streaming(*pieces)).streamed(payer, asked())
            charges.add((await gate.accounts(payer)).charges[0].micros)

        assert len(charges) == 1


class TestBeforeTheFirstByte:
    @pytest.mark.parametrize("status", [400, 404, 422])
    async def test_a_refusal_is_a_plain_answer_and_nothing_is_charged(self, status: int, gate: Gate) -> None:
        error = json.dumps({"error": {"message": "No.", "code": "bad"}}).encode()
        payer = await gate.payer("100")

        answer = await gate.behind(streaming(error, status=status)).service.serve(
            payer.principal, Door.CHAT, Incoming(json.dumps(asked()).encode())
        )

        assert isinstance(answer, Answer)
        assert (answer.status, answer.charged.micros, answer.balance) == (status, 0, rub("100"))
        assert is_given_back(await gate.accounts(payer))

    @pytest.mark.parametrize(
        ("script", "failure"),
        [
            (Script(fails=UpstreamUnreachable()), UpstreamUnreachable),
            (Script(fails=UpstreamTimeout()), UpstreamTimeout),
            (Script((UpstreamBroken(),)), UpstreamBroken),
            (Script((UpstreamTimeout(),)), UpstreamTimeout),
            (Script(()), UpstreamBroken),
            (Script((b"<html>",), content_type="text/html"), UpstreamBroken),
            (Script((b"{}",), content_type="application/json; charset=utf-8"), UpstreamBroken),
            (Script((b"data: rubbish\n\n",)), UpstreamBroken),
            (Script((event({"error": {"message": "sk-secret"}}),)), UpstreamBroken),
            (Script((delta("x"),), status=301), UpstreamBroken),
            (Script((DONE,)), UpstreamBroken),
            (Script((b": ping\n\n",)), UpstreamBroken),
        ],
        ids=lambda value: value.__name__ if isinstance(value, type) else None,
    )
    async def test_a_failure_is_a_plain_refusal_and_nothing_is_charged(
        self, script: Script, failure: type[UpstreamFailure], gate: Gate
    ) -> None:
        payer = await gate.payer("100")
        broken = gate.behind(ScriptedUpstream([script]))

        with pytest.raises(failure):
            await broken.stream(payer, asked())

        await broken.service.close()
        assert is_given_back(await gate.accounts(payer))
        assert await checkpoints(gate)() == 0

    async def test_too_little_money_calls_nobody(self, gate: Gate) -> None:
        upstream = streaming(delta("x"))
        payer = await gate.payer("0.01")

        with pytest.raises(InsufficientFunds):
            await gate.behind(upstream).stream(payer, asked())

        assert upstream.asked == []
        assert await checkpoints(gate)() == 0

    async def test_a_caller_who_is_cancelled_is_a_client_who_left(self, gate: Gate) -> None:
        waits, goes_on = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            waits.set()
            await goes_on.wait()

        payer = await gate.payer("100")
        behind = gate.behind(streaming(wait, delta("x", finish="stop"), usage(1, 1), DONE))
        call = asyncio.create_task(behind.stream(payer, asked()))
        await waits.wait()

        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        goes_on.set()
        await behind.service.close()

        assert call.cancelled()
        assert is_booked_once(await gate.accounts(payer), INPUT + OUTPUT, None)


class TestTheProviderBreaksOff:
    @pytest.mark.parametrize("words", [1, 2, 3, 5])
    @pytest.mark.parametrize("failure", [UpstreamBroken(), UpstreamTimeout(), None], ids=["reset", "silent", "end"])
    async def test_after_some_output_which_is_charged_by_our_meter(
        self, words: int, failure: UpstreamFailure | None, gate: Gate
    ) -> None:
        payer = await gate.payer("100")
        steps: list[Step] = [*[delta(WORDS)] * words, *([] if failure is None else [failure])]

        got = read(await gate.behind(streaming(*steps)).streamed(payer, asked(max_tokens=1000)))

        (found,) = (await gate.accounts(payer)).events
        expected = found.quantities[next(iter(found.quantities))] * INPUT + words * 20 * OUTPUT
        assert is_booked_once(await gate.accounts(payer), expected, EstimateReason.STREAM_CUT)
        assert got[-1]["error"]["code"] == ("upstream_broken" if failure is None else failure.code)
        assert "[DONE]" not in got

    async def test_within_an_event_that_is_not_passed_on(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        half = delta("never seen")[:-20]

        got = read(await gate.behind(streaming(delta("seen"), half, UpstreamBroken())).streamed(payer, asked()))

        assert "never" not in json.dumps(got)
        assert (await gate.accounts(payer)).events[0].estimate_reason is EstimateReason.STREAM_CUT

    async def test_after_a_role_but_no_word_which_costs_nothing(self, gate: Gate) -> None:
        payer = await gate.payer("100")

        got = read(
            await gate.behind(streaming(delta(delta={"role": "assistant"}), UpstreamBroken())).streamed(payer, asked())
        )

        assert got[-1]["error"]["code"] == "upstream_broken"
        assert is_given_back(await gate.accounts(payer))

    async def test_after_its_count_which_is_believed(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        steps = (delta("a", finish="stop"), usage(10, 20), UpstreamBroken())

        got = read(await gate.behind(streaming(*steps)).streamed(payer, asked()))

        assert got[-1] == "[DONE]"
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)


class TestTheClientLeaves:
    @pytest.mark.parametrize("position", range(5))
    async def test_at_any_position_and_the_provider_is_heard_out(self, position: int, gate: Gate) -> None:
        payer = await gate.payer("100")
        left = asyncio.Event()
        steps: list[Any] = [delta("one"), delta("two"), delta("three"), delta(finish="stop"), usage(10, 20), DONE]
        steps.insert(max(position, 1), left.wait)
        behind = gate.behind(streaming(*steps))

        answer = await behind.stream(payer, asked())
        await left_after(answer, 0 if position == 0 else 1)
        left.set()
        await behind.service.close()

        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_and_a_provider_that_does_not_end_is_heard_no_longer_than_allowed(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        behind = gate.behind(streaming(delta(WORDS), asyncio.Event().wait), drain_seconds=0.05)

        answer = await behind.stream(payer, asked())
        answer.reading.leave()
        await behind.service.close()

        assert (await gate.accounts(payer)).events[0].estimate_reason is EstimateReason.STREAM_CUT

    async def test_and_no_more_is_read_than_allowed(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        left = asyncio.Event()
        upstream = streaming(delta(WORDS), left.wait, *[delta(WORDS)] * 200)
        behind = gate.behind(upstream, drain_bytes=2000)

        answer = await behind.stream(payer, asked())
        answer.reading.leave()
        left.set()
        await behind.service.close()

        (found,) = (await gate.accounts(payer)).events
        assert 20 * OUTPUT < found.charged.micros < 15 * 20 * OUTPUT
        assert upstream.closed == 1

    async def test_a_client_that_reads_nothing_counts_as_gone(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        upstream = streaming(*[delta(WORDS)] * 20, delta(finish="stop"), usage(10, 20), DONE)
        behind = gate.behind(upstream, buffer_bytes=500, client_patience_seconds=0.01)

        await behind.stream(payer, asked())
        await behind.service.close()

        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_a_slow_client_makes_the_provider_wait(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        sent: list[int] = []

        def note(number: int) -> Callable[[], Awaitable[None]]:
            async def noted() -> None:
                sent.append(number)

            return noted

        steps = [step for number in range(50) for step in (delta(WORDS), note(number))]
        behind = gate.behind(streaming(*steps, delta(finish="stop"), usage(10, 20), DONE), buffer_bytes=500)

        answer = await behind.stream(payer, asked())
        reading = aiter(answer.reading)
        await anext(reading)
        for _ in range(100):
            await asyncio.sleep(0)
        seen_early = len(sent)
        async for _ in reading:
            pass
        await behind.service.close()

        assert seen_early < 20
        assert len(sent) == 50
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)


class TestMoneyRunsOut:
    async def test_the_hold_grows_in_steps_while_there_is_credit(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        steps = [*[delta(WORDS * 5)] * 60, delta(finish="stop"), usage(10, 6000), DONE]

        got = read(await gate.behind(streaming(*steps)).streamed(payer, asked(max_tokens=None)))

        after = await gate.accounts(payer)
        quoted = rub("1").micros
        assert got[-1] == "[DONE]"
        assert 10 * INPUT + 6000 * OUTPUT < after.entries[("hold", "held")] < 3 * quoted
        assert is_booked_once(after, 10 * INPUT + 6000 * OUTPUT, None)

    async def test_the_stream_ends_cleanly_and_says_why(self, gate: Gate) -> None:
        payer = await gate.payer("1.2")
        steps = [*[delta(WORDS * 5)] * 200, delta(finish="stop"), usage(10, 20_000), DONE]
        upstream = streaming(*steps)
        body = asked(max_tokens=None, **WITH_USAGE)

        got = read(await gate.behind(upstream).streamed(payer, body))

        after = await gate.accounts(payer)
        (found,) = after.events
        stop, last, mark = got[-3:]
        assert mark == "[DONE]"
        assert stop["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
        assert stop["billing"]["stopped"]["code"] == "insufficient_funds"
        assert last["billing"]["charged"] == found.charged.to_decimal()
        assert found.estimate_reason is EstimateReason.STREAM_CUT
        assert found.charged.micros >= rub("1.15").micros
        assert after.balance.debt.micros <= 20 * 100 * OUTPUT
        assert (after.balance.held.micros, after.drifts) == (0, ())
        assert upstream.closed == 1

    async def test_the_clients_own_limit_ends_it_too(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        steps = [*[delta(WORDS * 5)] * 200, delta(finish="stop"), DONE]

        got = read(
            await gate.behind(streaming(*steps)).streamed(payer, asked(max_tokens=None), max_reply_cost=rub("1.5"))
        )

        assert got[-2]["billing"]["stopped"]["code"] == "max_reply_cost_exceeded"
        assert (await gate.accounts(payer)).balance.debt.micros == 0

    async def test_at_the_same_place_however_the_bytes_come(self, gate: Gate) -> None:
        whole = b"".join([delta(WORDS * 5)] * 80)
        charges = set()

        for size in (50, 333, len(whole)):
            payer = await gate.payer("1.2")
            pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
            await gate.behind(streaming(*pieces)).streamed(payer, asked(max_tokens=None))
            charges.add((await gate.accounts(payer)).events[0].charged.micros)

        assert len(charges) == 1


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
        await self.stored(gate)

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
        await self.stored(gate)

        await self.dead(behind)
        clock.move(timedelta(seconds=900))
        await gate.wallets.service.sweep()
        await janitor(gate).settle()

        after = await gate.accounts(payer)
        assert ("late_charge", "paid") in after.entries
        assert is_booked_once(after, after.events[0].charged.micros, EstimateReason.GATEWAY_LOST)

    @staticmethod
    async def stored(gate: Gate) -> None:
        """Waits until the first output is durable."""
        async with asyncio.timeout(5):
            while True:
                async with gate.begin() as uow:
                    found = text("SELECT count(*) FROM gateway_checkpoints WHERE has_delivered")
                    if await uow.connection.scalar(found):
                        return
                await asyncio.sleep(0.01)  # the stream writes it by itself, in its own time


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
        async def breaks() -> None:
            broken.extend(["BEGIN"] * 4)

        payer = await gate.payer("100")
        steps = (delta("a", finish="stop"), breaks, usage(10, 20), DONE)

        got = read(await fragile(streaming(*steps), retry_seconds=0.01).streamed(payer, asked()))

        assert got[-1]["error"]["code"] == "billing_interrupted"
        assert broken == []
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_for_so_long_that_the_job_takes_over(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str], clock: StoppedClock
    ) -> None:
        async def breaks() -> None:
            broken.extend(["BEGIN"] * 1000)

        payer = await gate.payer("100")
        steps = (delta(WORDS), breaks, delta(finish="stop"), usage(10, 20), DONE)
        terms = {"retry_seconds": 0.01, "lease": timedelta(seconds=0.05)}

        got = read(await fragile(streaming(*steps), **terms).streamed(payer, asked()))

        assert got[-1]["error"]["code"] == "billing_interrupted"
        clock.move(LEASE)
        assert await janitor(gate).settle() == 1
        assert (await gate.accounts(payer)).events[0].estimate_reason is EstimateReason.GATEWAY_LOST

    async def test_right_after_the_commit_and_it_is_booked_once(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        async def breaks() -> None:
            broken.append("COMMIT")

        payer = await gate.payer("100")
        steps = (delta("a", finish="stop"), breaks, usage(10, 20), DONE)

        got = read(await fragile(streaming(*steps)).streamed(payer, asked()))

        assert got[-1] == "[DONE]"
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)

    async def test_when_output_has_to_be_stored_and_nothing_more_passes(
        self, gate: Gate, fragile: Callable[..., Gate], broken: list[str]
    ) -> None:
        async def breaks() -> None:
            broken.extend(["BEGIN"] * 2)

        payer = await gate.payer("100")
        upstream = streaming(breaks, delta(WORDS), *[delta("never seen")] * 10, DONE)

        got = read(await fragile(upstream).streamed(payer, asked()))

        assert [chunk for chunk in got if "never seen" in json.dumps(chunk)] == []
        assert got[-1]["error"]["code"] == "billing_interrupted"
        (found,) = (await gate.accounts(payer)).events
        assert found.charged.micros >= 20 * OUTPUT

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
        assert await checkpoints(gate)() == 0

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
