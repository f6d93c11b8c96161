"""Completions, embeddings and responses: what they can use at most, what they used, and what the provider gets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import snapshot
from billing.gateway.errors import StreamUnsupported, UpstreamBroken
from billing.gateway.rules.completions_request import CompletionsRequest, read_completions_request
from billing.gateway.rules.doors import Door
from billing.gateway.rules.embeddings_request import EmbeddingsRequest, read_embeddings_request
from billing.gateway.rules.metering import TOKENS_MAX, Measured
from billing.gateway.rules.paid_request import Incoming, PaidRequest, QuoteBounds
from billing.gateway.rules.readers import READERS
from billing.gateway.rules.replies import UpstreamReply
from billing.gateway.rules.responses_request import ResponsesRequest, read_responses_request
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Unit
from billing.quotas.rules import Amounts
from billing.usage.rules import EstimateReason
from testkit.simulators.model.completion import tokens_of

BOUNDS = QuoteBounds(output_tokens_default=1000, image_tokens_max=5000, choices_max=4)
TEXT_RATES = snapshot({Unit.INPUT: 1, Unit.OUTPUT: 1})
EMBEDDING_RATES = snapshot({Unit.EMBEDDING: 1})
TEXTS = st.text(min_size=1, max_size=200)
LONG = "x" * 500


def incoming(fields: dict[str, Any]) -> Incoming:
    """The request as it comes."""
    return Incoming(json.dumps(fields).encode(), "application/json")


def completions(**fields: Any) -> CompletionsRequest:
    """A request with one short prompt, unless told otherwise."""
    return read_completions_request(incoming({"model": "m", "prompt": "hi", **fields}), BOUNDS)


def embeddings(**fields: Any) -> EmbeddingsRequest:
    """A request with one short text, unless told otherwise."""
    return read_embeddings_request(incoming({"model": "m", "input": "hi", **fields}), BOUNDS)


def responses(**fields: Any) -> ResponsesRequest:
    """A request with a short input, unless told otherwise."""
    return read_responses_request(incoming({"model": "m", "input": "hi", **fields}), BOUNDS)


def measured(request: PaidRequest, body: dict[str, Any]) -> Measured:
    """What the request used, whose provider answered so."""
    rates = EMBEDDING_RATES if request.door is Door.EMBEDDINGS else TEXT_RATES
    reply = UpstreamReply(200, json.dumps(body).encode())
    return request.measure(request.read(reply, public_model="public", upstream_model="theirs"), rates)


def written(text: str = "fine", **more: Any) -> dict[str, Any]:
    """A provider's completion."""
    return {"model": "m-1", "choices": [{"index": 0, "text": text, "finish_reason": "stop"}], **more}


def vectors(**more: Any) -> dict[str, Any]:
    """A provider's embeddings."""
    return {"model": "m-1", "data": [{"index": 0, "embedding": [0.5, -0.25]}], **more}


def response(text: str = "fine", **more: Any) -> dict[str, Any]:
    """A provider's response."""
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}
    return {"model": "m-1", "object": "response", "status": "completed", "output": [message], **more}


REQUESTS: dict[Door, tuple[PaidRequest, dict[str, Any]]] = {
    Door.COMPLETIONS: (completions(), written()),
    Door.EMBEDDINGS: (embeddings(), vectors()),
    Door.RESPONSES: (responses(), response()),
}


