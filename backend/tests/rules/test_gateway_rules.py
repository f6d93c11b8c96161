"""What a request can use at most, what a call used, and what of a provider's words a client may read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.tests.builders.pricing import snapshot
from billing.gateway.errors import UpstreamBroken
from billing.gateway.rules.chat_request import ChatRequest, read_chat_request
from billing.gateway.rules.json_fields import byte_count, rendered_request
from billing.gateway.rules.metering import TOKENS_MAX, Measured, typical_tokens
from billing.gateway.rules.paid_request import Delivery, Incoming, QuoteBounds
from billing.gateway.rules.replies import UpstreamReply, read_refusal, scrubbed
from billing.kit.errors import InvalidInput
from billing.pricing.rules import Unit
from billing.usage.rules import EstimateReason
from testkit.simulators.model.completion import prompt_tokens_of

BOUNDS = QuoteBounds(output_tokens_default=1000, image_tokens_max=5000, choices_max=4)
SECRETS = ("sk-upstream-secret", "https://upstream.example/v1", "secret-model-7b")
RATES = snapshot({Unit.INPUT: 60, Unit.OUTPUT: 240})
POOLS = (Unit.INPUT, Unit.CACHED_INPUT, Unit.OUTPUT, Unit.REASONING)
TEXTS = st.text(max_size=200)


def read(**fields: Any) -> ChatRequest:
    """A request with one short message, unless told otherwise."""
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    return read_chat_request(Incoming(json.dumps(body).encode()), BOUNDS)


def reply(body: object, status: int = 200) -> UpstreamReply:
    """A provider's answer in JSON."""
    return UpstreamReply(status, json.dumps(body).encode())


def completion(text: str = "fine", **more: Any) -> dict[str, Any]:
    """A provider's completion."""
    return {"model": "m-1", "choices": [{"message": {"role": "assistant", "content": text}}], **more}


def delivered(got: UpstreamReply) -> Delivery:
    """The answer as the client would get it."""
    return read().read(got, public_model="public", upstream_model="secret-model-7b")


def measure(request: ChatRequest, body: dict[str, Any]) -> Measured:
    """What a call with this completion used."""
    return request.measure(request.read(reply(body), public_model="public", upstream_model="m-1"), RATES)


class TestTheBoundOfTheInput:
    @given(texts=st.lists(TEXTS, min_size=1, max_size=4))
    def test_is_never_below_what_a_tokeniser_counts_in_any_script(self, texts: list[str]) -> None:
        messages = [{"role": "user", "content": text} for text in texts]

        assert read(messages=messages).input_tokens_bound >= prompt_tokens_of(messages)

    @pytest.mark.parametrize("text", ["Привет, как дела?", "🤖🔥👩‍👩‍👧‍👦", "漢字漢字", "\ud800 alone", "plain"])
    def test_has_a_token_for_each_byte(self, text: str) -> None:
        text *= 200  # so that the overhead of the request itself hides nothing

        bound = read(messages=[{"role": "user", "content": text}]).input_tokens_bound

        assert bound >= len(text.encode(errors="surrogatepass"))

    def test_grows_with_whatever_the_request_carries(self) -> None:
        plain = read().input_tokens_bound
        long = "x" * 500
        tool = {"type": "function", "function": {"name": "f", "description": long}}

        assert read(tools=[tool]).input_tokens_bound >= plain + 500
        assert read(functions=[{"name": "f", "description": long}]).input_tokens_bound >= plain + 500
        assert read(response_format={"schema": long}).input_tokens_bound >= plain + 500
        assert read(something_new=long).input_tokens_bound >= plain + 500

    def test_counts_each_picture_as_the_most_that_one_can_be(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
        content = [{"type": "text", "text": "what is this?"}, picture, picture]

        bound = read(messages=[{"role": "user", "content": content}]).input_tokens_bound

        assert 10_000 <= bound < 11_000

    def test_does_not_let_text_hide_in_a_picture(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "x"}, "text": "y" * 3000}

        assert read(messages=[{"role": "user", "content": [picture]}]).input_tokens_bound >= 8000

    @pytest.mark.parametrize("kind", [["image_url"], {"image_url": 1}, None, 7])
    def test_counts_a_part_whose_type_is_no_word_by_its_bytes(self, kind: object) -> None:
        part = {"type": kind, "text": "y" * 3000}

        assert read(messages=[{"role": "user", "content": [part]}]).input_tokens_bound >= 3000


