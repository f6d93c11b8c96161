"""Streams of the responses and completions routes: what the client sees, what is counted, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import snapshot
from backend.tests.builders.wallets import rub
from billing.gateway.errors import UpstreamBroken, UpstreamTimeout
from billing.gateway.rules.completions_request import read_completions_request
from billing.gateway.rules.paid_request import Incoming, QuoteBounds
from billing.gateway.rules.responses_request import read_responses_request
from billing.gateway.rules.responses_stream import ResponsesStreamMeter
from billing.gateway.rules.sse import ServerSentEvent, SseParser
from billing.gateway.rules.stream_metering import Receipt, StreamMeter
from billing.pricing.rules import Unit
from billing.usage.rules import BillingSource, EstimateReason
from billing.wallets.errors import InsufficientFunds
from billing.wallets.rules import OperationId

BOUNDS = QuoteBounds(output_tokens_default=1000, image_tokens_max=5000, choices_max=4)
RATES = snapshot({Unit.INPUT: 1, Unit.OUTPUT: 1})
RECEIPT = Receipt(OperationId("opr_1"), rub("0.50"), rub("99.50"), BillingSource.PAYG)
TEXT = "x" * 40


def responses_meter(**fields: Any) -> ResponsesStreamMeter:
    """What reads the stream of such a request."""
    asked = {"model": "m", "input": "abcdefgh", "stream": True, **fields}
    request = read_responses_request(Incoming(json.dumps(asked).encode()), BOUNDS)
    return request.stream_meter(RATES, public_model="public", upstream_model="theirs")


def completions_meter(**fields: Any) -> StreamMeter:
    """What reads the stream of such a request."""
    asked = {"model": "m", "prompt": "abcdefgh", "stream": True, **fields}
    request = read_completions_request(Incoming(json.dumps(asked).encode()), BOUNDS)
    return request.stream_meter(RATES, public_model="public", upstream_model="theirs")


def event(kind: str | None, **more: Any) -> ServerSentEvent:
    """One event of a provider."""
    named = {} if kind is None else {"type": kind}
    return ServerSentEvent(kind, json.dumps({**named, **more}))


def whole(text: str = TEXT, **more: Any) -> dict[str, Any]:
    """The whole response as a provider tells it."""
    message = {"type": "message", "content": [{"type": "output_text", "text": text}]}
    return {"id": "resp_1", "model": "m-1", "status": "completed", "output": [message], "usage": None, **more}


BEGIN = event("response.created", response={"id": "resp_1", "model": "m-1", "output": [], "usage": None})
DELTAS = [event("response.output_text.delta", delta=TEXT[:25]), event("response.output_text.delta", delta=TEXT[25:])]
TELLINGS = [
    event("response.output_text.done", text=TEXT),
    event("response.content_part.done", part={"type": "output_text", "text": TEXT}),
    event("response.output_item.done", item={"id": "msg_1", "content": [{"type": "output_text", "text": TEXT}]}),
    event("response.completed", response=whole()),
]
USAGE = {"input_tokens": 9, "output_tokens": 5, "output_tokens_details": {"reasoning_tokens": 2}}


def seen(meter: StreamMeter, events: Sequence[ServerSentEvent]) -> bytes:
    """What the client gets of these events."""
    return b"".join(map(meter.see, events))


def told(content: bytes) -> list[dict[str, Any]]:
    """The events that a client reads; those of this route name their type twice."""
    events = SseParser().feed(content)
    bodies = [json.loads(one.data) for one in events]
    assert [one.event for one in events] == [body["type"] for body in bodies]
    return bodies


class TestAStreamedResponse:
    def test_passes_each_event_on_under_the_public_name(self) -> None:
        meter = responses_meter()

        bodies = told(seen(meter, [BEGIN, *DELTAS]))

        assert [body["type"] for body in bodies] == ["response.created", *["response.output_text.delta"] * 2]
        assert bodies[0]["response"]["model"] == "public"
        assert "".join(body["delta"] for body in bodies[1:]) == TEXT
        assert meter.model_used == "m-1"

    def test_keeps_the_last_event_until_it_can_say_the_cost(self) -> None:
        meter = responses_meter()

        before = seen(meter, [BEGIN, *DELTAS, event("response.completed", response=whole(usage=USAGE))])
        (last,) = told(meter.closing(RECEIPT))

        assert b"response.completed" not in before
        assert meter.is_finished
        assert (last["type"], last["response"]["model"], last["response"]["usage"]) == (
            "response.completed",
            "public",
            USAGE,
        )
        assert last["response"]["billing"] == RECEIPT.to_json()

    def test_is_finished_by_an_incomplete_one_too(self) -> None:
        meter = responses_meter()

        seen(meter, [*DELTAS, event("response.incomplete", response=whole(status="incomplete"))])

        assert meter.is_finished
        assert told(meter.closing(RECEIPT))[0]["type"] == "response.incomplete"

    def test_ignores_what_comes_after_its_end(self) -> None:
        meter = responses_meter()
        seen(meter, TELLINGS)

        assert seen(meter, [ServerSentEvent(None, "[DONE]"), *DELTAS, ServerSentEvent(None, "nonsense")]) == b""
        assert meter.measured().free.output_tokens == 10

    def test_takes_the_type_from_the_events_name_where_the_data_lacks_it(self) -> None:
        meter = responses_meter()

        meter.see(ServerSentEvent("response.output_text.delta", json.dumps({"delta": TEXT})))

        assert meter.measured().free.output_tokens == 10

    @pytest.mark.parametrize(
        "nonsense",
        [
            ServerSentEvent(None, "<html>"),
            ServerSentEvent(None, "[]"),
            event(None, delta="x"),
            event("error", message="secret"),
            event("response.failed", response=whole(status="failed")),
        ],
    )
    def test_that_makes_no_sense_or_fails_is_broken(self, nonsense: ServerSentEvent) -> None:
        with pytest.raises(UpstreamBroken):
            responses_meter().see(nonsense)


class TestTheCountOfAStreamedResponse:
    def test_is_the_providers_where_it_tells_one(self) -> None:
        meter = responses_meter()

        seen(meter, [BEGIN, *DELTAS, event("response.completed", response=whole(usage=USAGE))])

        used = meter.measured()
        assert used.estimate_reason is None
        assert (used.quantities[Unit.INPUT], used.quantities[Unit.OUTPUT], used.quantities[Unit.REASONING]) == (9, 3, 2)

    def test_of_zero_is_zero(self) -> None:
        meter = responses_meter()

        seen(meter, [event("response.completed", response=whole(usage={"input_tokens": 0, "output_tokens": 0}))])

        assert (meter.measured().free.output_tokens, meter.measured().estimate_reason) == (0, None)

    @pytest.mark.parametrize("usage", [None, {}, {"total_tokens": 5}])
    def test_is_our_own_where_it_tells_none(self, usage: object) -> None:
        meter = responses_meter()

        seen(meter, [BEGIN, *DELTAS, event("response.completed", response=whole(usage=usage))])

        used = meter.measured()
        assert (used.free.output_tokens, used.estimate_reason) == (10, EstimateReason.USAGE_MISSING)
        assert told(meter.closing(RECEIPT))[0]["response"]["usage"]["output_tokens"] == 10

    def test_is_our_own_where_it_tells_nonsense(self) -> None:
        meter = responses_meter()

        seen(meter, [*DELTAS, event("response.completed", response=whole(usage={**USAGE, "output_tokens": -5}))])

        used = meter.measured()
        assert (used.free.output_tokens, used.estimate_reason) == (10, EstimateReason.USAGE_INVALID)

    def test_is_our_own_where_more_text_came_after_the_providers(self) -> None:
        meter = responses_meter()

        seen(meter, [event("response.in_progress", response={"usage": USAGE}), *DELTAS])

        assert meter.measured().estimate_reason is EstimateReason.USAGE_MISSING

    @pytest.mark.parametrize("telling", TELLINGS, ids=lambda one: one.event)
    def test_finds_the_text_wherever_a_provider_tells_it(self, telling: ServerSentEvent) -> None:
        meter = responses_meter()

        seen(meter, [telling])

        assert meter.measured().free.output_tokens == 10
        assert meter.has_delivered

    def test_counts_a_text_once_however_often_it_is_told(self) -> None:
        meter = responses_meter()

        seen(meter, [BEGIN, *DELTAS, *TELLINGS])

        assert meter.measured().free.output_tokens == 10

    def test_counts_thoughts_refusals_and_what_tools_are_called_with(self) -> None:
        meter = responses_meter()
        kinds = ("reasoning_summary_text", "refusal", "function_call_arguments", "custom_tool_call_input")

        seen(meter, [event(f"response.{kind}.delta", item_id="i", delta="x" * 4) for kind in kinds])

        assert meter.measured().free.output_tokens == 4

    def test_has_nothing_before_anything_is_written(self) -> None:
        meter = responses_meter()

        seen(meter, [BEGIN, event("response.output_item.added", item={"type": "message", "content": []})])

        assert not meter.has_delivered
        assert meter.measured().free.output_tokens == 0

    @given(cuts=st.lists(st.integers(0, 40), max_size=6))
    def test_is_the_same_however_the_text_is_cut(self, cuts: list[int]) -> None:
        meter = responses_meter()
        places = [0, *sorted(cuts), len(TEXT)]
        pieces = [TEXT[begins:ends] for begins, ends in pairwise(places)]

        seen(meter, [event("response.output_text.delta", delta=piece) for piece in pieces])

        assert meter.measured().free.output_tokens == 10


class TestTheEndOfAStreamedResponse:
    def test_where_money_ran_out_is_an_incomplete_response_that_says_why(self) -> None:
        meter = responses_meter()
        seen(meter, [BEGIN, *DELTAS])

        (last,) = told(meter.stopped(InsufficientFunds(available=rub("0"), required=rub("1")), RECEIPT))

        assert (last["type"], last["response"]["status"]) == ("response.incomplete", "incomplete")
        assert last["response"]["incomplete_details"] == {"reason": "insufficient_funds"}
        assert last["response"]["billing"]["stopped"]["code"] == "insufficient_funds"
        assert last["response"]["billing"]["charged"] == "0.50"
        assert (last["response"]["id"], last["response"]["model"]) == ("resp_1", "public")

    def test_where_the_provider_broke_off_is_an_error(self) -> None:
        meter = responses_meter()
        seen(meter, [event("response.output_text.delta", delta="x", sequence_number=7)])

        (last,) = told(meter.broken(UpstreamTimeout()))

        assert (last["type"], last["code"], last["sequence_number"]) == ("error", "upstream_timeout", 8)
        assert last["error"]["message"]

    def test_without_the_providers_word_is_ours(self) -> None:
        meter = responses_meter()
        seen(meter, DELTAS)

        (last,) = told(meter.closing(RECEIPT))

        assert (last["type"], last["response"]["usage"]["output_tokens"]) == ("response.completed", 10)


class TestAStreamedCompletion:
    CHUNKS = (
        event(None, id="cmpl-1", model="m-1", choices=[{"index": 0, "text": TEXT[:25], "finish_reason": None}]),
        event(None, id="cmpl-1", model="m-1", choices=[{"index": 0, "text": TEXT[25:], "finish_reason": "stop"}]),
    )

    def test_counts_the_text_that_was_passed_on(self) -> None:
        meter = completions_meter()

        content = seen(meter, self.CHUNKS)

        assert b'"model":"public"' in content
        assert b"m-1" not in content
        assert (meter.measured().free.output_tokens, meter.model_used) == (10, "m-1")
        assert (meter.is_finished, meter.has_delivered) == (True, True)

    def test_takes_the_providers_count_and_shows_it_only_if_asked(self) -> None:
        usage = event(None, choices=[], usage={"prompt_tokens": 3, "completion_tokens": 4})
        quiet, asked = completions_meter(), completions_meter(stream_options={"include_usage": True})

        hidden, shown = (seen(meter, [*self.CHUNKS, usage]) + meter.closing(RECEIPT) for meter in (quiet, asked))

        assert quiet.measured().quantities[Unit.OUTPUT] == asked.measured().quantities[Unit.OUTPUT] == 4
        assert b"usage" not in hidden
        assert b'"completion_tokens":4' in shown
        assert b'"object":"text_completion"' in shown

    def test_that_is_stopped_ends_its_choices_with_empty_text(self) -> None:
        meter = completions_meter()
        seen(meter, self.CHUNKS[:1])

        content = meter.stopped(InsufficientFunds(available=rub("0"), required=rub("1")), RECEIPT)

        assert b'{"index":0,"text":"","finish_reason":"length"}' in content
        assert content.endswith(b"data: [DONE]\n\n")


class TestEverySplit:
    """Bytes may come in any pieces; what the client gets and what it costs is the same (G6)."""

    RESPONSE = (BEGIN, *DELTAS, event("response.output_text.delta", delta="Привет 🤖"), *TELLINGS[:3])
    RECORDED: ClassVar[dict[str, tuple[Callable[[], StreamMeter], list[ServerSentEvent]]]] = {
        "response with usage": (responses_meter, [*RESPONSE, event("response.completed", response=whole(usage=USAGE))]),
        "response without usage": (responses_meter, [*RESPONSE, TELLINGS[3]]),
        "response cut off": (responses_meter, [*RESPONSE]),
        "completion": (completions_meter, [*TestAStreamedCompletion.CHUNKS, ServerSentEvent(None, "[DONE]")]),
    }

    @pytest.mark.parametrize("name", RECORDED)
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
    def test_of_a_recorded_stream_gives_the_same(self, name: str, line_end: str) -> None:
        make, events = self.RECORDED[name]
        lines = (f"event: {one.event}\n" * bool(one.event) + f"data:{one.data}\n\n" for one in events)
        content = "".join(lines).replace("\n", line_end).encode()

        outcomes = {_outcome(make(), (content[:place], content[place:])) for place in range(len(content) + 1)}
        bytewise = _outcome(make(), [content[place : place + 1] for place in range(len(content))])

        assert outcomes == {bytewise}


def _outcome(meter: StreamMeter, chunks: Sequence[bytes]) -> tuple[bytes, str, bool]:
    parser = SseParser()
    shown = b"".join(seen(meter, parser.feed(chunk)) for chunk in chunks) + seen(meter, parser.finish())
    return shown, repr(meter.measured()), meter.is_finished