class TestTheBoundOfTexts:
    @given(texts=st.lists(TEXTS, min_size=1, max_size=4))
    def test_is_never_below_what_a_tokeniser_counts_in_any_script(self, texts: list[str]) -> None:
        counted = sum(len(tokens_of(text)) for text in texts)

        assert embeddings(input=texts).free_bounds.input_tokens >= counted
        assert completions(prompt=texts).free_bounds.input_tokens >= counted
        assert responses(input=[{"role": "user", "content": text} for text in texts]).input_tokens_bound >= counted

    @pytest.mark.parametrize("text", ["Привет, как дела?", "🤖🔥👩‍👩‍👧‍👦", "漢字漢字", "plain"])
    @pytest.mark.parametrize("door", [Door.EMBEDDINGS, Door.COMPLETIONS, Door.RESPONSES])
    def test_has_a_token_for_each_byte(self, door: Door, text: str) -> None:
        text *= 200
        name = "prompt" if door is Door.COMPLETIONS else "input"

        request = READERS[door](incoming({"model": "m", name: text}), BOUNDS)

        assert request.free_bounds.input_tokens >= len(text.encode())

    def test_counts_a_token_that_comes_as_a_number_once(self) -> None:
        few, many = embeddings(input=[1] * 10), embeddings(input=[100_000] * 1010)

        assert many.texts.tokens_bound - few.texts.tokens_bound == 1000

    @pytest.mark.parametrize("door", [Door.EMBEDDINGS, Door.COMPLETIONS, Door.RESPONSES])
    def test_grows_with_whatever_the_request_carries(self, door: Door) -> None:
        base = {"model": "m", "prompt" if door is Door.COMPLETIONS else "input": "hi"}

        plain, long = (READERS[door](incoming(base | more), BOUNDS) for more in ({}, {"something_new": LONG}))

        assert long.free_bounds.input_tokens >= plain.free_bounds.input_tokens + len(LONG)

    @pytest.mark.parametrize(
        "value", [None, "", [], [""], ["a", ""], [[]], [["a"]], ["a", 1], [-1], [1.5], [True], [2**31 + 1], {}, 5]
    )
    @pytest.mark.parametrize("read", [embeddings, completions])
    def test_is_asked_of_texts_only(self, read: Any, value: object) -> None:
        with pytest.raises(InvalidInput) as refusal:
            read(**{"input" if read is embeddings else "prompt": value})

        assert refusal.value.field in {"input", "prompt"}

    def test_is_asked_of_so_many_texts_only(self) -> None:
        with pytest.raises(InvalidInput):
            embeddings(input=["a"] * 2049)


