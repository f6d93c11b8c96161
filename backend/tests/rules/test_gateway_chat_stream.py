"""What a streamed chat completion is to the client, and what it counts as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from backend.tests.builders.pricing import snapshot
from backend.tests.builders.wallets import rub
from backend.tests.fakes.model_upstream import DONE, delta, event, usage
from billing.gateway.errors import UpstreamBroken, UpstreamTimeout
from billing.gateway.rules.chat_request import read_chat_request
from billing.gateway.rules.chat_stream import ChatStreamMeter
from billing.gateway.rules.paid_request import Incoming, QuoteBounds
from billing.gateway.rules.sse import SseParser
from billing.gateway.rules.stream_metering import Receipt
from billing.pricing.rules import Unit, price_of
from billing.usage.rules import BillingSource, EstimateReason
from billing.wallets.errors import InsufficientFunds
from billing.wallets.rules import OperationId

BOUNDS = QuoteBounds(output_tokens_default=1000, image_tokens_max=5000, choices_max=4)
RATES = snapshot({Unit.INPUT: 60_000_000, Unit.OUTPUT: 240_000_000})
RECEIPT = Receipt(OperationId("opr_1"), rub("0.5"), rub("99.5"), BillingSource.PAYG)
RECORDED = Path(__file__).parent.parent / "recorded"


def meter(**fields: Any) -> ChatStreamMeter:
    """The meter of a request with one short message."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True, **fields}
    request = read_chat_request(Incoming(json.dumps(body).encode()), BOUNDS)
    return request.stream_meter(RATES, public_model="public", upstream_model="theirs")


def passed(seer: ChatStreamMeter, *chunks: bytes) -> list[Any]:
    """What the client gets of these chunks, as objects."""
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)] + parser.finish()
    return read(b"".join(seer.see(event) for event in events))


def read(content: bytes) -> list[Any]:
    """Events as a client reads them."""
    return [event.data if event.data == "[DONE]" else json.loads(event.data) for event in SseParser().feed(content)]


def told(name: str) -> tuple[ChatStreamMeter, list[Any]]:
    """A recorded stream, read to its end."""
    seer = meter(n=2 if name == "two_choices" else 1)
    return seer, passed(seer, (RECORDED / f"{name}.sse").read_bytes())


class TestTheCount:
    @pytest.mark.parametrize(
        ("name", "tokens", "reason"),
        [
            ("usage_in_the_last_chunk", (8, 4, 7), None),
            ("without_the_last_empty_line", (8, 4, 7), None),
            ("carriage_returns_and_comments", (8, 4, 7), None),
            ("bare_carriage_returns", (8, 4, 7), None),
            ("no_end_mark", (8, 4, 7), None),
            ("usage_in_every_chunk", (12, 0, 3), None),
            ("other_names", (9, 0, 4), None),
            ("two_choices", (5, 0, 6), None),
            ("zero_usage", (0, 0, 0), None),
            ("no_usage", (5, 0, 11), EstimateReason.USAGE_MISSING),
            ("tool_calls", (5, 0, 8), EstimateReason.USAGE_MISSING),
            ("reasoning_and_refusal", (5, 0, 6), EstimateReason.USAGE_MISSING),
            ("usage_too_early", (5, 0, 9), EstimateReason.USAGE_MISSING),
            ("negative_usage", (5, 0, 3), EstimateReason.USAGE_INVALID),
        ],
    )
    def test_is_the_providers_where_it_can_be_meant_and_else_our_own(
        self, name: str, tokens: tuple[int, int, int], reason: EstimateReason | None
    ) -> None:
        seer, _ = told(name)

        measured = seer.measured()

        counted = tuple(measured.quantities[unit] for unit in (Unit.INPUT, Unit.CACHED_INPUT, Unit.OUTPUT))
        assert counted == tokens
        assert measured.estimate_reason is reason
        assert measured.quantities[Unit.REQUEST] == 1
        assert (measured.free.input_tokens, measured.free.output_tokens) == (tokens[0] + tokens[1], tokens[2])
        assert seer.is_finished

    @pytest.mark.parametrize("recorded", sorted(RECORDED.glob("*.sse")), ids=lambda path: path.stem)
    def test_gives_one_price_wherever_the_bytes_are_cut(self, recorded: Path) -> None:
        whole = recorded.read_bytes()
        expected = meter()
        client_reads = passed(expected, whole)

        for cut in range(len(whole) + 1):
            seer = meter()
            assert passed(seer, whole[:cut], whole[cut:]) == client_reads
            assert seer.measured() == expected.measured()
            assert price_of(seer.measured().quantities, RATES) == price_of(expected.measured().quantities, RATES)

    def test_of_our_own_grows_with_what_was_passed_on(self) -> None:
        seer = meter()
        counts = []

        for _ in range(3):
            passed(seer, delta("eight by" * 5))
            counts.append(seer.measured().quantities[Unit.OUTPUT])

        assert counts == [10, 20, 30]
        assert not seer.is_finished

    def test_of_our_own_stays_within_the_clients_limit_but_not_within_our_assumption(self) -> None:
        limited, unlimited = meter(max_tokens=1500), meter()

        for seer in (limited, unlimited):
            passed(seer, delta("x" * 8000))

        assert limited.measured().quantities[Unit.OUTPUT] == 1500
        assert unlimited.measured().quantities[Unit.OUTPUT] == 2000

    @pytest.mark.parametrize("choice", [{"message": {"content": "x" * 400}}, {"text": "x" * 400}])
    def test_is_of_what_stands_under_the_name_of_another_door_too(self, choice: dict[str, Any]) -> None:
        seer = meter()

        passed(seer, event({"choices": [{"index": 0, "finish_reason": "stop", **choice}]}))

        assert seer.has_delivered
        assert seer.measured().quantities[Unit.OUTPUT] == 100

    def test_is_of_a_text_once_that_is_told_once_more_at_the_end(self) -> None:
        seer = meter()
        again = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "x" * 400}}

        passed(seer, delta("x" * 200), delta("x" * 200), event({"choices": [again]}))

        assert seer.measured().quantities[Unit.OUTPUT] == 100

    def test_that_was_given_before_more_output_came_is_not_the_last_word(self) -> None:
        seer = meter()

        passed(seer, usage(10, 1), delta("and then a lot more"))

        assert seer.measured().estimate_reason is EstimateReason.USAGE_MISSING