class TestTheBoundOfTheOutput:
    @pytest.mark.parametrize(
        ("fields", "bound"),
        [
            ({}, 1000),
            ({"max_tokens": None}, 1000),
            ({"max_tokens": 10}, 10),
            ({"max_completion_tokens": 10}, 10),
            ({"max_tokens": 1, "max_completion_tokens": 500}, 500),
            ({"max_tokens": 10**6}, 1000),
            ({"n": 3}, 3000),
            ({"n": 3, "max_tokens": 7}, 21),
            ({"n": None}, 1000),
        ],
    )
    def test_is_the_smaller_of_limit_and_default_for_each_choice(self, fields: dict[str, Any], bound: int) -> None:
        assert read(**fields).output_tokens_bound == bound


class TestAMalformedRequest:
    @pytest.mark.parametrize(
        "fields",
        [
            {"max_tokens": 0},
            {"max_tokens": -5},
            {"max_tokens": "10"},
            {"max_tokens": 1.5},
            {"max_completion_tokens": True},
            {"n": 0},
            {"n": 5},
            {"n": "2"},
            {"messages": []},
            {"messages": None},
            {"messages": ["text"]},
            {"messages": [{"content": "no role"}]},
            {"model": ""},
            {"model": None},
            {"model": 4},
            {"stream": "yes"},
            {"stream": 1},
        ],
        ids=json.dumps,
    )
    def test_is_refused_before_anything_else(self, fields: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            read(**fields)

    @pytest.mark.parametrize(
        "body",
        [b"", b"[]", b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'{"n": 1' + b"0" * 5000 + b"}"],
        ids=["empty", "list", "cut off", "not UTF-8", "NaN", "deep", "endless number"],
    )
    def test_that_is_not_a_json_object_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidInput) as refusal:
            read_chat_request(Incoming(body), BOUNDS)

        assert refusal.value.field in {"body", "model"}

    @pytest.mark.parametrize("write", [byte_count, rendered_request], ids=["to bound it", "to forward it"])
    def test_that_can_be_read_but_not_written_again_is_refused(self, write: Callable[[Any], object]) -> None:
        nested: list[Any] = []
        for _ in range(100_000):
            nested = [nested]

        with pytest.raises(InvalidInput, match="nested too deeply") as refusal:
            write({"model": "m", "metadata": nested})

        assert refusal.value.field == "body"

    def test_without_a_stream_may_say_so(self) -> None:
        assert read(stream=False).model == read(stream=None).model == "m"


class TestWhatTheUpstreamGets:
    def test_is_what_the_client_sent_under_the_upstreams_name(self) -> None:
        sent = json.loads(read(temperature=0.5, tools=[]).for_upstream("theirs").content)

        assert sent == {
            "model": "theirs",
            "messages": [{"role": "user", "content": "hi"}],
            "temperature": 0.5,
            "tools": [],
        }

    def test_says_each_thing_once_whatever_the_client_repeated(self) -> None:
        body = b'{"model":"m","messages":[{"role":"user"}],"max_tokens":1,"max_tokens":900}'

        request = read_chat_request(Incoming(body), BOUNDS)

        assert request.output_tokens_bound == 900
        assert request.for_upstream("m").content.count(b"max_tokens") == 1