class TestTheBoundOfCompletions:
    @pytest.mark.parametrize(
        ("fields", "bound"),
        [
            ({}, 1000),
            ({"max_tokens": None}, 1000),
            ({"max_tokens": 10}, 10),
            ({"max_tokens": 10**6}, 1000),
            ({"n": 3}, 3000),
            ({"n": 2, "best_of": 4, "max_tokens": 5}, 20),
            ({"n": 4, "best_of": 2, "max_tokens": 5}, 20),
            ({"prompt": ["a", "b", "c"], "n": 2, "max_tokens": 5}, 30),
            ({"prompt": [[1, 2], [3]], "max_tokens": 5}, 10),
            ({"prompt": [1, 2, 3], "max_tokens": 5}, 5),
        ],
    )
    def test_is_the_smaller_of_limit_and_default_for_each_text_that_is_written(
        self, fields: dict[str, Any], bound: int
    ) -> None:
        request = completions(**fields)

        assert request.bounds(TEXT_RATES)[Unit.OUTPUT] == bound
        assert request.bounds(TEXT_RATES)[Unit.REQUEST] == 1

    @pytest.mark.parametrize(
        "fields",
        [
            {"max_tokens": 0},
            {"max_tokens": "7"},
            {"n": 5},
            {"best_of": 5},
            {"best_of": -1},
            {"echo": "yes"},
            {"stream": 1},
            {"stream_options": []},
            {"stream_options": {"include_usage": "yes"}},
            {"model": None},
            {"prompt": ["a"] * 1025, "n": 2},
        ],
        ids=json.dumps,
    )
    def test_is_not_given_to_what_makes_no_sense(self, fields: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            completions(**fields)


class TestTheBoundOfResponses:
    def test_counts_each_picture_as_the_most_that_one_can_be(self) -> None:
        picture = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 100_000}
        items = [
            {"role": "user", "content": [{"type": "input_text", "text": "what is this?"}, picture]},
            {"type": "function_call_output", "call_id": "c", "output": [picture]},
        ]

        assert 10_000 <= responses(input=items).input_tokens_bound < 11_000

    def test_counts_a_file_as_a_picture_and_as_its_bytes(self) -> None:
        file = {"type": "input_file", "file_data": "A" * 3000}

        assert responses(input=[{"role": "user", "content": [file]}]).input_tokens_bound >= 8000

    def test_does_not_let_text_hide_in_a_picture(self) -> None:
        picture = {"type": "input_image", "image_url": "x", "text": "y" * 3000}

        assert responses(input=[{"role": "user", "content": [picture]}]).input_tokens_bound >= 8000

    @pytest.mark.parametrize(
        ("fields", "bound"), [({}, 1000), ({"max_output_tokens": 7}, 7), ({"max_output_tokens": 10**6}, 1000)]
    )
    def test_of_the_output_is_the_smaller_of_limit_and_default(self, fields: dict[str, Any], bound: int) -> None:
        assert responses(**fields).bounds(TEXT_RATES)[Unit.OUTPUT] == bound

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"background": True}, "background"),
            ({"previous_response_id": "resp_of_somebody"}, "previous_response_id"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"prompt": {"id": "pmpt_1"}}, "prompt"),
            ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input"),
            ({"input": []}, "input"),
            ({"input": ""}, "input"),
            ({"input": ["text"]}, "input"),
            ({"input": None}, "input"),
            ({"tools": [{"type": "web_search"}]}, "tools"),
            ({"tools": [{"type": ["function"]}]}, "tools"),
            ({"tools": {}}, "tools"),
            ({"tools": ["function"]}, "tools"),
            ({"max_output_tokens": 0}, "max_output_tokens"),
            ({"max_output_tokens": True}, "max_output_tokens"),
            ({"stream": "yes"}, "stream"),
            ({"model": 5}, "model"),
        ],
    )
    def test_is_refused_to_what_nobody_can_bound_or_price(self, fields: dict[str, Any], named: str) -> None:
        with pytest.raises(InvalidInput) as refusal:
            responses(**fields)

        assert refusal.value.field == named

    def test_is_given_to_functions_and_custom_tools(self) -> None:
        request = responses(tools=[{"type": "function", "name": "f", "description": LONG}, {"type": "custom"}])

        assert request.input_tokens_bound >= len(LONG)


class TestTheProvidersCount:
    @pytest.mark.parametrize("door", [Door.COMPLETIONS, Door.RESPONSES])
    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": 10, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 3}},
            {"input_tokens": 10, "output_tokens": 4, "output_tokens_details": {"reasoning_tokens": 3}},
        ],
    )
    def test_of_text_is_taken_under_either_name(self, door: Door, usage: dict[str, Any]) -> None:
        request, body = REQUESTS[door]

        used = measured(request, {**body, "usage": usage})

        assert used.estimate_reason is None
        assert (used.quantities[Unit.INPUT], used.quantities[Unit.OUTPUT], used.quantities[Unit.REASONING]) == (
            10,
            1,
            3,
        )
        assert used.free == Amounts(10, 4)

    @pytest.mark.parametrize("name", ["prompt_tokens", "input_tokens", "total_tokens"])
    @pytest.mark.parametrize("tokens", [0, 12])
    def test_of_embeddings_is_taken_under_each_name(self, name: str, tokens: int) -> None:
        used = measured(embeddings(), vectors(usage={name: tokens}))

        assert used == Measured({Unit.EMBEDDING: tokens, Unit.REQUEST: 1}, Amounts(tokens), None)

    @pytest.mark.parametrize("door", REQUESTS)
    @pytest.mark.parametrize("usage", [None, {}, {"something": 5}])
    def test_that_is_not_there_is_missing_and_not_zero(self, door: Door, usage: object) -> None:
        request, body = REQUESTS[door]

        used = measured(request, {**body, "usage": usage})

        assert used.estimate_reason is EstimateReason.USAGE_MISSING
        assert used.free.input_tokens > 0

    @pytest.mark.parametrize("door", REQUESTS)
    @pytest.mark.parametrize("tokens", [-1, 1.5, True, "7", TOKENS_MAX + 1])
    def test_that_is_no_count_is_invalid(self, door: Door, tokens: object) -> None:
        request, body = REQUESTS[door]

        used = measured(request, {**body, "usage": {"prompt_tokens": tokens, "completion_tokens": tokens}})

        assert used.estimate_reason is EstimateReason.USAGE_INVALID
        assert used.free.input_tokens > 0

    def test_that_is_no_object_is_invalid(self) -> None:
        used = measured(embeddings(), vectors(usage="much"))

        assert used.estimate_reason is EstimateReason.USAGE_INVALID