class TestWhatTheClientReads:
    def test_is_each_chunk_under_the_public_name_without_usage(self) -> None:
        _, chunks = told("usage_in_the_last_chunk")

        assert {chunk["model"] for chunk in chunks} == {"public"}
        assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "Hello, world"
        assert not any("usage" in chunk for chunk in chunks)
        assert len(chunks) == 4

    def test_ends_with_the_mark_once_it_is_booked(self) -> None:
        seer, chunks = told("usage_in_the_last_chunk")

        assert "[DONE]" not in chunks
        assert read(seer.closing(RECEIPT)) == ["[DONE]"]

    def test_has_usage_and_cost_before_the_mark_where_it_was_asked_for(self) -> None:
        seer = meter(stream_options={"include_usage": True})
        passed(seer, delta("hello", usage=None), delta(finish="stop"), usage(10, 2), DONE)

        last, mark = read(seer.closing(RECEIPT))

        assert mark == "[DONE]"
        assert (last["id"], last["object"], last["model"]) == ("chatcmpl-1", "chat.completion.chunk", "public")
        assert last["choices"] == []
        assert last["usage"] == {
            "prompt_tokens": 10,
            "completion_tokens": 2,
            "total_tokens": 12,
            "prompt_tokens_details": {"cached_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }
        assert last["billing"] == {
            "operation": "opr_1",
            "charged": "0.50",
            "currency": "RUB",
            "balance": "99.50",
            "source": "payg",
        }

    def test_is_a_clean_end_that_says_why_where_money_ran_out(self) -> None:
        seer = meter(n=2)
        passed(seer, delta("left"), delta("right", index=1), delta(finish="stop"))

        cut, mark = read(seer.stopped(InsufficientFunds(rub("1"), rub("2")), RECEIPT))

        assert mark == "[DONE]"
        assert cut["choices"] == [{"index": 1, "delta": {}, "finish_reason": "length"}]
        assert cut["billing"]["charged"] == "0.50"
        stopped = cut["billing"]["stopped"]
        assert (stopped["code"], stopped["available"], stopped["required"]) == ("insufficient_funds", "1.00", "2.00")

    def test_is_an_error_without_the_mark_where_the_provider_broke_off(self) -> None:
        (error,) = read(meter().broken(UpstreamTimeout()))

        assert error["error"]["code"] == "upstream_timeout"

    def test_of_a_letter_cut_in_half_is_that_half(self) -> None:
        seer = meter()

        chunks = passed(seer, rb'data: {"choices":[{"index":0,"delta":{"content":"\ud83e"}}]}' + b"\n\n")

        assert chunks[0]["choices"][0]["delta"]["content"] == "\ud83e"
        assert seer.measured().quantities[Unit.OUTPUT] == 1

    def test_after_the_mark_is_nothing(self) -> None:
        seer = meter()

        assert passed(seer, DONE, delta("late"), b"data: rubbish\n\n") == []
        assert not seer.has_delivered


class TestNonsense:
    @pytest.mark.parametrize(
        "content",
        [
            b"data: rubbish\n\n",
            b"data: [1]\n\n",
            b'data: {"error": {"message": "secret"}}\n\n',
            b'data: {"error": "secret"}\n\n',
            b'event: error\ndata: {"message": "secret"}\n\n',
            b'data: {"choices": "none"}\n\n',
            b'data: {"choices": ["none"]}\n\n',
            b'data: {"choices": [{"delta": {"content": "a"}, "logprobs": NaN}]}\n\n',
            b"data: <html>\n\n",
        ],
    )
    def test_breaks_the_stream(self, content: bytes) -> None:
        with pytest.raises(UpstreamBroken):
            passed(meter(), content)

    def test_beside_the_choices_is_passed_on(self) -> None:
        (chunk,) = passed(meter(), event({"choices": [], "prompt_filter_results": [1]}))

        assert chunk == {"choices": [], "prompt_filter_results": [1], "model": "public"}


class TestTheRequest:
    def test_always_asks_for_usage(self) -> None:
        body = {"model": "m", "messages": [{"role": "user"}], "stream": True}
        variants: list[dict[str, Any]] = [
            {},
            {"stream_options": None},
            {"stream_options": {"include_usage": False, "other": 1}},
        ]

        sent = [
            json.loads(
                read_chat_request(Incoming(json.dumps({**body, **more}).encode()), BOUNDS).for_upstream("t").content
            )["stream_options"]
            for more in variants
        ]

        assert sent == [{"include_usage": True}, {"include_usage": True}, {"include_usage": True, "other": 1}]
