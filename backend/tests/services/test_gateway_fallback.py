"""Where one upstream fails, the next one answers, and the call is charged once: at the rates of who answered."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from backend.tests.builders.gateway import Gate, Payer, build_gate, chat
from backend.tests.builders.wallets import rub
from backend.tests.fakes.model_upstream import DONE, Script, ScriptedUpstream, delta, usage
from billing.gateway.calls import Answer
from billing.gateway.errors import (
    UpstreamBroken,
    UpstreamFailure,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from billing.gateway.rules.routes import ModelRoute, RouteTable
from billing.pricing.seed import DEMO_LARGE, DEMO_SMALL

pytestmark = [pytest.mark.money, pytest.mark.slow]

SMALL_IN, SMALL_OUT = 60, 240
GOOD = Script(
    (
        json.dumps(
            {
                "model": "second-7b",
                "choices": [{"message": {"role": "assistant", "content": "fine"}}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 20},
            }
        ).encode(),
    ),
    content_type="application/json",
)
STREAM = Script((delta("fine", finish="stop"), usage(10, 20), DONE))
PASSING = [
    Script(fails=UpstreamUnreachable()),
    Script(fails=UpstreamTimeout()),
    Script(fails=UpstreamBroken()),
    Script((b"{}",), status=429, retry_after_seconds=7),
    Script((b"<html>",), status=502),
    Script((b"",), status=500),
    Script((UpstreamBroken(),), status=503),
]


def refusal(status: int) -> Script:
    """The provider says no."""
    return Script((json.dumps({"error": {"message": "No.", "code": "no"}}).encode(),), status=status)


def two_targets(gate: Gate, upstream: ScriptedUpstream, *, second_priced_as: str = DEMO_SMALL) -> Gate:
    """The gateway with a model that two upstreams serve."""
    (first,) = gate.routes.of(DEMO_SMALL).targets
    second = replace(first, name="second", upstream_model="second-7b", priced_as=second_priced_as)
    routes = RouteTable({DEMO_SMALL: ModelRoute(DEMO_SMALL, (first, second))})
    return build_gate(begin=gate.begin, wallets=gate.wallets, town=gate.town, routes=routes, upstream=upstream)


async def charged_once(gate: Gate, payer: Payer, *, micros: int, provider: str) -> bool:
    """One hold, one charge, one event, by this provider."""
    after = await gate.accounts(payer)
    (found,) = after.events
    assert [charge.micros for charge in after.charges] == [found.charged.micros] == [micros]
    assert (found.provider, found.model_asked) == (provider, DEMO_SMALL)
    assert (after.balance.held.micros, after.balance.available.micros) == (0, 100_000_000 - micros)
    assert after.drifts == ()
    return True


class TestTheFirstUpstreamFails:
    @pytest.mark.parametrize("first", PASSING, ids=lambda script: str(script.fails or script.status))
    async def test_in_passing_and_the_second_answers(self, first: Script, gate: Gate) -> None:
        upstream = ScriptedUpstream([first, GOOD])
        payer = await gate.payer("100")

        answer = await two_targets(gate, upstream).ask(payer, chat())

        assert (answer.status, answer.body and answer.body["model"]) == (200, DEMO_SMALL)
        assert [sent["model"] for sent in upstream.sent()] == ["gpt-4o-mini", "second-7b"]
        assert await charged_once(gate, payer, micros=10 * SMALL_IN + 20 * SMALL_OUT, provider="second")

    @pytest.mark.parametrize("first", PASSING, ids=lambda script: str(script.fails or script.status))
    async def test_in_passing_and_the_second_streams(self, first: Script, gate: Gate) -> None:
        upstream = ScriptedUpstream([first, STREAM])
        payer = await gate.payer("100")

        content = await two_targets(gate, upstream).streamed(payer, chat(stream=True))

        assert content.endswith(DONE)
        assert await charged_once(gate, payer, micros=10 * SMALL_IN + 20 * SMALL_OUT, provider="second")

    @pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
    async def test_by_refusing_the_request_and_nobody_else_is_asked(self, status: int, gate: Gate) -> None:
        upstream = ScriptedUpstream([refusal(status), GOOD])
        payer = await gate.payer("100")

        answer = await two_targets(gate, upstream).ask(payer, chat())

        assert answer.status == (502 if status in {401, 402, 403} else status)
        assert len(upstream.asked) == 1
        assert (await gate.accounts(payer)).balance.available == rub("100")

    @pytest.mark.parametrize(
        "first",
        [Script((b"{}",)), Script((b'{"choices"',)), Script((UpstreamBroken(),))],
        ids=["no completion", "half", "reset"],
    )
    async def test_after_it_had_begun_to_answer_and_nobody_else_is_asked(self, first: Script, gate: Gate) -> None:
        upstream = ScriptedUpstream([first, GOOD])
        payer = await gate.payer("100")

        with pytest.raises(UpstreamBroken):
            await two_targets(gate, upstream).ask(payer, chat())

        assert len(upstream.asked) == 1
        assert (await gate.accounts(payer)).balance.available == rub("100")

    async def test_in_the_middle_of_a_stream_and_what_was_delivered_is_charged_once(self, gate: Gate) -> None:
        upstream = ScriptedUpstream([Script((delta("word"), UpstreamBroken())), STREAM])
        payer = await gate.payer("100")

        await two_targets(gate, upstream).streamed(payer, chat(stream=True))

        assert len(upstream.asked) == 1
        assert len((await gate.accounts(payer)).events) == 1


class TestAllUpstreamsFail:
    async def test_and_the_last_refusal_is_passed_on(self, gate: Gate) -> None:
        busy = Script((b'{"error": {"message": "Too many."}}',), status=429, retry_after_seconds=7)
        payer = await gate.payer("100")

        answer = await two_targets(gate, ScriptedUpstream([busy, Script(fails=UpstreamTimeout())])).ask(payer, chat())

        assert isinstance(answer, Answer)
        assert (answer.status, answer.retry_after_seconds) == (429, 7)
        assert (await gate.accounts(payer)).balance.available == rub("100")

    @pytest.mark.parametrize("failure", [UpstreamTimeout(), UpstreamUnreachable(), UpstreamBroken()])
    async def test_without_a_word_and_so_do_we(self, failure: UpstreamFailure, gate: Gate) -> None:
        payer = await gate.payer("100")

        with pytest.raises(type(failure)):
            await two_targets(gate, ScriptedUpstream([Script(fails=failure)])).ask(payer, chat())

        assert (await gate.accounts(payer)).balance.available == rub("100")


class TestAnUpstreamWithAPriceOfItsOwn:
    async def test_is_charged_by_it_and_the_hold_covers_the_dearer_one(self, gate: Gate) -> None:
        payer = await gate.payer("100")
        cheap = await gate.ask(payer, chat())
        assert cheap.charged.micros > 0
        held_before = (await gate.accounts(payer)).entries[("hold", "held")]
        large = ScriptedUpstream([Script(fails=UpstreamTimeout()), GOOD])

        answer = await two_targets(gate, large, second_priced_as=DEMO_LARGE).ask(payer, chat())

        after = await gate.accounts(payer)
        event = next(found for found in after.events if found.provider == "second")
        assert event.model_priced == DEMO_LARGE
        assert answer.charged == event.charged
        assert answer.charged.micros > 10 * SMALL_IN + 20 * SMALL_OUT
        assert after.entries[("hold", "held")] > 2 * held_before
