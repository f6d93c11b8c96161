"""What a stream leaves in the books, whoever leaves, breaks off or runs out of money, and wherever."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from backend.tests.builders.gateway import GIFT, Gate, free_terms
from backend.tests.builders.pricing import new_rate
from backend.tests.builders.streams import (
    INPUT,
    OUTPUT,
    WITH_USAGE,
    WORDS,
    asked,
    checkpoints,
    is_booked_once,
    is_given_back,
    read,
)
from backend.tests.builders.wallets import RUB, rub
from backend.tests.fakes.clock import StoppedClock
from backend.tests.fakes.model_upstream import DONE, Script, ScriptedUpstream, Step, delta, event, streaming, usage
from billing.gateway.calls import Answer, StreamedAnswer
from billing.gateway.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from billing.gateway.rules.doors import Door
from billing.gateway.rules.paid_request import Incoming
from billing.kit.money import Money
from billing.pricing.rules import Unit
from billing.pricing.seed import DEMO_FREE
from billing.usage.rules import BillingSource, EstimateReason
from billing.wallets.errors import InsufficientFunds

pytestmark = pytest.mark.money


def looked_at(words: str) -> bytes:
    """A chunk of such a size that the cost is looked at once it has passed."""
    return delta(words, padding="x" * 2048)


async def left_after(answer: StreamedAnswer, pieces: int) -> list[bytes]:
    """What a client gets that leaves after so many pieces."""
    got: list[bytes] = []
    reading = aiter(answer.reading)
    while len(got) < pieces:
        got.append(await anext(reading))
    answer.reading.leave()
    return got


class TestAWholeStream:
    async def test_is_passed_on_and_charged_what_the_provider_counted(self, gate: Gate) -> None:
        upstream = streaming(delta("Hello"), delta(" world"), delta(finish="stop"), usage(10, 20), DONE)
        payer = await gate.payer("100")

        got = read(await gate.behind(upstream).streamed(payer, asked()))

        assert [chunk["choices"][0]["delta"].get("content") for chunk in got[:-1]] == ["Hello", " world", None]
        assert got[-1] == "[DONE]"
        assert is_booked_once(await gate.accounts(payer), 10 * INPUT + 20 * OUTPUT, None)
        assert upstream.sent()[0]["stream_options"] == {"include_usage": True}
        assert await checkpoints(gate, payer) == 0

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

    @pytest.mark.parametrize("model", ["demo-small", DEMO_FREE])
    async def test_begins_with_what_is_left_beside_its_hold(self, model: str, gate: Gate) -> None:
        await gate.set_terms(free_terms())
        payer = await gate.payer("100")
        goes_on = asyncio.Event()
        steps: list[Step] = [delta("Hi"), goes_on.wait, delta(finish="stop"), usage(10, 20), DONE]
        behind = gate.behind(streaming(*steps))

        answer = await behind.stream(payer, asked(model=model))

        now = (await gate.accounts(payer)).balance
        goes_on.set()
        await behind.service.close()
        assert answer.balance == now.available
        assert answer.balance + now.held == rub("100")

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
        assert await checkpoints(gate, payer) == 0

    async def test_too_little_money_calls_nobody(self, gate: Gate) -> None:
        upstream = streaming(delta("x"))
        payer = await gate.payer("0.01")

        with pytest.raises(InsufficientFunds):
            await gate.behind(upstream).stream(payer, asked())

        assert upstream.asked == []
        assert await checkpoints(gate, payer) == 0

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

    async def test_nothing_is_cut_that_costs_no_more_than_what_is_held_though_no_more_can_be(self, gate: Gate) -> None:
        ending = (delta(finish="stop"), usage(10, 4000), DONE)
        rich = await gate.payer("100")
        await gate.behind(streaming(delta("a"), *ending)).streamed(rich, asked(max_tokens=None))
        held = (await gate.accounts(rich)).entries[("hold", "held")]
        payer = await gate.payer(Money(held, RUB).to_decimal())
        nearly_all = [delta(WORDS * 200), *[looked_at("word" * 10)] * 11]

        got = read(await gate.behind(streaming(*nearly_all, *ending)).streamed(payer, asked(max_tokens=None)))

        after = await gate.accounts(payer)
        assert got[-1] == "[DONE]"
        assert [chunk for chunk in got[:-1] if "billing" in chunk] == []
        assert after.entries[("hold", "held")] == held
        assert is_booked_once(after, 10 * INPUT + 4000 * OUTPUT, None)

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

    async def test_never_of_a_model_that_costs_nothing(self, gate: Gate, clock: StoppedClock) -> None:
        clock.move(timedelta(days=2))  # the free price stays in this worker's database, out of other tests' sight
        free = [new_rate(GIFT, unit, "0", at=clock.now(), is_free=True) for unit in (Unit.INPUT, Unit.OUTPUT)]
        async with gate.begin() as uow:
            await gate.pricing.publish(uow, free)
        payer = await gate.payer()
        steps = [*[delta(WORDS * 5)] * 60, delta(finish="stop"), usage(10, 6000), DONE]

        got = read(await gate.behind(streaming(*steps)).streamed(payer, asked(model=GIFT, max_tokens=None)))

        (found,) = (await gate.accounts(payer)).events
        assert (len(got), got[-1]) == (62, "[DONE]")
        assert (found.charged.micros, found.quantities[Unit.OUTPUT]) == (0, 6000)


class TestTheFreeQuotaRunsOut:
    async def test_the_reservation_grows_by_what_it_began_with_while_there_is_so_much(self, gate: Gate) -> None:
        await gate.set_terms(free_terms(output_tokens=20_000))
        payer = await gate.payer()
        seen: list[int] = []

        async def see() -> None:
            seen.append((await gate.accounts(payer)).free.metrics[1].reserved)

        much: list[Step] = [looked_at(WORDS * 150), see]
        steps: list[Step] = [*much * 3, delta(finish="stop"), usage(10, 9000), DONE]
        await gate.behind(streaming(*steps)).streamed(payer, asked(model=DEMO_FREE, max_tokens=None))

        after = await gate.accounts(payer)
        assert seen == [4096, 6000 + 4096, 6000 + 4096]
        assert [(metric.used, metric.reserved) for metric in after.free.metrics][:2] == [(10, 0), (9000, 0)]
        assert after.drifts == ()

    async def test_the_reservation_grows_while_something_is_left(self, gate: Gate) -> None:
        await gate.set_terms(free_terms(output_tokens=10_000))
        payer = await gate.payer()
        steps = [*[delta(WORDS * 5)] * 60, delta(finish="stop"), usage(10, 6000), DONE]

        got = read(await gate.behind(streaming(*steps)).streamed(payer, asked(model=DEMO_FREE, max_tokens=None)))

        after = await gate.accounts(payer)
        assert got[-1] == "[DONE]"
        assert [(metric.used, metric.reserved) for metric in after.free.metrics][:2] == [(10, 0), (6000, 0)]
        assert after.drifts == ()

    async def test_the_stream_ends_cleanly_and_says_why(self, gate: Gate) -> None:
        await gate.set_terms(free_terms(output_tokens=4200))
        payer = await gate.payer("100")
        upstream = streaming(*[delta(WORDS * 5)] * 200, delta(finish="stop"), usage(10, 20_000), DONE)

        got = read(await gate.behind(upstream).streamed(payer, asked(model=DEMO_FREE, max_tokens=50_000)))

        after = await gate.accounts(payer)
        (found,) = after.events
        used = after.free.metrics[1].used
        assert got[-1] == "[DONE]"
        assert got[-2]["billing"]["stopped"]["code"] == "quota_exceeded"
        assert 4200 <= used == found.quantities[Unit.OUTPUT] < 4200 + 1000
        assert (found.billing_source, after.balance.available) == (BillingSource.LEAD_MAGNET, rub("100"))
        assert (after.free.metrics[1].reserved, after.drifts) == (0, ())