class TestTheProvidersCount:
    @pytest.mark.parametrize(
        ("usage", "counted"),
        [
            ({"prompt_tokens": 10, "completion_tokens": 4}, (10, 0, 4, 0)),
            ({"input_tokens": 10, "output_tokens": 4}, (10, 0, 4, 0)),
            ({"prompt_tokens": 0, "completion_tokens": 0}, (0, 0, 0, 0)),
            (
                {
                    "prompt_tokens": 10,
                    "completion_tokens": 4,
                    "prompt_tokens_details": {"cached_tokens": 6},
                    "completion_tokens_details": {"reasoning_tokens": 3},
                },
                (4, 6, 1, 3),
            ),
            (
                {
                    "input_tokens": 10,
                    "output_tokens": 4,
                    "input_tokens_details": {"cached_tokens": 10},
                    "output_tokens_details": {"reasoning_tokens": 4},
                },
                (0, 10, 0, 4),
            ),
            ({"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": None}, (10, 0, 4, 0)),
            (
                {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 99}},
                (10, 0, 4, 0),
            ),
            (
                {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": -1}},
                (10, 0, 4, 0),
            ),
            ({"prompt_tokens": None, "input_tokens": 10, "output_tokens": 4}, (10, 0, 4, 0)),
        ],
    )
    def test_is_taken_as_it_is_each_token_in_one_pool(
        self, usage: dict[str, Any], counted: tuple[int, int, int, int]
    ) -> None:
        measured = measure(read(), completion(usage=usage))

        assert measured.estimate_reason is None
        assert tuple(measured.quantities[unit] for unit in POOLS) == counted
        assert measured.free.input_tokens == counted[0] + counted[1]
        assert measured.free.output_tokens == counted[2] + counted[3]

    @pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 5}, {"total_tokens": 7}, {"completion_tokens": 5}])
    def test_that_is_not_there_is_missing_and_not_zero(self, usage: object) -> None:
        measured = measure(read(), completion("four words of text", usage=usage))

        assert measured.estimate_reason is EstimateReason.USAGE_MISSING
        assert measured.free.output_tokens > 0

    @pytest.mark.parametrize(
        "usage",
        [
            {"prompt_tokens": -1, "completion_tokens": 4},
            {"prompt_tokens": 1, "completion_tokens": -4},
            {"prompt_tokens": TOKENS_MAX + 1, "completion_tokens": 4},
            {"prompt_tokens": 1.5, "completion_tokens": 4},
            {"prompt_tokens": "1", "completion_tokens": 4},
            {"prompt_tokens": True, "completion_tokens": 4},
            "much",
            [1, 2],
        ],
    )
    def test_that_is_no_count_is_invalid(self, usage: object) -> None:
        measured = measure(read(), completion("four words of text", usage=usage))

        assert measured.estimate_reason is EstimateReason.USAGE_INVALID
        assert measured.free.output_tokens > 0


class TestOurOwnCount:
    @pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcdefgh", 2), ("приветы", 5), ("🤖🤖🤖", 4)])
    def test_is_about_four_letters_or_three_bytes_a_token(self, text: str, tokens: int) -> None:
        assert typical_tokens(text) == tokens

    def test_is_of_everything_that_was_delivered(self) -> None:
        call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "x" * 40}}
        message = {"role": "assistant", "content": None, "tool_calls": [call], "reasoning_content": "y" * 40}

        measured = measure(read(n=2), {"choices": [{"message": message}, {"message": {"content": "z" * 40}}]})

        assert measured.quantities[Unit.OUTPUT] == 31

    @pytest.mark.parametrize("url", ["https://example.com/a.png", "data:image/png;base64," + "A" * 40_000])
    def test_has_a_typical_number_for_each_picture_however_it_comes(self, url: str) -> None:
        picture = {"type": "image_url", "image_url": {"url": url}}

        def counted(*parts: object) -> int:
            return measure(read(messages=[{"role": "user", "content": list(parts)}]), completion()).free.input_tokens

        assert counted(picture, picture) - counted() == 2000

    def test_is_of_what_stands_under_the_name_of_another_door_too(self) -> None:
        assert measure(read(), {"choices": [{"text": "x" * 40}]}).quantities[Unit.OUTPUT] == 10

    def test_never_goes_beyond_what_the_call_was_let_in_with(self) -> None:
        request = read(max_tokens=3)

        measured = measure(request, completion("x" * 40))

        assert measured.free.output_tokens == 3
        assert measured.free.input_tokens <= request.input_tokens_bound

    @pytest.mark.parametrize("limit", ["max_tokens", "max_completion_tokens"])
    def test_is_of_all_that_came_where_the_provider_did_not_obey_the_limit(self, limit: str) -> None:
        assert measure(read(**{limit: 1}), completion("x" * 4000)).quantities[Unit.OUTPUT] == 1000