class TestOurOwnCount:
    def test_of_completions_is_of_all_texts(self) -> None:
        request = completions(prompt=["abcdefgh"], n=2)

        used = measured(request, {"choices": [{"text": "x" * 40}, {"text": "y" * 8}, {"text": None}]})

        assert used.free == Amounts(2, 12)

    def test_of_completions_has_the_candidates_that_are_never_shown(self) -> None:
        used = measured(completions(n=1, best_of=4), written("x" * 40))

        assert used.free.output_tokens == 40

    def test_of_completions_does_not_charge_a_repeated_prompt_as_written(self) -> None:
        used = measured(completions(prompt="p" * 40, echo=True), written("p" * 40 + "x" * 20))

        assert used.free == Amounts(10, 5)

    def test_of_a_prompt_in_tokens_is_their_number(self) -> None:
        used = measured(completions(prompt=[5, 6, 7]), written())

        assert used.free.input_tokens == 3

    def test_of_a_response_is_of_everything_that_was_written(self) -> None:
        call = {"type": "function_call", "id": "fc_1", "call_id": "c_1", "name": "look", "arguments": "x" * 40}
        thought = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "y" * 40}]}

        used = measured(responses(), response("z" * 40, output=[call, thought, *response("z" * 40)["output"]]))

        assert used.free.output_tokens == 30

    def test_of_a_response_has_its_instructions_and_tools(self) -> None:
        few = measured(responses(), response())
        many = measured(responses(instructions="x" * 40, tools=[{"type": "function", "name": "y" * 40}]), response())

        assert many.free.input_tokens >= few.free.input_tokens + 20

    def test_of_a_response_has_a_typical_number_for_each_picture(self) -> None:
        picture = {"type": "input_image", "image_url": "https://example.com/a.png"}
        plain, pictured = (
            measured(responses(input=[{"role": "user", "content": parts}]), response()).free.input_tokens
            for parts in ([], [picture])
        )

        assert pictured - plain == 1000

    @pytest.mark.parametrize(("letters", "tokens"), [(400, 40), (4000, 1000)])
    @pytest.mark.parametrize("request_", [completions(max_tokens=40), responses(max_output_tokens=40)])
    def test_is_held_to_the_limit_that_the_client_set_unless_the_provider_was_not(
        self, request_: PaidRequest, letters: int, tokens: int
    ) -> None:
        body = written("x" * letters) if request_.door is Door.COMPLETIONS else response("x" * letters)

        assert measured(request_, body).free.output_tokens == tokens

    @given(text=TEXTS, reply=TEXTS)
    def test_of_what_goes_in_never_goes_beyond_the_bound(self, text: str, reply: str) -> None:
        pairs = (
            (completions(prompt=text), written(reply)),
            (embeddings(input=text), vectors()),
            (responses(input=text), response(reply)),
        )

        for request, body in pairs:
            assert measured(request, body).free.input_tokens <= request.free_bounds.input_tokens