class TestAReply:
    def test_that_is_a_completion_carries_the_public_name(self) -> None:
        got = delivered(reply(completion()))

        assert got.body is not None
        assert (got.body["model"], got.model_used) == ("public", "m-1")
        assert json.loads(got.content) == got.body

    @pytest.mark.parametrize(
        "body",
        [b"", b"<html>", b'{"choices": [', b"[]", b"{}", b'{"choices": []}', b'{"choices": [3]}', b'{"error": {}}'],
    )
    def test_that_claims_success_without_a_completion_is_broken(self, body: bytes) -> None:
        with pytest.raises(UpstreamBroken):
            delivered(UpstreamReply(200, body))

    def test_that_cannot_be_written_again_is_broken_before_anything_is_charged(self) -> None:
        with pytest.raises(UpstreamBroken):
            delivered(UpstreamReply(200, b'{"choices": [{"logprobs": NaN}]}'))

    def test_with_half_a_character_can_still_be_delivered(self) -> None:
        got = delivered(UpstreamReply(200, rb'{"choices": [{"message": {"content": "\ud83e"}}]}'))

        assert rb"\ud83e" in got.content

    @pytest.mark.parametrize("status", [201, 204, 301, 302, 304])
    def test_with_a_status_that_means_neither_yes_nor_no_is_broken(self, status: int) -> None:
        with pytest.raises(UpstreamBroken):
            delivered(reply(completion(), status))

    def test_that_refuses_keeps_status_and_words(self) -> None:
        error = {
            "message": "The prompt is too long.",
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
        }

        got = read_refusal(reply({"error": {**error, "param": "messages"}}, 400), SECRETS)

        assert (got.status, got.body) == (400, {"error": {**error, "param": "messages"}})

    def test_that_refuses_our_key_is_our_fault_and_not_the_clients(self) -> None:
        error = {"message": "Incorrect API key provided: sk-upstr****cret.", "code": "invalid_api_key"}

        got = read_refusal(reply({"error": error}, 401), SECRETS)

        assert got.status == 502
        assert "sk-" not in json.dumps(got.body)
        assert got.body["error"]["code"] == "provider_error"

    @pytest.mark.parametrize(
        "body", [b"<html>nginx at 10.0.0.7</html>", b"", b'{"error": "text"}', b'{"error": {"message": 7}}']
    )
    def test_that_refuses_in_no_known_shape_is_told_in_our_words(self, body: bytes) -> None:
        got = read_refusal(UpstreamReply(503, body), SECRETS)

        assert got.body["error"] == {
            "message": "The model provider answered 503.",
            "type": "provider_error",
            "param": None,
            "code": "provider_error",
        }


class TestScrubbing:
    @pytest.mark.parametrize(
        "secret",
        [
            "sk-upstream-secret",
            "sk-proj-abcdef1234567890",
            "Bearer abc.def.ghi",
            "https://internal.example/v1?key=1",
            "org-A1b2C3d4E5",
            "somebody@example.com",
            "10.1.2.3",
            "AKIAIOSFODNN7EXAMPLE12345",
            "secret-model-7b",
        ],
    )
    def test_hides_what_is_nobodys_business(self, secret: str) -> None:
        error = {"message": f"Failed for {secret} today.", "type": secret, "code": secret, "param": secret}

        got = read_refusal(reply({"error": error}, 400), SECRETS)

        assert secret not in json.dumps(got.body)
        assert got.body["error"]["message"] == "Failed for [hidden] today."

    def test_leaves_plain_words_alone(self) -> None:
        sentence = "This model's maximum context length is 8192 tokens, however you requested 9001 tokens."

        assert scrubbed(sentence) == sentence

    def test_cuts_long_texts(self) -> None:
        assert len(scrubbed("word " * 1000)) == 500