class TestAnAnswer:
    @pytest.mark.parametrize("door", REQUESTS)
    def test_carries_the_public_name_of_the_model(self, door: Door) -> None:
        request, body = REQUESTS[door]

        got = request.read(UpstreamReply(200, json.dumps(body).encode()), public_model="public", upstream_model="x")

        assert got.body is not None
        assert (got.body["model"], got.model_used, got.content_type) == ("public", "m-1", "application/json")
        assert json.loads(got.content) == got.body == {**body, "model": "public"}

    @pytest.mark.parametrize("door", REQUESTS)
    @pytest.mark.parametrize(
        "body",
        [
            *(b"", b"<html>", b"[]", b"{}", b'{"choices": [', b'{"choices": []}', b'{"choices": [3]}'),
            *(b'{"data": []}', b'{"data": [{}]}', b'{"data": [{"embedding": []}]}', b'{"output": {}}'),
            *(b'{"output": [], "status": "failed"}', b'{"choices": [{}], "data": [{"embedding": "x"}], "error": {}}'),
        ],
    )
    def test_that_holds_nothing_of_its_kind_is_broken(self, door: Door, body: bytes) -> None:
        request, _ = REQUESTS[door]

        with pytest.raises(UpstreamBroken):
            request.read(UpstreamReply(200, body), public_model="public", upstream_model="theirs")

    @pytest.mark.parametrize("door", REQUESTS)
    @pytest.mark.parametrize("status", [201, 204, 302])
    def test_with_a_status_that_means_neither_yes_nor_no_is_broken(self, door: Door, status: int) -> None:
        request, body = REQUESTS[door]

        with pytest.raises(UpstreamBroken):
            request.read(UpstreamReply(status, json.dumps(body).encode()), public_model="p", upstream_model="t")

    @pytest.mark.parametrize("embedding", ["AACAPgAAgD4=", [0.25, 1e-07]])
    def test_with_embeddings_passes_either_encoding_on(self, embedding: object) -> None:
        body = {"data": [{"embedding": embedding}]}

        got = embeddings().read(UpstreamReply(200, json.dumps(body).encode()), public_model="p", upstream_model="t")

        assert got.body == body
        assert got.model_used == "t"


class TestWhatTheProviderGets:
    @pytest.mark.parametrize("door", [Door.COMPLETIONS, Door.EMBEDDINGS])
    def test_is_what_the_client_sent_under_the_upstreams_name(self, door: Door) -> None:
        name = "prompt" if door is Door.COMPLETIONS else "input"
        request = READERS[door](incoming({"model": "m", name: "hi", "user": "u"}), BOUNDS)

        assert json.loads(request.for_upstream("theirs").content) == {"model": "theirs", name: "hi", "user": "u"}

    def test_of_a_streamed_completion_asks_for_usage_whether_or_not_the_client_did(self) -> None:
        request = completions(stream=True, stream_options={"include_usage": False, "more": 1})

        sent = json.loads(request.for_upstream("theirs").content)

        assert sent["stream_options"] == {"include_usage": True, "more": 1}
        assert not request.shows_usage

    def test_of_a_response_asks_the_provider_to_keep_nothing(self) -> None:
        assert json.loads(responses(store=True).for_upstream("theirs").content)["store"] is False


class TestAStream:
    def test_of_embeddings_is_refused_by_name(self) -> None:
        with pytest.raises(StreamUnsupported):
            embeddings(stream=True)

    def test_has_no_meter_where_there_is_none(self) -> None:
        request = embeddings()

        assert not request.is_stream
        with pytest.raises(StreamUnsupported):
            request.stream_meter(EMBEDDING_RATES, public_model="p", upstream_model="t")


class TestEveryDoor:
    def test_has_a_reader(self) -> None:
        assert set(READERS) == set(Door)

    @pytest.mark.parametrize(
        "door", [Door.CHAT, Door.RESPONSES, Door.COMPLETIONS, Door.EMBEDDINGS, Door.IMAGES, Door.SPEECH]
    )
    @pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"n": NaN}', b"[" * 100_000, b'{"a": 1e999}'])
    def test_of_json_refuses_what_is_no_object(self, door: Door, content: bytes) -> None:
        with pytest.raises(InvalidInput) as refusal:
            READERS[door](Incoming(content, "application/json"), BOUNDS)

        assert refusal.value.field == "body"
